"""When a schedule would have made runs: asked of Airflow, which makes none of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from windtunnel.clock import clock
from windtunnel.errors import WindtunnelError
from windtunnel.moments import When, moment, text
from windtunnel.runs import find_dag
from windtunnel.session import current
from windtunnel.views.calendar import Calendar

# How Airflow writes a timedelta as a schedule: "2:00:00", "7 days, 0:00:00".
INTERVAL = re.compile(r"(-?\d+ days?, )?\d+:\d\d:\d\d(\.\d+)?|relativedelta\(.*")


def would_run(dag_ids: str | Sequence[str], first: When, last: When, zone: str = "UTC") -> Calendar:
    """The runs that schedules have from the day ``first`` to the day ``last``, both included, as a calendar.

    Days begin and end by the clocks of ``zone``. The answer is Airflow's: it is what a backfill of these days
    would make, from the DAG's start_date to its end_date, and nothing is made. Paused DAGs are answered for as
    well; one without a schedule has no runs. Raises WindtunnelError for an unknown DAG or zone, for days that
    are not over, and for a schedule that is an interval: its runs depend on when it was switched on.
    """
    names = [dag_ids] if isinstance(dag_ids, str) else list(dag_ids)
    clocks, begin, end = _zone(zone), _day(first), _day(last)
    if end < begin:
        raise WindtunnelError(
            f"The calendar would end ({last}) before it starts ({first}).", "swap the dates."
        )
    start = datetime(begin.year, begin.month, begin.day, tzinfo=clocks)
    # To before the next midnight: Airflow's bounds are instants, and both are included.
    stop = datetime(end.year, end.month, end.day, tzinfo=clocks) + timedelta(days=1)
    _must_be_over(stop)
    runs = [(name, when.astimezone(clocks)) for name in names for when in _moments(name, start, stop)]
    return Calendar(names, runs, begin, end, zone)


def _moments(dag_id: str, start: datetime, stop: datetime) -> list[datetime]:
    airflow = current().airflow
    record = find_dag(airflow, dag_id)
    if not record.timetable_periodic:
        return []
    if INTERVAL.fullmatch(record.timetable_summary or ""):
        raise WindtunnelError(
            f"{dag_id} runs every {record.timetable_summary}; at what times depends on when that began.",
            "unpause it and turn the clock.",
        )
    # "completed": dates that have a run already are named, too.
    found = airflow.backfill_dates(
        dag_id, start, stop - timedelta(microseconds=1), reprocess_behavior="completed"
    )
    return [when for when in found if _within(record, when)]


def _within(record: Any, when: datetime) -> bool:
    """A backfill asks for neither bound; the scheduler keeps both."""
    return (record.start_date is None or record.start_date <= when) and (
        record.end_date is None or when <= record.end_date
    )


def _must_be_over(stop: datetime) -> None:
    try:
        now = clock.now()
    except WindtunnelError:  # a sandbox in real time
        now = datetime.now(UTC)
    if stop > now:
        # It would leave the rest out without a word.
        raise WindtunnelError(
            f"Airflow answers for the past only, and {text(stop)} UTC is still to come.",
            "ask for days that are over, or turn the clock.",
        )


def _day(when: When) -> date:
    return moment(when).date()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise WindtunnelError(
            f"There is no zone {name!r}.", 'name a place, as in zone="Europe/Berlin".'
        ) from None
