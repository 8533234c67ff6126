"""A small scheduler: it runs an answer's DAG for given cases, each task in a process of its own, and tells.

What decides is Airflow's own: the serialized DAG, ``DagRun.update_state``, the supervisor of a task and the API
it talks to. What differs from a sandbox: one run at a time, and nobody waits. A task that is to be tried
again, or looked after again, is so at once; one that looks again has as much less patience left.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from windtunnel.engine import learner, limits, memory, updates
from windtunnel.engine.collect import collected, xcoms
from windtunnel.engine.jail import Jail
from windtunnel.engine.logs import Log, one_line
from windtunnel.engine.planned import planned
from windtunnel.engine.worker import Worker

HOUR = 6  # runs are made for this hour (UTC) of their date
PAUSE = 0.05  # seconds between looks when nothing is under way: a sensor that is rescheduled


@dataclass
class Place:
    """Where one question is answered: the folders, and what locks the answer in."""

    answer: Path  # in the DAG folder
    data: Path  # what the answer sees as WINDTUNNEL_DATA
    cell: Jail
    environment: Mapping[str, str]
    seconds: float = limits.TIME


class Workers:
    """Who runs the tasks of a bench: one worker for all, or, when several run side by side, one for each."""

    def __init__(self, cell: Jail) -> None:
        self._cell = cell
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []

    def one(self) -> Worker:
        """A worker without a task."""
        while self._idle:
            worker = self._idle.pop()
            if worker.usable:
                break
            worker.end()
        else:
            worker = Worker(self._cell)
        self._busy.append(worker)
        return worker

    def free(self, worker: Worker, *, again: bool) -> None:
        """Its task has ended. ``again``: it may run another one."""
        self._busy.remove(worker)
        if again and worker.usable:
            self._idle.append(worker)
        else:
            worker.end()

    def end_busy(self) -> None:
        """End those whose task has not ended."""
        for worker in self._busy:
            worker.end()
        self._busy = []

    def idle(self) -> set[int]:
        """The process ids of those without a task."""
        return {worker.pid for worker in self._idle}


@dataclass
class Watched:
    """What happened to the tasks of one run so far."""

    logs: dict[str, Log] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    waits: dict[str, list[float]] = field(default_factory=dict)  # without a worker, seconds each


def parse(place: Place) -> dict[str, Any]:
    """``{"dags": {dag_id: shape}, "error": text}``, with the DAGs now in the database. Raises Stopped."""
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.models.dag import DagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from sqlalchemy import update

    found = _returned(
        learner.ask(
            lambda: learner.parsed(place.answer),
            place.cell,
            place.environment,
            "importing your file",
            place.seconds,
        ),
        place.answer.name,
    )
    try:
        if found["error"] or not found["dags"]:
            return {"dags": {}, "error": one_line(str(found["error"] or ""))}
        for data in found["dags"]:  # Airflow reads the file that this names, whatever it is
            data["dag"] |= {"fileloc": str(place.answer), "relative_fileloc": place.answer.name}
        dags = [LazyDeserializedDAG(data=data) for data in found["dags"]]
        shapes = {dag.dag_id: shape(_scheduled(dag.data)) for dag in dags}
        session: Any = _session()
        refused: dict[tuple[str, str], str] = {}  # for reasons that only show when it is stored
        update_dag_parsing_results_in_db("dags-folder", None, dags, refused, None, set(), session)
        if refused:
            raise ValueError(next(iter(refused.values())).strip().splitlines()[-1])
        session.execute(update(DagModel).values(is_paused=False))  # a paused one misses updates of its assets
        session.commit()
    except Exception as error:  # what a learner process reports may be anything
        return {
            "dags": {},
            "error": one_line(f"Airflow's scheduler cannot read your DAG: {type(error).__name__}: {error}"),
        }
    return {"dags": dict(sorted(shapes.items())), "error": ""}


def shape(dag: Any) -> dict[str, Any]:
    """A serialized DAG's structure; see ``evidence.Dag``."""
    timetable = dag.timetable
    scheduled = timetable.can_be_scheduled
    return {
        "schedule": getattr(timetable, "_expression", None) or (timetable.summary if scheduled else None),
        "catchup": bool(dag.catchup),
        "start_date": dag.start_date.isoformat() if dag.start_date else None,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags or ()),
        "assets": timetable.asset_condition.as_expression(),
        "tasks": {
            task.task_id: {
                "operator": task.task_type,
                "upstream": sorted(task.upstream_task_ids),
                "retries": int(task.retries or 0),
                "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
                "pool": task.pool,
                "pool_slots": task.pool_slots,
                "outlets": updates.outlets(task),
            }
            for task in dag.task_dict.values()
        },
    }


