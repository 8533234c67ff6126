"""Start, stop, look at and refresh the sandbox: the outside of :mod:`windtunnel.launcher`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from windtunnel import dated, processes
from windtunnel.airflow_env import ADMIN, address, airflow_environment, clean_environment, password_file
from windtunnel.api import Airflow
from windtunnel.errors import WindtunnelError
from windtunnel.paths import dags_dir, state_dir
from windtunnel.ports import HOST, PortTakenError
from windtunnel.state import RESET_HARD, Ports, State, write_private

Progress = Callable[[str], None]
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")  # as Airflow's own health names them
START_TIMEOUT = 120.0  # seconds
STOP_TIMEOUT = 40.0
START_ATTEMPTS = 3  # when ports are lost to other programs between the choice and the use
MAX_FAILURES = 4  # of one process, in a row, before a start is given up


def _silent(_phase: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Status:
    """What a sandbox is doing. ``phase`` is ``down``, ``running``, or a step on the way."""

    state: Path
    phase: str
    url: str
    launcher: int
    components: dict[str, dict[str, Any]]
    health: dict[str, str]
    problem: str = ""  # why it went down by itself, if it did
    clock: str = ""  # what its clock shows (UTC), if it has one

    @property
    def healthy(self) -> bool:
        """Whether every process runs and every part of Airflow says that it is well."""
        running = all(component["pid"] for component in self.components.values())
        return running and all(self.health.get(name) == "healthy" for name in COMPONENTS)


class Sandbox:
    """One local Airflow with its database, cache and world, in one state folder."""

    def __init__(self, path: Path | None = None) -> None:
        self.state = State(path or state_dir())

    # --- looking -----------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """Address of the Airflow UI and API."""
        return address(self.state, self.state.ports())

    @property
    def link(self) -> str:
        """Where a browser finds the UI: behind Jupyter a path, which is right whatever that server is called."""
        path = urlsplit(self.url).path
        return f"{path}/" if path else self.url

    @property
    def password(self) -> str:
        """The generated password of the user ``admin``."""
        return self.state.secrets()["admin"]

    def airflow(self) -> Airflow:
        """A client of this sandbox's Airflow."""
        return Airflow(self.url, username=ADMIN, password=self.password)

    def environ(self) -> dict[str, str]:
        """What a kernel or a test needs in its environment to find this sandbox and what it holds."""
        environment = airflow_environment(self.state, self.state.ports())
        return {key: value for key, value in environment.items() if key != processes.MARK}

    def status(self) -> Status:
        """What is there now. Raises WindtunnelError when no sandbox was ever made here."""
        self.state.config()
        status = self.state.status()
        running = self.state.is_running()
        return Status(
            state=self.state.path,
            phase=status.get("phase", "starting") if running else "down",
            url=self.url,
            launcher=status.get("pid", 0) if running else 0,
            components=status.get("components", {}) if running else {},
            health=self.airflow().health(timeout=2) if running else {},
            problem="" if running else (status.get("error") or {}).get("message", ""),
            clock=dated.shows(self.state) if running else "",
        )

    def is_up(self) -> bool:
        """Whether it runs and answers."""
        try:
            return self.state.is_running() and self.status().healthy
        except WindtunnelError:
            return False

    # --- starting ----------------------------------------------------------------------------------
    def up(
        self,
        progress: Progress = _silent,
        *,
        follow: int | None = None,
        anywhere: bool = False,
        clock: datetime | None = None,
    ) -> bool:
        """Start the sandbox, or find it running. Returns whether it was started now.

        ``progress`` is told each step. ``follow``: go down when the process with this id ends.
        ``anywhere``: any free port for the UI instead of one from 8080. ``clock``: the moment at which a fresh
        Airflow with a clock begins (``windtunnel.clockwork``); one that runs is left as it is. Raises
        WindtunnelError when it cannot start; then nothing is left running.
        """
        if clock is not None:
            dated.check(clock)
        launched = False
        for attempts_left in reversed(range(START_ATTEMPTS)):
            process = None
            try:
                with self._turn(progress):
                    self._wait_for_one_going_down()
                    if not self.state.is_running():
                        if self.state.is_made() and (left := self._sweep()):
                            progress(f"ended {len(left)} processes of a start that was killed")
                        launched = True
                        # Who lost the usual port once is in a crowd: any other will do then.
                        lost_one = attempts_left < START_ATTEMPTS - 1
                        process = self._launch(follow, anywhere or lost_one, clock)
                        self._wait_known(process)
                self._wait_ready(progress, process)
                return launched
            except PortTakenError as lost:
                if not attempts_left:
                    raise
                progress(f"{lost.message} Starting again on another")
            except BaseException:
                if launched:
                    self.down()
                raise
        raise AssertionError("unreachable")

    def prepare(self, progress: Progress = _silent, *, anywhere: bool = False) -> None:
        """Make the folder and what it holds, and start nothing. ``anywhere``, and what is raised: as for `up`."""
        with self._turn(progress):
            if not self.state.is_running():
                self.state.prepare(anywhere=anywhere)

    @contextmanager
    def _turn(self, progress: Progress) -> Iterator[None]:
        """Our turn to start the sandbox, in a folder of this version."""
        while True:
            with self.state.turn():
                if self.state.is_running() or not self.state.is_outdated():
                    yield
                    return
                self._sweep()
                old = self.state.set_aside(str(self.state.config().get("airflow", "unknown")))
                progress(f"The state folder was made by another version; it is kept as {old}")

    def _wait_for_one_going_down(self) -> None:
        while self.state.is_running() and self.state.status().get("phase") in (
            "going down",
            "down",
            "failed",
        ):
            time.sleep(0.03)

    def _launch(self, follow: int | None, anywhere: bool, clock: datetime | None) -> subprocess.Popen[bytes]:
        ports = self.state.prepare(anywhere=anywhere, clock=clock)
        dags = dags_dir()
        try:
            dags.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WindtunnelError(
                f"The DAG folder {dags} cannot be made: {error.strerror}.",
                "make the folder around it writable, or name another with WINDTUNNEL_WORK.",
            ) from error
        write_private(password_file(self.state), json.dumps({ADMIN: self.password}))
        self._write_reader_ini(ports)
        environment = clean_environment() | airflow_environment(self.state, ports)
        # setproctitle would write a process's title over its environment, where the sandbox's mark is.
        environment |= {"SPT_NOENV": "1"}
        command = [sys.executable, "-m", "windtunnel.launcher", "--state", str(self.state.path)]
        if follow:
            command += ["--follow", str(follow)]
        self.state.write_status({"phase": "starting"})
        with (self.state.logs / "launcher.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.state.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_known(self, process: subprocess.Popen[bytes]) -> None:
        """Until the launcher has said which process it is: from then on `down` can reach it."""
        while "pid" not in self.state.status() and process.poll() is None:
            time.sleep(0.02)

    def _wait_ready(self, progress: Progress, process: subprocess.Popen[bytes] | None) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        told: list[str] = []
        while True:
            status = self.state.status()
            phase = status.get("phase", "starting")
            # Of a start that is ours, every step: some are shorter than the pause below.
            for step in status.get("phases", [phase]) if process else [phase]:
                if step not in told:
                    progress(step)
                    told.append(step)
            if phase == "running" and self._answers():
                return
            ended = process.poll() is not None if process else not self.state.is_running()
            if ended:
                raise self._ended()
            stuck = max(
                ((c.get("failures", 0), name) for name, c in status.get("components", {}).items()),
                default=(0, ""),
            )
            if stuck[0] >= MAX_FAILURES or time.monotonic() > deadline:
                log = self.state.logs / f"{stuck[1] if stuck[0] else 'launcher'}.log"
                what = (
                    f"The sandbox's {stuck[1]} ended {stuck[0]} times in a row"
                    if stuck[0] >= MAX_FAILURES
                    else f"The sandbox did not get ready within {START_TIMEOUT:.0f} s; it was at: {phase}"
                )
                raise WindtunnelError(
                    f"{what} (log: {log}).", "look at the end of that log, then try `windtunnel up` again."
                )
            time.sleep(0.05)

    def _ended(self) -> WindtunnelError:
        """Why the launcher ended instead of getting ready."""
        status = self.state.status()
        error = status.get("error")
        if error and error.get("kind") == PortTakenError.__name__:
            return PortTakenError(error["message"], error["next_step"])
        if error:
            return WindtunnelError(error["message"], error["next_step"])
        if status.get("phase") == "down":
            return WindtunnelError(
                "The sandbox was taken down while it was starting.", "`windtunnel up` starts it again."
            )
        return WindtunnelError(
            "The sandbox ended while it was starting.",
            f"the whole story is in {self.state.logs / 'launcher.log'}; {RESET_HARD}",
        )

    def _answers(self) -> bool:
        airflow = self.airflow()
        health = airflow.health(timeout=2)
        # Only our own Airflow knows the generated password: a stranger on this port is found out here.
        return all(health.get(name) == "healthy" for name in COMPONENTS) and airflow.can_log_in()

    def _write_reader_ini(self, ports: Ports) -> None:
        """Connection files for people who want to look with their own tools."""
        secrets = self.state.secrets()
        write_private(
            self.state.path / "pg_service.conf",
            f"[warehouse]\nhost={HOST}\nport={ports.postgres}\ndbname={self.state.database('warehouse')}\nuser=warehouse\n"
            f"password={secrets['warehouse']}\n\n[airflow]\nhost={HOST}\nport={ports.postgres}\n"
            f"dbname={self.state.database('airflow')}\nuser=reader\npassword={secrets['reader']}\n",
        )

    # --- stopping ----------------------------------------------------------------------------------
    def down(self) -> bool:
        """Stop the sandbox and clean up after a killed one. Returns whether anything was stopped."""
        if not self.state.is_running() and not self.state.is_made():
            return False
        with self.state.turn():
            running = self._stop_launcher()
            left = self._sweep()
        return running or bool(left)

    def _stop_launcher(self) -> bool:
        running = self.state.is_running()
        if running:
            self._signal_launcher(signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT
            while self.state.is_running():
                if time.monotonic() > deadline:
                    self._signal_launcher(signal.SIGKILL)
                    break
                time.sleep(0.03)
        return running

    def _sweep(self) -> list[int]:
        return processes.sweep(self.state.config()["id"], self.state.status())

    def _signal_launcher(self, number: int) -> None:
        deadline = time.monotonic() + 10
        while self.state.is_running():
            status = self.state.status()
            pid, created = status.get("pid", 0), status.get("created", 0.0)
            if pid and processes.is_alive(pid, created):
                os.kill(pid, number)
                return
            if time.monotonic() > deadline:
                raise WindtunnelError(
                    f"A launcher holds {self.state.path / 'lock'} but has not said which process it is.",
                    "wait a moment and try again.",
                )
            time.sleep(0.05)  # it has just started and not reported yet

    def begin(self, start: datetime | None, progress: Progress = _silent) -> None:
        """Live at ``start`` from now on, with a fresh Airflow; None: in real time, with the Airflow of before.

        Started if it is down, restarted where time itself has to change. Raises as `up` does.
        """
        if start is not None:
            dated.check(start)
        running = self.state.is_running()
        if running and start is not None and self.state.clock:
            self.state.set_clock(start)
            self.reset(progress)
            return
        follow = None
        if running and bool(start) != bool(self.state.clock):
            progress("turning the clock" if start else "going back to real time")
            follow = self.state.status().get("follow")
            self.down()
        self.up(progress, clock=start, follow=follow)

    def reset(self, progress: Progress = _silent) -> None:
        """A fresh Airflow, warehouse and data folder in a few seconds; DAG files and answers stay.

        One with a clock begins again where it began.
        """
        if not self.state.is_running():
            self.up(progress)
        self.state.ports()  # a damaged folder is said to be one before anything is done to it
        generation = self.state.status().get("generation", 0)
        self._signal_launcher(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while self.state.status().get("generation", 0) <= generation:
            if time.monotonic() > deadline or not self.state.is_running():
                raise WindtunnelError(
                    "The sandbox did not come back from its reset.",
                    f"`windtunnel down && windtunnel up`; the story is in {self.state.logs / 'launcher.log'}",
                )
            time.sleep(0.03)
        try:
            self._wait_ready(progress, None)
        except PortTakenError as lost:  # for a moment it was nobody's
            progress(f"{lost.message} Starting again on another")
            start = self.state.clock.get("start")
            follow = self.state.status().get("follow")
            self.up(progress, follow=follow, clock=datetime.fromisoformat(start) if start else None)

    def set_aside(self) -> Path:
        """Stop it and rename the whole state folder out of the way. Returns the folder's new name."""
        path = self.state.path
        if not path.exists():
            raise WindtunnelError(f"There is no state folder at {path}.", "`windtunnel up` makes one.")
        if not path.is_dir():
            return self.state.set_aside("aside")
        with self.state.turn():
            self._stop_launcher()
            with contextlib.suppress(WindtunnelError):  # too damaged to say what else it runs
                self._sweep()
            return self.state.set_aside("aside")


@contextmanager
def temporary(progress: Progress = _silent, clock: datetime | None = None) -> Iterator[Sandbox]:
    """A fresh sandbox on its own ports and folders; gone, with all it made, when the block ends.

    ``clock``: the moment at which it begins, if it is to have a clock.

    It also goes down when this process dies, however it dies.
    """
    folder = Path(tempfile.mkdtemp(prefix="windtunnel-"))
    folder.chmod(0o711)  # root's Postgres runs under another account and must pass through
    names = {"WINDTUNNEL_STATE": str(folder / "state"), "WINDTUNNEL_WORK": str(folder / "work")}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    sandbox = Sandbox(folder / "state")
    try:
        sandbox.up(progress, follow=os.getpid(), anywhere=True, clock=clock)
        yield sandbox
    finally:
        sandbox.down()
        # A check made in it has left a warm process, which would wait for the next one for half an hour.
        processes.end(processes.started_for(folder), grace=2.0)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)
