"""Model files with something wrong in them, by the thousand; the digest is always right.

    python tests/mutate_models.py --models MODEL ... --count 2000

makes small models, mutates their descriptions and tensors, and loads every file: it is refused in
one line, or says exactly what the model says that it was made of. Prints the longest time and the
peak of the memory. Another mean or another weight within its bounds is another model, which nobody
can tell from the first one; none is drawn.
"""

import argparse
import copy
import json
import math
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

import ddcnn
from ddcnn.__main__ import main as command
from ddcnn.base.errors import InputError
from ddcnn.base.process import peak_memory_bytes
from ddcnn.bundle.file import FORMAT, KEY, Tensors, read_bundle
from ddcnn.training.weights import digest_of_arrays

Place = tuple[Any, ...]
WRONG = (
    None, True, "x", "", "0-0", [], {}, [[]], {"a": 1}, -1, 28.0, 2.5, 10**9, 10**30, 10**400,
    1e300, -1e300, math.inf, -math.inf, math.nan, "x" * 10**6, [0] * 10**5, ["a"] * 10**5,
)  # fmt: skip
# Of these another number within its bounds is another model.
FREE = ("mean", "std", "target_mean", "target_std")
BEYOND = (None, True, "x", [], {}, 10**40, 1e300, -1e300, math.inf, -math.inf, math.nan)


def paths_of(value: Any, before: Place = ()) -> Iterator[Place]:
    """The places of all parts of a description."""
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*before, key)
        yield from paths_of(item, (*before, key))


def mutated_description(description: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """One part is missing, of another type or size, out of its bounds, permuted, or new."""
    description = copy.deepcopy(description)
    part = chance.choice(["data", "plan", "nets", "coarse", "subdomains", "reading", None])
    places = [p for p in paths_of(description) if part in (None, p[0])]
    *before, last = chance.choice(places)
    target = description
    for key in before:
        target = target[key]
    is_free = any(key in FREE for key in (*before, last)) and before[:1] == ["data"]
    how = chance.choice(["wrong", "wrong", "missing", "extra", "list"])
    found = target[last]
    if how == "wrong":
        target[last] = chance.choice(BEYOND if is_free else WRONG)
    elif how == "missing":
        del target[last]
    elif isinstance(found, list) and how == "list" and not is_free:
        others = found[::-1], found[1:], found[:-1], [*found, *found], [*found, None], found * 1000
        target[last] = chance.choice(others)
    elif isinstance(target, dict):
        target[chance.choice(["extra", "__class__", "shape", "", "x" * 5000])] = "x"
    else:
        target.insert(0, chance.choice(WRONG))
    return description


def mutated_tensors(tensors: Tensors, chance: random.Random) -> Tensors:
    """One tensor is missing, new, exchanged, or of another type or size, or not finite."""
    tensors = dict(tensors)
    name, other = chance.sample(sorted(tensors), 2)
    array, flat = tensors[name], tensors[name].reshape(-1)
    how = chance.randrange(9)
    if how == 0:
        del tensors[name]
    elif how == 1:
        tensors[chance.choice(["extra", f"{name}x", "net.nets.99.x", ""])] = array
    elif how == 2 and array.shape != tensors[other].shape:
        tensors[name], tensors[other] = tensors[other], array
    elif how == 3:
        types = [np.float64, np.float16, np.int32, np.int8, np.uint8, np.bool_]
        tensors[name] = array.astype(chance.choice(types))
    elif how == 4:
        tensors[name] = flat[: flat.size // 2]
    elif how == 5:
        tensors[name] = np.zeros((10**6,), array.dtype)
    elif how == 6 and array.dtype.kind == "f":
        flat = flat.copy()
        flat[chance.randrange(flat.size)] = chance.choice([np.nan, np.inf, -np.inf])
        tensors[name] = flat.reshape(array.shape)
    elif how == 7:
        tensors[name] = array[None]
    else:
        tensors[name] = np.zeros((0,), array.dtype)
    return tensors


def mutated_text(text: str, chance: random.Random) -> str:
    """The description as no JSON writes it, or too large."""
    numbers = ["9" * 5000, "1e999", "NaN", "Infinity", "-" * 99, "[" * 50_000, "{}" * 99]
    width = '"width": 4'
    return chance.choice(
        [
            text.replace(width, f'"width": {chance.choice(numbers)}', 1),
            chance.choice(numbers),
            "[" + "{}," * 2**21 + "0]",
            text[: chance.randrange(len(text))],
            text + " " * 2**23,
        ]
    )


def write_model(path: Path, text: str, tensors: Tensors) -> None:
    """A model file with a right digest, whatever is in it."""
    facts = {"format": FORMAT, "description": text, "sha256": digest_of_arrays(tensors, text)}
    save_file(tensors, path, {KEY: json.dumps(facts)})


def mutate(source: Path, path: Path, seed: int) -> None:
    """Write one mutation of a model."""
    chance, bundle = random.Random(f"{source.parts[-3:]} {seed}"), read_bundle(source)
    description, tensors = bundle.description, bundle.tensors
    kind = chance.random()
    if kind < 0.6:
        description = mutated_description(description, chance)
    elif kind < 0.95:
        tensors = mutated_tensors(tensors, chance)
    text = json.dumps(description)
    write_model(path, mutated_text(text, chance) if kind >= 0.95 else text, tensors)


def refused(path: Path, source: Path) -> bool:
    """Load a mutation: refused in one line, or as good as what it was made of.

    Raises:
        AssertionError: it says something else.
    """
    try:
        model, expected = ddcnn.load(path), ddcnn.load(source)
    except InputError as error:
        if "\n" in str(error) or len(str(error)) > 2000:
            raise AssertionError(f"not one line: {error}") from error
        return True
    pixels = torch.rand(3, *expected.shape, generator=torch.Generator().manual_seed(0)) * 255
    assert torch.equal(model(pixels), expected(pixels))
    if expected.net.task.name == "classification":  # the name of a target is in no other place
        assert model.outputs == expected.outputs
    assert model.subdomains == expected.subdomains
    assert command(["info", str(path)]) == 0
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = peak_memory_bytes()
    seconds, results, failed = [], Counter(), []
    # What writing takes is no part of what loading takes: another process writes.
    writer = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with tempfile.TemporaryDirectory() as folder, writer:
        path = Path(folder, "model.safetensors")
        for number in range(options.seed, options.seed + options.count):
            source = options.models[number % len(options.models)]
            writer.submit(mutate, source, path, number).result()
            start = time.perf_counter()
            try:
                results["refused" if refused(path, source) else "as before"] += 1
            except Exception as error:
                failed.append(f"{source} {number}: {error!r:.300}")
            seconds.append(time.perf_counter() - start)
    print("\n".join(failed), file=sys.stderr)
    print(
        f"{options.count} mutations: {results['refused']} refused, {results['as before']} as "
        f"before, {len(failed)} wrong; at most {max(seconds):.2f} s and "
        f"{peak_memory_bytes() / 1e6:.0f} MB, {before / 1e6:.0f} MB of them torch",
        file=sys.stderr,
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
