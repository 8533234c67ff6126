"""The process that runs a sandbox: imports Airflow once, forks the four components, keeps them alive.

Forking after the import shares memory and start time between the components. Started by
:mod:`windtunnel.sandbox` as ``python -m windtunnel.launcher``; it talks back through ``status.json`` and
listens to signals: SIGTERM or SIGINT takes everything down, SIGHUP gives a fresh Airflow.

It stays single-threaded and keeps no database connection: both would break in its forks.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil

from windtunnel import processes, valkey
from windtunnel.errors import WindtunnelError
from windtunnel.postgres import Postgres
from windtunnel.state import Ports, State

COMPONENTS = {
    "api-server": ["api-server"],
    # No log servers: upstream binds them to every interface, and the API server finds the files on disk.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
PRELOAD = [
    "airflow.cli.cli_parser",
    "airflow.jobs.scheduler_job_runner",
    "airflow.executors.local_executor",
    "airflow.jobs.triggerer_job_runner",
    "airflow.jobs.dag_processor_job_runner",
    "airflow.dag_processing.manager",
    "airflow.dag_processing.processor",
    "airflow.sdk",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.api.client",
    "airflow.sdk.log",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.cli.commands.api_server_command",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.api_fastapi.auth.managers.simple.simple_auth_manager",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.decorators.python",
    "airflow.serialization.serialized_objects",
    "airflow.models.serialized_dag",
    "airflow.timetables.trigger",
    "airflow.utils.db",
    "uvicorn",
    "psycopg2",
    "asyncpg",
    "httpx",
    "pandas",
]

TASK_GRACE = 3.0  # seconds that running tasks get to finish when the sandbox goes down
STOP_GRACE = 8.0
BACK_OFF = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before a restart; the last one repeats
STEADY = 30.0  # seconds after which a component counts as recovered


class Child:
    """One supervised process."""

    def __init__(self, name: str, start: Callable[[], int | subprocess.Popen[bytes]]) -> None:
        self.name, self._start = name, start
        self.process: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.created = 0.0
        self.started_at = 0.0
        self.restarts = self.failures = 0
        self.due: float | None = None

    def start(self) -> None:
        """Start it now."""
        handle = self._start()
        self.process, self.pid = (None, handle) if isinstance(handle, int) else (handle, handle.pid)
        self.created, self.started_at, self.due = processes.started(self.pid), time.monotonic(), None

    def has_ended(self) -> bool:
        """Whether it ended since the last look; reaps it."""
        if not self.pid:
            return False
        if self.process is not None:
            ended = self.process.poll() is not None
        else:
            try:
                ended = os.waitpid(self.pid, os.WNOHANG)[0] != 0
            except ChildProcessError:
                ended = True
        return ended

    def schedule_restart(self) -> None:
        """Plan the next start, later each time it fails in quick succession."""
        if time.monotonic() - self.started_at > STEADY:
            self.failures = 0
        self.due = time.monotonic() + BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.failures += 1
        self.restarts += 1
        self.pid = 0

    def stop(self, number: int, grace: float) -> None:
        """Signal it and wait; kill it after ``grace`` seconds."""
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        deadline = time.monotonic() + grace
        while not self.has_ended():
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.02)
        self.pid, self.due = 0, None


class Launcher:
    """Supervises one sandbox from start to end."""

    def __init__(self, state: State, follow: int | None) -> None:
        self.state = state
        self.ports = Ports(**state.config()["ports"])
        self.postgres = Postgres(state, self.ports.postgres)
        self.follow = (follow, processes.started(follow)) if follow else None
        self.wanted: str | None = None  # "down" or "reset", set by a signal
        self.generation = 0
        self.children: list[Child] = []
        self.orphans: list[psutil.Process] = []  # workers of a killed scheduler, still running a task
        self.phase = ""

    # --- life --------------------------------------------------------------------------------------
    def run(self) -> int:
        """Start everything, supervise until told to stop, take everything down. Returns the exit code."""
        for number, wanted in ((signal.SIGTERM, "down"), (signal.SIGINT, "down"), (signal.SIGHUP, "reset")):
            signal.signal(number, lambda *_args, wanted=wanted: self._want(wanted))
        error = None
        try:
            self._start_all()
            while self.wanted != "down":
                if self.wanted == "reset":
                    self.wanted = None
                    self._reset()
                self._look_after()
                time.sleep(0.05)
        except _Stopped:
            pass
        except WindtunnelError as problem:
            error = {"message": problem.message, "next_step": problem.next_step}
        except Exception as problem:
            error = {
                "message": f"The sandbox could not start: {type(problem).__name__}: {problem}",
                "next_step": f"the whole story is in {self.state.logs / 'launcher.log'}",
            }
            raise
        finally:
            self._report("going down")
            self._stop_all()
            self._report("down" if error is None else "failed", error=error)
        return 0 if error is None else 1

    def _want(self, wanted: str) -> None:
        if self.wanted != "down":
            self.wanted = wanted

    def _report(self, phase: str, error: dict[str, str] | None = None) -> None:
        """Say where things are. Between the steps of a start this is also where a stop is noticed."""
        if self.wanted == "down" and phase not in ("going down", "down", "failed"):
            raise _Stopped
        self.phase = phase
        print(f"{time.strftime('%H:%M:%S')} {phase}", flush=True)
        self.state.write_status(
            {
                "pid": os.getpid(),
                "created": processes.started(os.getpid()),
                "phase": phase,
                "generation": self.generation,
                "error": error,
                "components": {
                    child.name: {"pid": child.pid, "created": child.created, "restarts": child.restarts}
                    for child in self.children
                },
            }
        )

    def _start_all(self) -> None:
        new = self.postgres.is_new
        initdb = None
        if new:
            self._report("making the database")
            initdb = os.fork()  # a second's work, done while Airflow is imported
            if initdb == 0:
                _in_fork(self.postgres.initdb, self.state.logs / "postgres.log")
        else:
            self._start_postgres()
        self._add("valkey", valkey.command(self.state, self.ports.valkey))
        self._add("world", [sys.executable, "-m", "world.service", "--port", str(self.ports.world)])
        self._report("loading Airflow")
        self._preload()
        if initdb is not None:
            self._wait_fork(initdb, "Postgres could not make its cluster", self.state.logs / "postgres.log")
            self._start_postgres()
        self._make_databases()
        self._report("starting Airflow's components")
        self._start_components()
        self.generation += 1
        self._report("running")

    def _start_postgres(self) -> None:
        self._report("starting Postgres")
        child = self._add("postgres", self.postgres.command(), **self.postgres.spawn_options())
        assert child.process is not None
        self.postgres.wait_ready(child.process)

    def _make_databases(self) -> None:
        existing = self.postgres.databases()
        self.postgres.create_roles()
        if "airflow_template" not in existing:
            self._report("making Airflow's tables")
            self.postgres.create("airflow")
            log = self.state.logs / "migrate.log"
            migration = os.fork()
            if migration == 0:
                _in_fork(_migrate, log)
            self._wait_fork(migration, "Airflow could not make its tables", log)
            # A finished copy is kept: a fresh Airflow is a copy of it, in a fraction of a second.
            self.postgres.create("airflow_template", template="airflow")
        elif "airflow" not in existing:
            self.postgres.create("airflow", template="airflow_template")
        if "warehouse" not in existing:
            self.postgres.create("warehouse", owner="warehouse")

    def _wait_fork(self, pid: int, what: str, log: Path) -> None:
        while (done := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if self.wanted == "down":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
                raise _Stopped
            time.sleep(0.02)
        if done[1] != 0:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
            raise WindtunnelError(f"{what}: {' '.join(last)}", f"the whole story is in {log}")

    # --- children ----------------------------------------------------------------------------------
    def _add(self, name: str, command: list[str], **options: Any) -> Child:
        def start() -> subprocess.Popen[bytes]:
            with (self.state.logs / f"{name}.log").open("ab") as log:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **options,
                )

        child = Child(name, start)
        self.children.append(child)
        child.start()
        return child

    def _preload(self) -> None:
        import airflow

        from windtunnel import patches

        for module in PRELOAD:
            importlib.import_module(module)
            if self.wanted == "down":
                raise _Stopped
        patches.apply(airflow.__version__)
        gc.collect()
        gc.freeze()  # keeps the collector from writing to, and so copying, shared pages

    def _start_components(self) -> None:
        for name, arguments in COMPONENTS.items():
            child = next((c for c in self.children if c.name == name), None)
            if child is None:
                child = Child(name, lambda name=name, arguments=arguments: self._fork(name, arguments))  # type: ignore[misc]
                self.children.append(child)
            child.start()

    def _fork(self, name: str, arguments: list[str]) -> int:
        pid = os.fork()
        if pid:
            return pid
        os.setpgid(0, 0)
        sys.argv = ["airflow", *arguments]

        def component() -> None:
            from airflow.__main__ import main

            main()  # type: ignore[no-untyped-call]

        _in_fork(component, self.state.logs / f"{name}.log")

    def _look_after(self) -> None:
        changed = False
        for child in self.children:
            if child.has_ended():
                print(f"{time.strftime('%H:%M:%S')} {child.name} ended", flush=True)
                if child.name == "scheduler":
                    self._adopt_workers(child.pid)
                child.schedule_restart()
                changed = True
            if child.due is not None and time.monotonic() >= child.due:
                child.start()
                changed = True
        self._end_idle_orphans()
        if self.follow and not processes.is_alive(*self.follow):
            self._want("down")
        if changed:
            self._report("running")

    def _adopt_workers(self, scheduler: int) -> None:
        # LocalExecutor's workers outlive a killed scheduler. One in the middle of a task finishes it, and
        # reports to the API server by itself; an idle one would wait for ever on a queue nobody fills.
        for process in processes.marked(self.state.config()["id"]):
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getpgid(process.pid) == scheduler and process.ppid() == 1:
                    self.orphans.append(process)

    def _end_idle_orphans(self) -> None:
        for orphan in list(self.orphans):
            try:
                if not orphan.children():
                    orphan.kill()
                    self.orphans.remove(orphan)
            except psutil.Error:
                self.orphans.remove(orphan)

    # --- stopping ----------------------------------------------------------------------------------
    def _stop_components(self) -> None:
        by_name = {child.name: child for child in self.children}
        scheduler = by_name.get("scheduler")
        if scheduler and scheduler.pid:
            # Upstream's scheduler waits for running tasks without a limit. They get a moment, then SIGTERM:
            # their supervisors still report to the API server, so no task is left "running" in the database.
            with contextlib.suppress(ProcessLookupError):
                os.kill(scheduler.pid, signal.SIGTERM)
            deadline = time.monotonic() + TASK_GRACE
            while not scheduler.has_ended() and time.monotonic() < deadline:
                time.sleep(0.02)
            processes.end(self._tasks(scheduler.pid), grace=1.5)
            scheduler.stop(signal.SIGTERM, grace=2.0)
        names = [name for name in COMPONENTS if name in by_name and name != "scheduler"]
        for name in names:
            if by_name[name].pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(by_name[name].pid, signal.SIGINT if name == "triggerer" else signal.SIGTERM)
        for name in names:
            by_name[name].stop(signal.SIGTERM, grace=2.0)

    def _tasks(self, scheduler: int) -> list[psutil.Process]:
        """Task processes: what LocalExecutor's workers run."""
        tasks: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            for worker in [*psutil.Process(scheduler).children(), *self.orphans]:
                with contextlib.suppress(psutil.Error):
                    tasks += worker.children()
        return tasks

    def _stop_all(self) -> None:
        self._stop_components()
        for child in self.children:
            # SIGINT is Postgres' "fast" shutdown: open transactions are rolled back, then a clean end.
            child.stop(signal.SIGINT if child.name == "postgres" else signal.SIGTERM, STOP_GRACE)
        sweep(self.state)

    def _reset(self) -> None:
        """A fresh Airflow, warehouse, data folder and world; the learner's DAG files stay."""
        self._report("resetting")
        self._stop_components()
        processes.end(self.orphans, grace=0)
        self.orphans.clear()
        for folder in (self.state.data, self.state.airflow_home / "logs"):
            shutil.rmtree(folder, ignore_errors=True)
        self.state.data.mkdir(mode=0o700)
        self.postgres.create("airflow", template="airflow_template")
        self.postgres.create("warehouse", owner="warehouse")
        for child in self.children:
            if child.name in ("valkey", "world"):
                child.stop(signal.SIGTERM, STOP_GRACE)
                child.start()
        self._start_components()
        self.generation += 1
        self._report("running")


