"""The description of a model file, checked whole before anything is built of it.

``model.schema.yaml`` has types and bounds; what no schema can say stands here: that plan, nets,
classes and reading fit each other. No torch.
"""

import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from ddcnn.base.errors import InputError
from ddcnn.base.names import check_name
from ddcnn.base.own_yaml import read_own_yaml
from ddcnn.base.splits import JUDGED, SPLITS
from ddcnn.experiment.refusals import messages
from ddcnn.experiment.schema import Validator
from ddcnn.tiles.geometry import Decomposition
from ddcnn.tiles.shards import plan_of, planned

Description = dict[str, Any]
# Of a description, so that reading it takes some 100 MB at most: enough for 30,000 tiles.
MOST_CHARACTERS, MOST_PARTS = 2**23, 2**18
_SCHEMA = Path(__file__).with_name("model.schema.yaml")


def _is_integer(_checker: Any, value: Any) -> bool:
    """JSON Schema also takes 28.0, which is no number of pixels here."""
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = jsonschema.validators.extend(
    Validator, type_checker=Validator.TYPE_CHECKER.redefine("integer", _is_integer)
)


@cache
def _validator() -> jsonschema.protocols.Validator:
    return _Validator(read_own_yaml(_SCHEMA))


def parsed(text: str) -> Description:
    """The description in a model file.

    Raises:
        InputError: it is none, or its parts do not fit each other; says why.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"it has {len(text):,} characters; accepted: at most {MOST_CHARACTERS:,}")
    if text.count("[") + text.count("{") > MOST_PARTS:
        raise InputError(f"it has more lists and mappings than {MOST_PARTS:,}")
    try:
        description = json.loads(text, parse_constant=_number, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is no JSON of finite numbers: {error}") from error
    # The first one is enough: a long list may hold a million.
    for error in _validator().iter_errors(description):
        raise InputError(next(messages(error)))
    for problem in _contradictions(description):
        raise InputError(problem)
    return description


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not finite")
    return number


def _contradictions(description: Description) -> Iterator[str]:
    """What does not fit, the first of which is said."""
    yield from _of_plan(description)
    yield from _of_nets(description)
    yield from _of_data(description["data"])
    yield from _of_reading(description["reading"], description["data"])
    yield from _of_scores(description)


def _of_plan(description: Description) -> Iterator[str]:
    plan, run, data = (description[key] for key in ("plan", "run", "data"))
    decomposition = Decomposition(planned(plan), run["coarse_view"])
    tiling, found = decomposition.tiling, description["subdomains"]
    # By their number first: of a grid of 1000 x 1000 not even the names are made here.
    if tiling.num_tiles + run["coarse_view"] != len(found):
        yield f"subdomains: {len(found)}, its grid has {tiling.num_tiles} tiles"
    if found != decomposition.subdomains:
        yield "subdomains: their names are not those of its grid"
    if plan["shape"] != data["shape"]:
        yield f"plan.shape: {plan['shape']}, data.shape: {data['shape']}"
    # As text: True, 1 and 1.0 are equal, and so are mappings in another order.
    if json.dumps(plan) != json.dumps(plan_of(tiling, tuple(data["shape"]))):
        yield "plan: its tiles are not those of its grid and overlap: they do not cover the image"
    if (run["tiling"], run["decomposition"]) != (tiling.slug, decomposition.slug):
        yield (
            f"run.tiling and run.decomposition: {run['tiling']} and {run['decomposition']}, its "
            f"plan is {tiling.slug} and {decomposition.slug}"
        )


def _of_nets(description: Description) -> Iterator[str]:
    nets, plan, data = (description[key] for key in ("nets", "plan", "data"))
    is_whole = plan["kind"] == "whole"
    if len(nets) != len(description["subdomains"]):
        yield f"nets: {len(nets)}, its subdomains are {len(description['subdomains'])}"
    first = json.dumps(nets[0])
    if any(json.dumps(net) != first for net in nets):
        yield "nets: they are not all alike"
    wanted = [*plan["tile_shape"], data["channels"]]
    if nets[0]["input_shape"] != wanted:
        yield f"nets.input_shape: {nets[0]['input_shape']}, its tiles are {wanted}"
    if (description["coarse"] is None, description["method"] == "global") != (is_whole, is_whole):
        yield "coarse: a net on whole images has none, all others have one"


def _of_data(data: Description) -> Iterator[str]:
    axes, is_signal = len(data["shape"]), data["dtype"] == "float32"
    if len(data["axes"]) != axes or is_signal != (axes == 1):
        yield f"data.axes: {data['axes']} of {data['dtype']}, data.shape: {data['shape']}"
    if not len(data["mean"]) == len(data["std"]) == data["channels"]:
        yield f"data.mean, data.std: not one number for each of {data['channels']} channels"
    if not is_signal and not all(0 <= number <= 1 for number in data["mean"] + data["std"]):
        yield "data.mean, data.std: of images they are between 0 and 1"
    yield from _of_outputs(data)
    if len(data.get("parts", {}).get("test", ["test"])) != 1:
        yield "data.parts.test: it is not one part"
    spacing = data.get("spacing_mm")
    if spacing and (axes < 3 or any(map(float.__gt__, *_floats(spacing["min"], spacing["max"])))):
        yield f"data.spacing_mm: {spacing}"


def _floats(*lists: list[float]) -> list[list[float]]:
    return [[float(number) for number in each] for each in lists]


def _of_outputs(data: Description) -> Iterator[str]:
    names = [*data["classes"], *data.get("targets", [])]
    for name in names:
        check_name(name, "data.classes, data.targets:")
    if len(set(names)) < len(names):
        yield "data.classes, data.targets: a name stands there twice"
    if not {*SPLITS} <= {*data["counts"]}:
        yield f"data.counts: {', '.join(data['counts'])}; needed: {', '.join(SPLITS)}"
    if data["task"] == "regression":
        sizes = {len(data.get(key, ())) for key in ("targets", "target_mean", "target_std")}
        if data["classes"] or len(sizes) != 1 or sizes == {0}:
            yield "data.targets: not one name, mean and spread for each"
        return
    if len(data["classes"]) < 2 or "targets" in data:
        yield f"data.classes: {len(data['classes'])}; a classification needs two"
    if any(list(counts) != data["classes"] for counts in data["counts"].values()):
        yield "data.counts: not those of data.classes in their order"


def _of_reading(reading: Description, data: Description) -> Iterator[str]:
    for key in ("shape", "channels"):
        if reading[key] not in (None, data[key]):
            yield f"reading.{key}: {reading[key]}, data.{key}: {data[key]}"
    window, chosen = reading["window"], data.get("intensity")
    if window and window[0] >= window[1]:
        yield f"reading.window: {window}"
    if chosen and (reading["intensity"], window) != (chosen["rule"], chosen["window"]):
        yield "reading.intensity, reading.window: not those of data.intensity"


def _of_scores(description: Description) -> Iterator[str]:
    scores, data = description["scores"], description["data"]
    score = "r2" if data["task"] == "regression" else "accuracy"
    names = {key.rpartition("_")[0] for key in scores} | {score}
    if {*scores} != {f"{name}_{split}" for name in names for split in JUDGED}:
        yield f"scores: {', '.join(scores)}; needed: each for {' and '.join(JUDGED)}"
    pooled, has_folds = description.get("pooled"), "folds" in data and "fold" in description["run"]
    if pooled is not None and not (has_folds and f"{score}_test" in pooled):
        yield "pooled: without folds"
