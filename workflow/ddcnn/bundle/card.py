"""The model card: what a person must know before using a model. From the description alone."""

from collections.abc import Mapping
from typing import Any

from ddcnn.base.escaping import markdown
from ddcnn.base.private import without_folders
from ddcnn.base.splits import JUDGED
from ddcnn.base.text import duration, fraction
from ddcnn.data.card import split_in_words
from ddcnn.data.left_out import left_out_in_words
from ddcnn.data.scaling import fit_words

Description = Mapping[str, Any]
SHARES = ("accuracy", "balanced_accuracy", "macro_f1")  # of images

OPSET = 20  # of ONNX exports, unless another is asked for
# The first release of onnxruntime that runs exports of each: benchmarks/results/runtimes.md. Of 18
# older ones were not tried.
RUNTIMES = {18: "1.15", 19: "1.16", 20: "1.17", 21: "1.18"}

LIMITS = """\
- It answers for every input, also for one that shows nothing of what it was trained on: a high
  probability is no proof that the input belongs to any of the classes.
- The probabilities are not calibrated beyond what training gives; the report of the run shows how
  far they can be trusted.
- The accuracy holds for images that come about as those of the test split did. Another camera,
  scanner, population or preparation may give another one.
- It is research software and no medical device: no decision on a person may rest on it."""

EXPORTS = (
    "`ddcnn export` writes this model as torch.export or as ONNX. ONNX has opset "
    + "; ".join(
        f"{opset}{' (the default)' if opset == OPSET else ''} for onnxruntime {first} and later"
        for opset, first in RUNTIMES.items()
    )
    + ": `--opset` chooses."
)


def card_text(description: Description) -> str:
    """Markdown."""
    data = description["data"]
    parts = [
        f"# Model card: {markdown(_title(description))}",
        _summary(description),
        "## Data\n\n" + _bullets(_data(data)) + _remarks(data),
        "## Intended use\n\n" + _use(description),
        f"## Limits\n\n{LIMITS}" + _synthetic(data),
        "## Scores\n\n" + _scores(description),
        "## Training cost\n\n" + _bullets(_cost(description)),
        "## Input\n\n" + _bullets(_input(description)),
        f"## Other tools\n\n{EXPORTS}",
        "## Versions\n\n" + _bullets(_versions(description)),
    ]
    return "\n\n".join(parts) + "\n"


def _title(description: Description) -> str:
    run = description["run"]
    fold = f", fold {run['fold']}" if "fold" in run else ""
    return f"{run['model']} on {run['dataset']}, {run['decomposition']}, seed {run['seed']}{fold}"


def _summary(description: Description) -> str:
    plan, num_nets = description["plan"], len(description["subdomains"])
    if description["coarse"] is None:
        return "One convolutional net that sees the whole image (the global net)."
    view = ", one of them on the coarse view," if description["run"]["coarse_view"] else ""
    tiles = f"{markdown(plan['kind'])}, {_size(plan['grid'])}, overlap {_size(plan['overlap'])}"
    return (
        f"{num_nets} convolutional nets on parts of the image{view} and a dense coarse net that "
        f"makes one decision of theirs (CNN-DNN by domain decomposition). Tiles: {tiles} pixels, "
        f"{_size(plan['tile_shape'])} each."
    )


def _data(data: Mapping[str, Any]) -> dict[str, str]:
    counts = {split: sum(count.values()) for split, count in data["counts"].items()}
    known = data["classes"] or data.get("targets", [])
    facts = {
        "name": f"{data['title']} ({data['name']})",
        "source": without_folders(data["source"], data["source"]),
        "licence": data["licence"],
        "citation": data["citation"] or "none given",
        "images": ", ".join(f"{count:,} {split}" for split, count in counts.items()),
        "split": split_in_words(data) if "split_rule" in data else "not recorded",
        "groups": f"{data['group']}; each is in one split"
        if data.get("group")
        else "none given, every image is taken for an independent one",
        "classes" if data["classes"] else "targets": ", ".join(known),
        "computed, not recorded": "yes" if data["synthetic"] else "no",
    }
    if "kinds" in data.get("left_out", {}):
        lines = "; ".join(left_out_in_words(data["left_out"]))
        facts["left out"] = without_folders(lines or "nothing", data["source"])
    return facts


def _remarks(data: Mapping[str, Any]) -> str:
    """What makes the scores below doubtful, and what the preparation changed or left out."""
    lines = [("**warning**", warning) for warning in data.get("warnings", [])]
    lines += [("note", note) for note in data.get("notes", [])]
    return "".join(
        f"\n- {start}: {markdown(without_folders(text, data['source']))}" for start, text in lines
    )


def _use(description: Description) -> str:
    data = description["data"]
    what = "classify" if data["classes"] else "predict the targets above for"
    return (
        f"To {what} {_kind(data)} of the kind of this data set, for research, teaching and the "
        "comparison of methods. The licence of the data above may restrict the use of a model "
        "trained on them."
    )


def _kind(data: Mapping[str, Any]) -> str:
    return {1: "signals", 2: "images", 3: "volumes"}[len(data["shape"])]


def _synthetic(data: Mapping[str, Any]) -> str:
    return "\n- The data are synthetic: it knows nothing of real ones." if data["synthetic"] else ""


