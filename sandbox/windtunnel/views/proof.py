"""What became of the proof that checks tell right from wrong: for the terminal and for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from typing import TYPE_CHECKING

from rich import table as rich_table
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from windtunnel.views.table import Table

if TYPE_CHECKING:
    from windtunnel.proof import Outcome, Proof, Tally

COLUMNS = ("exercise", "right accepted", "wrong refused", "starter", "points")


def table(tallies: Sequence[Tally]) -> Table:
    """A row for each exercise."""
    return Table("Known answers, and what the checks made of them", COLUMNS, [_row(each) for each in tallies])


def terminal(proof: Proof) -> RenderableType:
    """A row for each exercise, then each claim that does not hold, with the reason."""
    shown = rich_table.Table(box=None, pad_edge=False, header_style="dim")
    for name in COLUMNS:
        shown.add_column(name, justify="left" if name in ("exercise", "starter") else "right")
    for each in proof.tallies:
        shown.add_row(*_row(each), style=None if each.holds else "red")
    parts: list[RenderableType] = [shown, Text()]
    for outcome in proof.broken:
        # Text, not markup: a message may hold square brackets.
        parts.append(Text.assemble(("✗ ", "bold red"), f"{claim(outcome)}: {outcome.claim.name}"))
        parts.append(Padding(Text(outcome.objection), (0, 0, 0, 2)))
    return Group(*parts, total(proof))


def claim(outcome: Outcome) -> str:
    """``01-first-dag, wrong``: what a claim is about."""
    return f"{outcome.claim.exercise.slug}, {outcome.claim.kind}"


def total(proof: Proof) -> Text:
    """One sentence for all."""
    everything, broken = len(proof.outcomes), len(proof.broken)
    if not broken:
        return Text(f"All {everything} claims hold.", "bold green")
    unjudged = sum(outcome.verdict is None for outcome in proof.outcomes)
    more = f"; {unjudged} of them could not be judged" if unjudged else ""
    return Text(f"{broken} of {everything} claims do not hold{more}.", "bold red")


def _row(tally: Tally) -> list[str]:
    return [
        tally.slug,
        "{}/{}".format(*tally.right),
        "{}/{}".format(*tally.wrong),
        "as it must be" if tally.starter else "not as it must be",
        str(tally.points or "-"),
    ]


class Cell(Enum):
    """What one criterion makes of one answer."""

    NAMED = "●"  # refused, by the criterion that is about it
    ALSO = "○"  # refused too
    MET = "·"

    @property
    def words(self) -> str:
        """For who cannot see the mark."""
        return {"●": "refused by the criterion about it", "○": "refused too", "·": "met"}[self.value]


@dataclass(frozen=True)
class Row:
    """A wrong answer, and what each criterion makes of it."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Matrix:
    """Criteria across, wrong answers down."""

    title: str
    criteria: Sequence[str]
    rows: Sequence[Row]

    def __repr__(self) -> str:
        legend = "   ".join(f"{cell.value} {cell.words}" for cell in Cell)
        numbered = [f"{number}  {name}" for number, name in enumerate(self.criteria, start=1)]
        marks = [[cell.value for cell in row.cells] for row in self.rows]
        numbers = [str(number) for number in range(1, len(self.criteria) + 1)]
        rows = [[row.name, *cells] for row, cells in zip(self.rows, marks, strict=True)]
        return "\n".join([repr(Table(self.title, ["answer", *numbers], rows)), "", *numbered, legend])

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in self.criteria)
        body = "".join(
            f'<tr><th scope="row">{escape(row.name)}</th>{"".join(map(_dot, row.cells))}</tr>'
            for row in self.rows
        )
        legend = " ".join(f"{_mark(cell)} {cell.words}" for cell in Cell)
        return (
            f'<div class="wt-scroll"><table class="wt-table wt-matrix"><caption>{escape(self.title)}</caption>'
            f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
            f'<p class="wt-muted wt-legend">{legend}</p>'
        )


def matrix(criteria: Sequence[str], rows: Sequence[Row]) -> Matrix:
    """A `Matrix` with the criteria's names as a reader would say them."""
    spoken = [name.removeprefix("test_").replace("_", " ") for name in criteria]
    return Matrix("Which criteria refuse which wrong answer", spoken, rows)


def _dot(cell: Cell) -> str:
    return f"<td>{_mark(cell, label=True)}</td>"


def _mark(cell: Cell, *, label: bool = False) -> str:
    kind = {Cell.NAMED: "wt-bad", Cell.ALSO: "wt-bad wt-also", Cell.MET: "wt-met"}[cell]
    spoken = f' role="img" aria-label="{cell.words}" title="{cell.words}"' if label else ' aria-hidden="true"'
    return f'<span class="wt-dot {kind}"{spoken}></span>'
