"""From a configuration to the runs it asks for, with every check before the first job.

The JSON schema is the single source of types, bounds, defaults and descriptions; this module adds
what no schema can say: that the values fit the data and each other.
"""

import difflib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from ddcnn import nets
from ddcnn.base import events
from ddcnn.base.errors import InputError
from ddcnn.base.tasks import methods_of
from ddcnn.data.registry import Dataset, dataset_of
from ddcnn.tiles.geometry import Decomposition, Tiling

DEEPEST = 20  # levels of lists and mappings
MOST_SHOWN = 200  # signs of a wrong value in a message
SCHEMA = Path(__file__).with_name("config.schema.yaml")
# Members of an ensemble take seeds that nobody writes into a configuration.
ENSEMBLE_SEED_STEP = 1_000_000


@dataclass(frozen=True)
class Run:
    """data set x model x decomposition x seed; its folders are properties of the same names."""

    dataset: str
    architecture: str
    width: int
    explicit_local_width: int | None
    decomposition: Decomposition
    seed: int

    @property
    def tiling(self) -> Tiling:
        return self.decomposition.tiling

    @property
    def is_global(self) -> bool:
        """Whether this run is the global net's: one tile, the whole image."""
        return self.tiling.num_tiles == 1

    @property
    def model(self) -> str:
        return nets.model_slug(self.architecture, self.width, self.explicit_local_width)

    @property
    def local_width(self) -> int:
        """Channels of the first stage of every net of this run."""
        if self.is_global:
            return self.width
        return self.explicit_local_width or nets.local_width(self.width, self.tiling.num_tiles)

    @property
    def folder(self) -> str:
        """Below ``results/runs``."""
        return f"{self.dataset}/{self.model}/{self.decomposition.slug}/seed{self.seed}"

    def local_folder(self, tile: str) -> str:
        """Below ``results/local``."""
        return f"{self.dataset}/{self.model}/{self.tiling.slug}/seed{self.seed}/{tile}"

    def global_run(self) -> "Run":
        """The run of the global net that this one is compared with; it has no local width."""
        return self._on_whole_images(self.width, self.seed)

    def small_run(self) -> "Run":
        """The control ``small``: a net of a local net's width on the whole image."""
        return self._on_whole_images(self.local_width, self.seed)

    def ensemble_runs(self) -> list["Run"]:
        """The control ``ensemble``: as many such nets as subdomains, each with a seed of its own.

        The first one is that of the control ``small``.
        """
        num_members = len(self.decomposition.subdomains)
        seeds = [self.seed + ENSEMBLE_SEED_STEP * member for member in range(num_members)]
        return [self._on_whole_images(self.local_width, seed) for seed in seeds]

    def _on_whole_images(self, width: int, seed: int) -> "Run":
        whole = Decomposition(Tiling.whole(len(self.tiling.grid)))
        return Run(self.dataset, self.architecture, width, None, whole, seed)


@dataclass(frozen=True)
class Experiment:
    """A checked configuration.

    Attributes:
        name: of the report's folder.
        settings: the configuration with all defaults.
        datasets: by name; ``entries`` holds what the configuration wrote for each.
        runs: every run once, global nets first.
        controls: runs whose nets are trained for a method of another run.
    """

    name: str
    settings: dict[str, Any]
    datasets: dict[str, Dataset]
    entries: dict[str, str | dict[str, Any]]
    runs: list[Run]
    controls: list[Run]

    @property
    def num_folds(self) -> int:
        """Parts of the training images, 0 where no net is trained without one."""
        coarse = self.settings["coarse"]
        return coarse["folds"] if coarse["fit_on"] == "out-of-fold" else 0

    def methods_of(self, run: Run) -> list[str]:
        """Methods of a run beside ``cnn-dnn``; the global net's run has none."""
        known = methods_of(self.datasets[run.dataset].task)
        return [] if run.is_global else [m for m in self.settings["methods"] if m in known]


def load_experiment(config: dict[str, Any]) -> Experiment:
    """Check a configuration and list its runs.

    Raises:
        InputError: naming the key, the value and what is accepted.
    """
    settings = complete(config)
    _check_log(settings["log"])
    entries = {e if isinstance(e, str) else e["name"]: e for e in settings["dataset"]}
    if len(entries) < len(settings["dataset"]):
        raise InputError("dataset: two entries have the same name; give each its own")
    datasets = {name: dataset_of(entry) for name, entry in entries.items()}
    runs = list(dict.fromkeys(_runs(settings, datasets)))
    for dataset in datasets.values():
        _check_task(dataset, settings)
    controls = list(dict.fromkeys(_controls(settings, runs)))
    for run in runs + controls:
        _check_run(run, datasets[run.dataset])
    _check_own_nets(runs + controls, datasets, settings["local"]["dropout"])
    runs.sort(key=lambda run: not run.is_global)
    return Experiment(settings["experiment"], settings, datasets, entries, runs, controls)