def run(place: Place, api: Any, dag_id: str, case: Mapping[str, Any], workers: Workers) -> dict[str, Any]:
    """One run, and what it left; see ``evidence.Run``. Raises Stopped when it takes too long."""
    session = _session()
    dag = _stored(dag_id, session)
    for task in dag.task_dict.values():
        at_once = {"retry_delay": timedelta(0), "retry_exponential_backoff": 0, "max_retry_delay": None}
        if task.is_mapped:
            task.partial_kwargs.update(at_once)
        else:
            vars(task).update(at_once)
    _make_pools(case.get("pools") or {}, session)
    made = _create(dag, case, session)
    made.dag = dag
    watched = Watched()
    try:
        _to_the_end(made, place, int(case.get("parallel") or 1), workers, api, session, watched)
    finally:
        workers.end_busy()
    session.expire_all()
    instances = made.get_task_instances(session=session)
    return {
        "state": str(made.state),
        "tasks": {_named(ti): str(ti.state) for ti in instances},
        "xcoms": xcoms(dag_id, made.run_id, session),
        "errors": {
            _named(ti): watched.logs[_named(ti)].error(place.answer)
            for ti in instances
            if ti.state == "failed" and _named(ti) in watched.logs
        },
        "logs": {name: log.lines() for name, log in watched.logs.items()},
        "tries": watched.tries,
        "order": watched.order,
        "spans": watched.spans,
        "waits": watched.waits,
        "updated": updates.updated(made.run_id, session),
        "due": updates.due(session),
        **collected(place.data),
    }


def plan(place: Place, dag_id: str, first: str, last: str) -> Any:
    """The runs that Airflow would make between two moments; see ``planned``. Raises Stopped when it cannot tell."""
    dag = _stored(dag_id, _session())
    # No code of the answer's, and yet locked in: a timetable may look for its next run for ever.
    between = datetime.fromisoformat(first), datetime.fromisoformat(last)
    asked = learner.ask(
        lambda: planned(dag, *between),
        place.cell,
        place.environment,
        f"asking when {dag_id} runs",
        place.seconds,
    )
    if "raised" in asked:  # no reason to give up on the answer: its other DAGs may have better ones
        return {"runs": [], "problem": f"Airflow cannot tell when {dag_id} runs: {asked['raised']}."}
    return _returned(asked, place.answer.name)


def ready(dag_id: str, assets: Sequence[str]) -> bool:
    """Whether the DAG would run once these assets have been updated."""
    session = _session()
    return updates.ready(_stored(dag_id, session), assets, session)


def _stored(dag_id: str, session: Any) -> Any:
    from airflow.models.serialized_dag import SerializedDagModel

    stored = SerializedDagModel.get(dag_id, session=session)
    assert stored is not None
    return stored.dag


def _session() -> Any:
    from airflow import settings

    assert settings.Session is not None
    return settings.Session()


def _make_pools(pools: Mapping[str, int], session: Any) -> None:
    """These, and none that an earlier run had."""
    from airflow.models.pool import Pool
    from sqlalchemy import delete

    session.execute(delete(Pool).where(Pool.pool != Pool.DEFAULT_POOL_NAME))
    session.add_all(
        Pool(pool=name, slots=slots, description="", include_deferred=False) for name, slots in pools.items()
    )
    session.flush()


def _create(dag: Any, case: Mapping[str, Any], session: Any) -> Any:
    """The DagRun of a case. One of the same logical date makes way for it."""
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DagRunState
    from airflow.timetables.base import DataInterval
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from pendulum import instance
    from sqlalchemy import select

    given = datetime.fromisoformat(case["date"])
    moment = instance(given if len(case["date"]) > 10 else given.replace(hour=HOUR), tz="UTC")
    by_assets = bool(case.get("assets"))
    by = DagRunTriggeredByType.ASSET if by_assets else DagRunTriggeredByType.TEST
    logical = None if case.get("manual") or by_assets else moment
    for old in session.scalars(
        select(DagRun).where(DagRun.dag_id == dag.dag_id, DagRun.logical_date == logical)
    ):
        session.delete(old)
    session.flush()
    interval = None
    if case.get("interval"):
        interval = DataInterval(
            *(instance(datetime.fromisoformat(end), tz="UTC") for end in case["interval"])
        )
    elif logical is not None:
        interval = dag.timetable.infer_manual_data_interval(run_after=logical)
    made = dag.create_dagrun(
        run_id=f"check__{moment.isoformat()}__{time.monotonic_ns()}",
        logical_date=logical,
        data_interval=interval,
        run_after=moment,
        run_type=DagRunType.ASSET_TRIGGERED if by_assets else DagRunType.MANUAL,
        triggered_by=by,
        triggering_user_name="windtunnel",
        conf=dict(case.get("conf") or {}),
        state=DagRunState.RUNNING,
        start_date=datetime.now(UTC),
        session=session,
    )
    if by_assets:
        updates.consume(made, case["assets"], session)
    session.commit()
    return made


