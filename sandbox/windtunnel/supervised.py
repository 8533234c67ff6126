"""One process that the launcher keeps alive."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

from windtunnel import processes

BACK_OFF = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before a restart; the last one repeats
STEADY = 30.0  # seconds after which a process counts as recovered


class Child:
    """A supervised process: how to start it, which one it is now, and when it is due again.

    ``start`` gives a process id of a fork, or a Popen. ``port`` is what it listens on, if anything.
    """

    def __init__(
        self, name: str, start: Callable[[], int | subprocess.Popen[bytes]], port: int | None = None
    ) -> None:
        self.name, self.port, self._start = name, port, start
        self.process: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.created = 0.0
        self.started_at = 0.0
        self.restarts = self.failures = 0
        self.due: float | None = None

    def start(self) -> None:
        """Start it now."""
        handle = self._start()
        self.process, self.pid = (None, handle) if isinstance(handle, int) else (handle, handle.pid)
        self.created, self.started_at, self.due = processes.started(self.pid), time.monotonic(), None

    def has_ended(self) -> bool:
        """Whether it ended since the last look; reaps it."""
        if not self.pid:
            return False
        if self.process is not None:
            return self.process.poll() is not None
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def schedule_restart(self) -> None:
        """Plan the next start, later each time it fails in quick succession."""
        if time.monotonic() - self.started_at > STEADY:
            self.failures = 0
        self.due = time.monotonic() + BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.failures += 1
        self.restarts += 1
        self.pid = 0

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, grace: float) -> bool:
        """Whether it ended within ``grace`` seconds, or was not running."""
        deadline = time.monotonic() + grace
        while self.pid:
            if self.has_ended():
                self.pid = 0
            elif time.monotonic() > deadline:
                return False
            else:
                time.sleep(0.02)
        return True

    def stop(self, number: int, grace: float) -> None:
        """Signal it and wait; kill it after ``grace`` seconds. It will not be started again."""
        self.signal(number)
        if not self.wait(grace):
            self.signal(signal.SIGKILL)
            self.wait(float("inf"))
        self.due = None
