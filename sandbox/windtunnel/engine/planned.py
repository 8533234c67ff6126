"""When Airflow would run a DAG between two moments: its own timetable, asked one run after the other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from windtunnel.engine import limits

# Where the way to a window begins, in front of it: what a clock change does to a schedule is over by then.
BEFORE = timedelta(days=2)


def planned(dag: Any, first: datetime, last: datetime) -> dict[str, Any]:
    """``{"runs": [run, …], "problem": text}`` from ``first`` to before ``last``; see ``evidence.Planned``.

    As if catchup were on and the DAG had never been paused. ``problem``: why the runs are not known.
    ``dag`` is a serialized one. To be called where it may hang.
    """
    from airflow.timetables.base import TimeRestriction
    from pendulum import instance

    window = dag._time_restriction  # start_date and end_date, of the DAG and of its tasks
    earliest = _begin(dag.timetable, window.earliest, instance(first).in_timezone("UTC"))
    restriction = TimeRestriction(earliest, window.latest, catchup=True)
    runs: list[dict[str, Any]] = []
    info = None
    for _ in range(limits.MOST_PLANNED):
        info = dag.timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
        if info is None or info.run_after >= last:
            return {"runs": runs, "problem": ""}
        if info.run_after >= first:
            runs.append(_told(info))
    problem = f"{dag.dag_id} runs too often: Airflow's timetable named {limits.MOST_PLANNED:,} runs"
    return {"runs": [], "problem": f"{problem}, and had not come to {last:%d %B %Y}."}


def _begin(timetable: Any, earliest: Any, first: Any) -> Any:
    """From where on to ask: not from a start_date of years ago, and yet in step with it."""
    from airflow.timetables._cron import CronMixin
    from airflow.timetables._delta import DeltaMixin
    from airflow.timetables.trigger import MultipleCronTriggerTimetable

    inner = getattr(timetable, "timetable", None)  # of AssetOrTimeSchedule
    if inner is not None:
        return _begin(inner, earliest, first)
    if isinstance(timetable, MultipleCronTriggerTimetable):
        return min(_begin(each, earliest, first) for each in timetable._timetables)
    if isinstance(timetable, CronMixin):
        # Two ticks: a run may be made at the end of an interval that begins at the tick before.
        before = timetable._get_prev(timetable._get_prev(first - BEFORE))
        return before if earliest is None else max(before, earliest)
    if earliest is None:
        return first  # without a start_date, the first run is when the DAG is unpaused
    if isinstance(timetable, DeltaMixin) and isinstance(timetable._delta, timedelta):
        steps = (first - earliest).as_timedelta() // timetable._delta - 2
        return earliest.in_timezone("UTC") + max(0, steps) * timetable._delta
    return earliest


def _told(info: Any) -> dict[str, Any]:
    start, end = info.data_interval or (None, None)
    moments = {"run_after": info.run_after, "logical_date": info.logical_date, "start": start, "end": end}
    return {name: moment and moment.isoformat() for name, moment in moments.items()}
