"""The page: one HTML file with everything in it, no script and no network."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ddcnn import provenance
from ddcnn.figures import THEME_COLOURS
from ddcnn.files import read_json
from ddcnn.report import words
from ddcnn.report.drawing import Drawn
from ddcnn.report.snapshot import flatten
from ddcnn.report.study import Study

HERE = Path(__file__).parent


def render_page(
    experiment: str,
    studies: Sequence[Study],
    drawn: Sequence[Mapping[str, Drawn]],
    settings: Mapping[str, Any],
) -> str:
    """The whole page as text; names from data and configuration are escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "seconds": _or_dash(words.seconds),
        "accuracy": _or_dash("{:.4f}".format),
        "loss": _or_dash("{:.3f}".format),
        "error": _or_dash("{:.3g}".format),
        "times": _or_dash(lambda value: f"{value:.1f}×" if value < 100 else f"{value:,.0f}×"),
        "deviation": _or_dash("{:.3f}".format),
        "thousands": _or_dash("{:,.0f}".format),
        "mebibytes": _or_dash(_mebibytes),
    }
    return environment.get_template("template.html.jinja").render(
        experiment=experiment,
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        kind=_kind(studies),
        noun=studies[0].noun,
        regression=any(study.is_regression for study in studies),
        sections=[_section(*pair) for pair in zip(studies, drawn, strict=True)],
        settings=list(flatten(settings)),
        commit=provenance.git_commit() or "not in a git checkout",
    )


def _kind(studies: Sequence[Study]) -> str:
    """``image classification``, or what else the experiment is about."""
    kinds = {
        f"{study.noun} {'regression' if study.is_regression else 'classification'}"
        for study in studies
    }
    return " and ".join(sorted(kinds))


def _section(study: Study, drawn: Mapping[str, Drawn]) -> dict[str, Any]:
    """What the template shows of one study."""
    return {
        "id": f"{study.dataset}-{study.model}",
        "title": f"{study.dataset}, {study.model}",
        "findings": words.findings(study),
        "diagnosis": words.diagnosis_of(study),
        "steps": list(words.steps(study)),
        "labels": {slug: runs[0].label for slug, runs in study.by_decomposition.items()},
        "table": _table(study),
        "best": study.best,
        "num_seeds": len(study.seeds),
        "figures": {
            name: {
                **each._asdict(),
                "svg": inline_svg(each.svg.read_text(encoding="utf-8"), each.name),
            }
            for name, each in drawn.items()
        },
        "card": study.card,
        "targets": _targets(study.card),
        "is_regression": study.is_regression,
        "counts": _counts(study),
        "jobs": _jobs(study),
    }


def _table(study: Study) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of every decomposition, the global net first."""
    rows = study.means
    return [
        (slug, rows[rows["decomposition"] == slug].to_dict("records"))
        for slug in study.by_decomposition
    ]


def _counts(study: Study) -> list[tuple[str, list[int]]]:
    """Images of every class in the three splits; of a regression all samples."""
    counts = study.card["counts"]
    return [
        (name, [counts[split].get(name, 0) for split in ("train", "val", "test")])
        for name in study.card["classes"] or ["samples"]
    ]


def _targets(card: Mapping[str, Any]) -> str:
    """``fat (train: mean 18.7, standard deviation 12.8)``; nothing for classes."""
    facts = zip(*(card.get(f"target{key}", []) for key in ("s", "_mean", "_std")), strict=True)
    return "; ".join(
        f"{name} (train: mean {mean:.4g}, standard deviation {std:.4g})"
        for name, mean, std in facts
    )


def _jobs(study: Study) -> dict[str, Any]:
    """Where and when the trainings ran, from the metrics of every job."""
    folders = {
        study.local_folder(run, tile) for run in study.runs for tile in run.evaluation["tiles"]
    } | {run.folder / "coarse" for run in study.runs}
    files = [folder / "metrics.json" for folder in sorted(folders)]
    metrics = [read_json(file) for file in files if file.is_file()]
    return {
        "count": len(metrics),
        "resumed": sum(bool(each.get("resumed")) for each in metrics),
        "started": _moment(min((each["started"] for each in metrics), default="")),
        "finished": _moment(max((each["finished"] for each in metrics), default="")),
        "devices": _distinct(
            f"{each['device_name']} ({each['device']}), "
            f"{words.count(each['threads'], 'thread')} a job"
            for each in metrics
        ),
        "hardware": _distinct(_hardware(each["hardware"]) for each in metrics),
        "versions": _distinct(
            ", ".join(f"{name} {version}" for name, version in each["versions"].items())
            for each in metrics
        ),
    }


def _moment(text: str) -> str:
    """``2025-01-31T10:00:00.123+00:00`` as ``2025-01-31 10:00:00 UTC``."""
    return f"{text[:10]} {text[11:19]} UTC" if text else "unknown"


def _hardware(facts: Mapping[str, Any]) -> str:
    cores = words.count(facts["cores"], "core")
    return f"{facts['processor']}, {cores}, {facts['memory_gib']} GiB memory, {facts['system']}"


def _distinct(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _or_dash(write: Any) -> Any:
    return lambda value: "–" if value is None or pd.isna(value) else write(value)


def _mebibytes(value: float) -> str:
    return f"{value / 2**20:,.0f} MiB"


def inline_svg(text: str, name: str) -> Markup:
    """An SVG file's content for the page: unique ids, and colours that follow the scheme.

    Args:
        text: what matplotlib wrote.
        name: prefix of all ids, different for every figure of a page.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r' id="', f' id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", text)
    for role, colour in THEME_COLOURS.items():
        text = text.replace(colour, f"var(--{role})")
    width = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', text).group(1))
    text = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", text, count=1)
    # Type of 9 points then stands as large as the page's own small type: 15 pixels.
    return Markup(
        re.sub(
            r'(<svg[^>]*?) width="[\d.]+pt"',
            rf'\1 style="width: {width * 5 / 3:.0f}px" aria-hidden="true" focusable="false"',
            text,
            count=1,
        )
    )