def _scores(description: Description) -> str:
    scores, interval = description["scores"], description["interval"]
    main = "accuracy" if "accuracy_test" in scores else "r2"
    names = [key.removesuffix("_test") for key in scores if key.endswith("_test")]
    counts = {
        split: sum(by_class.values()) for split, by_class in description["data"]["counts"].items()
    }
    rows = "\n".join(
        f"| {markdown(name)} | "
        + " | ".join(_score(name, scores[f"{name}_{s}"], counts[s]) for s in JUDGED)
        + " |"
        for name in names
    )
    ends = " to ".join(_score(main, interval[end], interval["samples"]) for end in ("low", "high"))
    return (
        f"| score | validation | test |\n| --- | --- | --- |\n{rows}\n\n"
        f"95 % interval of the test {main}: {ends} "
        f"({markdown(interval['kind'])}, n = {interval['samples']:,}). It is of these trained nets "
        "and says nothing of the method: what another seed would change is not in it, the report "
        "of the experiment shows that."
        f"{_baseline(description)}{_refitted(description)}{_pooled(description, main)}"
    )


def _refitted(description: Description) -> str:
    if not description["settings"].get("refit"):
        return ""
    return (
        " The validation scores are of nets that had not seen this split; the nets of this file, "
        "whose test scores stand here, were trained on it, too."
    )


def _pooled(description: Description, main: str) -> str:
    """What the other models of a cross-validation say of this one."""
    if "pooled" not in description:
        return ""
    samples = sum(sum(by_class.values()) for by_class in description["data"]["counts"].values())
    folds, fold = description["data"]["folds"], description["run"]["fold"]
    return (
        f"\n\nThis is one of {folds} models of a cross-validation: it was tested on fold {fold} "
        f"(the first is 0), chosen by the next one and trained on the others. The decisions of all "
        f"{folds} models, each on its own fold, have a test {main} of "
        f"{_score(main, description['pooled'][f'{main}_test'], samples)}: that is the estimate for "
        "a model that is made in this way."
    )


def _baseline(description: Description) -> str:
    baseline, images = description.get("baseline"), description["interval"]["samples"]
    if baseline is None:
        return ""
    return (
        f" Always saying {markdown(baseline['majority_class'])}, the most frequent class of the "
        f"training split, has a test accuracy of {fraction(baseline['accuracy_test'], images)}, "
        f"guessing {baseline['chance']:.4f}."
    )


def _score(name: str, value: float | None, images: int) -> str:
    if value is None:
        return "not defined"
    return fraction(value, images) if name in SHARES else f"{value:.4f}"


def _cost(description: Description) -> dict[str, str]:
    cost, trained = description["cost"], description["trained"]
    threads = f"{trained['threads']} thread{'s' if trained['threads'] > 1 else ''}"
    settings = description["settings"]
    return {
        "a net": _training(settings),
        "one device a net": duration(cost["parallel_seconds"]),
        "one after the other": duration(cost["serial_seconds"]),
        "against the global net": f"{cost['speedup']:.1f} times as fast with one device a net"
        if cost["speedup"]
        else "not measured",
        "on": f"{trained['device_name']}, {threads} a training",
        "parameters": f"{cost['parameters_total']:,}",
    }


def _training(settings: Mapping[str, Any]) -> str:
    """How a local net was trained."""
    weights = f"class weights {settings.get('class_weights', 'none')}"
    if "shrinkage" in settings:
        return f"in closed form, shrinkage {settings['shrinkage']:.3g}, {weights}"
    return (
        f"{settings['epochs']} epochs, {settings['batch_size']} samples a step, "
        f"{settings['optimizer']} at {settings['learning_rate']:g}, label smoothing "
        f"{settings['label_smoothing']:g}, augmentation {'on' if settings['augment'] else 'off'}, "
        f"{weights}, weights of the {settings.get('weights', 'last')} epoch"
        + (", trained again with the validation split" if settings.get("refit") else "")
    )


def _input(description: Description) -> dict[str, str]:
    data, reading = description["data"], description["reading"]
    other = _resized(data, reading) if reading["shape"] or reading.get("spacing") else "refused"
    facts = {
        "shape": f"{_size(data['shape'])} ({', '.join(data['axes'])})",
        "channels": str(data["channels"]),
        "other sizes": f"{other}, as in the preparation of the data",
    }
    if "intensity" in data:
        facts["intensity"] = data["intensity"]["why"]
    if "spacing_mm" in data:
        low, high = data["spacing_mm"]["min"], data["spacing_mm"]["max"]
        facts["spacing of the training volumes"] = f"{_size(low)} to {_size(high)} mm"
    return facts


def _resized(data: Mapping[str, Any], reading: Mapping[str, Any]) -> str:
    """What is done with an input of another size."""
    if len(data["shape"]) == 2:
        return f"brought to it ({reading['fit']})"
    spacing = reading.get("spacing")
    first = f"resampled to voxels of {_size(spacing)} mm, then " if spacing else ""
    return f"{first}{fit_words(spacing)} this shape"


def _versions(description: Description) -> dict[str, str]:
    versions = description["trained"]["versions"] | {"ddcnn": description["ddcnn"]}
    return {
        "software": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "digest of the training code": description["code"],
        "trained": description["trained"]["finished"],
        "nets": ", ".join(dict.fromkeys(net["architecture"] for net in description["nets"])),
    }


def _bullets(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {markdown(text)}" for name, text in facts.items())


def _size(numbers: list[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