def _controls(settings: dict[str, Any], runs: list[Run]) -> Iterator[Run]:
    for run in runs:
        if run.is_global:
            continue
        if "small" in settings["methods"]:
            yield run.small_run()
        if "ensemble" in settings["methods"]:
            yield from run.ensemble_runs()


def _runs(settings: dict[str, Any], datasets: dict[str, Dataset]) -> Iterator[Run]:
    explicit = settings["local_width"]
    explicit = None if explicit == "proportional" else explicit
    keys = ("model", "width", "kind", "grid", "overlap", "coarse_view", "seed")
    for dataset in datasets:
        for combination in itertools.product(*(settings[key] for key in keys)):
            model, width, kind, grid, overlap, view, seed = combination
            decomposition = Decomposition(Tiling.of(kind, str(grid), overlap), view)
            run = Run(dataset, model, width, explicit, decomposition, seed)
            if not run.is_global:
                yield run
            # One tile is the global net, whatever else it was written with.
            if run.is_global or settings["global_net"]:
                yield run.global_run()


def _check_log(log: str) -> None:
    if log == "tensorboard" and not events.is_installed():
        raise InputError(
            "log: tensorboard is asked for and not installed; install the package tensorboard "
            '(pip install "ddcnn[tensorboard]") or set log: none'
        )


def _check_task(dataset: Dataset, settings: dict[str, Any]) -> None:
    for part in ("local", "coarse"):
        smoothing = settings[part]["label_smoothing"]
        if dataset.task == "regression" and smoothing:
            raise InputError(
                f"{part}.label_smoothing: {smoothing} spreads a label over classes, and "
                f"{dataset.name} has none (regression); remove it or set 0"
            )


def _check_run(run: Run, dataset: Dataset) -> None:
    run.tiling.check(dataset.shape)
    nets.check_input(run.architecture, run.tiling.tile_shape(dataset.shape))


