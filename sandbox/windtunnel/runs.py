"""Runs: start one, watch it, and look at what it left."""

from __future__ import annotations

import difflib
import json
import re
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from windtunnel.api import Airflow, ConflictError, NotFoundError, not_found_means
from windtunnel.dagfiles import DagFile
from windtunnel.errors import WindtunnelError
from windtunnel.follow import follow
from windtunnel.moments import When, moment, text
from windtunnel.session import current
from windtunnel.views.gantt import Bar, Gantt
from windtunnel.views.graph import Graph, order
from windtunnel.views.log import Log
from windtunnel.views.states import FINISHED, telling
from windtunnel.views.table import Table
from windtunnel.xcoms import decoded

INDEXED = re.compile(r"(?P<task>.+)\[(?P<index>\d+)\]")


class Run:
    """One run of a DAG. Tasks are named as `table` names them; an instance of a mapped one is ``task[0]``."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str) -> None:
        self._airflow, self.dag_id, self.run_id = airflow, dag_id, run_id

    def __repr__(self) -> str:
        return f"Run of {self.dag_id}: watch() it, then states(), xcom(task), log(task), graph(), gantt()"

    def _record(self) -> Any:
        with not_found_means(
            f"That run of {self.dag_id} is gone.", f'start another: trigger("{self.dag_id}").'
        ):
            return self._airflow.run(self.dag_id, self.run_id)

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._record().state.value)

    @cached_property
    def logical_date(self) -> datetime | None:
        """The run's logical date; None for a run that has none."""
        found: datetime | None = self._record().logical_date
        return found

    @property
    def run_type(self) -> str:
        """Who made it: ``scheduled``, ``manual``, ``backfill`` … A backfill that does a run again takes it over."""
        return str(self._record().run_type.value)

    @cached_property
    def _shape(self) -> tuple[list[str], list[tuple[str, str]]]:
        """Tasks and edges of the DAG; asked for once, since watching asks for states many times."""
        tasks = self._airflow.tasks(self.dag_id)
        edges = [(task.task_id, down) for task in tasks for down in task.downstream_task_ids or []]
        return sorted(task.task_id for task in tasks), sorted(edges)

    def _instances(self) -> list[Any]:
        """Task instances, upstream first, mapped ones by index."""
        instances = self._airflow.task_instances(self.dag_id, self.run_id)
        rank = {task: place for place, task in enumerate(order(*self._shape))}
        last = len(rank)  # tasks of an older version of the DAG
        return sorted(instances, key=lambda i: (rank.get(i.task_id, last), i.task_id, i.map_index))

    def states(self) -> dict[str, str]:
        """State of every task instance, upstream first."""
        return {_name(instance): _state(instance) for instance in self._instances()}

    def tries(self) -> dict[str, int]:
        """How often each task instance was tried, upstream first; one that waits to start counts that try already."""
        return {_name(instance): instance.try_number for instance in self._instances()}

    def table(self) -> Table:
        """Tasks, states and tries: the same text whenever the same thing happened."""
        rows = [[_name(i), _state(i), str(i.try_number)] for i in self._instances()]
        record = self._record()
        title = f"{self.dag_id}: {record.state.value}"
        if not rows and record.state.value in FINISHED:
            # Airflow makes no task instance for a date before the tasks' start_date, and calls that a success.
            title += ", but no task ran: is the logical date before the DAG's start_date?"
        return Table(title, ["task", "state", "tries"], rows)

    def watch(self, timeout: float = 300) -> None:
        """Follow the run until it ends, then show its table. ``timeout`` in seconds.

        Raises WindtunnelError when time is up and for Ctrl-C; the run itself goes on.
        """
        follow(
            self._airflow,
            f"run of {self.dag_id}",
            ended=lambda: self.state in FINISHED,
            states=self.states,
            table=self.table,
            timeout=timeout,
        )

    def clear(self, *tasks: str) -> None:
        """Run ``tasks`` again, and what depends on them; without names, the failed ones.

        What succeeded before them is not run again. Raises WindtunnelError when there is nothing to clear.
        """
        named = list(dict.fromkeys(self._find(task)[0].task_id for task in tasks))
        if not self._airflow.clear(self.dag_id, self.run_id, named):
            raise WindtunnelError(
                f"Nothing in this run of {self.dag_id} has failed, so nothing was cleared.",
                'name what should run again: run.clear("task").',
            )

    def xcom(self, task: str, key: str = "return_value") -> Any:
        """What ``task`` pushed; for a mapped task, a list of what its instances pushed.

        Raises WindtunnelError, naming the tasks, when there is nothing.
        """
        found = self._find(task)
        values = [self._value(instance, key) for instance in found]
        return values if found[0].map_index >= 0 and task == found[0].task_id else values[0]

    def _value(self, instance: Any, key: str) -> Any:
        name, state = _name(instance), _state(instance)
        with not_found_means(
            f"{name} pushed nothing under the key {key!r} in this run; its state is {state}.",
            "a task pushes what it returns, unless that is None."
            if state == "success"
            else "only a task that succeeds pushes what it returns; log(task) tells more.",
        ):
            return decoded(
                self._airflow.xcom(self.dag_id, self.run_id, instance.task_id, key, instance.map_index)
            )

    def log(self, task: str, try_number: int | None = None) -> Log:
        """The log of one try of ``task``, the last one if none is named.

        Raises WindtunnelError, naming what there is, when there is no such log.
        """
        found = self._find(task)
        if len(found) > 1:
            names = ", ".join(_name(instance) for instance in found[:3])
            raise WindtunnelError(
                f"{task} is mapped: each of its {len(found)} instances has a log.", f"name one: {names} …"
            )
        instance = found[0]
        name, tries = _name(instance), instance.try_number
        if not instance.start_date or not tries:
            raise WindtunnelError(
                f"{name} has no log: it never started. Its state is {_state(instance)}.",
                "run.watch() waits for it; run.states() shows what happened to the tasks before it.",
            )
        if try_number is not None and not 1 <= try_number <= tries:
            raise WindtunnelError(
                f"{name} has no try {try_number}: it was tried {'once' if tries == 1 else f'{tries} times'}.",
                "leave the number out for the last try.",
            )
        with not_found_means(f"The log of {name} is gone.", f'start another run: trigger("{self.dag_id}").'):
            events = self._airflow.log(
                self.dag_id, self.run_id, instance.task_id, try_number or tries, instance.map_index
            )
        return Log(name, events, *self._file(), current().without_paths)

    def _file(self) -> tuple[str, int]:
        """The DAG's file, and the line of the cell in which it begins."""
        relative = self._airflow.dag(self.dag_id).relative_fileloc or ""
        folder = current().dags
        return relative, DagFile(folder.parent / relative).first_line() if folder else 1

    def graph(self) -> Graph:
        """The DAG's picture, coloured by this run's states."""
        tasks, edges = self._shape
        instances = self._instances()
        mine = {task: [_state(i) for i in instances if i.task_id == task] for task in tasks}
        mapped = {i.task_id for i in instances if i.map_index >= 0}
        return Graph(
            self.dag_id,
            tasks,
            edges,
            {task: telling(states) for task, states in mine.items() if states},
            note=f"run: {self.state}",
            copies={task: len(mine[task]) for task in tasks if task in mapped},
        )

    def gantt(self) -> Gantt:
        """When each task waited and ran; of a task that was retried, its last try."""
        record = self._record()
        zero, now = record.queued_at or record.start_date or record.run_after, datetime.now(UTC)

        def since(when: datetime) -> float:
            return max(float((when - zero).total_seconds()), 0.0)

        bars = [
            Bar(
                _name(i),
                _state(i),
                since(i.queued_when or i.start_date),
                since(i.start_date),
                since(i.end_date or max(now, i.start_date)),
            )
            for i in self._instances()
            if i.start_date and i.try_number  # Airflow gives skipped ones a date, too
        ]
        return Gantt(f"{self.dag_id}: {record.state.value}", bars)

    def _find(self, task: str) -> list[Any]:
        """The instances of a task, or the one that ``task[index]`` names."""
        instances = self._instances()
        found = [i for i in instances if task in (i.task_id, _name(i))]
        if found:
            return found
        indexed = INDEXED.fullmatch(task)
        family = [_name(i) for i in instances if indexed and i.task_id == indexed["task"]]
        tasks = family or list(dict.fromkeys(i.task_id for i in instances))
        raise WindtunnelError(
            f"This run of {self.dag_id} has no task {task!r}.{'' if family else did_you_mean(task, tasks)}",
            f"it has: {', '.join(tasks)}." if tasks else "no task ran in it; run.table() tells why.",
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
    when = None if logical_date is None else moment(logical_date)
    must_be_json(conf)
    airflow = current().airflow
    activate(airflow, find_dag(airflow, dag_id), unpause, f'trigger("{dag_id}", unpause=True)')
    try:
        return Run(airflow, dag_id, airflow.trigger(dag_id, conf, when))
    except ConflictError as error:
        raise WindtunnelError(
            f"{dag_id} already has a run with the logical date {text(when)} UTC."
            if when
            else f"{dag_id} cannot start this run: {error.message}",
            "a date can be run once: take another one, or none.",
        ) from error


def runs(dag_id: str) -> list[Run]:
    """All runs of a DAG, oldest first. Raises WindtunnelError for an unknown DAG."""
    airflow = current().airflow
    find_dag(airflow, dag_id)
    return [Run(airflow, dag_id, record.dag_run_id) for record in airflow.runs(dag_id)]


def pause(dag_id: str) -> None:
    """Switch a DAG off: no run of it starts."""
    find_dag(current().airflow, dag_id)
    current().airflow.pause(dag_id, True)


def unpause(dag_id: str) -> None:
    """Switch a DAG on: from now on its schedule counts."""
    find_dag(current().airflow, dag_id)
    current().airflow.pause(dag_id, False)


def find_dag(airflow: Airflow, dag_id: str) -> Any:
    """The DAG's record. Raises WindtunnelError, naming what there is, when there is none."""
    try:
        record = airflow.dag(dag_id)
    except NotFoundError as error:
        known = sorted(dag.dag_id for dag in airflow.dags(exclude_stale=False))
        here = f"DAGs here: {', '.join(known)}" if known else "no DAG was saved yet; a %%dag cell does that."
        raise WindtunnelError(f"There is no DAG {dag_id!r}.{did_you_mean(dag_id, known)}", here) from error
    if record.has_import_errors:
        raise WindtunnelError(
            f"The file of {dag_id} cannot be parsed now; Airflow runs nothing of it until it can.",
            "mend its %%dag cell and run that first.",
        )
    if record.is_stale:
        raise WindtunnelError(
            f"The file that defined {dag_id!r} is gone, or defines it no more.", "run its %%dag cell again."
        )
    return record


def activate(airflow: Airflow, record: Any, unpause: bool, how: str) -> None:
    """Switch a paused DAG on if ``unpause``; otherwise raise WindtunnelError, which says ``how``."""
    if not record.is_paused:
        return
    if not unpause:
        raise WindtunnelError(
            f"{record.dag_id} is paused, as every new DAG is: a run would stay queued.",
            f'{how}, or unpause("{record.dag_id}") first.',
        )
    airflow.pause(record.dag_id, False)


def must_be_json(conf: object, name: str = "conf") -> None:
    """Raise WindtunnelError for a ``conf``, or what else ``name`` is, that Airflow cannot store."""
    try:
        if conf is None or (isinstance(conf, dict) and json.dumps(conf, allow_nan=False)):
            return
        problem = f"it is a {type(conf).__name__}"
    except (TypeError, ValueError) as error:
        problem = str(error)
    raise WindtunnelError(
        f"{name} must be a dict of JSON values: {problem}.",
        f'for example {name}={{"day": "2026-03-01", "limit": 10}}.',
    )


def did_you_mean(name: str, known: list[str]) -> str:
    """A suggestion, with a space before it, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _name(instance: Any) -> str:
    return instance.task_id if instance.map_index < 0 else f"{instance.task_id}[{instance.map_index}]"


def _state(instance: Any) -> str:
    return str(instance.state.value) if instance.state else "none"
