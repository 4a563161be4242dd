"""What the data card knows of a data set, in words for the page."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from ddcnn.base.private import without_folders
from ddcnn.base.text import augmentation_in_words, counted
from ddcnn.data.card import split_in_words
from ddcnn.data.left_out import left_out_in_words

MOST_EXAMPLES = 3
Card = Mapping[str, Any]
Facts = list[tuple[str, list[str]]]


def warnings_of(card: Card) -> list[str]:
    """What makes the scores doubtful: the reader must see it first."""
    return [_shown(card, warning) for warning in card.get("warnings", [])]


def counts_of(card: Card) -> list[tuple[str, list[int]]]:
    """Images of every class in the splits or folds; of a regression all samples."""
    return [
        (name, [counts.get(name, 0) for counts in card["counts"].values()])
        for name in card["classes"] or ["samples"]
    ]


def heads_of(card: Card) -> list[str]:
    """Heads of the columns of :func:`counts_of`."""
    words = {"train": "Train", "val": "Validation", "test": "Test"}
    return [words.get(part, part.replace("fold", "Fold ")) for part in card["counts"]]


def origin_of(card: Card) -> Facts:
    """How the samples came into their splits, and which did not."""
    lines = {
        "Split": _split(card),
        "Groups": _groups(card),
        "Left out": _left_out(card),
        "In two splits": _duplicates(card),
        "Samples": [_samples(card)],
    }
    return _present(card, lines)


def facts_of(card: Card) -> Facts:
    """The other heads and lines of the page's list; what an older card lacks is not there.

    Args:
        card: the content of ``card.json``.
    """
    lines = {
        "Title": [card["title"]],
        "Source": [card["source"]],
        "Licence": [card["licence"]],
        "Citation": [card["citation"] or "none given"],
        "Shape": [_shape(card)],
        "Targets": _targets(card),
        "Values in the files": _values(card),
        "Intensity": [card["intensity"]["why"]] if "intensity" in card else [],
        "Spacing": _spacing(card),
        "As trained on": list(_prepared(card)),
        "Augmentation": _augmentation(card),
        "Notes": card.get("notes", []),
        "Digest": _digest(card),
    }
    return _present(card, lines)


def _present(card: Card, lines: Mapping[str, list[str]]) -> Facts:
    return [
        (head, [_shown(card, line) for line in found]) for head, found in lines.items() if found
    ]


def _shown(card: Card, text: str) -> str:
    return without_folders(text, card["source"])


def _shape(card: Card) -> str:
    shape = f"{_size(card['shape'])} ({', '.join(card['axes'])})"
    return f"{shape}, {counted(card['channels'], 'channel')}"


def _targets(card: Card) -> list[str]:
    """``fat (train: mean 18.7, standard deviation 12.8)``; nothing for classes."""
    facts = zip(*(card.get(f"target{key}", []) for key in ("s", "_mean", "_std")), strict=True)
    return [
        f"{name} (train: mean {mean:.4g}, standard deviation {std:.4g})"
        for name, mean, std in facts
    ]


def _split(card: Card) -> list[str]:
    return [split_in_words(card)] if "split_rule" in card else []


def _groups(card: Card) -> list[str]:
    if "group" not in card:
        return []
    rule = card["group"]
    where = "fold" if card.get("folds") else "split"
    return [
        f"{rule}; each is in one {where}"
        if rule
        else "none given: every sample is taken for an independent one"
    ]


def _samples(card: Card) -> str:
    """``train 7,000 (of a class 690 to 712), ...``."""
    parts = []
    for head, counts in zip(heads_of(card), card["counts"].values(), strict=True):
        of_class = [counts.get(name, 0) for name in card["classes"]]
        each = f" (of a class {min(of_class):,} to {max(of_class):,})" if of_class else ""
        parts.append(f"{head.lower()} {sum(counts.values()):,}{each}")
    return ", ".join(parts)


def _left_out(card: Card) -> list[str]:
    left_out = card.get("left_out", {})
    if "kinds" not in left_out:
        return []
    return left_out_in_words(left_out) or ["nothing"]


def _duplicates(card: Card) -> list[str]:
    found = card.get("duplicates_across_splits")
    if found is None:
        return []
    if not found["count"]:
        return ["nothing: no two samples of two splits are alike in every value"]
    pairs = [" = ".join(pair) for pair in found["examples"]]
    return [f"{counted(found['count'], 'sample')} alike in every value{_examples(pairs)}"]


def _examples(names: Sequence[str]) -> str:
    more = "; …" if len(names) > MOST_EXAMPLES else ""
    return f": {'; '.join(names[:MOST_EXAMPLES])}{more}"


def _values(card: Card) -> list[str]:
    values = card.get("values")
    if not values:
        return []
    kind = "look like Hounsfield units (CT)" if values["hounsfield"] else "no Hounsfield units"
    where = "all folds" if card.get("folds") else "the training split"
    return [
        f"{', '.join(values['dtypes'])}, {values['low']:g} to {values['high']:g} in {where}; {kind}"
    ]


def _spacing(card: Card) -> list[str]:
    if "spacing_mm" not in card:
        return []
    low, high = (_size(card["spacing_mm"][end]) for end in ("min", "max"))
    return [f"{low} mm" if low == high else f"{low} to {high} mm"]


def _prepared(card: Card) -> Iterator[str]:
    """Type, and what the values become before a net sees them."""
    scale = " of the range 0 to 1" if card.get("dtype", "uint8") == "uint8" else ""
    mean, std = (", ".join(f"{value:.4g}" for value in card[key]) for key in ("mean", "std"))
    kind = f"{card['dtype']}; " if "dtype" in card else ""
    text = f"{kind}minus the mean {mean}, divided by the standard deviation {std}{scale}"
    yield f"{text}; a run takes those of its training folds" if card.get("folds") else text


def _augmentation(card: Card) -> list[str]:
    moves = augmentation_in_words(**card["augment"])
    return [f"allowed, where it is switched on: {moves}" if moves else "none"]


def _digest(card: Card) -> list[str]:
    checksums = card.get("checksums")
    if not checksums:
        return []
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(checksums.items()))
    digest = sha256(text.encode()).hexdigest()[:16]
    return [f"{digest} (SHA-256, shortened, of the checksums of all arrays in card.json)"]


def _size(numbers: Sequence[float]) -> str:
    return " × ".join(f"{number:g}" for number in numbers)
