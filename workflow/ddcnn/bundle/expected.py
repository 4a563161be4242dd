"""What a model takes, and single files brought to it as the preparation of the training did.

What that did not do (resize, change the colours) is not done here either, unless the user asks for
it: no input is bent to the model in silence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.base.foreign import check_regular
from ddcnn.base.memory import require_memory
from ddcnn.data import images, volumes
from ddcnn.data.labelled import KINDS, kind_of
from ddcnn.data.nifti import SERIES, read_stored
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Decoded
from ddcnn.data.survey import Header, HeaderGroup, size_text
from ddcnn.data.values import defect, measure, strange

ACCEPTED = "images, NIfTI volumes, .npy and .npz arrays, folders of them, and tables (.csv)"
FIT_WORDS = ("crop", "pad", "stretch")
LARGE_VOXELS = 2**24  # a volume above is never in memory as a whole
SPACING_TOLERANCE = 0.02
WHAT = {1: "signals", 2: "images", 3: "volumes"}


@dataclass(frozen=True)
class Expected:
    """What a model takes.

    Attributes:
        shape: spatial axes.
        channels: of an image.
        options: how the training's files became images.
        spacing: smallest and largest of the training volumes along every axis, mm; or None.
        adapt: one of :data:`FIT_WORDS`: images of other sizes and colours are brought to the
            model's in this way; None: only as far as the preparation of the training did.
        values: what the values of the training's files were, see
            :func:`ddcnn.data.values.joined`; None where they were gray as they are.
    """

    shape: tuple[int, ...]
    channels: int
    options: ReadOptions
    spacing: tuple[list[float], list[float]] | None = None
    adapt: str | None = None
    values: dict[str, Any] | None = None

    @classmethod
    def of(cls, description: dict[str, Any], adapt: str | None = None) -> "Expected":
        """By the description of a bundle."""
        data, reading = description["data"], description["reading"]
        known = {k: tuple(v) if isinstance(v, list) else v for k, v in reading.items()}
        spacing = data.get("spacing_mm")
        return cls(
            tuple(data["shape"]),
            data["channels"],
            ReadOptions(**known),
            spacing and (spacing["min"], spacing["max"]),
            adapt,
            data.get("values"),
        )

    @property
    def kind(self) -> str:
        """What it takes, in words."""
        return WHAT[len(self.shape)]

    @property
    def resizes(self) -> bool:
        """Whether other sizes are brought to the model's."""
        fixed = self.options.shape, self.options.spacing
        return self.adapt is not None or fixed != (None, None)

    @property
    def reading(self) -> ReadOptions:
        """For the readers: always with a target shape, as in the preparation."""
        channels = self.channels if self.options.channels or self.adapt else None
        fit = self.adapt or self.options.fit
        return replace(self.options, shape=self.shape, channels=channels, fit=fit)

    @property
    def large(self) -> bool:
        """Whether a volume is read part by part."""
        return len(self.shape) == 3 and prod(self.shape) > LARGE_VOXELS

    def check_size(self, source: object, shape: Sequence[int]) -> None:
        """Refuse other axes; and another size where nothing says how to change it."""
        if len(shape) != len(self.shape):
            raise InputError(
                f"{source} is {len(shape)}D ({size_text(shape)}), the model takes {self.kind} of "
                f"{size_text(self.shape)}; give it inputs of this kind"
            )
        if tuple(shape) != self.shape and not self.resizes:
            raise InputError(
                f"{source} is {size_text(shape)}, the model takes {size_text(self.shape)}, and its "
                f"data were not resized; make it so, or add --adapt {'|'.join(FIT_WORDS)}"
            )

    def check_channels(self, source: object, channels: int) -> None:
        """Refuse other colours where nothing says that they may be changed."""
        if channels == self.channels:
            return
        if {channels, self.channels} != {1, 3}:
            raise InputError(f"{source} has {channels} channels, the model takes {self.channels}")
        if not (self.adapt or self.options.channels):
            names = {1: "gray", 3: "in colour (RGB)"}
            raise InputError(
                f"{source} is {names[channels]}, the model takes images {names[self.channels]}; "
                f"convert it, or add --adapt {'|'.join(FIT_WORDS)}"
            )

    def check_spacing(self, source: object, header: Header) -> None:
        """Refuse voxels of another size, if volumes are not resampled to a shape anyway."""
        if self._is_strange(header) and not self.resizes:
            low, high = (size_text(f"{x:g}" for x in each) for each in self.spacing)
            raise InputError(
                f"{source} has voxels of {size_text(f'{x:g}' for x in header.spacing)} mm, those "
                f"of the training {low} to {high} mm; resample it, or add --adapt stretch"
            )

    def strangeness(self, decoded: Decoded) -> str:
        """Why an input is probably of another kind than those of the training; empty if not."""
        found, has_window = "", self.options.window is not None
        if self.values is not None and decoded.values is not None:
            found = strange(decoded.values, self.values, has_window)
        return found or defect(decoded.image, None)

    def _is_strange(self, header: Header) -> bool:
        if self.options.spacing is not None:
            return False  # whatever it is, it becomes that of the training
        if self.spacing is None or not header.spacing:
            return False
        return any(
            not low * (1 - SPACING_TOLERANCE) <= each <= high * (1 + SPACING_TOLERANCE)
            for each, low, high in zip(header.spacing, *self.spacing, strict=True)
        )

    def spacing_notes(self, groups: Iterable[HeaderGroup]) -> list[str]:
        """A warning of volumes that are resampled although their voxels have another size."""
        count = sum(g.count for g in groups if self._is_strange(g.header)) if self.resizes else 0
        if not count:
            return []
        found = f"{count} volumes have voxels of a size that the training did not have"
        return [f"{found}: they are resampled to the model's shape, whatever that means"]


def read_header(path: Path, expected: Expected) -> Header:
    """What a file says of itself, checked against the model."""
    check_regular(path)
    kind = kind_of(path.name)
    if kind is None:
        raise InputError(f"{path} is of no known kind; accepted: {ACCEPTED}")
    try:
        header = KINDS[kind].read_header(path, expected.options)
    except InputError as error:
        if error.kind != SERIES:
            raise
        raise InputError(
            f"{path} is a series of volumes, and the model was made of single ones; save one "
            "volume of it (or their mean) as a file of its own, or train a model with frame: 0 "
            "or frame: mean in dataset"
        ) from error
    expected.check_size(path, header.shape)
    expected.check_channels(path, header.channels)
    expected.check_spacing(path, header)
    return header


def decode(path: Path, expected: Expected) -> Decoded:
    """One image or volume as uint8 ``*spatial, C``, and what its file's values were.

    Raises:
        InputError: it cannot be read, or is none that the model takes.
    """
    header = read_header(path, expected)
    is_volume, size = kind_of(path.name) == "volumes", (*expected.shape, expected.channels)
    needed = (
        volumes.bytes_of(header, expected.reading)
        if is_volume
        else images.bytes_of(header, path, size, resized=True)
    )
    require_memory(f"{path}: decoding", needed, "make it smaller, or use fewer cores")
    if is_volume:
        return volumes.read_volume(path, expected.reading)
    return images.read_image(path, expected.reading, expected.channels)


def described(path: Path, expected: Expected) -> Decoded:
    """Some of a volume's values, in place of the image, which is never in memory as a whole."""
    read_header(path, expected)
    options = volumes.settled(path, expected.options)
    values, dtype = volumes.sample(path, options), read_stored(path, options).dtype
    return Decoded(values, measure(values, dtype, options.window))
