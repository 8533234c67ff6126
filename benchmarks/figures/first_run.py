"""From nothing to the first green run: a fresh clone and `make lab`, or an environment and ``airflow standalone``.

Nothing is there but Python and the packages that pip and uv keep: folder, environment, database and bytecode are new
each time, and gone afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import psutil
import urllib3
from jupyter_client.blocking.client import BlockingKernelClient

from benchmarks.harness import Bench, Comparison, Subject, stopwatch
from benchmarks.peers import plain_environment
from benchmarks.standalone import Standalone
from windtunnel import processes
from windtunnel.airflow_env import ADMIN
from windtunnel.api import Airflow
from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root
from windtunnel.ports import HOST
from windtunnel.sandbox import Sandbox

AIRFLOW = "apache-airflow==3.3.2"
DAG_ID = "first"
DAG = """from airflow.sdk import DAG, task

with DAG("first"):

    @task
    def extract():
        return [19, 23]

    @task
    def add(numbers):
        return sum(numbers)

    @task
    def load(total):
        print(total)

    load(add(extract()))
"""
CELLS = (  # what a reader types
    "%load_ext windtunnel",
    f"%%dag\n{DAG}",
    'run = trigger("first", unpause=True)\nrun.watch()',
    'assert list(run.states().values()) == ["success"] * 3, run.states()',
)
TIMEOUT = 600.0  # seconds for each step
GRACE = 60.0  # seconds that `make lab` gets to end
SERVED = re.compile(r"^JupyterLab\s+(http://\S+?/)lab\S*\?token=(\S+)", re.M)
BASE = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
UV = [str(Path(sys.executable).parent / "uv"), "--system-certs"]  # certificates as pip uses them
NOTE = (
    "Everything new but the downloads. Python keeps the bytecode of what it imports, on all sides; uv compiles nothing "
    "ahead, and pip all that it installs. Windtunnel: `git clone` of this clone, "
    "`make lab ARGS=--no-browser`, and a kernel of that JupyterLab that runs `%load_ext windtunnel`, `%%dag` and "
    "`trigger`. It installs the whole course: Postgres, JupyterLab, Jupyter Book, pandas …; the others install only "
    f"`{AIRFLOW}` and what that needs. The others: an environment, the package, `airflow standalone` in an empty home "
    "with the same DAG's file already in its folder, so that no refresh is waited for; triggered by the API as soon as "
    "the DAG is known. Constraints are the versions of requirements.lock, in place of Airflow's own constraints file: "
    "both sides run the same ones. pip keeps of the downloads what its index lets it keep."
)


@contextmanager
def opened(bench: Bench) -> Iterator[Sequence[Comparison]]:
    """Constraints, and caches that hold every package."""
    constraints = bench.folder / "constraints.txt"
    constraints.write_text(constrained((repo_root() / "requirements.lock").read_text()))
    by_uv, by_pip = (partial(way, constraints=constraints) for way in (with_uv, with_pip))
    bench.say("filling the caches of uv and pip")
    with _fresh(bench.folder, "cache") as folder:
        _lock(folder)
        by_uv(folder)
        if not bench.quick:
            by_pip(folder)
    numbers = count(1)

    def sample(way: Callable[[Path], float]) -> float:
        with _fresh(bench.folder, str(next(numbers))) as folder:
            return way(folder)

    yield [
        Comparison(
            "first-run",
            "Fresh clone to the first green run",
            "s",
            {
                "Windtunnel": partial(sample, make_lab),
                "airflow standalone, uv": partial(sample, partial(standalone, install=by_uv)),
                "airflow standalone, pip": partial(sample, partial(standalone, install=by_pip)),
            },
            rounds=3,
            only_full=frozenset({"airflow standalone, pip"}),
            note=NOTE,
        )
    ]


# --- Windtunnel ------------------------------------------------------------------------------------
def make_lab(folder: Path) -> float:
    """Seconds from `git clone` until a run has succeeded in a kernel of the JupyterLab that `make lab` opened."""
    clone, state, log = folder / "clone", folder / "state", folder / "lab.log"
    environment = plain_environment(WINDTUNNEL_STATE=str(state), WINDTUNNEL_WORK=str(folder / "work"))
    took = stopwatch()
    _run(["git", "clone", "--quiet", str(repo_root()), str(clone)])
    with log.open("wb") as file:
        lab = subprocess.Popen(
            ["make", "lab", "ARGS=--no-browser", f"PYTHON={BASE}"],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        while not (served := SERVED.search(log.read_text(errors="replace"))):
            if lab.poll() is not None or took() > TIMEOUT:
                raise RuntimeError(f"make lab is not ready after {took():.0f} s: {_last_words(log)}")
            time.sleep(0.05)
        _read(served[1], served[2], state / "jupyter/runtime")
        return took()
    finally:
        _end(lab, state)


def _read(url: str, token: str, runtime: Path) -> None:
    """Run the cells in a new notebook's kernel."""
    body = {"path": "first.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    headers = {"Authorization": f"token {token}"}
    session = urllib3.request("POST", f"{url}api/sessions", json=body, headers=headers).json()
    kernel = BlockingKernelClient(connection_file=str(runtime / f"kernel-{session['kernel']['id']}.json"))
    kernel.load_connection_file()
    kernel.start_channels()
    try:
        kernel.wait_for_ready(60)
        for cell in CELLS:
            reply = kernel.execute_interactive(cell, timeout=TIMEOUT, output_hook=lambda _message: None)
            if reply["content"]["status"] != "ok":
                raise RuntimeError(f"{cell.splitlines()[0]}: {reply['content'].get('evalue', 'no answer')}")
    finally:
        kernel.stop_channels()


def _end(lab: subprocess.Popen[bytes], state: Path) -> None:
    """End it as a closed terminal does; then whatever it has left."""
    if lab.poll() is None:
        os.killpg(lab.pid, signal.SIGTERM)  # as for Ctrl-C, which may be ignored where this runs
    try:
        lab.wait(GRACE)
    except subprocess.TimeoutExpired:
        family = [*psutil.Process(lab.pid).children(recursive=True), psutil.Process(lab.pid)]
        processes.end(family, grace=5.0)
        lab.wait()
    if state.exists():
        Sandbox(state).down()
        processes.end(processes.started_for(state.parent), grace=2.0)


# --- Airflow alone -----------------------------------------------------------------------------------
class Installed(Standalone):
    """``airflow standalone`` of an environment of its own."""

    def launch(self, python: Path) -> None:
        """Start it, and do not wait."""
        self._running = self.launched(python)

    def first_green(self) -> None:
        """Trigger the DAG as soon as it is known, and wait until its run has succeeded."""
        run_id, took = "", stopwatch()
        while True:
            try:
                if not run_id:
                    airflow = self._logged_in()
                    airflow.dag(DAG_ID)
                    airflow.pause(DAG_ID, False)
                    run_id = airflow.trigger(DAG_ID, None, None)
                state = airflow.run(DAG_ID, run_id).state.value
                if state == "success":
                    break
            except (OSError, ValueError, KeyError, WindtunnelError) as error:
                state = f"{error}"  # no password yet, no answer yet, no DAG yet
            ended = self._running is None or self._running.poll() is not None
            if ended or state == "failed" or took() > TIMEOUT:
                raise RuntimeError(
                    f"airflow standalone: {state}: {_last_words(self.folder / 'standalone.log')}"
                )
            time.sleep(0.05)
        states = [task.state.value for task in airflow.task_instances(DAG_ID, run_id)]
        assert states == ["success"] * 3, states

    def _logged_in(self) -> Airflow:
        passwords = (self.folder / "simple_auth_manager_passwords.json.generated").read_text()
        return Airflow(f"http://{HOST}:{self.port}", username=ADMIN, password=json.loads(passwords)[ADMIN])


def standalone(folder: Path, *, install: Callable[[Path], Path]) -> float:
    """Seconds from an empty folder until a run has succeeded."""
    airflow = Installed(folder / "home")
    (airflow.dags / "first.py").write_text(DAG)
    took = stopwatch()
    python = install(folder)
    try:
        airflow.launch(python)
        airflow.first_green()
        return took()
    finally:
        airflow.stop()


def with_uv(folder: Path, *, constraints: Path) -> Path:
    """The Python of a new environment with Airflow, as the documentation installs it."""
    python = folder / "uv/bin/python"
    _run([*UV, "venv", "--python", str(BASE), str(folder / "uv")])
    _run([*UV, "pip", "install", "--python", str(python), AIRFLOW, "--constraint", str(constraints)])
    return python


def with_pip(folder: Path, *, constraints: Path) -> Path:
    """Likewise, with what comes with Python."""
    python = folder / "pip/bin/python"
    _run([str(BASE), "-m", "venv", str(folder / "pip")])
    _run([str(python), "-m", "pip", "install", AIRFLOW, "--constraint", str(constraints)])
    return python


def constrained(lock: str) -> str:
    """The versions of a lock as constraints: without hashes, which pip would then want for all."""
    return "".join(f"{line}\n" for line in re.findall(r"^(\S+==.*?) *\\?$", lock, re.M))


# --- what both need ----------------------------------------------------------------------------------
def _lock(folder: Path) -> None:
    """Fetch what `make lab` installs."""
    python = folder / "all/bin/python"
    _run([*UV, "venv", "--python", str(BASE), str(folder / "all")])
    _run(
        [
            *UV,
            "pip",
            "sync",
            "--python",
            str(python),
            "--require-hashes",
            str(repo_root() / "requirements.lock"),
        ]
    )


@contextmanager
def _fresh(parent: Path, name: str) -> Iterator[Path]:
    """An empty folder, gone with all it holds when the block ends."""
    folder = parent / name
    folder.mkdir()
    folder.chmod(0o711)  # root's Postgres runs under another account and must pass through
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[str]) -> None:
    """Run a step; its last words are the error's."""
    done = subprocess.run(
        command,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
        raise RuntimeError(f"{Path(command[0]).name} {command[1]}: {words}")


def _last_words(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])


def _needs() -> str:
    root = repo_root()
    if not (root / ".git").exists() or not shutil.which("git"):
        return "it clones this clone, and this folder is not one, or there is no git"
    if not shutil.which("make"):
        return "there is no make"
    return "" if BASE.exists() else f"the Python that this environment was made with is not at {BASE}"


SUBJECT = Subject(
    name="first_run",
    about="fresh clone to the first green run, beside an environment and airflow standalone",
    open=opened,
    needs=_needs,
)
