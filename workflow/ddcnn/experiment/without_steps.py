"""Which settings suit nets that are solved in closed form."""

from collections.abc import Iterator, Mapping
from typing import Any

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.data.registry import Dataset
from ddcnn.experiment.schema import complete

LOCAL_KEYS = ("class_weights",)  # of local, that mean something to such a net
# Methods whose nets learn in steps, or differ by their width or seed.
OTHER_METHODS = ("coherent", "transfer", "small", "ensemble")


def is_alone(settings: Mapping[str, Any]) -> bool:
    """Whether all nets of an experiment are solved in closed form."""
    return all(map(nets.is_closed_form, settings["model"]))


def check(settings: Mapping[str, Any], datasets: Mapping[str, Dataset]) -> None:
    """Refuse what such nets cannot do, and settings that would change nothing.

    Raises:
        InputError: naming the key, the value and what to do.
    """
    name = next(filter(nets.is_closed_form, settings["model"]), None)
    if name is None:
        return
    for dataset in datasets.values():
        if dataset.task == "regression":
            raise InputError(
                f"model: {name} tells classes apart, and {dataset.name} has none (regression); "
                "take another net"
            )
    for method in OTHER_METHODS:
        if method in settings["methods"]:
            raise InputError(
                f"methods: {method} needs nets with training steps, a width and a seed, and {name} "
                f"has none of them; remove {method}, or put {name} into an experiment of its own "
                "(ddcnn compare sets both side by side)"
            )
    if settings["parallel"]:
        raise InputError(
            f"parallel: {', '.join(settings['parallel'])}: workers share training steps, and "
            f"{name} has none; remove parallel, or put {name} into an experiment of its own"
        )
    if settings["refit"]:
        raise InputError(
            f"refit: true trains nets in steps a second time, and {name} is solved in closed form; "
            f"remove refit, or put {name} into an experiment of its own"
        )
    if settings["coarse"]["input"] == "features":
        raise InputError(
            f"coarse.input: features are what a net's last layer sees, of {name} the pixels "
            "themselves; take log-probabilities"
        )
    unused = next(_unused(settings), None) if is_alone(settings) else None
    if unused:
        raise InputError(
            f"{unused}, which changes nothing: {name} is solved in closed form, without training "
            "steps and of no width; remove this key"
        )


def _unused(settings: Mapping[str, Any]) -> Iterator[str]:
    """Keys with values that somebody wrote, and these values."""
    defaults = complete({"experiment": "defaults", "dataset": "any"})
    for key in ("width", "local_width"):
        if settings[key] != defaults[key]:
            yield f"{key}: {settings[key]}"
    for key, value in settings["local"].items():
        if key not in LOCAL_KEYS and value != defaults["local"][key]:
            yield f"local.{key}: {value}"