class _Stopped(Exception):
    """A stop was asked for in the middle of a start."""


def _migrate() -> None:
    from airflow.utils.db import initdb

    initdb()


def _in_fork(work: Callable[[], None], log: Path) -> NoReturn:
    """Do ``work`` in a fresh fork with its output in ``log``, and end the process."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    code = 0
    try:
        work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except WindtunnelError as problem:
        print(problem.message, file=sys.stderr)
        code = 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def sweep(state: State) -> list[int]:
    """End what a sandbox left behind, and only that. Returns the ids of the ended processes.

    What belongs to it: processes started with its mark, and the Postgres named in its ``postmaster.pid``.
    """
    ended = processes.end(processes.marked(state.config()["id"]), grace=2.0)
    pidfile = state.path / "postgres" / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        pid, folder, created = pidfile.read_text().splitlines()[:3]
        postmaster = psutil.Process(int(pid))
        # Postgres writes its own start time there; a later process with the same id has another.
        if folder == str(state.path / "postgres") and abs(postmaster.create_time() - int(created)) < 5:
            ended += processes.end([postmaster], grace=2.0)
    return ended


def main() -> int:
    """Run the launcher on the folder named by ``--state``."""
    parser = argparse.ArgumentParser(prog="windtunnel.launcher", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--follow", type=int, help="go down when this process ends")
    arguments = parser.parse_args()
    state = State(arguments.state)
    lock = state.acquire()
    if lock is None:
        return 3
    with lock:
        left = sweep(state)
        if left:
            print(f"swept {len(left)} processes of an earlier start: {left}", flush=True)
        return Launcher(state, arguments.follow).run()


if __name__ == "__main__":
    sys.exit(main())
