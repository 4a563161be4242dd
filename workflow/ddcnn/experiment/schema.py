"""The schema of the configuration: completing values by it, and the reference made from it."""

import itertools
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

from ddcnn.base.errors import InputError
from ddcnn.base.own_yaml import read_own_yaml
from ddcnn.experiment.refusals import accepted, messages
from ddcnn.experiment.written import MOST_VALUES

DEEPEST = 20  # levels of lists and mappings
SCHEMA = Path(__file__).with_name("config.schema.yaml")


def _whole_pattern(
    validator: Any, pattern: str, value: Any, rule: dict[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    """A text has the form as a whole: for Python alone, "$" is also before a last line break."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield jsonschema.ValidationError(f"{value!r} is not of the form {pattern}")


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"pattern": _whole_pattern}
)


@cache
def schema() -> dict[str, Any]:
    """The schema of the configuration."""
    return read_own_yaml(SCHEMA)


class Completed(NamedTuple):
    """A configuration as far as it can be understood.

    Attributes:
        settings: lists for all product keys, and all defaults; also where a value is refused.
        mistakes: a line for everything that the schema refuses.
        tells_runs: no mistake is in what says which runs there are.
    """

    settings: dict[str, Any]
    mistakes: list[str]
    tells_runs: bool


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with lists for all product keys and all defaults, valid by the schema.

    Raises:
        InputError: a line for each mistake.
    """
    settings, mistakes, _ = completed(config)
    if mistakes:
        raise InputError("\n".join(mistakes))
    return settings


def completed(config: dict[str, Any]) -> Completed:
    """As :func:`complete`, but refuses nothing: what no schema can say may be checked, too.

    Raises:
        InputError: values that no check could go on with, such as endless ones.
    """
    _refuse_endless(config)
    settings = _as_meant(config, schema())
    _refuse_infinite(settings)
    errors = sorted(
        Validator(schema()).iter_errors(settings),
        key=lambda error: (error.validator != "additionalProperties", list(map(str, error.path))),
    )
    mistakes = list(dict.fromkeys(line for error in errors for line in messages(error)))
    tells_runs = not any(map(_is_of_runs, errors))
    for error in errors:
        _take_out(settings, error)
    return Completed(_with_defaults(settings, schema()), mistakes, tells_runs)


def _is_of_runs(error: jsonschema.ValidationError) -> bool:
    """It is in a key of the product or in one without a default, or a key is missing."""
    if not error.path:
        return error.validator != "additionalProperties"
    rule = schema()["properties"][error.path[0]]
    return rule.get("product", False) or "default" not in rule


def _take_out(settings: dict[str, Any], error: jsonschema.ValidationError) -> None:
    """Remove what is wrong outside of the product, so that it gets its default."""
    if error.validator == "additionalProperties":
        for unknown in set(error.instance) - set(error.schema["properties"]):
            del error.instance[unknown]
    elif error.path and not _is_of_runs(error):
        # Of a list with a wrong item the whole.
        *above, key = itertools.takewhile(lambda part: isinstance(part, str), error.path)
        holder = settings
        for part in above:
            holder = holder.get(part, {})
        holder.pop(key, None)


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


def _refuse_endless(value: Any, key: str = "configuration", depth: int = 0) -> int:
    """The number of values, where YAML's anchors repeat none too often or inside of itself."""
    if depth > DEEPEST:
        raise InputError(f"{key}: nested deeper than {DEEPEST} levels")
    items = list(value.values()) if isinstance(value, dict) else value
    count = 1
    for item in items if isinstance(items, list) else ():
        count += _refuse_endless(item, key, depth + 1)
        if count > MOST_VALUES:
            raise InputError(f"{key}: more than {MOST_VALUES:,} values (anchors repeat them)")
    return count


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
    if not isinstance(value, dict) or "properties" not in rules:
        return value
    properties = rules["properties"]
    # In the schema's order, so that equal settings look equal.
    return {
        key: _with_defaults(value.get(key, rule.get("default")), rule)
        for key, rule in properties.items()
        if key in value or "default" in rule
    }


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
    if "properties" in rule or rule.get("type") == "object":
        return "mapping"
    if "properties" in rule.get("items", {}):
        return "text or mapping, *list*"
    if rule.get("product"):
        return f"{accepted(rule['items'])}; *list*"
    return accepted(rule)
