"""The runs of a DAG as a table that a cell shows: those somebody expects, or those that Airflow made.

Both are shown by this one class, so that a prediction and what happened can be compared letter for letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from windtunnel.errors import WindtunnelError
from windtunnel.moments import moment, text
from windtunnel.views.table import Table

MIME = "application/vnd.windtunnel.runs+json"
COLUMNS = ("run_after", "logical_date", "interval_start", "interval_end", "ds")
NONE = "none"  # of a date that a run does not have; alone on a line: that there are no runs
_NOTHING = {"-", "–", "—", NONE}
_RULE = re.compile(r"[|+\s]*:?-{3,}:?([|+\s]+:?-{3,}:?)*[|+\s]*")  # below the heading, as in Markdown

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RunTable:
    """Runs in the order of their ``run_after``, moments as ``2026-03-01 06:00`` in UTC.

    ``rows`` is None where nobody has said yet whether there are any.
    """

    dag_id: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] | None

    def __repr__(self) -> str:
        if self.rows is None:
            return f"{self.dag_id}: no line yet"
        count = f"{len(self.rows)} run{'' if len(self.rows) == 1 else 's'}"
        return repr(Table(f"{self.dag_id}: {count}", self.columns, self.rows))

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        rows = self.rows
        runs = None if rows is None else [dict(zip(self.columns, row, strict=True)) for row in rows]
        return {"text/plain": repr(self), MIME: {"dag_id": self.dag_id, "runs": runs}}


@dataclass(frozen=True)
class Unreadable:
    """What is shown instead of a table that cannot be read."""

    dag_id: str
    problem: str

    def __repr__(self) -> str:
        return self.problem

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"text/plain": repr(self), MIME: {"dag_id": self.dag_id, "problem": self.problem}}


def table(dag_id: str, rows: str | Iterable[Row]) -> RunTable:
    """A table of the runs in a text or in mappings, whatever order and spelling they have.

    The text's first line names the columns, each other line is a run; ``|`` separates, ``#`` begins a comment.
    A moment is a datetime or its ISO text; without a zone it is UTC. Raises WindtunnelError, with the line,
    for what cannot be read.
    """
    if isinstance(rows, str):
        columns, found = _read(dag_id, rows)
    else:
        given = list(rows)
        columns = _columns(dag_id, given[0]) if given else COLUMNS
        found = given
    if found is None:
        return RunTable(dag_id, columns, None)
    lines = [
        tuple(_value(dag_id, number, row, column) for column in columns)
        for number, row in enumerate(found, start=1)
    ]
    return RunTable(dag_id, columns, tuple(sorted(lines)))


def expect(dag_id: str, rows: str | Iterable[Row]) -> None:
    """Show the runs that you expect of a DAG: a text with a line for each, or dicts; see ``table``.

    A table that cannot be read says so in its place, and those after it are shown all the same.

    ::

        expect("orders", '''
            run_after        | ds
            2026-03-01 06:00 | 2026-03-01
        ''')
    """
    from IPython.display import display

    shown: RunTable | Unreadable
    try:
        shown = table(dag_id, rows)
    except WindtunnelError as error:
        shown = Unreadable(dag_id, error.message)
    display(shown)  # type: ignore[no-untyped-call]


def _read(dag_id: str, rows: str) -> tuple[tuple[str, ...], list[Row] | None]:
    """The columns, and the runs; None for a text that has only a heading."""
    lines = [line.strip() for line in rows.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#") and not _RULE.fullmatch(line)]
    if not lines:
        raise _unreadable(dag_id, "there is no line that names the columns")
    head, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = _columns(dag_id, head)
    if not body:
        return columns, None
    if body == [[NONE]]:
        return columns, []
    for number, cells in enumerate(body, start=1):
        if len(cells) != len(head):
            raise _unreadable(
                dag_id,
                f"run {number} has {len(cells)} value(s) for {len(head)} column(s): {' | '.join(cells)}",
            )
    return columns, [dict(zip(head, cells, strict=True)) for cells in body]


def _columns(dag_id: str, named: Iterable[str]) -> tuple[str, ...]:
    names = [str(name) for name in named]
    for name in names:
        if name not in COLUMNS:
            raise _unreadable(dag_id, f"{name!r} is no column; there are {', '.join(COLUMNS)}")
    return tuple(column for column in COLUMNS if column in names)


def _value(dag_id: str, number: int, row: Row, column: str) -> str:
    value = row.get(column)
    if value is None or (isinstance(value, str) and value.strip() in _NOTHING):
        return NONE
    try:
        if column == "ds":
            return date.fromisoformat(str(value).strip()).isoformat()
        return text(moment(value.strip() if isinstance(value, str) else value))
    except (ValueError, WindtunnelError):
        form = "2026-03-01" if column == "ds" else "2026-03-01 06:00"
        raise _unreadable(
            dag_id, f"the {column} of run {number} is {str(value)!r}; it is written {form}, or {NONE}"
        ) from None


def _unreadable(dag_id: str, problem: str) -> WindtunnelError:
    return WindtunnelError(f"The table of {dag_id}: {problem}.", "mend that line.")
