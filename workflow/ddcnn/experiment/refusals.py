"""What is wrong with a value of the configuration, and what is accepted instead, in words."""

import difflib
from collections.abc import Iterator
from typing import Any

import jsonschema

MOST_SHOWN = 200  # characters of a wrong value in a message


def messages(error: jsonschema.ValidationError) -> Iterator[str]:
    """A line for every key that is wrong, unknown or missing: its value and what is accepted."""
    path = [str(part) for part in error.path if not isinstance(part, int)]
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for unknown in sorted(set(map(str, error.instance)) - set(known)):
            hint = _did_you_mean(unknown, known)
            name = _shown(".".join([*path, unknown]))[1:-1]
            yield f"{name}: unknown key;{hint} accepted: {', '.join(known)}"
        return
    if error.validator == "required":
        for missing in sorted(set(error.validator_value) - set(error.instance)):
            rule = error.schema["properties"].get(missing, {})
            words = f"{'.'.join([*path, missing])}: this key is missing. "
            yield (words + rule.get("description", "")).rstrip(". ") + "."
        return
    yield (
        f"{'.'.join(path) or 'configuration'}: {_shown(error.instance)} is not accepted;"
        f"{_did_you_mean(error.instance, _names(error.schema))} {accepted(error.schema)}"
    )


def _shown(value: Any) -> str:
    """A value in a message: on one line, and not longer than one reads."""
    if isinstance(value, list | dict) and len(value) > MOST_SHOWN:
        return f"a {type(value).__name__} of {len(value):,} entries"
    text = repr(value[: 2 * MOST_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN // 2]} ... {text[-20:]}"


def _did_you_mean(value: Any, names: list[str]) -> str:
    if not isinstance(value, str) or len(value) > MOST_SHOWN:
        return ""
    close = difflib.get_close_matches(value, names, n=1)
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
            ("maxLength", "characters: at most"),
            ("minItems", "entries: at least"),
            ("maxItems", "entries: at most"),
        ]
        if key in rule
    ]
    if "items" in rule:
        text += f" of ({accepted(rule['items'])})"
    return ", ".join([text, *bounds])
