"""``airflow standalone`` with its defaults: what a learner starts who follows Airflow's own first page.

It is of this environment, so both sides run the same Airflow with the same providers and compiled bytecode. Set is
only what cannot be left: its home, its ports, the addresses it listens at and is found at, no examples, no proxy for
this machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil
import urllib3

from benchmarks.harness import stopwatch
from benchmarks.peers import plain_environment
from windtunnel import processes
from windtunnel.airflow_env import ADMIN
from windtunnel.api import Airflow
from windtunnel.ports import HOST, any_free
from windtunnel.postgres import Postgres
from windtunnel.state import State

READY = ("scheduler", "dag_processor", "triggerer")
TIMEOUT = 300.0  # seconds until a start counts as failed
GRACE = 30.0  # seconds that its own shutdown gets
SETTINGS = (
    "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"  # as it cannot write to the usual folder
)


class Standalone:
    """One of them, in a folder that is its AIRFLOW_HOME; whatever it made there is found by the next start.

    ``database``: a SQLAlchemy address instead of SQLite in the folder.
    """

    airflow: Airflow
    process: psutil.Process

    def __init__(self, folder: Path, *, database: str = "") -> None:
        self.folder, self.dags = folder, folder / "dags"
        self.dags.mkdir(parents=True, exist_ok=True)
        self.port, worker_logs, trigger_logs = any_free(3)
        self._running: subprocess.Popen[bytes] | None = None
        settings = {
            "CORE__LOAD_EXAMPLES": "False",
            "API__HOST": HOST,  # a benchmark opens no port to the network
            "API__PORT": str(self.port),
            "API__BASE_URL": f"http://localhost:{self.port}",  # upstream's default, but for the port
            "LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
        } | ({"DATABASE__SQL_ALCHEMY_CONN": database} if database else {})
        self._environment = plain_environment(
            AIRFLOW_HOME=str(folder),
            NO_PROXY=f"{HOST},localhost",
            no_proxy=f"{HOST},localhost",
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        )

    def start(self) -> float:
        """Start it. Returns the seconds until it was `ready`. Raises RuntimeError if it never is."""
        took, since = stopwatch(), datetime.now(UTC)
        self._running = self.launched(Path(sys.executable))
        try:
            self.process = psutil.Process(self._running.pid)
            while not self._can_be_used(since):
                if self._running.poll() is not None or took() > TIMEOUT:
                    raise RuntimeError(
                        f"airflow standalone is not ready after {took():.0f} s: {self._last_words()}"
                    )
                time.sleep(0.05)
        except BaseException:
            self.stop()
            raise
        self._components = self.process.children()
        return took()

    def launched(self, python: Path) -> subprocess.Popen[bytes]:
        """Start that of this Python's environment, and do not wait."""
        # It starts its components as `airflow`, whichever comes first.
        self._environment["PATH"] = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        with (self.folder / "standalone.log").open("ab") as log:
            return subprocess.Popen(
                [str(python.parent / "airflow"), "standalone"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _can_be_used(self, since: datetime) -> bool:
        try:
            password = json.loads((self.folder / "simple_auth_manager_passwords.json.generated").read_text())[
                ADMIN
            ]
        except (OSError, ValueError, KeyError):
            return False  # it has not made one yet
        self.airflow = Airflow(f"http://{HOST}:{self.port}", username=ADMIN, password=password)
        return ready(self.airflow, since)

    def _last_words(self) -> str:
        return " / ".join((self.folder / "standalone.log").read_text(errors="replace").splitlines()[-3:])

    def check(self) -> None:
        """Raise RuntimeError, with its last error, if one of its components has ended: it starts none again."""
        for component in self._components:
            if not _lives(component):
                lines = (self.folder / "standalone.log").read_text(errors="replace").splitlines()
                errors = [line.partition("| ")[2] for line in lines if "Error" in line and " | " in line]
                raise RuntimeError(
                    f"one of its components has ended: {errors[-1] if errors else 'see its log'}"
                )

    def stop(self) -> None:
        """End its components as it does itself, and then whatever is left. Nothing happens when it does not run."""
        running, self._running = self._running, None
        if running is None:
            return
        family = self._family(running.pid)
        itself = family.pop(running.pid, None)
        # Not by SIGINT: who is started in the background of a shell ignores that, and so do its children.
        for component in itself.children() if itself else []:
            component.terminate()
        took = stopwatch()
        while any(_lives(process) for process in family.values()) and took() < GRACE:
            time.sleep(0.05)
        processes.end(self._family(running.pid).values(), grace=2.0)
        processes.end([process for process in family.values() if _lives(process)], grace=0)
        running.wait(GRACE)

    def command(self, *arguments: str) -> None:
        """Run `airflow …` on it, as in a terminal of its own. Raises subprocess.CalledProcessError."""
        subprocess.run(
            [str(Path(sys.executable).parent / "airflow"), *arguments],
            cwd=self.folder,
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
        )

    @staticmethod
    def _family(pid: int) -> dict[int, psutil.Process]:
        """Its descendants, and those whose parent has ended: all but a task's own commands are in its session."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == pid:
                    found |= {child.pid: child for child in [process, *process.children(recursive=True)]}
            except (OSError, psutil.Error):
                continue
        return found

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def ready(airflow: Airflow, since: datetime) -> bool:
    """Whether it is ready for work: the API answers, a login works, all components have said since then that they live.

    Without ``since``, one that was stopped a moment ago would still count as healthy.
    """
    try:
        reply = urllib3.request("GET", f"{airflow.url}/api/v2/monitor/health", retries=False, timeout=5)
        found = json.loads(reply.data)
        healthy = found["metadatabase"]["status"] == "healthy" and all(
            found[name]["status"] == "healthy"
            and datetime.fromisoformat(found[name][f"latest_{name}_heartbeat"]) >= since
            for name in READY
        )
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
        return False
    return healthy and airflow.can_log_in()


@contextmanager
def plain_postgres(folder: Path) -> Iterator[Callable[[], str]]:
    """A Postgres with its own defaults, from the same binaries as the sandbox's, in ``folder``.

    Gives a function that makes an empty database and returns its SQLAlchemy address.
    """
    folder.mkdir()
    state = State(folder)
    postgres = Postgres(state, state.prepare(anywhere=True).postgres)
    postgres.initdb()
    # Nothing of the sandbox's tuning: it is durable, as a server is that somebody has installed.
    (postgres.data / "postgresql.auto.conf").write_text(SETTINGS)
    made = 0

    def database() -> str:
        nonlocal made
        made += 1
        postgres.create(f"airflow{made}")
        return postgres.url(f"airflow{made}")

    with (folder / "postgres.log").open("ab") as log:
        server = subprocess.Popen(
            postgres.command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **postgres.spawn_options(),
        )
    try:
        took = stopwatch()
        while (problem := postgres.problem()) is not None:
            if server.poll() is not None or took() > GRACE:
                raise RuntimeError(f"Postgres did not start: {problem}")
            time.sleep(0.05)
        yield database
    finally:
        server.send_signal(signal.SIGINT)  # "fast": clients are disconnected
        try:
            server.wait(GRACE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
