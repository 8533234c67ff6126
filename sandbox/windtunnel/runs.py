"""Runs: start one, watch it, and look at what it left."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from windtunnel.api import Airflow, NotFoundError, not_found_means
from windtunnel.errors import WindtunnelError
from windtunnel.live import live_view
from windtunnel.session import current
from windtunnel.views.gantt import Bar, Gantt
from windtunnel.views.graph import Graph, order
from windtunnel.views.log import Log
from windtunnel.views.states import FINISHED
from windtunnel.views.table import Table

When = str | date | datetime
POLL = 0.1  # seconds


def moment(when: When) -> datetime:
    """A point in time from a datetime, a date or ISO text; UTC where no zone is given.

    Raises WindtunnelError for text that is not a date.
    """
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError as error:
            raise WindtunnelError(
                f"{when!r} is not a date.", 'write it as "2026-03-01" or "2026-03-01T06:00+01:00".'
            ) from error
    elif not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


class Run:
    """One run of a DAG."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str) -> None:
        self._airflow, self.dag_id, self.run_id = airflow, dag_id, run_id

    def __repr__(self) -> str:
        return f"Run of {self.dag_id}: {self.state}"

    def _record(self) -> Any:
        with not_found_means(
            f"The run {self.run_id} of {self.dag_id} is gone.", "start another: trigger(…)."
        ):
            return self._airflow.run(self.dag_id, self.run_id)

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._record().state.value)

    @property
    def logical_date(self) -> datetime | None:
        """The run's logical date; None for a run that has none."""
        found: datetime | None = self._record().logical_date
        return found

    def _instances(self) -> list[Any]:
        """Task instances, upstream first, mapped ones by index."""
        instances = self._airflow.task_instances(self.dag_id, self.run_id)
        tasks, edges = _shape(self._airflow, self.dag_id)
        known = {instance.task_id for instance in instances}
        rank = {task: place for place, task in enumerate(order(tasks, edges))}
        for task in sorted(known - set(rank)):  # tasks of an older version of the DAG
            rank[task] = len(rank)
        return sorted(instances, key=lambda i: (rank[i.task_id], i.map_index))

    def states(self) -> dict[str, str]:
        """State of every task instance, upstream first. A mapped one is named ``task[index]``."""
        return {_name(instance): _state(instance) for instance in self._instances()}

    def tries(self) -> dict[str, int]:
        """How often each task instance was tried, upstream first; 0 for one that never started."""
        return {_name(instance): instance.try_number for instance in self._instances()}

    def table(self) -> Table:
        """Tasks, states and tries: the same text whenever the same thing happened."""
        rows = [[_name(i), _state(i), str(i.try_number)] for i in self._instances()]
        return Table(f"{self.dag_id}: {self.state}", ["task", "state", "tries"], rows)

    def watch(self, timeout: float = 300) -> Table:
        """Follow the run until it ends, then show its table. ``timeout`` in seconds.

        Raises WindtunnelError when time is up; the run itself goes on.
        """
        return follow(
            f"run of {self.dag_id}",
            lambda: {name: state for name, state in self.states().items()},
            lambda: self.state in ("success", "failed"),
            self.table,
            timeout,
        )

    def clear(self, *tasks: str) -> None:
        """Run ``tasks`` again, and what depends on them; without names, the failed ones.

        What succeeded before them is not run again. Raises WindtunnelError when there is nothing to clear.
        """
        for task in tasks:
            self._must_have(task)
        cleared = self._airflow.clear(self.dag_id, self.run_id, list(tasks))
        if not cleared:
            raise WindtunnelError(
                f"Nothing in this run of {self.dag_id} has failed, so nothing was cleared.",
                'name what should run again: run.clear("task").',
            )

    def xcom(self, task: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What ``task`` pushed. Raises WindtunnelError, naming the tasks, when there is nothing."""
        self._must_have(task)
        with not_found_means(
            f"{task} pushed nothing under the key {key!r} in this run (its state: {self._state_of(task)}).",
            "run.states() shows which tasks succeeded; only those that return something push an XCom.",
        ):
            return self._airflow.xcom(self.dag_id, self.run_id, task, key, map_index)

    def log(self, task: str, try_number: int | None = None, map_index: int = -1) -> Log:
        """The log of one try, the last one if none is named."""
        self._must_have(task)
        tries = next(i.try_number for i in self._instances() if (i.task_id, i.map_index) == (task, map_index))
        number = try_number or tries
        with not_found_means(
            f"{task} has no log for try {number} in this run; it was tried {tries} times.", "run.table()"
        ):
            return Log(task, self._airflow.log(self.dag_id, self.run_id, task, number, map_index))

    def graph(self) -> Graph:
        """The DAG's picture, coloured by this run's states."""
        tasks, edges = _shape(self._airflow, self.dag_id)
        found = {task: state for task, state in self.states().items() if task in tasks}
        return Graph(self.dag_id, tasks, edges, found, note=f"run: {self.state}")

    def gantt(self) -> Gantt:
        """When each task waited and ran."""
        record = self._record()
        zero = record.queued_at or record.start_date
        now = datetime.now(UTC)

        def since(when: datetime | None, otherwise: datetime) -> float:
            return max(float(((when or otherwise) - zero).total_seconds()), 0.0)

        bars = [
            Bar(
                _name(i),
                _state(i),
                since(i.queued_when, i.start_date),
                since(i.start_date, now),
                since(i.end_date, now),
            )
            for i in self._instances()
            if i.start_date
        ]
        return Gantt(f"{self.dag_id}: {self.state}", bars)

    def _must_have(self, task: str) -> None:
        tasks = sorted(
            {instance.task_id for instance in self._airflow.task_instances(self.dag_id, self.run_id)}
        )
        if task not in tasks:
            raise WindtunnelError(
                f"This run of {self.dag_id} has no task {task!r}.{_did_you_mean(task, tasks)}",
                f"its tasks are: {', '.join(tasks)}",
            )

    def _state_of(self, task: str) -> str:
        return next((s for name, s in self.states().items() if name.split("[")[0] == task), "none")


class Backfill:
    """Runs made for a range of past dates."""

    def __init__(self, airflow: Airflow, dag_id: str, backfill_id: int) -> None:
        self._airflow, self.dag_id, self.id = airflow, dag_id, backfill_id

    def __repr__(self) -> str:
        return f"Backfill of {self.dag_id}: {len(self.runs())} runs"

    def runs(self) -> list[Run]:
        """Its runs, by logical date."""
        records = self._airflow.runs(self.dag_id, run_type=["backfill"])
        mine = [record for record in records if record.dag_run_id in self._run_ids()]
        mine.sort(key=lambda record: record.logical_date or record.run_after)
        return [Run(self._airflow, self.dag_id, record.dag_run_id) for record in mine]

    def _run_ids(self) -> set[str]:
        record = self._airflow.backfill_record(self.id)
        first, last = record.from_date, record.to_date
        return {
            run.dag_run_id
            for run in self._airflow.runs(self.dag_id, run_type=["backfill"])
            if first <= (run.logical_date or run.run_after) <= last
        }

    def states(self) -> dict[str, str]:
        """State of each run by logical date (ISO, UTC)."""
        return {_date_of(run): run.state for run in self.runs()}

    def table(self) -> Table:
        """Dates and states."""
        rows = [[when, state] for when, state in self.states().items()]
        return Table(f"{self.dag_id}: backfill of {len(rows)} runs", ["logical date", "state"], rows)

    def watch(self, timeout: float = 600) -> Table:
        """Follow it until every run has ended, then show its table. ``timeout`` in seconds."""
        return follow(
            f"backfill of {self.dag_id}",
            self.states,
            lambda: (
                self._airflow.backfill_record(self.id).completed_at is not None or _all_ended(self.states())
            ),
            self.table,
            timeout,
        )


def trigger(
    dag_id: str,
    *,
    conf: dict[str, Any] | None = None,
    logical_date: When | None = None,
    unpause: bool = False,
) -> Run:
    """Start a manual run, without a logical date unless one is given.

    ``unpause=True`` first switches a paused DAG on. Raises WindtunnelError for a DAG that is unknown, paused,
    or already has a run with that logical date.
    """
    airflow = current().airflow
    record = _find(airflow, dag_id)
    if record.is_paused and not unpause:
        raise WindtunnelError(
            f"{dag_id} is paused, as every new DAG is: a run would stay queued.",
            f'trigger("{dag_id}", unpause=True), or unpause("{dag_id}") first.',
        )
    if record.is_paused:
        airflow.pause(dag_id, False)
    return Run(airflow, dag_id, airflow.trigger(dag_id, conf, moment(logical_date) if logical_date else None))


def backfill(
    dag_id: str,
    start: When,
    end: When,
    *,
    max_active_runs: int = 4,
    reprocess: str = "none",
    run_backwards: bool = False,
    conf: dict[str, Any] | None = None,
    unpause: bool = False,
) -> Backfill:
    """Make the runs that the schedule has between two moments, both included.

    ``reprocess``: which existing runs to do again: ``none``, ``failed`` or ``completed``. Raises
    WindtunnelError for a DAG that is unknown, paused or has no schedule, and for an end before the start.
    """
    airflow = current().airflow
    record = _find(airflow, dag_id)
    if record.is_paused and not unpause:
        raise WindtunnelError(
            f"{dag_id} is paused: the runs of a backfill would stay queued.",
            f'backfill("{dag_id}", …, unpause=True), or unpause("{dag_id}") first.',
        )
    first, last = moment(start), moment(end)
    if (isinstance(end, str) and len(end) == 10) or type(end) is date:
        last += timedelta(days=1, microseconds=-1)  # a whole day is meant, as people mean it
    if last < first:
        raise WindtunnelError(
            f"The backfill would end ({end}) before it starts ({start}).", "swap the dates."
        )
    if record.is_paused:
        airflow.pause(dag_id, False)
    options = {
        "max_active_runs": max_active_runs,
        "reprocess_behavior": reprocess,
        "run_backwards": run_backwards,
        "dag_run_conf": conf or {},
    }
    return Backfill(airflow, dag_id, airflow.backfill(dag_id, first, last, **options))


def runs(dag_id: str) -> list[Run]:
    """All runs of a DAG, oldest first. Raises WindtunnelError for an unknown DAG."""
    airflow = current().airflow
    _find(airflow, dag_id)
    return [Run(airflow, dag_id, record.dag_run_id) for record in airflow.runs(dag_id)]


def pause(dag_id: str) -> None:
    """Switch a DAG off: no run of it starts."""
    _find(current().airflow, dag_id)
    current().airflow.pause(dag_id, True)


def unpause(dag_id: str) -> None:
    """Switch a DAG on: from now on its schedule counts."""
    _find(current().airflow, dag_id)
    current().airflow.pause(dag_id, False)


def follow(
    what: str,
    states: Callable[[], dict[str, str]],
    ended: Callable[[], bool],
    table: Callable[[], Table],
    timeout: float,
) -> Table:
    """Show ``states`` live until ``ended``, then return ``table``. Ctrl-C stops looking, not the run."""
    deadline = time.monotonic() + timeout
    with live_view(what) as view:
        while not ended():
            view.show(states())
            if time.monotonic() > deadline:
                raise WindtunnelError(
                    f"The {what} had not ended after {timeout:.0f} s: {_summary(states())}.",
                    "watch() again to wait longer; log(task) of a running task tells what it does.",
                )
            time.sleep(POLL)
        return table()


def _find(airflow: Airflow, dag_id: str) -> Any:
    try:
        return airflow.dag(dag_id)
    except NotFoundError as error:
        known = sorted(dag.dag_id for dag in airflow.dags())
        here = (
            f"DAGs here: {', '.join(known)}"
            if known
            else "no DAG has been saved yet; a %%dag cell does that."
        )
        raise WindtunnelError(f"There is no DAG {dag_id!r}.{_did_you_mean(dag_id, known)}", here) from error


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _shape(airflow: Airflow, dag_id: str) -> tuple[list[str], list[tuple[str, str]]]:
    tasks = airflow.tasks(dag_id)
    names = sorted(task.task_id for task in tasks)
    edges = [(task.task_id, down) for task in tasks for down in task.downstream_task_ids or []]
    return names, sorted(edges)


def _name(instance: Any) -> str:
    return instance.task_id if instance.map_index < 0 else f"{instance.task_id}[{instance.map_index}]"


def _state(instance: Any) -> str:
    return str(instance.state.value) if instance.state else "none"


def _date_of(run: Run) -> str:
    when = run.logical_date
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if when else "none"


def _all_ended(states: dict[str, str]) -> bool:
    return bool(states) and set(states.values()) <= FINISHED


def _summary(states: dict[str, str]) -> str:
    counts: dict[str, int] = {}
    for state in states.values():
        counts[state] = counts.get(state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no task yet"
