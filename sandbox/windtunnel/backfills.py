"""Backfills: the runs that a schedule has in a range of past dates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args, overload

from windtunnel.api import Airflow, ConflictError
from windtunnel.errors import WindtunnelError
from windtunnel.follow import all_ended, follow
from windtunnel.moments import When, moment, names_a_day, text
from windtunnel.runs import Run, activate, find_dag, must_be_json
from windtunnel.session import current
from windtunnel.views.table import Table
from windtunnel.waiting import poll

Reprocess = Literal["none", "failed", "completed"]
CLOSED_WITHIN = 45.0  # seconds


class Backfill:
    """The runs that backfills made of the dates between two moments, both included."""

    def __init__(self, airflow: Airflow, dag_id: str, first: datetime, last: datetime) -> None:
        self._airflow, self.dag_id, self.first, self.last = airflow, dag_id, first, last

    def __repr__(self) -> str:
        return f"Backfill of {self.dag_id}, {text(self.first)} to {text(self.last)}: watch() it, then runs()"

    def _records(self) -> list[Any]:
        found = self._airflow.runs(
            self.dag_id, run_type=["backfill"], logical_date_gte=self.first, logical_date_lte=self.last
        )
        return sorted(found, key=lambda record: record.logical_date)

    def runs(self) -> list[Run]:
        """Its runs, by date."""
        return [Run(self._airflow, self.dag_id, record.dag_run_id) for record in self._records()]

    def states(self) -> dict[str, str]:
        """State of each run by logical date (UTC)."""
        return {text(record.logical_date): str(record.state.value) for record in self._records()}

    def table(self) -> Table:
        """Dates and states."""
        rows = [[when, state] for when, state in self.states().items()]
        count = "1 run" if len(rows) == 1 else f"{len(rows)} runs"
        return Table(f"{self.dag_id}: backfill of {count}", ["logical date (UTC)", "state"], rows)

    def watch(self, timeout: float = 600) -> None:
        """Follow it until every run has ended, then show its table. ``timeout`` in seconds.

        Raises WindtunnelError when time is up and for Ctrl-C; the runs themselves go on.
        """
        follow(
            self._airflow,
            f"backfill of {self.dag_id}",
            ended=lambda: all_ended(self.states()),
            states=self.states,
            table=self.table,
            timeout=timeout,
        )


class DryRun(Table):
    """What a backfill would make. ``dates``: the logical dates (UTC) of its runs, in the order of their start."""

    def __init__(self, dag_id: str, dates: Sequence[str]) -> None:
        count = "1 run" if len(dates) == 1 else f"{len(dates)} runs"
        super().__init__(
            f"{dag_id}: a backfill would make {count}", ["logical date (UTC)"], [[d] for d in dates]
        )

    @property
    def dates(self) -> list[str]:
        """As `windtunnel.moments.text` writes them."""
        return [date for [date] in self.rows]

    def __len__(self) -> int:
        return len(self.rows)


@overload
def backfill(
    dag_id: str,
    start: When,
    end: When,
    *,
    dry_run: Literal[True],
    max_active_runs: int = 4,
    reprocess: Reprocess = "none",
    run_backwards: bool = False,
    conf: dict[str, Any] | None = None,
    unpause: bool = False,
) -> DryRun: ...
@overload
def backfill(
    dag_id: str,
    start: When,
    end: When,
    *,
    dry_run: Literal[False] = False,
    max_active_runs: int = 4,
    reprocess: Reprocess = "none",
    run_backwards: bool = False,
    conf: dict[str, Any] | None = None,
    unpause: bool = False,
) -> Backfill: ...
def backfill(
    dag_id: str,
    start: When,
    end: When,
    *,
    dry_run: bool = False,
    max_active_runs: int = 4,
    reprocess: Reprocess = "none",
    run_backwards: bool = False,
    conf: dict[str, Any] | None = None,
    unpause: bool = False,
) -> Backfill | DryRun:
    """Make the runs that the schedule has between two moments, both included; a date ends with its day.

    ``reprocess``: which existing runs to do again: ``none``, ``failed`` or ``completed``. ``dry_run``: make
    nothing, and return the dates there would be; then the DAG may be paused. Raises WindtunnelError for a DAG
    that is unknown, paused, has no schedule or is being backfilled, for an end before the start, and for dates
    that have no run to make.
    """
    first, last = moment(start), moment(end)
    if names_a_day(end):
        last += timedelta(
            days=1, microseconds=-1
        )  # people mean the whole day; Airflow means its first instant
    if last < first:
        raise WindtunnelError(
            f"The backfill would end ({end}) before it starts ({start}).", "swap the dates."
        )
    if reprocess not in get_args(Reprocess):
        raise WindtunnelError(
            f"reprocess={reprocess!r} is not known.",
            f"it can be {', '.join(map(repr, get_args(Reprocess)))}.",
        )
    if max_active_runs < 1:
        raise WindtunnelError(
            f"max_active_runs={max_active_runs} would let no run start.", "let at least 1 run at a time."
        )
    must_be_json(conf)
    airflow = current().airflow
    record = find_dag(airflow, dag_id)
    if not record.timetable_periodic:
        raise WindtunnelError(
            f"{dag_id} has no schedule by the clock, so no date has a run to make.",
            'give the DAG a schedule, for example schedule="@daily", or trigger() single runs of it.',
        )
    options = {
        "max_active_runs": max_active_runs,
        "reprocess_behavior": reprocess,
        "run_backwards": run_backwards,
        "dag_run_conf": conf or {},
    }
    if dry_run:
        return DryRun(dag_id, [text(date) for date in airflow.backfill_dates(dag_id, first, last, **options)])
    activate(airflow, record, unpause, f'backfill("{dag_id}", …, unpause=True)')
    _wait_for_ended(airflow, dag_id)
    try:
        airflow.backfill(dag_id, first, last, **options)
    except ConflictError as error:
        raise WindtunnelError(
            f"A backfill of {dag_id} is still going on; a DAG can have one at a time.",
            "watch() the other one to its end, then start this one.",
        ) from error
    except WindtunnelError as error:
        if "No runs to create" not in error.message:
            raise
        raise WindtunnelError(
            f"The schedule of {dag_id} ({record.timetable_summary}) has no run from {text(first)} to {text(last)} UTC.",
            "widen the range; a bound without a time means the whole day, one with a time that instant.",
        ) from error
    return Backfill(airflow, dag_id, first, last)


def _wait_for_ended(airflow: Airflow, dag_id: str) -> None:
    """Let Airflow close backfills whose runs have all ended, which it does every 30 s, the sandbox every second.

    To cancel them would be quicker, and would leave them paused: a run of theirs that is cleared stays queued.
    """

    def closed() -> bool | None:
        for record in airflow.open_backfills(dag_id):
            if all_ended(Backfill(airflow, dag_id, record.from_date, record.to_date).states()):
                return None
        return True

    poll(closed, timeout=CLOSED_WITHIN, every=0.2)
