"""Runs a command of a student's with limits, and ends everything it started, however it ends.

``python -m windtunnel.grading.contained SECONDS open|locked COMMAND…``: exit code 0 when the command ended by
itself, 124 when its time was up. It stops at once when its standard input closes, so a killed grader leaves
nothing running.

*Locked*, where the system has namespaces: as the answers of a check (see ``windtunnel.engine.jail``), without
network, seeing no files but Python's and copies of those in the folder it is started in; what is in `OUT`
afterwards comes back. *Open*, or without namespaces: limits of time, processor time, memory, file size and core
dumps, but the network and everything that the account may read and write can be reached.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from windtunnel.engine import jail, kernel

OUT = "report.xml"
OUT_OF_TIME = 124
GB = 2**30
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@contextlib.contextmanager
def started(
    command: Sequence[str], seconds: float, *, locked: bool, cwd: Path, env: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """``command`` under this module's eyes, ended with the block. What it prints goes to ``log``."""
    guard = [sys.executable, "-P", "-m", "windtunnel.grading.contained", f"{seconds:g}"]
    guard += ["locked" if locked else "open", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            guard,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        yield process
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()


def _limits(seconds: float) -> None:
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, GB // 4),
        (resource.RLIMIT_CPU, int(seconds) + 10),
        (resource.RLIMIT_AS, 8 * GB),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(what, (allowed, allowed))


def _watch(seconds: float, locked: bool, command: Sequence[str]) -> int:
    if sys.platform == "linux":
        # What the command starts and leaves becomes our child, also from a session of its own.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    world = _world(seconds) if locked and jail.namespaces() else None
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=world.enter if world else lambda: _limits(seconds),
        env=os.environ | ({"HOME": str(world.cell.scratch / "home"), "TMPDIR": "/tmp"} if world else {}),  # noqa: S108
    )
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                return OUT_OF_TIME
            closed, _, _ = select.select([sys.stdin], [], [], 0.05)
            if closed and not os.read(sys.stdin.fileno(), 1):
                return OUT_OF_TIME
        if world:
            world.bring_back(OUT)
        return 0
    finally:
        process.kill()
        process.wait()
        if world is None:  # else all of its world went with it
            _end_all()


class _World:
    """What a locked-in command sees: see `_world`."""

    def __init__(self, cell: jail.Jail, home: Path) -> None:
        self.cell = cell
        self._home = home

    def enter(self) -> None:
        """In the command's process, before it begins: the first process of a world of its own."""
        assert self.cell.root is not None
        jail.build_root(self.cell.root, self.cell.scratch, self.cell.readable)
        jail.confine(self.cell)
        kernel.die_with_parent(signal.SIGKILL)  # last: becoming somebody else would undo it

    def bring_back(self, name: str) -> None:
        """Copy a file that the command left, unless it is none: what it left may be anything."""
        left = self.cell.scratch / "tmp" / name
        if left.is_file() and not left.is_symlink():
            shutil.copyfile(left, self._home / name, follow_symlinks=False)


def _world(seconds: float) -> _World:
    """Take this process into namespaces of its own, with copies of the files in the working folder."""
    home = Path.cwd()
    inputs = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    outside = home / "world"
    outside.mkdir()
    jail.enclose(outside)
    scratch, root = outside / "scratch", outside / "root"
    for folder in (scratch, root):
        folder.mkdir()
    jail.disk(scratch)
    scratch.chmod(0o755)  # pytest lists the folders above a file
    user = jail.throwaway() if os.getuid() == 0 else None
    for name in ("dags", "tmp", "home"):
        (scratch / name).mkdir()
        if user is not None and name != "dags":
            os.chown(scratch / name, user, user)
    for name, content in inputs.items():
        (scratch / "tmp" / name).write_bytes(content)
    jail.apart()
    cell = jail.Jail(scratch, jail.python_paths(), (), root, user, int(seconds) + 5)
    return _World(cell, home)


def _end_all() -> None:
    """Kill everything below this process, again until nothing is left: what is killed may be starting more."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    for _ in range(100):
        try:
            below = psutil.Process().children(recursive=True)
        except psutil.Error:  # one ended while it was looked at
            continue
        alive = [child for child in below if _state(child) != psutil.STATUS_ZOMBIE]
        if not alive:
            return
        for child in alive:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(alive, timeout=1)


def _state(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.Error:
        return str(psutil.STATUS_ZOMBIE)


def _stop(*_: object) -> None:
    sys.exit(OUT_OF_TIME)  # an exception, so that everything is ended


if __name__ == "__main__":
    for number in _ENDING:
        signal.signal(number, _stop)
    sys.exit(_watch(float(sys.argv[1]), sys.argv[2] == "locked", sys.argv[3:]))
