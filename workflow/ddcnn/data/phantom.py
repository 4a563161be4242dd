"""Synthetic chest CT: phantoms that stand in for scans nobody may pass on.

A phantom has a body of fat and muscle, ribs and a spine, a heart, two lungs and their vessels, and
noise; the positive class has ground-glass opacities besides. Size, pose, spacing, lung density and
harmless findings (nodules, a dense rear border of the lungs) vary in both classes, so that no
single number of a scan tells its class. The phantoms serve timing, memory and the way real scans
are read. They say nothing about medicine.

Coordinates ``x, y, z`` are millimetres in a standard body, towards its left, its back and its head
(LPS), from the middle of the chest; values are Hounsfield units (HU).
"""

import gzip
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside

log = logging.getLogger(__name__)

ARCHIVES = ("CT-0.zip", "CT-23.zip")  # without and with findings, as in the MosMedData subset

AIR, FAT, MUSCLE, BLOOD, BONE = -1000.0, -95.0, 45.0, 40.0, 320.0
FIELD_OF_VIEW = (390.0, 290.0)  # mm of a scan: columns, slices
LUNG_CENTRE, LUNG_WIDTH, LUNG_DEPTH = 74.0, 58.0, 82.0  # mm: of the left lung; semi-axes
DIAPHRAGM, APEX = -105.0, 125.0  # mm: lower and upper end of the lungs
HEART = ((20.0, -28.0, -55.0), (60.0, 50.0, 58.0))  # mm: centre and semi-axes
FEWEST = 8  # scans: with less, some split has none of a class


