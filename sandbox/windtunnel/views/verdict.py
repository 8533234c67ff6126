"""A verdict for the terminal and the notebook."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from windtunnel.check import Criterion, Verdict


def render(verdict: Verdict) -> RenderableType:
    """Every criterion with its points; under those that are not met, what was seen and expected."""
    parts = [part for criterion in verdict.criteria for part in _criterion(criterion)]
    return Group(*parts, Text(), _total(verdict))


def _criterion(criterion: Criterion) -> list[RenderableType]:
    mark, style = ("✔", "green") if criterion.passed else ("✘", "red")
    earned = criterion.points if criterion.passed else 0
    line = Text.assemble(
        (mark, style), f" {criterion.text.splitlines()[0]} ", (f"{earned}/{criterion.points}", "dim")
    )
    if criterion.passed:
        return [line]
    # Text, not markup: an answer's own words may hold square brackets.
    return [line, Padding(Text(criterion.message), (0, 0, 0, 2))]


def _total(verdict: Verdict) -> Text:
    points = f"{verdict.earned} of {verdict.total} points"
    if verdict.passed:
        return Text(f"{verdict.slug}: {points}. All criteria are met.", "bold green")
    missed = sum(not criterion.passed for criterion in verdict.criteria)
    one = "1 criterion is" if missed == 1 else f"{missed} criteria are"
    return Text(f"{verdict.slug}: {points}. {one} not met yet.", "bold")