def _to_the_end(
    made: Any, place: Place, parallel: int, workers: Workers, api: Any, session: Any, watched: Watched
) -> None:
    """Run every task of a run, as its dependencies, pools and limits allow."""
    from airflow.sdk import DagRunState

    doing = f"the run for {made.run_after:%Y-%m-%d}"
    deadline = time.monotonic() + place.seconds
    selector = selectors.DefaultSelector()
    watch = memory.Watch()
    live: dict[Any, Any] = {}
    before: set[Any] = set()
    try:
        while True:
            session.expire_all()
            ready, _ = made.update_state(session=session, execute_callbacks=False)
            if made.state != DagRunState.RUNNING and not live:
                return
            made.schedule_tis(ready, session=session)
            session.commit()
            session.expire_all()
            all_of_them = made.get_task_instances(session=session)
            for ti in _startable(all_of_them, made, live, parallel, session):
                live[ti.id] = _started(ti, workers.one(), place.environment, api, selector, session, watched)
            if live:
                for process in _until_some_end(live, selector, deadline, doing, watch):
                    watched.spans.append(process.span())
                    workers.free(process.worker, again=parallel == 1)
            else:
                now = {(ti.id, ti.state) for ti in all_of_them}
                patient = [ti for ti in all_of_them if ti.state in _PATIENT]
                if now == before and not patient:
                    return  # nothing will ever happen: a pool that does not exist, say
                if now == before:
                    time.sleep(PAUSE)
                before = now
                if not _nobody_waits(patient, place, session, watched):
                    return  # as far as anybody can tell: it looks again and again
            if time.monotonic() > deadline:
                raise learner.Stopped(f"Stopped: {doing} took more than {place.seconds:g} s.")
    finally:
        for process in live.values():
            process.end()
        selector.close()


_PATIENT = ("up_for_reschedule", "up_for_retry", "deferred")


def _nobody_waits(patient: list[Any], place: Place, session: Any, watched: Watched) -> bool:
    """What a sensor is to look at later, it looks at now; what a trigger waits for is waited for here.

    False when one of them has waited more often than anybody should see.
    """
    for ti in patient:
        waits = watched.waits.setdefault(_named(ti), []) if ti.state != "up_for_retry" else []
        if ti.state == "deferred":
            _wake(ti, place, session, waits)
        elif ti.state == "up_for_reschedule":
            waits.append(_bring_forward(ti, session))
    session.commit()
    return all(len(waits) < limits.LOOKS for waits in watched.waits.values())


def _bring_forward(ti: Any, session: Any) -> float:
    """Have a sensor's next look now, and its earlier ones earlier by as much. Returns that, in seconds."""
    from airflow.models.taskreschedule import TaskReschedule
    from sqlalchemy import select

    looks = session.scalars(
        select(TaskReschedule).where(TaskReschedule.ti_id == ti.id).order_by(TaskReschedule.id)
    ).all()
    early = max(looks[-1].reschedule_date - datetime.now(UTC), timedelta(0))
    wait = looks[-1].reschedule_date - looks[-1].end_date
    for look in looks:
        look.start_date -= early
        look.end_date -= early
        look.reschedule_date -= early
    return float(round(wait.total_seconds(), 1))


def _wake(ti: Any, place: Place, session: Any, waits: list[float]) -> None:
    """Have a deferred task resumed by its trigger's event, or failed because it did not come in time."""
    from airflow.models.trigger import (
        TRIGGER_FAIL_REPR,
        Trigger,
        TriggerFailureReason,
        handle_event_submit,
    )
    from airflow.sdk import TaskInstanceState
    from airflow.triggers.base import TriggerEvent

    trigger = session.get(Trigger, ti.trigger_id)
    classpath, arguments = trigger.classpath, trigger.encrypted_kwargs
    left = (ti.trigger_timeout - datetime.now(UTC)).total_seconds() if ti.trigger_timeout else None
    # The trigger's code may be the answer's own.
    reply = learner.ask(
        lambda: learner.event_of(classpath, arguments, left),
        place.cell,
        place.environment,
        f"waiting in {_named(ti)}",
        place.seconds,
    )
    found = _returned(reply, place.answer.name)
    try:
        waits += [float(wait) for wait in found["waits"]]
        came, timed_out, payload = found["came"], found["timed_out"], found["payload"]
    except (KeyError, TypeError, ValueError):  # the process may have been made to report anything
        raise learner.Stopped(f"The process ended in the middle of waiting in {_named(ti)}.") from None
    if came:
        event = TriggerEvent(payload)  # type: ignore[no-untyped-call]
        handle_event_submit(event, task_instance=ti, session=session)
    elif timed_out:  # as the scheduler does
        ti.state, ti.next_method = TaskInstanceState.SCHEDULED, TRIGGER_FAIL_REPR
        ti.next_kwargs = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
        ti.scheduled_dttm, ti.trigger_id = datetime.now(UTC), None