@dataclass(frozen=True)
class Phantoms:
    """Which phantoms to make.

    Attributes:
        count: scans, half of them with opacities.
        shape: rows, columns, slices; the number of slices of a scan differs by up to 15 %.
        spacing: mean millimetres from row to row, column to column, slice to slice, of which a
            scan's differ by up to 10 %; None: such that the whole chest is in the picture.
        seed: the same seed makes the same files.
    """

    count: int = 200
    shape: tuple[int, int, int] = (64, 64, 32)
    spacing: tuple[float, float, float] | None = None
    seed: int = 0

    def __post_init__(self):
        if self.count < FEWEST:
            raise InputError(f"dataset.count: {self.count}; at least {FEWEST} phantoms are needed")
        if len(self.shape) != 3 or min(self.shape) < 8:
            raise InputError(
                f"dataset.shape: {list(self.shape)}; phantoms need three axes (rows, columns, "
                "slices) of at least 8 voxels"
            )
        if self.spacing is not None and (len(self.spacing) != 3 or not min(self.spacing) > 0):
            raise InputError(
                f"dataset.spacing: {list(self.spacing)}; accepted: three lengths in mm above 0"
            )

    def write(self, folder: Path) -> list[Path]:
        """Write the two archives, one for each class, into ``folder``.

        Raises:
            InputError: the disk is full.
        """
        log.info("computing %d phantoms", self.count)
        paths = []
        for label, name in enumerate(ARCHIVES):
            paths.append(folder / name)
            with write_aside(paths[-1]) as aside:
                self._write_archive(aside, folder_name=paths[-1].stem, label=label)
        return paths

    def _write_archive(self, path: Path, folder_name: str, label: int) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for index in range(label, self.count, 2):
                # A fixed date, so that the same phantoms are the same bytes.
                member = zipfile.ZipInfo(f"{folder_name}/study_{index + 1:04}.nii.gz")
                archive.writestr(member, self._nifti(index))

    def scan(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Values int16 HU ``i, j, k`` and affine ``4, 4`` (voxel to RAS mm) of a scan.

        Scans of odd index are positive. The axes' directions differ from scan to scan, as they do
        between scanners and tools.
        """
        rng = np.random.default_rng([self.seed, index])
        rows, columns, slices = self.shape
        if self.spacing is None:
            in_plane = FIELD_OF_VIEW[0] / columns
            spacing = np.array([in_plane, in_plane, FIELD_OF_VIEW[1] / slices])
        else:
            spacing = np.array([self.spacing[1], self.spacing[0], self.spacing[2]])
        number = max(8, round(slices * rng.uniform(0.85, 1.15)))
        spacing *= [*[rng.uniform(0.9, 1.1)] * 2, rng.uniform(0.9, 1.1) * slices / number]
        hu = _Chest((columns, rows, number), spacing, rng).scanned(positive=index % 2 == 1)
        return _stored(hu, spacing, rng)

    def _nifti(self, index: int) -> bytes:
        import nibabel

        values, affine = self.scan(index)
        image = nibabel.Nifti1Image(values, affine)
        image.header.set_xyzt_units("mm")
        return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _stored(
    hu: np.ndarray, spacing: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A scan whose axes run towards L, P, S, in one of the directions that real files have."""
    affine = np.diag([*(spacing * [-1, -1, 1]), 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(hu.shape) - 1) / 2
    flips = np.array([(1, 1, 1), (-1, -1, 1), (1, -1, 1)])[rng.integers(3)]  # LPS, RAS, LAS
    for axis in np.flatnonzero(flips < 0):
        affine[:3, 3] += affine[:3, axis] * (hu.shape[axis] - 1)
        affine[:3, axis] *= -1
        hu = np.flip(hu, axis)
    return np.ascontiguousarray(hu), affine


class _Chest:
    """One chest on its grid of voxels, painted from the outside to the inside."""

    def __init__(self, shape: tuple[int, int, int], spacing: np.ndarray, rng: np.random.Generator):
        self.rng, self.shape = rng, shape
        self.world = [
            ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32)
            for n, s in zip(shape, spacing, strict=True)
        ]
        size = rng.uniform(0.88, 1.13) * rng.uniform(0.94, 1.06, 3)
        turn = _rotation(np.deg2rad(rng.uniform([-4, -4, -9], [4, 4, 9])))
        self.to_body = (turn / size[:, None]).astype(np.float32)
        self.shift = rng.uniform(-12, 12, 3).astype(np.float32)
        self.to_index = np.linalg.inv(self.to_body) / spacing[:, None]
        self.voxels_per_mm = np.linalg.norm(self.to_index, axis=1)
        self.voxel = float(spacing.max())
        x, y, z = np.ix_(*self.world)
        self.x, self.y, self.z = (a * x + b * y + (c * z + d) for (a, b, c), d in self._affine())
        self.hu = np.full(shape, AIR, np.float32)

    def _affine(self) -> Iterator[tuple[np.ndarray, np.float32]]:
        return zip(self.to_body, self.shift, strict=True)

    def scanned(self, positive: bool) -> np.ndarray:
        """The chest as int16 HU ``x, y, z``."""
        self._paint_body()
        lungs = self._paint_lungs()
        self._paint_vessels(lungs)
        self._paint_nodules(lungs)
        if positive:
            self._paint_opacities(lungs)
        noise = self.rng.standard_normal(self.shape, dtype=np.float32)
        self.hu += self.rng.uniform(10, 35) * noise
        return np.clip(np.rint(self.hu), -1024, 3071).astype(np.int16)

    def _paint(self, value: float | np.ndarray, distance: np.ndarray, box=...) -> None:
        """Give ``value`` to where ``distance`` (mm to the border, inside positive) is above 0."""
        part = self.hu[box]
        part += np.clip(distance / self.voxel + 0.5, 0, 1) * (value - part)

    def _paint_body(self) -> None:
        wide, deep = self.rng.uniform(158, 172), self.rng.uniform(106, 118)
        # Between an ellipse and a rectangle, as a trunk is.
        square = np.sqrt(np.hypot((self.x / wide) ** 2, (self.y / deep) ** 2))
        self._paint(FAT, (1 - square) * deep)
        fat = self.rng.uniform(5, 22)
        self._paint(MUSCLE, (1 - square) * deep - fat)
        shell = np.sqrt((self.x / 140) ** 2 + (self.y / 90) ** 2) * 90
        rings = np.cos((self.z + 0.4 * self.y) * (2 * np.pi / 28)) * 8
        self._paint(BONE, np.minimum(5 - np.abs(shell - 92), rings))
        spine = np.hypot(self.x, self.y - 72)
        self._paint(BONE - 140 + 60 * np.cos(self.z * (2 * np.pi / 26)), 17 - spine)

    def _paint_lungs(self) -> np.ndarray:
        """Paint both lungs and return how far (mm) each voxel is inside of them."""
        side = np.abs(self.x) - LUNG_CENTRE * self.rng.uniform(0.97, 1.03)
        narrow = np.clip((self.z - 10) / (APEX - 10), 0, 1) ** 2
        across = (side / LUNG_WIDTH) ** 2 + (self.y / LUNG_DEPTH) ** 2
        dome = DIAPHRAGM + self.rng.uniform(25, 60) * np.exp(-across)
        lungs = np.minimum((1 - narrow - across) * (LUNG_WIDTH / 2), self.z - dome)
        heart = _ellipsoid_distance((self.x, self.y, self.z), *HEART)
        lungs = np.minimum(lungs, -heart)
        density = self.rng.uniform(-890, -790) + self.rng.uniform(0, 60) * self.y / LUNG_DEPTH
        self._paint(density + 20 * self._texture(), lungs)
        self._paint(AIR, np.minimum(9 - np.hypot(self.x, self.y + 5), self.z - 30))  # windpipe
        if self.rng.random() < 0.5:  # a dense border at the back, as in people who lie down
            depth = self.y - self.rng.uniform(48, 60)
            self.hu += np.clip(depth / 25, 0, 1) * (lungs > 0) * self.rng.uniform(60, 260)
        return lungs

    def _texture(self, waves: int = 6) -> np.ndarray:
        """A smooth random field of variance 1, made of plane waves 15 to 60 mm long."""
        k = self.rng.standard_normal((3, waves))
        k *= 2 * np.pi / self.rng.uniform(15, 60, waves) / np.linalg.norm(k, axis=0)
        phase = np.exp(2j * np.pi * self.rng.random(waves)).astype(np.complex64)
        factors = [
            np.exp(1j * np.outer(axis, q)).astype(np.complex64)
            for axis, q in zip(self.world, k, strict=True)
        ]
        plane = (factors[0] * phase)[:, None] * factors[1]  # x, y, wave
        return (plane.reshape(-1, waves) @ factors[2].T).real.reshape(self.shape) / (
            waves / 2
        ) ** 0.5

    def _box(self, centre: np.ndarray, reach: float) -> tuple[slice, ...]:
        """The voxels that may lie within ``reach`` mm of a point of the body."""
        middle = self.to_index @ (centre - self.shift) + (np.array(self.shape) - 1) / 2
        margin = self.voxels_per_mm * (reach + self.voxel) + 1
        lower = np.maximum(np.floor(middle - margin), 0).astype(int)
        upper = np.maximum(np.ceil(middle + margin) + 1, 0).astype(int)
        return tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))

    def _offsets(self, box: tuple[slice, ...], centre: np.ndarray) -> np.ndarray:
        """Millimetres from ``centre`` to the voxels of ``box``: ``3, x, y, z``."""
        points = (self.x[box], self.y[box], self.z[box])
        return np.stack([p - c for p, c in zip(points, centre.astype(np.float32), strict=True)])

    def _paint_vessels(self, lungs: np.ndarray) -> None:
        for side in (-1, 1):
            for _ in range(7):
                start = np.array([side * 28, 5, 0]) + self.rng.uniform(-12, 12, 3)
                middle = self._point_in_lung(side, 0.3, 0.6)
                self._paint_vessel(start, middle, self.rng.uniform(3.5, 5.5), lungs)
                for _ in range(3):
                    end = self._point_in_lung(side, 0.6, 0.95)
                    end = middle + (end - middle) * min(1, 60 / np.linalg.norm(end - middle))
                    self._paint_vessel(middle, end, self.rng.uniform(1.5, 3), lungs)

    def _paint_vessel(
        self, start: np.ndarray, end: np.ndarray, radius: float, lungs: np.ndarray
    ) -> None:
        """A straight tube; a thin one is as faint as a voxel that it fills in part."""
        along = end - start
        box = self._box((start + end) / 2, float(np.linalg.norm(along)) / 2 + radius)
        offset = self._offsets(box, start)
        axis = (along / (along @ along)).astype(np.float32)
        t = np.clip(np.tensordot(axis, offset, 1), 0, 1)
        offset -= along.astype(np.float32)[:, None, None, None] * t
        distance = np.sqrt((offset**2).sum(0))
        filled = min(1.0, (2 * radius / self.voxel) ** 2)
        part = self.hu[box]
        weight = np.clip((radius - distance) / self.voxel + 0.5, 0, 1) * (lungs[box] > 0)
        part += filled * weight * (BLOOD - part)

    def _paint_nodules(self, lungs: np.ndarray) -> None:
        """A few small dense balls, in both classes."""
        for _ in range(self.rng.integers(4)):
            centre, radius = self._point_in_lung(self._side(), 0.2, 0.9), self.rng.uniform(4, 9)
            box = self._box(centre, radius)
            distance = radius - np.sqrt((self._offsets(box, centre) ** 2).sum(0))
            self._paint(BLOOD, np.minimum(distance, lungs[box]), box)

    def _paint_opacities(self, lungs: np.ndarray) -> None:
        """Ground glass: faint clouds with a soft border, mostly outside, behind and below."""
        texture = 1 + 0.35 * self._texture()
        for _ in range(self.rng.integers(3, 8)):
            centre = self._point_in_lung(self._side(), 0.4, 0.9, behind=True)
            axes = self.rng.uniform(16, 38, 3)
            box = self._box(centre, float(axes.max()) * 1.3)
            distance = _ellipsoid_distance(self._offsets(box, centre), (0, 0, 0), axes)
            cloud = np.clip(distance / 12 + 0.5, 0, 1) * np.clip(lungs[box] / self.voxel, 0, 1)
            part = self.hu[box]
            # Denser than a lung, but vessels stay visible in it, and two clouds are not bone.
            added = self.rng.uniform(200, 420) * cloud * texture[box]
            part += np.clip(added, 0, np.maximum(-150 - part, 0))

    def _side(self) -> int:
        return 1 if self.rng.random() < 0.5 else -1

    def _point_in_lung(
        self, side: int, nearest: float, farthest: float, behind: bool = False
    ) -> np.ndarray:
        """A point at a share of the way from the middle of a lung to its border."""
        angle = self.rng.uniform(-20, 120) if behind else self.rng.uniform(-180, 180)
        share, angle = self.rng.uniform(nearest, farthest), np.deg2rad(angle)
        height = self.rng.uniform(-70, 50) if behind else self.rng.uniform(-75, 85)
        return np.array([
            side * (LUNG_CENTRE + LUNG_WIDTH * share * np.cos(angle)),
            LUNG_DEPTH * share * np.sin(angle),
            height,
        ])  # fmt: skip


def _ellipsoid_distance(offset, centre, axes) -> np.ndarray:
    """About how far (mm) points are inside an ellipsoid; outside negative."""
    r = sum(((p - c) / a) ** 2 for p, c, a in zip(offset, centre, axes, strict=True))
    return (1 - np.sqrt(r)) * float(min(axes))


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation about the three axes, one after the other, by radians."""
    turn = np.eye(3)
    for axis, (cos, sin) in enumerate(zip(np.cos(angles), np.sin(angles), strict=True)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[[a, a, b, b], [a, b, a, b]] = cos, -sin, sin, cos
        turn = step @ turn
    return turn
