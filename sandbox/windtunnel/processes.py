"""Stopping and finding processes: by id and start time, by a sandbox's mark. Never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

MARK = "WINDTUNNEL_SANDBOX"


def started(pid: int) -> float:
    """When process ``pid`` started (seconds since the epoch); 0 when there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def is_alive(pid: int, created: float) -> bool:
    """Whether the process that had ``pid`` and started at ``created`` still runs (ids are used again)."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def marked(sandbox_id: str) -> list[psutil.Process]:
    """Every process that was started with this sandbox's mark in its environment.

    The mark is in the environment a program was started with, and forks keep it: this finds task processes
    whose parents were killed, and nothing that belongs to anybody else.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == sandbox_id:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end(processes: Iterable[psutil.Process], grace: float) -> list[int]:
    """SIGTERM, wait up to ``grace`` seconds, SIGKILL what is left. Returns the ids that ended."""
    processes = list(processes)
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=grace)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
    return [process.pid for process in processes]


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def wait_gone(pid: int, created: float, timeout: float) -> bool:
    """Whether the process ended within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while is_alive(pid, created):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


def sweep(sandbox_id: str, cluster: Path) -> list[int]:
    """End what a sandbox left behind, and only that. Returns the ids of the ended processes.

    What belongs to it: processes started with its mark, and the Postgres named in its cluster's
    ``postmaster.pid``.
    """
    ended = end(marked(sandbox_id), grace=2.0)
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        pid, folder, created = (cluster / "postmaster.pid").read_text().splitlines()[:3]
        postmaster = psutil.Process(int(pid))
        # Postgres writes its own start time there; a later process with the same id has another.
        if folder == str(cluster) and abs(postmaster.create_time() - int(created)) < 5:
            ended += end([postmaster], grace=2.0)
    return ended
