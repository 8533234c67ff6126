"""`windtunnel lab`: JupyterLab and the sandbox together, private, leaving nothing elsewhere."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import urllib3

from sandboxes import COMMAND, alive, belonging, environment, wait_for, windtunnel
from windtunnel.lab import wait_served
from windtunnel.paths import repo_root
from windtunnel.sandbox import Sandbox
from windtunnel.state import State

HTTP = urllib3.PoolManager(retries=False)


class Lab:
    """A running `windtunnel lab --no-browser` in ``folder``, whose HOME is new and empty."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        (folder / "temporary").mkdir(exist_ok=True)
        values = environment(folder, HOME=str(self.home), TMPDIR=str(folder / "temporary"))
        for name in [name for name in values if name.startswith(("JUPYTER", "XDG_", "IPYTHON", "MPL"))]:
            del values[name]
        self.process = subprocess.Popen(
            [COMMAND, "lab", "--no-browser"],
            env=values,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr.txt").open("w"),
            text=True,
        )
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C stops both" in line:
                break
        found = re.search(r"JupyterLab\s+(http://127\.0\.0\.1:(\d+)/)(\S*)\?token=(\S+)", self.said)
        assert found, self.said + (folder / "stderr.txt").read_text()
        self.url, self.port, self.page, self.token = found[1], int(found[2]), found[3], found[4]
        runtime = folder / "state/jupyter/runtime"
        records = [json.loads(file.read_text()) for file in runtime.glob("jpserver-*.json")]
        (pid,) = [record["pid"] for record in records if record["port"] == self.port]
        self.server = psutil.Process(pid)

    def get(self, path: str, *, token: bool = True) -> urllib3.BaseHTTPResponse:
        """The answer of the server, with or without the token."""
        headers = {"Authorization": f"token {self.token}"} if token else {}
        return HTTP.request("GET", self.url + path, headers=headers, redirect=False)

    def end(self, number: int = signal.SIGINT) -> int:
        """Send the signal to the command, as a terminal would; returns the exit code."""
        self.process.send_signal(number)
        self.process.stdout.read()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def lab(own):
    """A Lab, started while somebody else had the usual port."""
    jupyter_before = listing(Path(sys.prefix, "share/jupyter")), listing(Path(sys.prefix, "etc/jupyter"))
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # taken already: as good
            somebody.bind(("127.0.0.1", 8888))
            somebody.listen()
        started = Lab(own)
    yield started
    if started.process.poll() is None:
        started.end()
    assert jupyter_before == (
        listing(Path(sys.prefix, "share/jupyter")),
        listing(Path(sys.prefix, "etc/jupyter")),
    ), "Jupyter wrote into the environment"


