"""Nets of the user: ``module:factory``, found on the Python path or in the current folder."""

import importlib
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ddcnn.base.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

ACCEPTED = (
    "accepted: factory(shape, classes, width, dropout), where shape holds the pixels along every "
    "axis and, last, the channels, returning a torch.nn.Module that maps float (N, channels, "
    "*pixels) to logits (N, classes)"
)


def is_own(name: str) -> bool:
    """Whether a model's name is that of a user's factory, ``module:factory``."""
    return ":" in name


def module_of(name: str) -> str:
    """The module of ``module:factory``."""
    return name.partition(":")[0]


def folder_of(name: str) -> Path:
    """The folder from which the module is imported: ``/here`` for ``/here/my/nets.py``, my.nets.

    Raises:
        InputError: there is no such module, it is no file of Python, or a module of the same name
            elsewhere hides one in the current folder.
    """
    module = module_of(name)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: a file named like a library must not replace it
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(module)
    except (Exception, SystemExit) as error:  # a dotted name imports the packages around it
        raise InputError(f"model: {name}: {_cause(error, name)}; {ACCEPTED}") from error
    if spec is None:
        raise InputError(
            f"model: {name}: there is no module {module} on the Python path or in {here}; write "
            f"{module.replace('.', '/')}.py there, or correct the name; {ACCEPTED}"
        )
    file = Path(spec.origin or "")
    if file.suffix != ".py":
        raise InputError(f"model: {name}: the module {module} is no file of Python ({spec.origin})")
    depth = module.count(".") + (file.name == "__init__.py")
    folder, top = file.parents[depth], module.partition(".")[0]
    hidden = [p for p in (Path(here, f"{top}.py"), Path(here, top, "__init__.py")) if p.is_file()]
    if hidden and not folder.samefile(here):
        raise InputError(
            f"model: {name}: {file} hides your {hidden[0].name}; give yours another name"
        )
    return folder


def build(
    name: str, shape: tuple[int, ...], classes: int, width: int, dropout: float
) -> "nn.Module":
    """What the factory returns; see :func:`ddcnn.nets.build`.

    Raises:
        InputError: the factory is missing, fails, or returns no module.
    """
    import torch
    from torch import nn

    factory = getattr(_load(name), name.partition(":")[2], None)
    if not callable(factory):
        raise InputError(
            f"model: {name}: {module_of(name)}.py has no function or class of this name; {ACCEPTED}"
        )
    with _about(name, shape, width):
        try:
            net = factory(shape, classes, width, dropout)
        except (Exception, SystemExit) as error:
            raise InputError(f"{_cause(error, name)}; {ACCEPTED}") from error
        if not isinstance(net, nn.Module):
            found = type(net).__name__
            raise InputError(f"the factory returned {found}, no torch.nn.Module; {ACCEPTED}")
        if any(map(nn.parameter.is_lazy, net.parameters())):
            # Lazy layers learn their sizes from a first image, and an optimizer needs them.
            with torch.no_grad():
                _logits(net.eval(), torch.zeros(1, shape[-1], *shape[:-1]), classes, name)
            net.train()
        return net


def check(name: str, shape: tuple[int, ...], classes: int, width: int, dropout: float) -> None:
    """Build a net and run it forward and backward, as trainings will, before any job starts.

    On torch's meta device first, which computes shapes and no numbers: even the net of a whole
    scan takes no memory and no time. Nets that cannot do that are run on the CPU.

    Raises:
        InputError: with the reason, and what is accepted.
    """
    import torch

    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # of weights that meta tensors do not take
            _run(build(name, shape, classes, width, dropout), shape, classes, name)
    except InputError:
        net = build(name, shape, classes, width, dropout)
        with _about(name, shape, width):
            _run(net, shape, classes, name)


def _run(net: "nn.Module", shape: tuple[int, ...], classes: int, name: str) -> None:
    import torch

    images = torch.zeros(2, shape[-1], *shape[:-1])
    # The last batch of a prediction may hold a single image.
    _logits(net.eval(), images[:1], classes, name)
    logits = _logits(net.train(), images, classes, name)
    if not logits.requires_grad:
        raise InputError(f"the logits depend on no trainable weight; {ACCEPTED}")
    try:
        logits.sum().backward()
    except Exception as error:
        raise InputError(f"backward: {_cause(error, name)}; {ACCEPTED}") from error
    unused = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        raise InputError(
            f"these weights do not reach the logits: {', '.join(unused[:5])}; leave them out, or "
            "freeze them with requires_grad_(False)"
        )


def _logits(net: "nn.Module", images: "torch.Tensor", classes: int, name: str) -> "torch.Tensor":
    import torch

    mode = f"a batch of {len(images)} in {'training' if net.training else 'evaluation'} mode"
    try:
        logits = net(images)
    except Exception as error:
        raise InputError(f"{mode}: {_cause(error, name)}; {ACCEPTED}") from error
    is_tensor = isinstance(logits, torch.Tensor)
    found = tuple(logits.shape) if is_tensor else type(logits).__name__
    if found != (len(images), classes) or not logits.is_floating_point():
        kind = f" of {logits.dtype}" if is_tensor else ""
        raise InputError(
            f"{mode} became {found}{kind}, not ({len(images)}, {classes}) for {classes} classes; "
            f"{ACCEPTED}"
        )
    return logits


def _load(name: str) -> ModuleType:
    folder_of(name)
    try:
        return importlib.import_module(module_of(name))
    except (Exception, SystemExit) as error:
        raise InputError(f"model: {name}: {_cause(error, name)}; {ACCEPTED}") from error


@contextmanager
def _about(name: str, shape: tuple[int, ...], width: int) -> Iterator[None]:
    """Puts the net before what is wrong with it."""
    pixels = "x".join(map(str, shape[:-1]))
    channels = f"{shape[-1]} channel{'s' if shape[-1] > 1 else ''}"
    try:
        yield
    except InputError as error:
        where = f"model: {name} for {pixels} pixels, {channels} and width {width}"
        raise InputError(f"{where}: {error}") from error


def _cause(error: BaseException, name: str) -> str:
    """What was raised, and the last line of the user's module that led to it."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    path = module_of(name).replace(".", "/")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith((f"/{path}.py", f"/{path}/__init__.py"))
    ]
    return (
        f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else text
    )
