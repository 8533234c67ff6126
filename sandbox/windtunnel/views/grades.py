"""A class's grades: for the terminal, and as pages that need nothing but themselves."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from windtunnel.grading.grades import BINS, ERROR, PASSED, ExerciseResults, Grade, Results

WIDTH = 20  # of a bar in the terminal
TOLD = 3  # criteria in the terminal's summary
_LINE = re.compile(r"\bline (\d+)|\.py:(\d+)")


# --- the terminal


def terminal(results: Results) -> RenderableType:
    """A row for each submission, and what a teacher asks first: how good, and what was missed."""
    several = len({grade.exercise for grade in results.grades}) > 1
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("student", overflow="fold")
    if several:
        table.add_column("exercise")
    table.add_column("points", justify="right")
    table.add_column("")
    for grade in results.grades:
        # Text, not markup: a student may be called [red].
        row = [Text(grade.student), *([Text(grade.exercise or "?")] if several else [])]
        if grade.earned is None:
            table.add_row(*row, Text("-", "bold red"), Text(f"not graded: {grade.reason}", "red"))
        else:
            table.add_row(*row, f"{grade.earned}/{grade.total}", _bar(grade.percent or 0))
    parts: list[RenderableType] = [table]
    for exercise in results.exercises:
        parts += [Text(), *_told(exercise)]
    if results.skipped:
        parts += [Text(), Text(f"Passed over: {'; '.join(results.skipped)}", "dim")]
    if results.errors:
        count = len(results.errors)
        what = "1 submission" if count == 1 else f"{count} submissions"
        parts += [Text(), Text(f"{what} could not be graded. The same command tries again.", "bold red")]
    return Group(*parts)


def _bar(percent: float) -> Text:
    filled = round(percent * WIDTH / 100)
    style = "green" if percent == 100 else "cyan" if percent >= 50 else "red"
    return Text.assemble(("█" * filled, style), ("░" * (WIDTH - filled), "dim"), f" {percent:3.0f} %")


def _told(exercise: ExerciseResults) -> list[Text]:
    if exercise.mean is None or exercise.median is None:
        return [Text.assemble((exercise.exercise, "bold"), "  nobody could be graded")]
    lines = [
        Text.assemble(
            (exercise.exercise, "bold"), f"  mean {exercise.mean:.0f} %, median {exercise.median:.0f} %"
        )
    ]
    missed = [each for each in exercise.missed if each.missed][:TOLD]
    return lines + [
        Text(f"  {each.missed} of {each.of} missed: {each.criterion.text.splitlines()[0]}") for each in missed
    ]


# --- the pages


@dataclass(frozen=True)
class Bar:
    """One bar of a distribution, in the units of the drawing."""

    x: float
    height: float
    count: int
    label: str


HEIGHT, STEP = 120, 44  # of the drawing: of the highest bar, from bar to bar


def bars(exercise: ExerciseResults) -> list[Bar]:
    """The distribution as bars."""
    counts = exercise.distribution
    highest = max(counts) or 1
    return [
        Bar(place * STEP, count / highest * HEIGHT, count, f"{place * 100 // BINS}")
        for place, count in enumerate(counts)
    ]


def index(results: Results, links: Mapping[tuple[str, str], str]) -> str:
    """The page about the class. ``links``: (student, exercise) → the submission's page, relative to this one."""
    graded = [grade for grade in results.grades if grade.status != ERROR]
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _page(
        "grades.html",
        results=results,
        links=links,
        graded=graded,
        full=sum(grade.status == PASSED for grade in graded),
        bars=bars,
        height=HEIGHT,
        step=STEP,
        # Ours, and the only thing on the page that is not escaped; its digest lets it, and it alone, run.
        script=Markup(script),  # noqa: S704
        script_digest=digest,
    )


def submission(grade: Grade, folder: str) -> str:
    """The page about one submission: criteria, points, messages, and the text that was checked."""
    told = {
        int(number)
        for criterion in grade.criteria
        for pair in _LINE.findall(criterion.message)
        for number in pair
        if number and len(number) < 7
    }
    return _page("submission.html", grade=grade, folder=folder, told=told, lines=grade.source.splitlines())


def _page(name: str, **values: object) -> str:
    return _templates().get_template(name).render(**values)


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _script() -> str:
    return (Path(__file__).with_name("templates") / "sort.js").read_text(encoding="utf-8")
