"""A small VGG-like net in one to three dimensions."""

from ddcnn.nets.plan import Average, Convolution, Dense, Drop, Layer, Norm, Plan, Pool, Relu


def vgg(shape: tuple[int, ...], classes: int, width: int, dropout: float = 0.0) -> Plan:
    """Three stages of two convolutions (width w, 2w, 4w), global average pool, linear layer.

    It makes logits ``N, K`` of images ``N, C, *spatial``.

    After the VGG nets of Simonyan and Zisserman (arXiv 1409.1556), with batch norm, and a global
    average in place of the dense layers, so that the parameters do not depend on the input size.

    Args:
        shape: spatial axes (one to three, at least 4 pixels each) and channels of one input.
        classes: number of classes K.
        width: channels w of the first stage.
        dropout: probability of dropping a feature before the linear layer.
    """
    # The ReLU of the convolution before: it commutes with the maximum, and computes less after it.
    pool = [Pool(), Relu()]
    stages = [
        _stage(shape[-1], width),
        pool,
        _stage(width, 2 * width),
        pool,
        _stage(2 * width, 4 * width),
        Relu(),
        Average(),
    ]
    return {"stages": stages, "dropout": Drop(dropout), "classifier": Dense(4 * width, classes)}


def _stage(before: int, after: int) -> list[Layer]:
    """Two convolutions with batch norm; the ReLU of the second one is left to what follows."""
    # No bias: the batch norm behind has one.
    first, second = (
        [Convolution(channels, after, padding=1, bias=False), Norm(after)]
        for channels in (before, after)
    )
    return [*first, Relu(), *second]
