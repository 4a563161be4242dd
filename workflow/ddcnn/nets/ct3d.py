"""The net of the Keras example "3D image classification from CT scans" (H. Zunair, 2020)."""

from ddcnn.nets.plan import Average, Convolution, Dense, Drop, Layer, Norm, Plan, Pool, Relu


def ct3d(
    shape: tuple[int, ...], classes: int, width: int, dropout: float = 0.0, *, padding: int = 0
) -> Plan:
    """4 x [convolution 3, ReLU, max pool 2, batch norm], global average, two dense layers.

    It makes logits ``N, K`` of images ``N, C, *spatial``.

    The stages have w, w, 2w and 4w filters, the first dense layer 8w neurons. With w = 64, volumes
    of one channel and one output it is the net of the example, 1,351,873 trainable parameters.

    Args:
        shape: spatial axes and channels of one input; without padding every axis needs 46 pixels,
            with padding 16.
        classes: number of classes K.
        width: filters w of the first stage.
        dropout: probability of dropping a neuron of the first dense layer; 0.3 in the example.
        padding: pixels of zeros around the input of every convolution; none in the example.
    """
    stages: list[Layer] = []
    channels = shape[-1]
    for filters in (width, width, 2 * width, 4 * width):
        # The published order is ReLU, pool. They commute, and this one computes less.
        convolution = Convolution(channels, filters, padding, bias=True)
        stages += [convolution, Pool(), Relu(), Norm(filters)]
        channels = filters
    return {
        "stages": [*stages, Average()],
        "dense": [Dense(4 * width, 8 * width), Relu(), Drop(dropout)],
        "classifier": Dense(8 * width, classes),
    }
