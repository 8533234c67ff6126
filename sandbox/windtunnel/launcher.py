"""The process that runs a sandbox: starts everything, keeps it alive, takes it down.

Started by :mod:`windtunnel.sandbox` as ``python -m windtunnel.launcher``; it talks back through
``status.json`` and listens to signals: SIGTERM or SIGINT takes everything down, SIGHUP gives a fresh Airflow.

It stays single-threaded and keeps no database connection: both would break in its forks.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from windtunnel import dated, forks, locks, ports, processes, valkey
from windtunnel.errors import WindtunnelError
from windtunnel.postgres import Postgres
from windtunnel.state import State
from windtunnel.supervised import Child

TASK_GRACE = 3.0  # seconds that running tasks get to finish when the sandbox goes down
STOP_GRACE = 8.0
TRIM_EVERY = 60.0  # seconds between looks at the size of the logs


class Launcher:
    """Supervises one sandbox from start to end."""

    def __init__(self, state: State, follow: int | None) -> None:
        self.state = state
        self.id: str = state.config()["id"]
        self.ports = state.ports()
        self.postgres = Postgres(state, self.ports.postgres)
        self.follow = (follow, processes.started(follow)) if follow else None
        self.shims = dated.shims(state)
        self.names = [
            *forks.COMPONENTS,
            *(["clock"] if self.shims else []),
        ]  # of Airflow's processes, and ours
        self.wanted: str | None = None  # "down" or "reset", set by a signal
        self.generation = 0
        self.phases: list[str] = []
        self.children: dict[str, Child] = {}
        self.orphans: list[psutil.Process] = []  # workers of a killed scheduler, still running a task
        self.trimmed = time.monotonic()

    # --- life --------------------------------------------------------------------------------------
    def run(self) -> int:
        """Start everything, supervise until told to stop, take everything down. Returns the exit code."""
        for number, wanted in ((signal.SIGTERM, "down"), (signal.SIGINT, "down"), (signal.SIGHUP, "reset")):
            signal.signal(number, lambda *_args, wanted=wanted: self._want(wanted))
        error: dict[str, str] | None = None
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
            error = {
                "kind": type(problem).__name__,
                "message": problem.message,
                "next_step": problem.next_step,
            }
        except Exception as problem:
            error = {
                "kind": type(problem).__name__,
                "message": f"The sandbox could not go on: {type(problem).__name__}: {problem}",
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

    def _stop_if_told(self) -> None:
        if self.wanted == "down":
            raise _Stopped

    def _step(self, phase: str) -> None:
        """Say which step of a start comes now; also where a request to stop is noticed."""
        self._stop_if_told()
        self._report(phase)

    def _report(self, phase: str, error: dict[str, str] | None = None) -> None:
        # A full disk must not keep the launcher from its work, least of all from taking everything down.
        with contextlib.suppress(OSError):
            print(f"{time.strftime('%H:%M:%S')} {phase}", flush=True)
            if self.phases[-1:] != [phase]:
                self.phases.append(phase)
            self.state.write_status(
                {
                    "pid": os.getpid(),
                    "created": processes.started(os.getpid()),
                    "url": os.environ["AIRFLOW__API__BASE_URL"],
                    "phase": phase,
                    "phases": self.phases[-20:],  # who looks now and then misses none
                    "generation": self.generation,
                    "error": error,
                    "follow": self.follow[0] if self.follow else None,
                    "components": {
                        name: {
                            "pid": child.pid,
                            "created": child.created,
                            "restarts": child.restarts,
                            "failures": child.failures,
                        }
                        for name, child in self.children.items()
                    },
                }
            )

    # --- starting ----------------------------------------------------------------------------------
    def _start_all(self) -> None:
        dated.begin(self.state)
        initdb = None
        if self.postgres.is_new:
            self._step("making the database")
            # A second's work, done while Airflow is imported.
            initdb = forks.fork(self.postgres.initdb, self.state.logs / "postgres.log")
        else:
            self._start_postgres()
        self._program("valkey", valkey.command(self.state, self.ports.valkey), self.ports.valkey)
        world = [
            sys.executable,
            "-m",
            "world.service",
            "--port",
            str(self.ports.world),
            "--smtp-port",
            str(self.ports.smtp),
            "--s3-port",
            str(self.ports.s3),
            *dated.lives_by(self.state),
        ]
        self._program("world", world, self.ports.world)
        self._step("loading Airflow")
        for _module in forks.preload(self.shims() if self.shims else None):
            self._stop_if_told()
        if initdb is not None:
            self._wait_fork(initdb, "Postgres could not make its cluster", self.state.logs / "postgres.log")
            self._start_postgres()
        self._make_databases()
        self._step("starting Airflow's components")
        for name in self.names:
            self._component(name)
        self._running()

    def _running(self) -> None:
        self.generation += 1
        self._step("running")

    def _start_postgres(self) -> None:
        self._step("starting Postgres")
        options = self.postgres.spawn_options()
        child = self._program("postgres", self.postgres.command(), self.postgres.port, **options)
        while (problem := self.postgres.problem()) is not None:
            self._stop_if_told()
            if child.has_ended():
                self._check_port(child)
                raise self.postgres.not_started(problem)
            time.sleep(0.03)

    def _make_databases(self) -> None:
        existing = self.postgres.databases()
        self.postgres.create_roles()
        if "airflow_template" not in existing:
            self._step("making Airflow's tables")
            connected = self.state.database("airflow")  # what Airflow's settings name
            self.postgres.create(connected)
            log = self.state.logs / "migrate.log"
            self._wait_fork(forks.fork(forks.migrate, log), "Airflow could not make its tables", log)
            # A finished copy is kept: a fresh Airflow is a copy of it, in a fraction of a second.
            self.postgres.create("airflow_template", template=connected)
        if "airflow" not in self.postgres.databases():
            self.postgres.create("airflow", template="airflow_template")
        if "warehouse" not in existing:
            self.postgres.create("warehouse", owner="warehouse")
        if self.state.clock or "airflow_dated" in existing:
            dated.make_databases(self.state, self.postgres)

    def _wait_fork(self, pid: int, what: str, log: Path) -> None:
        while (done := os.waitpid(pid, os.WNOHANG))[0] == 0:
            self._stop_if_told()  # the sweep at the end takes the fork along
            time.sleep(0.02)
        if done[1] != 0:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
            raise WindtunnelError(f"{what}: {' '.join(last)}", f"the whole story is in {log}")

    def _program(self, name: str, command: list[str], port: int, **options: Any) -> Child:
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

        child = self.children[name] = Child(name, start, port)
        child.start()
        return child

    def _component(self, name: str) -> None:
        if name not in self.children:
            log = self.state.logs / f"{name}.log"
            port = self.ports.api if name == "api-server" else None
            work = dated.serve(self.state) if name == "clock" else forks.airflow(name)
            self.children[name] = Child(name, lambda: forks.fork(work, log), port)
        self.children[name].start()

    # --- looking after -----------------------------------------------------------------------------
    def _look_after(self) -> None:
        changed = False
        for child in self.children.values():
            if child.has_ended():
                print(f"{time.strftime('%H:%M:%S')} {child.name} ended", flush=True)
                self._check_port(child)
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
        if time.monotonic() - self.trimmed > TRIM_EVERY:
            self.trimmed = time.monotonic()
            with contextlib.suppress(OSError):
                self.state.trim_logs()
        if changed:
            self._report("running")

    def _check_port(self, child: Child) -> None:
        # It has ended, so its port must be free. If not, starting it again would fail for ever.
        if child.port and not ports.is_free(child.port):
            raise ports.PortTakenError(
                f"Port {child.port} was free, and is now in use by {ports.owner(child.port)}.",
                "`windtunnel up` chooses another.",
            )

    def _adopt_workers(self, scheduler: int) -> None:
        # LocalExecutor's workers outlive a killed scheduler. One in the middle of a task finishes it, and
        # reports to the API server by itself; an idle one would wait for ever on a queue nobody fills.
        # They share the scheduler's process group, which tasks leave.
        for process in processes.marked(self.id, os.getsid(0)):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(process.pid) == scheduler:
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
        components = [self.children[name] for name in self.names if name in self.children]
        for scheduler in [child for child in components if child.name == "scheduler"]:
            # Upstream's scheduler waits for running tasks without a limit. They get a moment, then SIGTERM:
            # their supervisors still report to the API server, so no task is left "running" in the database.
            pid = scheduler.pid
            scheduler.signal(signal.SIGTERM)
            if not scheduler.wait(TASK_GRACE) or self.orphans:
                processes.end(self._tasks(pid), grace=1.5)
            scheduler.stop(signal.SIGTERM, grace=2.0)
        for child in components:
            # Upstream's triggerer leaves at once on SIGINT and takes its time on SIGTERM.
            child.signal(signal.SIGINT if child.name == "triggerer" else signal.SIGTERM)
        for child in components:
            child.stop(signal.SIGTERM, grace=2.0)

    def _tasks(self, scheduler: int) -> list[psutil.Process]:
        """Task processes: what LocalExecutor's workers run, also those of a scheduler that was killed."""
        tasks: list[psutil.Process] = []
        workers = list(self.orphans)
        with contextlib.suppress(psutil.Error):
            workers += psutil.Process(scheduler).children() if scheduler else []
        for worker in workers:
            with contextlib.suppress(psutil.Error):
                tasks += worker.children()
        return tasks

    def _stop_all(self) -> None:
        self._stop_components()
        for child in self.children.values():
            # SIGINT is Postgres' "fast" shutdown: open transactions are rolled back, then a clean end.
            child.stop(signal.SIGINT if child.name == "postgres" else signal.SIGTERM, STOP_GRACE)
        processes.sweep(self.id, self.state.status())
        self.postgres.discard_unfinished()

    def _reset(self) -> None:
        """A fresh Airflow, warehouse, data folder and world; the learner's DAG files stay."""
        self._step("resetting")
        self._stop_components()
        processes.end(self.orphans, grace=0)
        self.orphans.clear()
        for folder in (self.state.data, self.state.task_logs):
            shutil.rmtree(folder, ignore_errors=True)
        if self.state.clock:
            dated.begin(self.state)
            dated.make_databases(self.state, self.postgres)
        else:
            self.state.data.mkdir(mode=0o700, exist_ok=True)
            self.postgres.create("airflow", template="airflow_template")
            self.postgres.create("warehouse", owner="warehouse")
        for name in ("valkey", "world"):
            self.children[name].stop(signal.SIGTERM, STOP_GRACE)
            self.children[name].start()
        for name in self.names:
            self._component(name)
        self._running()


class _Stopped(Exception):
    """A stop was asked for in the middle of a start."""


def main() -> int:
    """Run the launcher on the folder named by ``--state``."""
    parser = argparse.ArgumentParser(prog="windtunnel.launcher", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--follow", type=int, help="go down when this process ends")
    arguments = parser.parse_args()
    state = State(arguments.state)
    lock = locks.acquire(state.path)
    if lock is None:
        print("another launcher holds this folder", flush=True)
        return 1
    with lock:
        return Launcher(state, arguments.follow).run()


if __name__ == "__main__":
    sys.exit(main())