def _startable(
    instances: list[Any], made: Any, live: Mapping[Any, Any], parallel: int, session: Any
) -> list[Any]:
    """The scheduled task instances for which there is room, the most urgent first."""
    from airflow.models.pool import Pool
    from sqlalchemy import select

    room = min(parallel, made.dag.max_active_tasks) - len(live)
    scheduled = [ti for ti in instances if ti.state == "scheduled"]
    if room < 1 or not scheduled:
        return []
    free: dict[str, float] = {
        name: slots if slots >= 0 else float("inf")
        for name, slots in session.execute(select(Pool.pool, Pool.slots))
    }
    by_task: dict[str, int] = {}
    for process in live.values():
        free[process.pool] -= process.slots
        by_task[process.task_id] = by_task.get(process.task_id, 0) + 1
    chosen = []
    for ti in sorted(scheduled, key=lambda ti: (-ti.priority_weight, ti.task_id, ti.map_index)):
        task = made.dag.task_dict[ti.task_id]
        most = getattr(task, "max_active_tis_per_dag", None) or getattr(
            task, "max_active_tis_per_dagrun", None
        )
        full = most and by_task.get(ti.task_id, 0) >= most
        if room < 1 or free.get(ti.pool, 0) < ti.pool_slots or full:
            continue
        free[ti.pool] -= ti.pool_slots
        by_task[ti.task_id] = by_task.get(ti.task_id, 0) + 1
        room -= 1
        chosen.append(ti)
    return chosen


def _started(
    ti: Any,
    worker: Worker,
    environment: Mapping[str, str],
    api: Any,
    selector: Any,
    session: Any,
    watched: Watched,
) -> Any:
    """The task instance, running."""
    from airflow.sdk import TaskInstanceState

    from windtunnel.engine.task import Task

    name = _named(ti)
    ti.state, ti.queued_dttm = TaskInstanceState.QUEUED, datetime.now(UTC)
    session.commit()
    watched.order.append(name)
    watched.tries[name] = ti.try_number
    watched.logs[name] = log = Log()
    task = Task.on(worker, environment, name, ti, log, api, selector)
    session.commit()  # the API writes to the same database, over a connection of its own
    return task


def _until_some_end(
    live: dict[Any, Any], selector: Any, deadline: float, doing: str, watch: memory.Watch
) -> list[Any]:
    """Serve the running tasks until at least one has ended; returns those."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise learner.Stopped(f"Stopped: {doing} took too long; {_names(live)} had not ended.")
        try:
            watch.look()
        except memory.TooMuch as much:
            raise learner.Stopped(f"{much} ({_names(live)} was under way.)") from None
        for key, _ in selector.select(timeout=min(left, 0.02)):
            handler, on_close = key.data
            try:
                more = handler(key.fileobj)
            except (BrokenPipeError, ConnectionResetError):
                more = False
            if not more:
                on_close(key.fileobj)
                key.fileobj.close()
        ended = [key for key, process in live.items() if process.ended()]
        if ended:
            return [live.pop(key) for key in ended]


def _names(live: Mapping[Any, Any]) -> str:
    return ", ".join(sorted(process.name for process in live.values()))


def _named(ti: Any) -> str:
    """A task instance's name: its task, with the index when mapped."""
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def _scheduled(data: dict[str, Any]) -> Any:
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(data)


def _returned(reply: dict[str, Any], name: str) -> Any:
    """What a learner process returned; Stopped, with the answer's line, when its code raised."""
    if "raised" in reply:
        place = f" (line {reply['line']} of {name})" if reply.get("line") else ""
        raise learner.Stopped(f"{reply['raised']}{place}")
    return reply["returned"]


def call(place: Place, function: str, arguments: Sequence[Any]) -> Any:
    """What the answer's function returns. Raises Stopped with what it raised."""
    reply = learner.ask(
        lambda: learner.called(place.answer, function, list(arguments)),
        place.cell,
        place.environment,
        f"{function}(…)",
        place.seconds,
    )
    return _returned(reply, place.answer.name)
