"""Where a reader stands, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from windtunnel.standings import BEGUN, DONE, FORMER, NOT_STARTED, Standing

MARK = {DONE: ("✓", "green"), BEGUN: ("…", "yellow"), NOT_STARTED: ("·", "dim"), FORMER: ("-", "dim")}


def render(standings: Sequence[Standing], current: str = "") -> RenderableType:
    """Every exercise, the points of all, and which is next; ``current`` is set off."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "exercise", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("points", "best", "hints"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("last check", no_wrap=True)
    for each in standings:
        table.add_row(*_row(each), style="bold" if each.slug == current else None)
    return Group(table, Text(), points(standings), *_next(standings, current))


def exercises_done(standings: Sequence[Standing]) -> RenderableType:
    """A bar: ``2/5 exercises done``."""
    known = [each for each in standings if each.state != FORMER]
    done = sum(each.state == DONE for each in known)
    return _bar(done, len(known), f"{done}/{len(known)} exercises done")


def points(standings: Sequence[Standing]) -> RenderableType:
    """A bar: the best of each exercise, of all points there are."""
    known = [each for each in standings if each.state != FORMER]
    best, total = sum(min(each.entry.best, each.total) for each in known), sum(each.total for each in known)
    done = sum(each.state == DONE for each in known)
    return _bar(best, total, f"{best} of {total} points, {done}/{len(known)} exercises done")


def _row(each: Standing) -> list[RenderableType]:
    entry = each.entry
    mark, style = MARK[each.state]
    earned = "-" if entry.earned is None else str(entry.earned)
    return [
        Text(mark, style),
        Text(each.slug),
        Text(each.state, style),
        f"{earned} of {each.total}",
        str(entry.best) if entry.checks else "-",
        f"{min(entry.hints, each.hints)} of {each.hints}",
        _local(entry.when) if entry.when else "-",
    ]


def _next(standings: Sequence[Standing], current: str) -> list[RenderableType]:
    if current:
        return []
    known = [each for each in standings if each.state != FORMER]
    slug = next((each.slug for each in known if each.state != DONE), "")
    if not slug:
        return [Text("All exercises are done.", "bold green")]
    return [Text.assemble(("Next: ", "bold"), f"{slug}. `windtunnel watch` checks it on every save.")]


def _bar(done: int, total: int, label: str) -> RenderableType:
    row = Table.grid(padding=(0, 2))
    row.add_row(ProgressBar(total or 1, done, width=30), Text(label))
    return row


def _local(when: str) -> str:
    return datetime.fromisoformat(when).astimezone().strftime("%Y-%m-%d %H:%M")
