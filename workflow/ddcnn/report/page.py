"""The page: one HTML file with everything in it, no network; complete without its script."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ddcnn.base import provenance
from ddcnn.base.defaults import AUTO, Facts
from ddcnn.base.digests import code_digest
from ddcnn.base.splits import JUDGED
from ddcnn.base.text import fraction, interval, signed
from ddcnn.experiment.chosen import chosen_settings
from ddcnn.report import sentences
from ddcnn.report.citation import citations
from ddcnn.report.classes import class_table
from ddcnn.report.dataset import counts_of, facts_of, heads_of, warnings_of
from ddcnn.report.drawing import Drawn
from ddcnn.report.figures import THEME_COLOURS
from ddcnn.report.opening import believed, three_sentences
from ddcnn.report.others import other_rows, sentences_of
from ddcnn.report.sketches.mistakes import worst_mistakes
from ddcnn.report.snapshot import flatten
from ddcnn.report.study import Study
from ddcnn.report.table import first_rows, job_rows, method_rows, run_rows
from ddcnn.report.template import template_environment
from ddcnn.report.trainings import critical_path, provenance_of, trainings_of
from ddcnn.report.unlike import unlike_splits
from ddcnn.report.verdicts import Family, in_cell

HERE = Path(__file__).parent
CODE = (  # of the stages
    "data.preparation",
    "tiles.shards",
    "local.stage",
    "local.closed_form",
    "coarse.stage",
    "evaluation.stage",
    "report",
)

# Figures that the page shows; the others are files beside it.
SHOWN = frozenset(
    {"tiles", "differences", "times", "other-ways", "heat-map", "confusion", "scatter", "mistakes"}
)


def render_page(
    experiment: str,
    studies: Sequence[Study],
    drawn: Sequence[Mapping[str, Drawn]],
    settings: Mapping[str, Any],
    family: Family,
) -> str:
    """The whole page as text; names from data and configuration are escaped."""
    environment = template_environment(HERE)
    environment.filters |= {
        "seconds": _or_dash(sentences.seconds),
        "fraction": _or_dash(fraction),
        "r2": _or_dash("{:.4f}".format),
        "loss": _or_dash("{:.3f}".format),
        "error": _or_dash("{:.3g}".format),
        "times": _or_dash(lambda value: f"{value:.1f}×" if value < 100 else f"{value:,.0f}×"),
        "deviation": _or_dash("{:.3f}".format),
        "signed": signed,
        "interval": interval,
        "in_cell": in_cell,
        "thousands": _or_dash("{:,.0f}".format),
        "mebibytes": _or_dash(_mebibytes),
        "milliseconds": _or_dash(lambda value: f"{1000 * value:.1f}"),
    }
    script = (HERE / "script.js").read_text(encoding="utf-8")
    return environment.get_template("template.html.jinja").render(
        experiment=experiment,
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=_digest_of_script(script),
        kind=_kind(studies),
        noun=studies[0].noun,
        regression=any(study.is_regression for study in studies),
        sections=[_section(*pair, family) for pair in zip(studies, drawn, strict=True)],
        family=family,
        settings=list(settings_shown(settings, _training_cards(studies))),
        commit=provenance.git_commit() or "not in a git checkout",
        code=code_digest(*CODE),
        versions=provenance.versions(),
        citations=citations(),
    )


def settings_shown(
    settings: Mapping[str, Any], cards: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Key and value of every setting; behind ``auto`` stands what it became of the data.

    Args:
        settings: the validated configuration.
        cards: of every data set, by its name.
    """
    for key, text in flatten(settings):
        values = {}
        for name, card in cards.items() if text == AUTO else ():
            values[name] = chosen_settings(settings, Facts.of_card(card)).get(key)
        different = list(dict.fromkeys(values.values()))
        if len(different) > 1:
            text = f"{AUTO}: " + ", ".join(f"{value} ({name})" for name, value in values.items())
        elif different and different[0] is not None:
            text = f"{AUTO}: {different[0]}"
        yield key, text


def _training_cards(studies: Sequence[Study]) -> dict[str, Mapping[str, Any]]:
    return {name: card for study in studies for name, card in study.training_cards.items()}


def _digest_of_script(script: str) -> str:
    """What the page's own rule allows to run: this script and nothing that data bring along."""
    digest = hashlib.sha256(f"\n{script}\n".encode()).digest()
    return base64.b64encode(digest).decode()


def _kind(studies: Sequence[Study]) -> str:
    """``image classification``, or what else the experiment is about."""
    kinds = {
        f"{study.noun} {'regression' if study.is_regression else 'classification'}"
        for study in studies
    }
    return " and ".join(sorted(kinds))


def _section(study: Study, drawn: Mapping[str, Drawn], family: Family) -> dict[str, Any]:
    """What the template shows of one study."""
    trainings, methods = trainings_of(study), method_rows(study, family)
    others = other_rows(study, methods)
    _, factor, digits = sentences.unit_of(study)
    return {
        "id": f"{study.dataset}-{study.model}",
        "title": f"{study.dataset}, {study.model}",
        "opening": three_sentences(study, family),
        "believed": believed(study, family),
        "findings": sentences.findings(study, family),
        "diagnosis": sentences.diagnosis_of(study),
        "steps": list(sentences.steps(study)),
        "methods": methods,
        "first_methods": first_rows(methods, study),
        "others": others,
        "of_others": list(sentences_of(others, study)),
        "factor": factor,
        "digits": digits,
        "num_images": {split: study.num_images_of(split) for split in JUDGED},
        "runs": list(run_rows(study)),
        "score_name": study.score_name,
        "classes": class_table(study),
        "mistakes": worst_mistakes(study),
        "noun": study.noun,
        "drawn": f"{'groups of ' if study.card.get('group') else ''}test {study.noun}s",
        "num_seeds": len(study.seeds),
        "figures": {
            name: {
                **each._asdict(),
                "svg": inline_svg(each.svg.read_text(encoding="utf-8"), each.name),
            }
            for name, each in drawn.items()
            if name in SHOWN
        },
        "beside": [each for name, each in drawn.items() if name not in SHOWN],
        "card": study.card,
        "warnings": [*warnings_of(study.card), *unlike_splits(study)],
        "facts": facts_of(study.card),
        "is_regression": study.is_regression,
        "counts": counts_of(study.card),
        "parts": heads_of(study.card),
        "folds": study.folds,
        "fold_note": sentences.fold_note(study),
        "path": critical_path(study),
        "trainings": job_rows(trainings),
        "jobs": provenance_of(trainings),
    }


def _or_dash(write: Any) -> Any:
    return lambda value, *given: "–" if value is None or pd.isna(value) else write(value, *given)


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
