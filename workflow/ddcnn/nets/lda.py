"""Linear discriminant analysis as a net: one linear layer on the pixels."""

from math import prod

from ddcnn.nets.plan import Dense, Flatten, Plan


def lda(shape: tuple[int, ...], classes: int, width: int = 1, dropout: float = 0.0) -> Plan:
    """Logits ``N, K`` of images ``N, C, *spatial``: an affine map of their values.

    Its weights are no result of training steps: :mod:`ddcnn.local.closed_form` computes them.

    Args:
        shape: spatial axes (one to three) and channels of one input.
        classes: number of classes K.
        width, dropout: of other nets; this one has neither.
    """
    return {"flatten": Flatten(), "classifier": Dense(prod(shape), classes)}
