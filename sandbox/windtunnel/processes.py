"""Stopping and finding processes: by id and start time, by a sandbox's mark or folder. Never by name."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
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


def marked(sandbox_id: str, session: int = 0) -> list[psutil.Process]:
    """Every process of a sandbox: those started with its mark in their environment, and their descendants.

    The mark is in the environment a program was started with, and forks keep it: this finds task processes
    whose parents were killed, and nothing that belongs to anybody else. Airflow hides the environment of what
    runs tasks (``PR_SET_DUMPABLE``) from everybody but root; such a process counts when it is in ``session``,
    the launcher's process id, which the system gives to no other session while one of its processes lives.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            belongs = process.environ().get(MARK) == sandbox_id
        except psutil.AccessDenied:
            belongs = session > 0 and _session(process.pid) == session
        except (psutil.Error, OSError):
            continue
        if belongs:
            found[process.pid] = process
            with contextlib.suppress(psutil.Error):
                found.update({child.pid: child for child in process.children(recursive=True)})
    found.pop(os.getpid(), None)
    return list(found.values())


def started_for(folder: Path) -> list[psutil.Process]:
    """Every process that was started with a path below ``folder`` among its arguments."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if any(argument.startswith(f"{folder}/") for argument in process.cmdline()):
                found.append(process)
    return found


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


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

    What belongs to it: `marked` processes, and those its launcher recorded in ``status.json``.
    """
    status = status or {}
    launcher = status.get("pid", 0)
    # Should the launcher's id be another program's by now, a session of that name would be theirs.
    mine = not psutil.pid_exists(launcher) or is_alive(launcher, status.get("created", 0.0))
    left = {process.pid: process for process in marked(sandbox_id, launcher if mine else 0)}
    for component in status.get("components", {}).values():
        with contextlib.suppress(psutil.Error):
            if component["pid"] and is_alive(component["pid"], component["created"]):
                left[component["pid"]] = psutil.Process(component["pid"])
    return end(left.values(), grace=2.0)