def listing(folder: Path) -> dict[str, int]:
    """Every file below ``folder`` with its date."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_printed_address_opens_lab_on_the_first_chapter(lab):
    page = lab.get(f"{lab.page}?token={lab.token}", token=False)
    assert page.status == 200
    assert b"JupyterLab" in page.data
    first = min(path.name for path in (repo_root() / "notebooks").glob("[0-9]*.ipynb"))
    assert lab.page == f"lab/tree/notebooks/{first}"
    assert lab.get(f"api/contents/notebooks/{first}").status == 200


def test_lab_is_served_when_it_can_be_opened_not_when_it_says_where(tmp_path):
    # What the server does, a second apart: it writes down its address, then it listens.
    runtime = tmp_path / "jupyter/runtime"
    runtime.mkdir(parents=True)
    slow = (
        "import json, os, pathlib, socket, time\n"
        "server = socket.socket()\n"
        "server.bind(('127.0.0.1', 0))\n"
        "port = server.getsockname()[1]\n"
        f"record = pathlib.Path({str(runtime)!r}, f'jpserver-{{os.getpid()}}.json')\n"
        "record.write_text(json.dumps({'url': f'http://127.0.0.1:{port}/', 'port': port}))\n"
        "time.sleep(1)\n"
        "server.listen()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", slow]) as process:
        try:
            url = wait_served(State(tmp_path), process)
            socket.create_connection(("127.0.0.1", urllib3.util.parse_url(url).port), timeout=5).close()
        finally:
            process.kill()


def test_without_the_token_nothing_is_served(lab):
    assert lab.get("api/contents", token=False).status == 403
    assert lab.get("api/kernels", token=False).status == 403
    assert lab.get("lab", token=False).status == 302  # to the login page
    assert lab.get("api/contents?token=wrong", token=False).status == 403


def test_a_taken_port_is_passed_over(lab):
    assert lab.port != 8888


def test_the_sandbox_is_up_and_its_password_is_printed(lab, own):
    started = Sandbox(own / "state")
    assert started.is_up()
    assert started.url in lab.said
    assert started.password in lab.said


def test_lab_asks_nobody_for_news_and_installs_nothing_from_the_browser(lab):
    plugin = "@jupyterlab/apputils-extension:notification"
    settings = json.loads(lab.get(f"lab/api/settings/{plugin}").data)
    defaults = settings["schema"]["properties"]
    assert defaults["fetchNews"]["default"] == "false"
    assert defaults["checkForUpdates"]["default"] is False
    page = lab.get("lab").data.decode()
    config = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.S)[1])
    assert config["extensionManager"]["can_install"] is False


def test_lab_and_its_kernels_listen_on_loopback_alone_and_find_the_sandbox(lab):
    answer = HTTP.request(
        "POST", f"{lab.url}api/kernels", headers={"Authorization": f"token {lab.token}"}, json={}
    )
    assert answer.status == 201
    (kernel,) = wait_for("the kernel", lab.server.children)
    wait_for("the kernel to listen", lambda: len(listening(kernel)) >= 5)
    assert {address for process in (lab.server, kernel) for address in listening(process)} == {"127.0.0.1"}
    assert kernel.environ()["WINDTUNNEL_STATE"] == lab.server.environ()["WINDTUNNEL_STATE"]


def listening(process: psutil.Process) -> list[str]:
    """The addresses a process listens on."""
    return [c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN]


def test_ctrl_c_ends_lab_its_kernels_and_the_sandbox_and_nothing_is_left_elsewhere(lab, own):
    left = belonging(Sandbox(own / "state")) | {lab.server, *lab.server.children(recursive=True)}
    assert lab.end() == 0
    wait_for("everything to end", lambda: not alive(left))
    assert list(lab.home.iterdir()) == []
    assert list((own / "temporary").iterdir()) == []
    assert {entry.name for entry in own.iterdir()} == {"state", "work", "home", "temporary", "stderr.txt"}
    assert {path.name for path in (own / "work").iterdir()} >= {"notebooks", "answers", "dags"}


def test_a_second_lab_copies_nothing_anew_and_leaves_a_sandbox_it_found_running(lab, own):
    assert lab.process.poll() is not None
    assert windtunnel(own, "up").returncode == 0
    before = listing(own / "work/notebooks")
    again = Lab(own)
    assert listing(own / "work/notebooks") == before
    assert again.token != lab.token
    assert again.end(signal.SIGHUP) == 0  # its terminal was closed
    wait_for("the server's end", lambda: not alive({again.server}))
    assert Sandbox(own / "state").is_up()
    windtunnel(own, "down")


def test_after_a_killed_lab_the_sandbox_goes_down_and_the_next_lab_ends_the_old_server(lab, own):
    assert lab.process.poll() is not None
    killed = Lab(own)
    killed.end(signal.SIGKILL)
    state = Sandbox(own / "state").state
    wait_for("the sandbox's end", lambda: not state.is_running())
    assert alive({killed.server})
    following = Lab(own)
    assert not alive({killed.server})
    assert following.get("api/contents").status == 200
    assert following.end() == 0
