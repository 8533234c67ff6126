"""Stopping and finding processes: by id and start time, by a sandbox's mark. Never by name."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

MARK = "WINDTUNNEL_SANDBOX"


def started(pid: int) -> float:
    """When process ``pid`` started, in seconds since the machine did; 0 when there is none.

    Since the epoch would not do: it changes with every correction of the machine's clock.
    """
    try:
        return psutil.Process(pid).create_time() - psutil.boot_time()
    except psutil.Error:
        return 0.0


def is_alive(pid: int, created: float) -> bool:
    """Whether the process that had ``pid`` and was `started` at ``created`` still runs (ids are used again)."""
    try:
        # Linux rounds the time of the machine's start anew each time it is asked.
        same = abs(started(pid) - created) < 2
        return same and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
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


def sweep(sandbox_id: str, status: Mapping[str, Any] | None = None) -> list[int]:
    """End what a sandbox left behind, and only that. Returns the ids of the ended processes.

    What belongs to it: processes with its mark, and those its launcher recorded in ``status.json``.
    """
    left = {process.pid: process for process in marked(sandbox_id)}
    for component in (status or {}).get("components", {}).values():
        with contextlib.suppress(psutil.Error):
            if component["pid"] and is_alive(component["pid"], component["created"]):
                left[component["pid"]] = psutil.Process(component["pid"])
    return end(left.values(), grace=2.0)
