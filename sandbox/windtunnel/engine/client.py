"""How the package asks for a check: of the warm process, started when there is none, or of a cold one."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from windtunnel.airflow_env import clean_environment
from windtunnel.engine import fingerprint
from windtunnel.engine.template import template
from windtunnel.errors import WindtunnelError
from windtunnel.paths import state_dir

START = 120.0  # seconds for the warm process to import Airflow: a cold disk is not the reader's fault
TRIES = 3  # to reach a process that has not just left
Progress = Callable[[str], None]


def judged(
    order: Mapping[str, Any],
    finding: Callable[[dict[str, Any]], None] = lambda _: None,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """What ``judge.judge`` returns for ``order``; ``finding`` hears of each criterion as soon as it is judged.

    Raises WindtunnelError when there is no verdict to be had.
    """
    full = {**order, "plans": str(state_dir() / "cache" / "plans")}
    for _ in range(TRIES):
        with _connection(progress) as connection:
            found = _conversation(connection, full, finding)
        if found is not None:
            return found
    raise WindtunnelError(
        "The check ended without a verdict.", "check again; `windtunnel doctor` looks for a cause."
    )


def _conversation(
    connection: socket.socket, order: Mapping[str, Any], finding: Callable[[dict[str, Any]], None]
) -> dict[str, Any] | None:
    """Send the order, read the replies. None when there was none: the process had just decided to leave."""
    heard = False
    try:
        connection.sendall(json.dumps(order).encode() + b"\n")
        with connection.makefile("rb") as replies:
            for line in replies:
                heard = True
                reply = json.loads(line)
                if "finding" in reply:
                    finding(reply["finding"])
                elif "done" in reply:
                    found: dict[str, Any] = reply["done"]
                    return found
                else:
                    raise WindtunnelError(f"The check failed: {reply['failed']}", "please report this.")
    except ConnectionError as error:
        if heard:
            raise WindtunnelError(f"The check was cut off ({error}).", "check again.") from error
    if heard:
        raise WindtunnelError("The check ended without a verdict.", "check again.")
    return None


@contextlib.contextmanager
def _connection(progress: Progress) -> Iterator[socket.socket]:
    if not warm_is_possible():
        with _cold(progress) as connection:
            yield connection
        return
    settings = f"{state_dir()} {os.environ.get('WINDTUNNEL_ISOLATION', '')}"
    mark = hashlib.sha256(settings.encode()).hexdigest()[:8]
    address = _folder() / f"{fingerprint.of_code()}-{mark}.sock"
    connection = _reached(address) or _started(address, progress)
    with connection:
        yield connection


def warm_is_possible() -> bool:
    """Whether a process may be kept and forked here: macOS ends forks that use its own libraries."""
    return sys.platform == "linux" and os.environ.get("WINDTUNNEL_WARM") != "off"


def _folder() -> Path:
    """The folder of the sockets: short, ours, and nobody else's."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base, "windtunnel") if base and os.access(base, os.W_OK) else _shared_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise WindtunnelError(
            f"The check cannot make {folder}: {error.strerror}.",
            "make it possible, or set WINDTUNNEL_WARM=off.",
        ) from error
    if found.st_uid != os.getuid() or found.st_mode & 0o777 != 0o700 or not folder.is_dir():
        raise WindtunnelError(
            f"{folder} must be a folder of yours that nobody else may enter.",
            "remove it, or set WINDTUNNEL_WARM=off.",
        )
    return folder


def _shared_folder() -> Path:
    # The path of a socket has room for 104 characters on some systems, and ours needs 63 of them below here.
    temporary = tempfile.gettempdir()
    return Path(temporary if len(temporary) <= 40 else "/tmp") / f"windtunnel-engine-{os.getuid()}"  # noqa: S108


def _reached(address: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(address))
    except OSError:
        connection.close()
        return None
    return connection


def _started(address: Path, progress: Progress) -> socket.socket:
    """Start the warm process, or wait for whoever is about to."""
    ready = template(progress)
    with address.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # freed by the system when its process ends, however it ends
        if connection := _reached(address):
            return connection
        progress("warming up, once: importing Airflow")
        log = address.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                # -P: a folder on the path that happens to be the current one could hide modules by its names.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "windtunnel.engine.server",
                    address,
                    ready,
                    fingerprint.of_code(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + START
        while time.monotonic() < deadline and process.poll() is None:
            if connection := _reached(address):
                return connection
            time.sleep(0.05)
        process.kill()
        raise _not_started(log)


@contextlib.contextmanager
def _cold(progress: Progress) -> Iterator[socket.socket]:
    """A process for this one check: the same code, with Airflow imported first."""
    ready = template(progress)
    progress("importing Airflow")
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory(prefix="windtunnel-cold-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "windtunnel.engine.cold", str(theirs.fileno()), ready],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                cwd=folder,
                start_new_session=True,
            )
        theirs.close()
        try:
            with ours:
                yield ours
            process.wait(timeout=30)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    return clean_environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}


def _not_started(log: Path) -> WindtunnelError:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)] or lines
    return WindtunnelError(
        f"The check's process did not start: {said[-1] if said else 'it said nothing'}",
        f"see {log}; `windtunnel doctor` looks for a cause.",
    )
