"""What ``auto`` becomes in an experiment, as far as the number of images is known by now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddcnn.base.defaults import KINDS, Facts, chosen
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.foreign import entry, read_facts
from ddcnn.data.registry import Dataset
from ddcnn.experiment.paths import RESULTS, folder_of
from ddcnn.experiment.without_steps import is_alone


def facts_of(dataset: Dataset, results: str | Path = RESULTS, folds: int = 0) -> Facts | None:
    """Of the card below ``results``, or about, as the registry has it; None of unread own data.

    Args:
        dataset: of the experiment.
        results: the folder of all results.
        folds: of cross-validation; its first run stands for all, 0: none.
    """
    folder = folder_of("prepare", dataset.name, results)
    card = folder / "fold0" / "card.json" if folds else folder / "card.json"
    facts = read_facts(card) if card.is_file() else {}
    if facts.get("folds", 0) == folds and facts:
        try:
            return Facts.of_card(facts)
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedResult(card, f"it is no card of a data set: {error!r}") from error
    counts = {s: n if isinstance(n, int) else sum(n) for s, n in dataset.counts.items()}
    if dataset.phantoms is not None:
        counts = {"all": dataset.phantoms.count}
    if not counts:
        return None
    share = 1 if "val" in counts else dataset.options.split_shares[0]
    share = (folds - 2) / folds if folds else share
    num_images = round(share * counts.get("train", counts.get("all", 0)))
    return Facts(num_images, KINDS[len(dataset.shape)], dataset.task)


def known_facts(dataset: Dataset, results: str | Path = RESULTS, folds: int = 0) -> Facts:
    """See :func:`facts_of`.

    Raises:
        InputError: nobody knows how many images there are.
    """
    facts = facts_of(dataset, results, folds)
    if facts is None:
        raise InputError(
            f"dataset {dataset.name}: the number of its images is not known before it is prepared; "
            "run snakemake --cores all --until prepare"
        )
    return facts


def num_outputs(dataset: Dataset, results: str | Path = RESULTS) -> int:
    """Of its nets: the classes of the card below ``results``, or those that the registry knows."""
    card = folder_of("prepare", dataset.name, results) / "card.json"
    known = entry(read_facts(card), card, "classes", list) if card.is_file() else dataset.classes
    return max(2, len(known))


def chosen_settings(settings: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The keys of a configuration that say ``auto`` and are used, with what they become.

    Args:
        settings: the configuration with all defaults.
        facts: of one of its data sets.

    Returns:
        by the whole key, for example ``local.epochs``.
    """
    return {
        f"{part}.{key}": value
        for part, own in _used(settings).items()
        for key, value in chosen(settings["local"] | own, facts, part).items()
        if key in own
    }


def automatic_keys(settings: Mapping[str, Any]) -> list[str]:
    """The keys of a configuration that say ``auto`` and are used, for example ``local.epochs``."""
    return list(chosen_settings(settings, Facts(1, "image", "classification")))


def _used(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The parts of a configuration by which something is trained in steps."""
    used = {"local": not is_alone(settings), "transfer": "transfer" in settings["methods"]}
    used["coarse"] = settings["coarse"]["solver"] == "mlp"
    return {part: settings[part] for part in used if used[part]}
