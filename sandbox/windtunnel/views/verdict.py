"""A verdict for the terminal and the notebook."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from windtunnel.check import Criterion, Verdict

WIDTH = 100  # of the text in a notebook, which is the same on every machine


def render(verdict: Verdict) -> RenderableType:
    """Every criterion with its points; under those that are not met, what was seen and expected."""
    parts = [part for criterion in verdict.criteria for part in _criterion(criterion)]
    return Group(*parts, Text(), total(verdict))


def render_first(verdict: Verdict) -> RenderableType:
    """The first criterion that is not met, and how many others there are; the total when all are met."""
    missed = [criterion for criterion in verdict.criteria if not criterion.passed]
    if not missed:
        return total(verdict)
    first, *others = missed
    met = len(verdict.criteria) - len(missed)
    count = f"{met} of {len(verdict.criteria)} criteria are met"
    more = f"; {len(others)} more not yet" if others else "; this is the last one"
    return Group(*_criterion(first, bold=True), Text(), Text(f"{count}{more}.", "dim"))


def as_text(verdict: Verdict) -> str:
    """`render` as plain text of fixed width."""
    page = io.StringIO()
    # In a kernel rich would display HTML of its own instead.
    console = Console(file=page, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    console.print(render(verdict))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def total(verdict: Verdict) -> Text:
    """Points, and how many criteria are not met."""
    points = f"{verdict.earned} of {verdict.total} points"
    if verdict.passed:
        return Text(f"{verdict.slug}: {points}. All criteria are met.", "bold green")
    missed = sum(not criterion.passed for criterion in verdict.criteria)
    one = "1 criterion is" if missed == 1 else f"{missed} criteria are"
    return Text(f"{verdict.slug}: {points}. {one} not met yet.", "bold")


def _criterion(criterion: Criterion, *, bold: bool = False) -> list[RenderableType]:
    mark, style = ("✔", "green") if criterion.passed else ("✘", "red")
    earned = criterion.points if criterion.passed else 0
    line = Text.assemble(
        (mark, style),
        (f" {criterion.text.splitlines()[0]} ", "bold" if bold else ""),
        (f"{earned}/{criterion.points}", "dim"),
    )
    if criterion.passed:
        return [line]
    # Text, not markup: an answer's own words may hold square brackets.
    return [line, Padding(Text(criterion.message), (0, 0, 0, 2))]
