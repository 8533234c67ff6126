"""A process of a dated sandbox that looks, with Airflow's own models, at what is going on and what comes next.

It answers `Look`s on a loopback port, to whoever knows the sandbox's secret. It changes nothing but, on
request, asks the DAG processor to parse the files of paused DAGs again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, NamedTuple

from windtunnel.clockwork.hands import BEGAN, LOOPS, TOLD, Hands, moment_of
from windtunnel.whole import put

ADDRESS = "address.json"

# What changes when anything happens that could make something else happen.
_FINGERPRINT = """
select
  (select string_agg(concat_ws(':', state, run_type, number), ',' order by state, run_type) from
    (select state, run_type, count(*) as number from dag_run group by 1, 2) as runs),
  (select string_agg(concat_ws(':', state, number, tries), ',' order by state) from
    (select state, count(*) as number, sum(try_number) as tries from task_instance group by 1) as tasks),
  (select concat_ws(':', count(*), max(next_dagrun_create_after), sum(is_paused::int),
    sum(exceeds_max_non_backfill::int)) from dag),
  (select count(*) from asset_event), (select count(*) from asset_dag_run_queue),
  (select count(*) from asset_partition_dag_run where created_dag_run_id is null),
  (select count(*) from task_reschedule), (select count(*) from trigger),
  (select count(*) from deadline where not missed),
  (select string_agg(concat_ws(':', state, number), ',' order by state) from
    (select state, count(*) as number from callback group by 1) as callbacks)
"""


# Runs that wait for nothing: the scheduler has yet to see what they can do, or somebody keeps their row locked.
_RUNS_THAT_CAN_GO_ON = """
select run.dag_id from dag_run as run join dag using (dag_id)
where not dag.is_paused and (
  (run.state = 'running' and not exists (
    select from task_instance as task where (task.dag_id, task.run_id) = (run.dag_id, run.run_id) and task.state in
      ('scheduled', 'queued', 'running', 'up_for_retry', 'up_for_reschedule', 'deferred', 'awaiting_input')))
  or (run.state = 'queued' and run.run_after <= now() and not exists (
    select from dag_run as other where other.dag_id = run.dag_id and other.state = 'running')))
