"""The memory of one learner of a class: JupyterLab and the sandbox beside it, as a JupyterHub starts them.

Idle, then while a chapter runs in a kernel of that server. ``python benchmarks/learner.py [CHAPTER …]`` prints a table
and writes ``benchmarks/results/learner.json``. Linux only: proportional set size, so that what forks share
counts once. Of it, what is not a file's is charged to a container; pages of files are given back when memory is short.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import psutil
import urllib3
from jupyter_client import BlockingKernelClient
from rich.console import Console
from rich.table import Table

from windtunnel.airflow_env import clean_environment
from windtunnel.sandbox import Sandbox
from windtunnel.waiting import poll

HERE = Path(__file__).parent
ROOT = HERE.parent
TOKEN = "of-this-benchmark"  # noqa: S105
CHAPTERS = ["02-your-first-dag", "12-pools"]  # the first with tasks, and one with pools full and a dozen runs
SETTLED = 30  # seconds from Airflow's first answer to the look at an idle server


def memory(server: psutil.Process) -> Counter[str]:
    """Megabytes of the server and all below it: ``Pss``, and ``Anon`` and ``Shmem``, which are no file's."""
    found: Counter[str] = Counter()
    for process in [server, *server.children(recursive=True)]:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        for line in lines[1:]:
            name, amount = line.split()[:2]
            if name.startswith("Pss"):
                found[name.strip(":").removeprefix("Pss_")] += int(amount)
    return Counter({name: round(found[name] * 1024 / 1e6) for name in ("Pss", "Anon", "Shmem")})


class Peak(threading.Thread):
    """Looks twice a second, and keeps the look with the most."""

    def __init__(self, server: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.server, self.most, self.enough = server, Counter[str](), threading.Event()

    def run(self) -> None:
        """Look until it is enough."""
        while not self.enough.wait(0.5):
            self.most = max(self.most, memory(self.server), key=lambda look: look["Pss"])


def execute(url: str, runtime: Path, chapter: str, notebook: Path) -> None:
    """Run the notebook's cells, one after the other, in a session of the server's."""
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
    client.wait_for_ready(60)
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            client.execute_interactive(cell.source, timeout=300, output_hook=lambda _message: None)
    client.stop_channels()


def measured(chapter: str, folder: Path) -> dict[str, Counter[str]]:
    """The figures of a learner with folders of their own: ``idle``, and at most while the chapter runs."""
    runtime = folder / "runtime"
    environment = clean_environment() | {
        "HOME": str(folder),
        "JUPYTER_CONFIG_PATH": str(ROOT / "sandbox/jupyter"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_TOKEN": TOKEN,
        "WINDTUNNEL_STATE": str(folder / "state"),
        "WINDTUNNEL_WORK": str(folder / "work"),
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", "--port=28988"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        record = poll(lambda: next(runtime.glob("jpserver-*.json"), None), timeout=60, every=0.2)
        sandbox = Sandbox(folder / "state")
        assert record and poll(lambda: True if sandbox.is_up() else None, timeout=120, every=0.5)
        time.sleep(SETTLED)
        idle = memory(psutil.Process(process.pid))
        peak = Peak(psutil.Process(process.pid))
        peak.start()
        url = json.loads(record.read_text())["url"]
        execute(url, runtime, chapter, folder / f"work/notebooks/{chapter}.ipynb")
        peak.enough.set()
        peak.join()
        return {"idle": idle, chapter: peak.most}
    finally:
        process.terminate()
        process.wait(60)
        poll(lambda: None if sandbox.state.is_running() else True, timeout=60, every=0.5)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapters", nargs="*", default=CHAPTERS)
    found: dict[str, Counter[str]] = {}
    for chapter in parser.parse_args().chapters:
        with tempfile.TemporaryDirectory(prefix="windtunnel-") as name:
            Path(name).chmod(0o711)  # root's Postgres runs under another account
            found |= measured(chapter, Path(name))
    table = Table("MB", "all", "not of files")
    for moment, look in found.items():
        table.add_row(moment, str(look["Pss"]), str(look["Anon"] + look["Shmem"]))
    Console().print(table)
    result = {
        "megabytes": {moment: look["Pss"] for moment, look in found.items()},
        "not_of_files": {moment: look["Anon"] + look["Shmem"] for moment, look in found.items()},
        "measured": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    (HERE / "results/learner.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
