"""The nets ``vgg`` and ``ct3d-same`` written in Keras, layer by layer."""

from collections.abc import Callable

import keras
from keras import layers
from nets import Job


def build(job: Job) -> keras.Model:
    """The same net as :func:`ddcnn.nets.build` gives, channels last."""
    factory = {"vgg": _vgg, "ct3d-same": _ct3d}[job.model]
    inputs = keras.Input(job.shape)
    return keras.Model(inputs, factory(inputs, job.width, job.classes, len(job.shape) - 1))


def compiled(job: Job) -> keras.Model:
    """With the optimizer and the loss of the local nets."""
    model = build(job)
    model.compile(
        optimizer=keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _layer(name: str, axes: int) -> Callable[..., layers.Layer]:
    return getattr(layers, f"{name}{axes}D")


def _vgg(x, width: int, classes: int, axes: int):
    for stage, filters in enumerate((width, 2 * width, 4 * width)):
        if stage:
            x = _layer("MaxPooling", axes)(2)(x)
        for _ in range(2):
            x = _layer("Conv", axes)(filters, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.Dense(classes)(_layer("GlobalAveragePooling", axes)()(x))


def _ct3d(x, width: int, classes: int, axes: int):
    for filters in (width, width, 2 * width, 4 * width):
        x = _layer("Conv", axes)(filters, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(_layer("MaxPooling", axes)(2)(x))
    x = layers.Dense(8 * width, activation="relu")(_layer("GlobalAveragePooling", axes)()(x))
    return layers.Dense(classes)(x)