"""
_LIMIT = 2000  # runs told of in one look
BEGINNING = (
    5.0  # seconds of real time in which a trigger that is to sleep has fallen asleep, on a busy machine too
)
STARVED = 10  # loops in which a task that could run found no slot


class Due(NamedTuple):
    """Something that has a date, and what happens then, in words."""

    when: datetime
    what: str


class Watcher:
    """Answers callers, one after the other. Times go as ISO text, in UTC."""

    def __init__(self, folder: Path) -> None:
        from airflow.models.dagbag import DBDagBag

        self.hands = Hands(folder / "hands", writable=True)
        self.sleepers = folder / "sleepers"
        self._bag = DBDagBag()
        self._seen: Any = None
        self._loops = 0
        self._first = 0
        self._tell_of: list[int] = []
        self._read: dict[str, str | None] = {}  # sleepers' records, as this look has found them

    # --- requests ----------------------------------------------------------------------------------
    def begin(self) -> dict[str, Any]:
        """From now on `look` tells of what schedules have made since the last `end`, and of what goes on now."""
        from airflow.models.dagrun import DagRun
        from sqlalchemy import or_, select

        with _snapshot() as session:  # else one that is made between the two questions is in neither answer
            made = DagRun.id > self.hands.get(TOLD)
            by_schedule = DagRun.run_type.in_(("scheduled", "asset_triggered", "asset_materialization"))
            going = DagRun.state.in_(("queued", "running"))
            self._tell_of = list(session.scalars(select(DagRun.id).where(or_(made & by_schedule, going))))
            self._first = self._newest(session)
        self._seen = None
        return {}

    def end(self) -> dict[str, Any]:
        """The runs there were: they will not be told of again."""
        with _snapshot() as session:
            self.hands.put(TOLD, self._newest(session))
            return {"runs": self._runs(session)}

    def _newest(self, session: Any) -> int:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import func, select

        return session.scalar(select(func.max(DagRun.id))) or 0

    def look(self, closely: bool) -> dict[str, Any]:
        """``quiet``: nothing will happen before ``next`` (None: ever), but by hand.

        Looked at ``closely``, also ``busy``, what goes on in words, and ``runs``. ``changes`` differs from the
        last time if anything has happened.
        """
        loops = self.hands.get(LOOPS)
        with _snapshot() as session:  # a task that ends between two questions would be seen by neither
            now = datetime.now(UTC)
            self._begin_look()
            found: dict[str, Any] = {"quiet": False, "next": None}
            settled = self._settled(session, loops)  # one query: the rest is for when it might be quiet
            if settled or closely:
                due = list(self._due(session))
                found["busy"] = list(self._busy(session, due, now))
                found["quiet"] = settled and not found["busy"]
                coming = min((each.when for each in due if each.when > now), default=None)
                found["next"] = coming.isoformat() if coming else None
            if closely:
                found["runs"] = self._runs(session)
            return found | {"changes": str(self._seen)}

    def next_of(self, dag_id: str) -> dict[str, Any]:
        """When the schedule of a DAG makes its next run; None for never."""
        from airflow.models.dag import DagModel

        with _session() as session:
            dag = session.get(DagModel, dag_id)
            when = dag.next_dagrun_create_after if dag else None
            return {"next": when.isoformat() if when else None}

    def parse_paused(self, folder: str) -> dict[str, Any]:
        """Have the files of paused DAGs below ``folder`` parsed, as happens twice a minute in real time; wait.

        While it is paused, only the parser moves a DAG's next run on.
        """
        from airflow.models.dag import DagModel
        from airflow.models.dagbag import DagPriorityParsingRequest
        from sqlalchemy import select

        asked = datetime.now(UTC)
        with _session() as session:
            paused = session.scalars(
                select(DagModel).where(
                    DagModel.is_paused,
                    ~DagModel.is_stale,
                    DagModel.next_dagrun_create_after <= asked,
                    ~DagModel.has_import_errors,
                    DagModel.relative_fileloc.startswith(f"{folder}/"),
                )
            ).all()
            files = {(dag.bundle_name, dag.relative_fileloc) for dag in paused if dag.relative_fileloc}
            ids = [dag.dag_id for dag in paused]
            for bundle, file in sorted(files):
                session.merge(DagPriorityParsingRequest(bundle_name=bundle, relative_fileloc=file))
        deadline = time.monotonic() + 30
        while ids and time.monotonic() < deadline:
            with _session() as session:
                old = select(DagModel.dag_id).where(
                    DagModel.dag_id.in_(ids), DagModel.last_parsed_time < asked
                )
                ids = list(session.scalars(old))
            time.sleep(0.05)
        return {"unparsed": ids}

    # --- is it quiet -------------------------------------------------------------------------------
    def _settled(self, session: Any, loops: int) -> bool:
        """Whether the scheduler has gone through a whole loop in which nothing changed, or several if it may.

        ``loops``: how many it had begun before the session looked.
        """
        from sqlalchemy import text

        seen = tuple(session.execute(text(_FINGERPRINT)).one())
        if seen != self._seen:
            self._seen, self._loops = seen, self.hands.get(LOOPS)
        starved = any(state in str(seen[1]) for state in ("scheduled:", "queued:"))
        return loops >= self._loops + (STARVED if starved else 2)

    def _busy(self, session: Any, due: Sequence[Due], now: datetime) -> Iterator[str]:
        """What is going on, in words: what is due and not yet done, and who is at work."""
        from airflow.configuration import conf
        from airflow.models.callback import ACTIVE_STATES, Callback
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.trigger import Trigger
        from sqlalchemy import or_, select, text

        yield from (each.what for each in due if each.when <= now)
        for dag_id in session.scalars(text(_RUNS_THAT_CAN_GO_ON)):
            yield f"a run of {dag_id} goes on"
        moving = select(TaskInstance).where(TaskInstance.state.in_(("queued", "restarting", "running")))
        tasks = session.scalars(moving).all()
        asleep = [task for task in tasks if task.state == "running" and self._asleep(str(task.pid), now)]
        full = len(asleep) >= conf.getint("core", "parallelism")  # every worker is taken by a sleeper
        for task in tasks:
            if task not in asleep and not (full and task.state == "queued"):
                yield f"{task.dag_id}.{task.task_id} is {task.state}"
        fresh = select(TaskInstance, Trigger).join(Trigger, TaskInstance.trigger_id == Trigger.id)
        for task, trigger in session.execute(fresh):
            if self._wakes(trigger) is None and self._begins(trigger.id):
                yield f"the trigger of {task.dag_id}.{task.task_id} begins"
        # The DAG processor's callbacks have no state; they are deleted when it takes them.
        active = or_(Callback.state.in_(ACTIVE_STATES), Callback.type == "dag_processor")
        for kind in session.scalars(select(Callback.type).where(active)):
            yield f"a callback waits for the {kind}"

    def _asleep(self, name: str, now: datetime) -> bool:
        wakes = self._record(name)
        return wakes is not None and wakes > now

    def _begins(self, trigger: int) -> bool:
        """Whether a trigger has yet to be taken up by the triggerer, or was taken up only just now."""
        try:
            word, began = (self._on_record(f"trigger-{trigger}") or "").split()
            return word == BEGAN and time.monotonic() - float(began) < BEGINNING
        except ValueError:  # not yet, or not yet written in full
            return True

    def _begin_look(self) -> None:
        self._read = {}

    def _on_record(self, name: str) -> str | None:
        """What a sleeper has on record. In one look it is read once: asked for twice, it may have fallen asleep
        in between, and be neither at work nor about to wake.
        """
        if name not in self._read:
            try:
                self._read[name] = (self.sleepers / name).read_text()
            except FileNotFoundError:
                self._read[name] = None
        return self._read[name]

    def _record(self, name: str) -> datetime | None:
        """Until when somebody sleeps; a moment long past when awake again; None for nobody on record."""
        found = self._on_record(name)
        try:
            return None if found is None else moment_of(int(found or 0))
        except ValueError:
            return None

    def _wakes(self, trigger: Any) -> datetime | None:
        """When a trigger wakes, if that can be known: it names a moment, or sleeps."""
        with_moment = trigger.kwargs.get("moment") if "temporal" in trigger.classpath else None
        if isinstance(with_moment, datetime):
            return with_moment
        return self._record(f"trigger-{trigger.id}")

    # --- what comes next ---------------------------------------------------------------------------
    def _due(self, session: Any) -> Iterator[Due]:
        """Everything that has a date. What stays due although it could be done is being done."""
        from airflow.models.dag import DagModel
        from airflow.models.dagrun import DagRun
        from airflow.models.deadline import Deadline
        from sqlalchemy import select

        next_runs = select(DagModel.next_dagrun_create_after, DagModel.dag_id).where(*_scheduled())
        for when, dag_id in session.execute(next_runs):
            yield Due(when, f"{dag_id} has a run to make")
        for when in session.scalars(select(Deadline.deadline_time).where(~Deadline.missed)):
            yield Due(when, "a deadline passes")
        active = select(DagRun).join(DagModel, DagModel.dag_id == DagRun.dag_id).where(~DagModel.is_paused)
        for run in session.scalars(active.where(DagRun.state == "running")):
            dag = self._bag.get_dag_for_run(run, session=session)
            if dag and dag.dagrun_timeout and run.start_date:
                # The scheduler asks for more than that much time.
                yield Due(
                    run.start_date + dag.dagrun_timeout + timedelta(milliseconds=1),
                    f"a run of {run.dag_id} takes too long",
                )
        # One that may begin and does not is held back by others, not by time.
        now = datetime.now(UTC)
        later = active.where(DagRun.state == "queued", DagRun.run_after > now)
        for run in session.scalars(later):
            yield Due(run.run_after, f"a run of {run.dag_id} begins")
        yield from self._due_tasks(session)

    def _due_tasks(self, session: Any) -> Iterator[Due]:
        from airflow.models.dag import DagModel
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.taskreschedule import TaskReschedule
        from airflow.models.trigger import Trigger
        from sqlalchemy import func, select

        def name(task: Any) -> str:
            return f"{task.dag_id}.{task.task_id}"

        tasks = select(TaskInstance).join(DagModel, DagModel.dag_id == TaskInstance.dag_id)
        for task in session.scalars(tasks.where(TaskInstance.state == "up_for_retry", ~DagModel.is_paused)):
            dag = self._bag.get_dag_for_run(task.dag_run, session=session)
            if dag and dag.has_task(task.task_id):
                task.task = dag.get_task(task.task_id)
                yield Due(task.next_retry_datetime(), f"{name(task)} is tried again")
        waiting = tasks.where(TaskInstance.state == "up_for_reschedule", ~DagModel.is_paused)
        for task in session.scalars(waiting):
            dates = select(func.max(TaskReschedule.reschedule_date)).where(TaskReschedule.ti_id == task.id)
            if (when := session.scalar(dates)) is not None:
                yield Due(when, f"{name(task)} looks again")
        for task in session.scalars(tasks.where(TaskInstance.state.in_(("deferred", "awaiting_input")))):
            if task.trigger_timeout:
                yield Due(task.trigger_timeout, f"{name(task)} gives up")
            trigger = session.get(Trigger, task.trigger_id) if task.trigger_id else None
            if trigger is not None and (when := self._wakes(trigger)) is not None:
                yield Due(when, f"the trigger of {name(task)} fires")
        for task in session.scalars(tasks.where(TaskInstance.state == "running")):
            for sleeper in (str(task.pid), f"{task.pid}-timeout"):
                if (when := self._record(sleeper)) is not None:
                    yield Due(when, f"{name(task)} wakes")

    # --- runs --------------------------------------------------------------------------------------
    def _runs(self, session: Any) -> list[dict[str, Any]]:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import or_, select

        found = session.scalars(
            select(DagRun)
            .where(or_(DagRun.id > self._first, DagRun.id.in_(self._tell_of)))
            .order_by(DagRun.id.desc())
            .limit(_LIMIT)
        )
        return [
            {
                "dag_id": run.dag_id,
                "run_after": run.run_after.isoformat(),
                "logical_date": run.logical_date.isoformat() if run.logical_date else None,
                "run_type": str(run.run_type),
                "state": str(run.state),
            }
            for run in found
        ]


def _scheduled() -> tuple[Any, ...]:
    """DAGs whose schedule counts now, as ``DagModel.dags_needing_dagruns`` has it."""
    from airflow.models.dag import DagModel

    return (
        ~DagModel.is_paused,
        ~DagModel.is_stale,
        ~DagModel.has_import_errors,
        ~DagModel.exceeds_max_non_backfill,
        DagModel.next_dagrun_create_after.is_not(None),
    )


def _session() -> Any:
    from airflow.utils import session

    made: Any = session
    return made.create_session()


@contextmanager
def _snapshot() -> Iterator[Any]:
    """A session to which all questions are answered as of one moment."""
    with _session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


def serve(folder: Path) -> None:
    """Answer callers, one after the other, for ever. To be run in a fork that has imported Airflow."""
    secret = os.environ["AIRFLOW__API_AUTH__JWT_SECRET"].encode()
    with Listener(("127.0.0.1", 0), authkey=secret) as listener:
        put(folder / ADDRESS, json.dumps(listener.address))
        watcher = Watcher(folder)
        while True:
            try:
                with listener.accept() as caller:
                    _answer(watcher, caller)
            except (OSError, EOFError):
                continue  # the caller has gone, or was not let in


def _answer(watcher: Watcher, caller: Connection[Any, Any]) -> None:
    requests: dict[str, Callable[..., dict[str, Any]]] = {
        "begin": watcher.begin,
        "end": watcher.end,
        "look": watcher.look,
        "next_of": watcher.next_of,
        "parse_paused": watcher.parse_paused,
    }
    while True:
        name, *arguments = json.loads(caller.recv_bytes())
        try:
            answer = requests[name](*arguments)
        except Exception as error:  # told to the caller, who can do something about it
            print(f"{name}: {error!r}", flush=True)
            answer = {"error": f"{type(error).__name__}: {error}"}
        caller.send_bytes(json.dumps(answer).encode())
