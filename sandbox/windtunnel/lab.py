"""JupyterLab on a live Airflow: the reader's folder, the server, and both at once."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from windtunnel import processes, work
from windtunnel.airflow_env import clean_environment
from windtunnel.errors import WindtunnelError
from windtunnel.paths import work_dir
from windtunnel.ports import HOST, listens
from windtunnel.sandbox import Sandbox
from windtunnel.state import State

SERVER_TIMEOUT = 60.0  # seconds
LAB = "WINDTUNNEL_LAB"  # in the server's environment: which `windtunnel lab` it belongs to
# No news feed: it asks a server outside. Line numbers: error messages name the cell's line.
OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"codeCellConfig": {"lineNumbers": True}},
}


@dataclass
class LabSession:
    """A running JupyterLab and the sandbox below it."""

    process: subprocess.Popen[bytes]
    url: str
    sandbox: Sandbox
    notes: list[str]

    def announce(self, out: Console, *, open_browser: bool) -> None:
        """Say where things are; open the browser if wanted."""
        out.print(f"\nJupyterLab  [bold]{self.url}[/]", soft_wrap=True)
        out.print(
            f"Airflow     {self.sandbox.url}   user admin, password {self.sandbox.password}", soft_wrap=True
        )
        for note in self.notes:
            out.print(f"· {note}", soft_wrap=True)
        out.print("Ctrl-C stops both. Your notebooks, DAGs and answers are in work/.")
        if open_browser:
            webbrowser.open(self.url)


@contextmanager
def serving(port: int, progress: Callable[[str], None]) -> Iterator[LabSession]:
    """JupyterLab and the sandbox, started side by side; when the block ends, however it does, they end.

    A sandbox that was running before stays. SIGTERM and SIGHUP (a closed terminal) become KeyboardInterrupt.
    Raises WindtunnelError when either cannot start.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    sandbox, started, process = Sandbox(), False, None
    sandbox.prepare(progress)
    notes = work.prepare()
    token = secrets.token_urlsafe(24)
    try:
        process = _start_server(sandbox.state, port, token)
        # `follow`: should this process be killed, the sandbox goes down by itself.
        started = sandbox.up(progress, follow=os.getpid())
        progress("waiting for JupyterLab")
        url = wait_served(sandbox.state, process)
        yield LabSession(process, f"{url}lab/tree/{_first_page()}?token={token}", sandbox, notes)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # impatience would leave half of it running
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if started:
            sandbox.down()


def _first_page() -> str:
    notebooks = sorted((work_dir() / "notebooks").glob("[0-9][0-9]-*.ipynb"))
    return f"notebooks/{notebooks[0].name}" if notebooks else ""


def _start_server(state: State, port: int, token: str) -> subprocess.Popen[bytes]:
    home = state.path / "jupyter"
    own = settings(home)
    (home / "runtime").mkdir(mode=0o700, exist_ok=True)
    _end_abandoned(home / "runtime")
    # Everything Jupyter writes stays in the state folder; the token goes through the environment because
    # command lines can be read by every user of a machine.
    environment = clean_environment() | {
        "JUPYTER_TOKEN": token,
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "WINDTUNNEL_STATE": str(state.path),
        "WINDTUNNEL_WORK": str(work_dir()),
        LAB: f"{os.getpid()} {processes.started(os.getpid())}",
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", f"--ServerApp.ip={HOST}"]
    command += [f"--ServerApp.port={port}", f"--ServerApp.root_dir={work_dir()}", "--log-level=WARN"]
    # Its own settings folder, so that the environment stays as installed; no installing from the browser.
    command += [f"--LabApp.app_settings_dir={own}", "--LabApp.extension_manager=readonly"]
    # It would look for other tools' language servers by running npm, which writes to the home folder.
    command.append("--LanguageServerManager.autodetect=False")
    if os.geteuid() == 0:
        command.append("--allow-root")
    with (state.logs / "jupyterlab.log").open("ab") as log:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def settings(home: Path) -> Path:
    """JupyterLab's settings of the course, in a folder below ``home``. Returns that folder."""
    folder = home / "lab/settings"
    for each in (home, folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
    (folder / "overrides.json").write_text(json.dumps(OVERRIDES, indent=1))
    return folder


def _end_abandoned(runtime: Path) -> None:
    """End servers whose `windtunnel lab` was killed and could not; a second Lab of this clone goes on."""
    for record in runtime.glob("jpserver-*.json"):
        try:
            server = psutil.Process(int(record.stem.removeprefix("jpserver-")))
            pid, created = server.environ()[LAB].split()
        except (psutil.Error, OSError, ValueError, KeyError):
            record.unlink(missing_ok=True)  # it has ended, and another process has its id
            continue
        if not processes.is_alive(int(pid), float(created)):
            processes.end([server], grace=5)


def wait_served(state: State, process: subprocess.Popen[bytes]) -> str:
    """The server's address, as soon as it can be opened. Raises WindtunnelError when it ends, or takes too long."""
    deadline = time.monotonic() + SERVER_TIMEOUT
    log = state.logs / "jupyterlab.log"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise WindtunnelError(
                f"JupyterLab ended with code {process.returncode}.", f"the reason is at the end of {log}"
            )
        for file in (state.path / "jupyter/runtime").glob(f"jpserver-{process.pid}.json"):
            try:
                record = json.loads(file.read_text())
            except ValueError:
                continue  # being written
            if listens(process.pid, record["port"]):  # it tells its address first
                return str(record["url"])
        time.sleep(0.05)
    raise WindtunnelError(
        f"JupyterLab was not served within {SERVER_TIMEOUT:.0f} s.", f"see the end of {log}"
    )
