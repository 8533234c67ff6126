"""A Jupyter server as the image runs it, with the sandbox that it starts."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import urllib3

from sandboxes import ROOT, environment, wait_for
from windtunnel.ports import listens
from windtunnel.sandbox import Sandbox

HTTP = urllib3.PoolManager(retries=False)
TOKEN = "of-this-test"  # the Jupyter server's
PREFIX = "/user/ada@example.org"  # as below a JupyterHub, whose users may have such names


class Server:
    """The Jupyter server of the image, in ``folder``, behind a path."""

    def __init__(self, folder: Path, prefix: str = PREFIX, **extra: str) -> None:
        self.folder, self.log = folder, folder / "server.log"
        values = environment(folder, HOME=str(folder), JUPYTER_TOKEN=TOKEN, **extra)
        values = {name: value for name, value in values.items() if not name.startswith(("XDG_", "IPYTHON"))}
        values |= {
            "JUPYTER_CONFIG_PATH": str(ROOT / "sandbox/jupyter"),
            "JUPYTER_RUNTIME_DIR": str(folder / "run"),
        }
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", "--port=28888"]
        command += [f"--ServerApp.base_url={prefix}", *(["--allow-root"] if os.geteuid() == 0 else [])]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=values, cwd=folder, stdout=log, stderr=log)
        self.url = wait_for("the server", self._served)
        self.sandbox = Sandbox(folder / "state")

    def _served(self) -> str:
        assert self.process.poll() is None, self.log.read_text()
        for record in (self.folder / "run").glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):
                found = json.loads(record.read_text())
                if listens(self.process.pid, found["port"]):
                    return str(found["url"])
        return ""

    def ask(
        self, path: str, method: str = "GET", *, login: bool = True, **options
    ) -> urllib3.BaseHTTPResponse:
        """The server's answer, with or without its token."""
        given = options.pop("headers", {})
        # In a cookie or the address, as browsers send it: the header of that name is Airflow's here.
        query = f"{'&' if '?' in path else '?'}token={TOKEN}" if login else ""
        return HTTP.request(method, f"{self.url}{path}{query}", headers=given, redirect=False, **options)

    def end(self) -> None:
        """End it as a JupyterHub does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
