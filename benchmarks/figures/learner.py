"""The memory of one learner of a class: JupyterLab and the sandbox beside it, as a JupyterHub starts them.

Idle, and at most while a chapter runs in a kernel of that server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nbformat
import psutil
import urllib3
from jupyter_client.blocking.client import BlockingKernelClient

from benchmarks.figures.memory import SETTLED, Shared, families, memory, needs
from benchmarks.harness import Bench, Comparison, Subject
from windtunnel import processes
from windtunnel.airflow_env import clean_environment
from windtunnel.paths import repo_root
from windtunnel.ports import any_free
from windtunnel.sandbox import Sandbox
from windtunnel.waiting import poll

TOKEN = "of-this-benchmark"  # noqa: S105
FIRST, MOST = (
    "02-your-first-dag",
    "12-pools",
)  # the first with tasks, and one with pools full and a dozen runs
IDLE, DURING_FIRST, DURING_MOST = "idle", "while chapter 02 runs", "while chapter 12 runs"
GRACE = 60.0  # seconds
NOTE = (
    "JupyterLab starts the sandbox, as it does for a JupyterHub. Idle: proportional set size of all the learner's "
    f"processes, shared pages once, {SETTLED:.0f} s after Airflow's first answer. Then the most of what is seen twice "
    "a second while a kernel of that server runs the chapter."
)
HELD = " This much a container is charged with for good: pages of files are given back when memory is short."


class Peak(threading.Thread):
    """Looks twice a second at what hangs together with a server, and keeps the look with the most."""

    def __init__(self, server: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.server, self.most, self.enough = server, Counter[str](), threading.Event()
        self.problem: BaseException | None = None

    def run(self) -> None:
        """Look until it is enough."""
        try:
            while not self.enough.wait(0.5):
                self.most = max(
                    self.most, memory(families([self.server])), key=lambda look: (look["Pss"], look["Anon"])
                )
        except BaseException as problem:  # told to whoever asks for the most
            self.problem = problem

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        self.join()
        if self.problem:
            raise self.problem


def execute(url: str, runtime: Path, chapter: str, notebook: Path) -> None:
    """Run the notebook's cells, one after the other, in a session of the server's. All must be well."""
    body = {
        "path": f"notebooks/{chapter}.ipynb",
        "name": "",
        "type": "notebook",
        "kernel": {"name": "python3"},
    }
    headers = {"Authorization": f"token {TOKEN}"}
    session = urllib3.request("POST", f"{url}api/sessions", json=body, headers=headers).json()
    client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{session['kernel']['id']}.json"))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(GRACE)
        for cell in nbformat.read(notebook, as_version=4).cells:  # type: ignore[no-untyped-call]
            if cell.cell_type == "code":
                reply = client.execute_interactive(
                    cell.source, timeout=300, output_hook=lambda _message: None
                )
                meant = "raises-exception" in cell.metadata.get("tags", [])
                assert meant or reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()


@contextmanager
def server(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A learner's, with folders of its own: the process, and its address. Its sandbox is up."""
    runtime, sandbox = folder / "runtime", Sandbox(folder / "state")
    environment = clean_environment() | {
        "HOME": str(folder),
        "JUPYTER_CONFIG_PATH": str(repo_root() / "sandbox/jupyter"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_TOKEN": TOKEN,
        "WINDTUNNEL_STATE": str(folder / "state"),
        "WINDTUNNEL_WORK": str(folder / "work"),
    }
    [port] = any_free(1)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        record = poll(lambda: next(runtime.glob("jpserver-*.json"), None), timeout=GRACE, every=0.2)
        assert record, "JupyterLab did not start"
        assert poll(lambda: sandbox.is_up() or None, timeout=2 * GRACE, every=0.5), "the sandbox did not"
        yield psutil.Process(process.pid), json.loads(record.read_text())["url"]
    finally:
        process.terminate()
        try:
            process.wait(GRACE)
        finally:
            process.kill()
            process.wait()
            sandbox.down()
            processes.end(processes.started_for(folder), grace=2.0)


def measured(bench: Bench, chapter: str, *, idle: bool) -> dict[str, float]:
    """Megabytes of a learner who runs the chapter: ``most`` and ``most held``; before it ``idle`` and ``idle held``.

    Held is what are no pages of files, which a system that is short of memory takes back. ``idle``: whether that is
    looked at, too.
    """
    found: dict[str, float] = {}

    def keep(name: str, look: Counter[str]) -> None:
        found[name] = look["Pss"] / 1e6
        found[f"{name} held"] = (look["Anon"] + look["Shmem"]) / 1e6

    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    folder.chmod(0o711)  # root's Postgres runs under another account
    with server(folder) as (process, url):
        if idle:
            time.sleep(SETTLED)
            keep("idle", memory(families([process])))
        with Peak(process) as peak:
            execute(url, folder / "runtime", chapter, folder / f"work/notebooks/{chapter}.ipynb")
        keep("most", peak.most)
    return found


@contextmanager
def learner(bench: Bench) -> Iterator[list[Comparison]]:
    """Each sample is a start of its own; it is idle first where the first chapter runs then."""
    first = Shared(partial(measured, bench, FIRST, idle=True))
    most = Shared(partial(measured, bench, MOST, idle=False))

    def comparison(name: str, title: str, kind: str, more: str = "") -> Comparison:
        sides = {
            IDLE: first.figure(f"idle{kind}"),
            DURING_FIRST: first.figure(f"most{kind}"),
            DURING_MOST: most.figure(f"most{kind}"),
        }
        return Comparison(name, title, "MB", sides, rounds=3, quick=0, note=NOTE + more)

    yield [
        comparison("learner", "Memory of one learner", ""),
        comparison("learner-held", "Of it, no pages of files", " held", HELD),
    ]


def needs_more() -> str:
    """Airflow hides what runs tasks from everybody but root."""
    return needs() or ("" if os.geteuid() == 0 else "only root may look into the processes that run tasks")


SUBJECT = Subject(
    "learner", "memory of one learner of a class, idle and while a chapter runs", learner, needs_more
)