def _whole_pattern(
    validator: Any, pattern: str, value: Any, rule: dict[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    """A text has the form as a whole: for Python alone, "$" is also before a last line break."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield jsonschema.ValidationError(f"{value!r} is not of the form {pattern}")


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"pattern": _whole_pattern}
)


def _check_own_nets(runs: list[Run], datasets: dict[str, Dataset], dropout: float) -> None:
    """Build the user's nets, once for every shape and width; torch is imported for them only."""
    own_nets = set()
    for run in filter(lambda run: nets.own.is_own(run.architecture), runs):
        *spatial, channels = datasets[run.dataset].image_shape
        shape = (*run.tiling.tile_shape(tuple(spatial)), channels)
        # The classes of a user's data are known when all files are read; any number does.
        classes = len(datasets[run.dataset].classes) or 2
        own_nets.add((run.architecture, shape, classes, run.local_width))
    for net in sorted(own_nets):
        nets.own.check(*net, dropout)


@cache
def schema() -> dict[str, Any]:
    """The schema of the configuration."""
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with lists for all product keys and all defaults, valid by the schema."""
    _refuse_endless(config)
    settings = _as_meant(config, schema())
    _refuse_infinite(settings)
    errors = sorted(
        Validator(schema()).iter_errors(settings),
        key=lambda error: (error.validator != "additionalProperties", list(map(str, error.path))),
    )
    if errors:
        raise InputError(_message(errors[0]))
    return _with_defaults(settings, schema())


def _as_meant(value: Any, rule: dict[str, Any]) -> Any:
    """``value`` in the form its rule has: a scalar as a list of one, text as number, 8.0 as 8.

    Snakemake hands ``--config "seed=[0,1]" global_net=false`` over as texts and lists of texts,
    and YAML reads 1e-3 as text.
    """
    if rule.get("product"):
        items = value if isinstance(value, list) else [value]
        return [_as_meant(item, rule.get("items", {})) for item in items]
    if isinstance(value, dict):
        rules = rule.get("properties", {})
        return {key: _as_meant(item, rules.get(key, {})) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_meant(item, rule.get("items", {})) for item in value]
    kinds = {rule["type"]} if isinstance(rule.get("type"), str) else set(rule.get("type", ()))
    if isinstance(value, str) and kinds & {"boolean", "integer", "number"}:
        value = _from_text(value)
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return int(value)
    return value


def _from_text(text: str) -> bool | int | float | str:
    """The truth value or number that ``text`` stands for, or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _refuse_endless(value: Any, key: str = "configuration", depth: int = 0) -> None:
    """YAML's anchors can put a list into itself."""
    if depth > DEEPEST:
        raise InputError(f"{key}: nested deeper than {DEEPEST} levels")
    for item in value.values() if isinstance(value, dict) else ():
        _refuse_endless(item, key, depth + 1)
    for item in value if isinstance(value, list) else ():
        _refuse_endless(item, key, depth + 1)


def _refuse_infinite(value: Any, key: str = "") -> None:
    """A schema's bounds let "not a number" pass."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{key}: {value} is not a finite number")
    children = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        children = ((key, item) for item in value)
    for name, child in children:
        _refuse_infinite(
            child, str(name) if not key or isinstance(value, list) else f"{key}.{name}"
        )


def _with_defaults(value: Any, rules: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_with_defaults(item, rules.get("items", {})) for item in value]
    if not isinstance(value, dict):
        return value
    properties = rules.get("properties", {})
    # In the schema's order, so that equal settings look equal.
    return {
        key: _with_defaults(value.get(key, rule.get("default")), rule)
        for key, rule in properties.items()
        if key in value or "default" in rule
    }


def _message(error: jsonschema.ValidationError) -> str:
    path = [str(part) for part in error.path if not isinstance(part, int)]
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        unknown = sorted(set(map(str, error.instance)) - set(known))[0]
        hint = _did_you_mean(unknown, known)
        name = _shown(".".join([*path, unknown]))[1:-1]
        return f"{name}: unknown key;{hint} accepted: {', '.join(known)}"
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))[0]
        rule = error.schema["properties"][missing]
        return f"{'.'.join([*path, missing])}: this key is missing. {rule['description']}"
    return (
        f"{'.'.join(path) or 'configuration'}: {_shown(error.instance)} is not accepted;"
        f"{_did_you_mean(error.instance, _names(error.schema))} {accepted(error.schema)}"
    )


def _shown(value: Any) -> str:
    """A value in a message: on one line, and not longer than one reads."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN // 2]} ... {text[-20:]}"


def _did_you_mean(value: Any, names: list[str]) -> str:
    close = difflib.get_close_matches(str(value), names, n=1)
    return f" did you mean {close[0]!r}?" if close else ""


def _names(rule: dict[str, Any]) -> list[str]:
    """The texts of a rule's enumerations."""
    options = rule.get("enum", []) + [n for o in rule.get("anyOf", []) for n in _names(o)]
    return [option for option in options if isinstance(option, str)]


def accepted(rule: dict[str, Any]) -> str:
    """What a key of the schema takes, in words."""
    if "product" in rule and "items" in rule and "enum" not in rule:
        return f"{accepted(rule['items'])}; or a list of these"
    if "anyOf" in rule:
        return " or ".join(accepted(option) for option in rule["anyOf"])
    if "enum" in rule:
        return "one of " + ", ".join(map(str, rule["enum"]))
    if "examples" in rule:
        return f"text like {' or '.join(map(str, rule['examples']))}"
    kinds = rule.get("type", "value")
    text = " or ".join(kinds if isinstance(kinds, list) else [kinds])
    bounds = [
        f"{words} {rule[key]}"
        for key, words in [
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
            ("pattern", "of the form"),
            ("maxLength", "signs: at most"),
            ("minItems", "entries: at least"),
            ("maxItems", "entries: at most"),
        ]
        if key in rule
    ]
    if "items" in rule:
        text += f" of ({accepted(rule['items'])})"
    return ", ".join([text, *bounds])


def documentation() -> str:
    """``config/README.md``, made from the schema."""
    rows = list(_documentation_rows(schema()))
    lines = [
        "# Configuration",
        "",
        "<!-- Made from workflow/ddcnn/experiment/config.schema.yaml by `ddcnn docs`. -->",
        "",
        "`config.yaml` is the quickstart, the default run. Another file beside it is another",
        "experiment: `snakemake --cores all --configfile config/my.yaml`. With `--configfile` the",
        "values of `config.yaml` are not read: what a file leaves out has the default of this",
        "table. Single values can be set on the command line:",
        "`snakemake --cores all --config overlap=2`.",
        "",
        "Keys marked *list* make a product: every combination of their values is a run. A single",
        "value is a list of one. Unknown keys are errors.",
        "",
        "| key | default | accepted | meaning |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _documentation_rows(rules: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, rule in rules["properties"].items():
        inner = rule if "properties" in rule else rule.get("items", {})
        default = "required" if key in rules.get("required", []) else _default_text(rule)
        cells = [f"`{prefix}{key}`", default, _accepted_text(rule), rule["description"]]
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
        if "properties" in inner:
            yield from _documentation_rows(inner, f"{prefix}{key}.")


def _default_text(rule: dict[str, Any]) -> str:
    default = rule.get("default", "")
    if rule.get("product") and len(default) == 1:
        (default,) = default
    if default in ("", {}):
        return ""
    return f"`{yaml.safe_dump(default, default_flow_style=True).splitlines()[0]}`"


def _accepted_text(rule: dict[str, Any]) -> str:
    if "properties" in rule:
        return "mapping"
    if "properties" in rule.get("items", {}):
        return "text or mapping, *list*"
    if rule.get("product"):
        return f"{accepted(rule['items'])}; *list*"
    return accepted(rule)
