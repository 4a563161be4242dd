"""Linear discriminant analysis in closed form, numpy and scipy.

The classes are normal distributions of one common covariance, whose estimate is shrunk towards a
multiple of the identity (Ledoit and Wolf 2004, doi 10.1016/S0047-259X(03)00096-4). Their posterior
probabilities are the softmax of an affine map. The system that is solved has a row for each value
of an image, or for each image, whichever are fewer, and no matrix is larger.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

BLOCK_VALUES = 2**22  # that are in memory as float64 at a time
# Of a direction in which no image differs from its class: below the rounding of 8-bit pixels.
SMALLEST_VARIANCE = 1e-6
SMALLEST_COUNT = 1e-3  # of a class without training images, which has a prior then


@dataclass(frozen=True)
class Values:
    """What images hold, one row each, as it is stored and as it is normalised.

    Attributes:
        stored: ``N, D``.
        scale, offset: ``D``, of a normalised value ``stored * scale + offset``.
    """

    stored: np.ndarray
    scale: np.ndarray
    offset: np.ndarray

    def normalised(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """Float64 values of some images and places."""
        return self.stored[rows, columns] * self.scale[columns] + self.offset[columns]

    def row_blocks(self) -> Iterator[slice]:
        """All images, as many at a time as memory should hold."""
        return _blocks(len(self.stored), self.stored.shape[1])

    def column_blocks(self) -> Iterator[slice]:
        """All places, as many at a time as memory should hold."""
        return _blocks(self.stored.shape[1], len(self.stored))


def _blocks(length: int, width: int) -> Iterator[slice]:
    size = max(1, BLOCK_VALUES // max(1, width))
    return (slice(first, first + size) for first in range(0, length, size))


@dataclass(frozen=True)
class Discriminant:
    """Logits ``x @ weight.T + bias`` of normalised images.

    Attributes:
        weight, bias: float64 ``K, D`` and ``K``.
        shrinkage: from 0, the covariance of the training images, to 1, a multiple of the identity.
    """

    weight: np.ndarray
    bias: np.ndarray
    shrinkage: float


def matrix_bytes(num_images: int, num_values: int) -> int:
    """Memory of the only large matrix of :func:`discriminant`."""
    return 8 * min(num_images, num_values) ** 2


def discriminant(
    values: Values, labels: np.ndarray, num_classes: int, class_weights: Sequence[float] = ()
) -> Discriminant:
    """The analysis of some images.

    It is scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s)`` with the ``s``
    that ``ledoit_wolf_shrinkage`` gives for the images' deviations from the means of their classes.
    scikit-learn builds the covariance of all values, which those of a volume are too many for.

    Args:
        values: the training images.
        labels: int ``N``, from 0.
        num_classes: number of classes K.
        class_weights: of an image of each class; they change priors and covariance as if the class
            had as many more images. Without them all weigh the same.
    """
    share_N = np.array(class_weights or np.ones(num_classes), np.float64)[labels]
    share_N /= share_N.sum()
    priors = np.bincount(labels, share_N, num_classes)
    means = _means(values, labels, num_classes)
    system = _System(values, labels, means, np.sqrt(share_N))
    middle = np.average(means, axis=0, weights=priors)
    means[priors == 0] = middle  # of no image: as far from every class as possible
    weight = system.solve(means - middle)
    bias = np.log(np.maximum(priors, SMALLEST_COUNT / len(labels)))
    bias -= ((means + middle) * weight).sum(axis=1) / 2
    return Discriminant(weight, bias, system.shrinkage)


def _means(values: Values, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Of every class, ``K, D``; zeros of a class without images."""
    sums = np.zeros((num_classes, values.stored.shape[1]))
    for rows in values.row_blocks():
        of_class = np.eye(num_classes)[labels[rows]]
        sums += of_class.T @ values.normalised(rows)
    return sums / np.maximum(np.bincount(labels, minlength=num_classes), 1)[:, None]


class _System:
    """The shrunk covariance ``(1 - s) V^T V + r I`` of deviations V, ``N, D``, and its solution.

    Args:
        values, labels: the images.
        means: of the classes.
        roots: square roots of the images' shares in the covariance, of sum one.
    """

    def __init__(
        self, values: Values, labels: np.ndarray, means: np.ndarray, roots: np.ndarray
    ) -> None:
        self.values, self.labels, self.means, self.roots = values, labels, means, roots
        num_images, num_values = values.stored.shape
        self.is_small = num_values <= num_images  # as many rows as values, not as images
        matrix, fourth = self._products()
        diagonal = matrix.diagonal()
        trace = diagonal.sum()
        # Only the lower triangle is filled.
        squares = 2 * np.einsum("ij,ij->", matrix, matrix) - diagonal @ diagonal
        spread = squares - trace**2 / num_values
        noise = min(fourth - squares / num_images, spread)
        self.shrinkage = float(noise / spread) if spread > 0 and noise > 0 else 0.0
        self.ridge = max(self.shrinkage * trace / num_values, SMALLEST_VARIANCE)
        matrix *= 1 - self.shrinkage
        matrix[np.diag_indices_from(matrix)] += self.ridge
        self.factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)

    def _deviations(self, rows: slice, columns: slice) -> np.ndarray:
        block = self.values.normalised(rows, columns)
        block -= self.means[self.labels[rows], columns]
        return block * self.roots[rows, None]

    def _products(self) -> tuple[np.ndarray, float]:
        """``V^T V`` or ``V V^T``, and the sum of the fourth powers of the lengths of V's rows."""
        size = min(self.values.stored.shape)
        matrix, everything = np.zeros((size, size), order="F"), slice(None)
        lengths = np.zeros(len(self.labels))
        blocks = self.values.row_blocks() if self.is_small else self.values.column_blocks()
        for block in blocks:
            rows, columns = (block, everything) if self.is_small else (everything, block)
            part = self._deviations(rows, columns)
            lengths[rows] += np.einsum("nd,nd->n", part, part)
            # The transposed block lies in memory as BLAS wants it; nothing is copied.
            matrix = dsyrk(
                1.0, part.T, 1.0, matrix, trans=not self.is_small, lower=1, overwrite_c=1
            )
        return matrix, float(lengths @ lengths)

    def solve(self, right_KD: np.ndarray) -> np.ndarray:
        """The inverse of the covariance times every row."""
        if self.is_small:
            return cho_solve(self.factor, right_KD.T, check_finite=False).T
        # By the identity of Woodbury; the factor is that of a matrix with a row for each image.
        everything = slice(None)
        seen = sum(
            self._deviations(everything, c) @ right_KD[:, c].T for c in self.values.column_blocks()
        )
        inner = (1 - self.shrinkage) * cho_solve(self.factor, seen, check_finite=False)
        for columns in self.values.column_blocks():
            right_KD[:, columns] -= inner.T @ self._deviations(everything, columns)
        return right_KD / self.ridge
