"""The workbench answers run on: a process with an Airflow of its own, fed with worlds served from here.

Private to each workbench, and gone with it: AIRFLOW_HOME, database, DAG folder, home and temporary folder. An
answer shares with the criteria's process nothing but a pipe. Answers that do not trust each other each need a
workbench of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from windtunnel.errors import WindtunnelError
from windtunnel.evidence import Case, Dataset, NotJudged
from windtunnel.paths import state_dir
from world.service import address, create_app, listen, server_for
from world.shop import Shop

TIME_LIMIT = 60.0  # seconds for importing the answer, and for each run of it
START_LIMIT = 120.0  # seconds for Airflow itself: a cold disk is not the reader's fault


class Workbench:
    """Runs answers. A context manager; the process starts with the first question.

    ``time_limit`` is for importing an answer, and for each run of it, in seconds.
    """

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._folder = Path(tempfile.mkdtemp(prefix="windtunnel-workbench-"))
        self._dags = self._folder / "dags"
        self._process: subprocess.Popen[bytes] | None = None
        self._replies = b""
        self._worlds: dict[str, _World] = {}
        self._count = 0

    def __enter__(self) -> Workbench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        for world in self._worlds.values():
            world.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def parse(self, answer: Path) -> dict[str, Any]:
        """See ``evidence.Source``."""
        return self._ask({"do": "parse", "answer": self._place(answer)}, "importing your file")

    def run(self, answer: Path, dag_id: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """See ``evidence.Source``."""
        place = self._place(answer)
        self._count += 1
        data = self._folder / "data" / str(self._count)
        data.mkdir(parents=True)
        return [
            self._ask(
                {
                    "do": "run",
                    "answer": place,
                    "dag_id": dag_id,
                    "date": case.date,
                    "manual": case.manual,
                    "data": str(data),
                    "shop": self._world(case.data).url,
                },
                f"the run for {case.date}",
            )
            for case in cases
        ]

    def _place(self, answer: Path) -> str:
        """Put the answer, and it alone, into the DAG folder. Returns its path there."""
        shutil.rmtree(self._dags, ignore_errors=True)
        self._dags.mkdir()
        return str(shutil.copy(answer, self._dags))

    def _world(self, data: Dataset | None) -> _World:
        """The world that serves ``data``, started when first needed."""
        key = json.dumps(data)
        if key not in self._worlds:
            self._worlds[key] = _World(Shop() if data is None else Shop.from_tables(data))
        return self._worlds[key]

    def _ask(self, question: dict[str, Any], doing: str) -> dict[str, Any]:
        """One question, one answer, each a line of JSON."""
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._died(doing) from None
        reply: dict[str, Any] = self._reply(self._time_limit, doing)
        if "broken" in reply:
            raise WindtunnelError(
                f"The workbench failed at {doing}: {reply['broken']}", "please report this."
            )
        return reply

    def _start(self) -> subprocess.Popen[bytes]:
        airflow_home = self._folder / "airflow"
        private = [airflow_home, self._folder / "home", self._folder / "tmp"]
        for folder in private:  # they exist when an earlier process was stopped
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        shutil.copytree(template(), airflow_home, dirs_exist_ok=True)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                # -P: the script's own folder would come first on the path, and hide modules by its names.
                [sys.executable, "-P", str(Path(__file__).with_name("_workbench_child.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=_environment(self._folder, airflow_home, self._dags),
                start_new_session=True,  # a group of its own: what the answer starts is killed with it
            )
        self._reply(START_LIMIT, "starting Airflow")
        return self._process

    def _reply(self, limit: float, doing: str) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + limit
        while b"\n" not in self._replies:
            ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                self._kill()
                raise NotJudged(f"Stopped: {doing} took more than {limit:g} s.")
            part = os.read(pipe, 1 << 20)
            if not part:
                raise self._died(doing)
            self._replies += part
        line, _, self._replies = self._replies.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _died(self, doing: str) -> NotJudged | WindtunnelError:
        """Why there is no answer: the process ended. Its own Airflow's failure is not the reader's."""
        process = self._process
        assert process is not None
        code = process.wait()
        log = (self._folder / "log").read_text(errors="replace").strip().splitlines()
        self._kill()
        if doing == "starting Airflow":
            return WindtunnelError(
                f"{doing} for the check failed: {log[-1] if log else code}", "please report this."
            )
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return NotJudged(
            f"The process ended ({ended}) while {doing} was under way: does the file end Python itself?"
        )

    def _kill(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process, self._replies = None, b""


class _World:
    """A world in a thread of this process, on a port of its own."""

    def __init__(self, shop: Shop) -> None:
        server = listen(0)
        self.url = address(server)
        self._server: uvicorn.Server = server_for(create_app(shop))
        self._thread = threading.Thread(target=self._server.run, args=([server],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)


def _environment(folder: Path, home: Path, dags: Path) -> dict[str, str]:
    """Little of the reader's environment, so that an answer behaves here as anywhere."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "VIRTUAL_ENV")
    return {key: os.environ[key] for key in kept if key in os.environ} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "HOME": str(folder / "home"),
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "TMPDIR": str(folder / "tmp"),
    }


def template() -> Path:
    """An AIRFLOW_HOME with a migrated, empty SQLite database; made once for each version of Airflow."""
    ready = state_dir() / "cache" / f"airflow-{version('apache-airflow')}"
    if ready.exists():
        return ready
    try:
        ready.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=ready.parent, prefix=".making-"))
    except OSError as error:
        raise WindtunnelError(
            f"The check cannot keep its database: {error}.", f"see to {ready.parent}."
        ) from error
    try:
        # Left to itself, Airflow would write a configuration that names this folder. Its defaults will do.
        (making / "airflow.cfg").touch()
        migrated = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=_environment(making, making, making),
            cwd=making,
            capture_output=True,
            text=True,
        )
        if migrated.returncode:
            said = migrated.stderr.strip().splitlines()[-1:]
            raise WindtunnelError(f"The check's database could not be made: {said}", "please report this.")
        shutil.rmtree(making / "logs", ignore_errors=True)
        with contextlib.suppress(OSError):  # another check was quicker: theirs is as good
            making.rename(ready)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return ready
