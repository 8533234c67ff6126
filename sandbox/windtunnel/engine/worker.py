"""A locked-in process that runs tasks for a bench, one at a time, each from a fresh import of the answer.

A worker may run the next task of the same run: a quarter of the cost of a new process. What one task keeps in
memory is out of the next one's reach all the same, because the answer's modules are thrown away in between.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from windtunnel.engine import learner, limits
from windtunnel.engine.jail import Jail

LOG = 3  # the descriptor that a worker logs to


class Worker:
    """The bench's end of one worker. An ``airflow…supervisor.ProcessTracker``."""

    class ProcessNotFound(Exception):
        """Part of the interface; not raised."""

    class TimeoutExpired(Exception):
        """The task has not ended."""

    def __init__(self, cell: Jail) -> None:
        self._control, theirs = socket.socketpair()
        self._alive = True
        self._leaving = False
        self._code: int | None = None
        self.slept = 0.0  # seconds that the task given last would have slept, see ``_Naps``
        before = learner.open_files() - {theirs.fileno()}
        self.pid = os.fork()
        if self.pid == 0:
            _serve(theirs, cell, before)
        theirs.close()
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)

    def give(self, environment: Mapping[str, str], sockets: list[socket.socket]) -> None:
        """Have it run a task that talks over these: requests, output, errors, log."""
        self._code, self.slept = None, 0.0
        with suppress(OSError):  # it has died: ``wait`` will tell
            socket.send_fds(
                self._control, [json.dumps(environment).encode()], [each.fileno() for each in sockets]
            )

    def wait(self, timeout: float | None = None) -> int:
        """The exit code of the task given last. Raises TimeoutExpired while it runs; never waits."""
        del timeout
        if self._code is None:
            with suppress(BlockingIOError, ConnectionResetError):
                code, slept, leaving, *_ = *self._control.recv(64, socket.MSG_DONTWAIT).split(b" "), b"", b""
                self._code = int(code) if code.isdigit() else None
                self.slept = float(slept) if slept.isdigit() else 0.0
                self._leaving = bool(leaving)
        if self._code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG) if self._alive else (0, 0)
            if ended:
                self._alive = False
                self._code = os.waitstatus_to_exitcode(status)
        if self._code is None:
            raise self.TimeoutExpired
        return self._code

    @property
    def usable(self) -> bool:
        """Whether it can run another task."""
        if self._alive and os.waitpid(self.pid, os.WNOHANG)[0]:
            self._alive = False
        return self._alive and not self._leaving

    def send_signal(self, number: signal.Signals) -> None:
        """Part of the interface."""
        if self._alive:
            os.kill(self.pid, number)

    def end(self) -> None:
        """End it, with all that its tasks have started in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._alive = False
        self._control.close()


def _serve(control: socket.socket, cell: Jail, before: set[int]) -> None:
    """Run what is given. Never returns."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        learner.close(before)
        kept = socket.socket(fileno=os.dup2(control.fileno(), 9))
        control.detach()
        control = kept
        learner.lock_in(cell, os.environ.copy())
        _log_to(LOG)
        from airflow.sdk.execution_time.supervisor import block_orm_access

        block_orm_access()  # type: ignore[no-untyped-call]
        blocked = {
            key: os.environ[key]
            for key in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
        }
        naps = _Naps()
        signals = {int(number): signal.getsignal(number) for number in signal.valid_signals()}
        while True:
            said, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 4)
            if not said:
                break
            _forget_signals(signals)
            os.environ.clear()
            os.environ.update(json.loads(said) | blocked)
            os.chdir(cell.scratch / "tmp")
            naps.slept = 0.0
            code = _task(*descriptors)
            _forget(str(cell.scratch / "dags"))
            # A thread that a task has left behind would live on in the next.
            again = threading.active_count() == 1
            control.sendall(f"{code} {naps.slept:.0f}{'' if again else ' leaving'}".encode())
            if not again:
                break
    finally:
        os._exit(0)


class Overslept(BaseException):
    """A task sleeps for longer than anybody waits. Not an Exception, which tasks catch."""


class _Naps:
    """Long sleeps of tasks, from which they wake at once, as much later by the monotonic clock."""

    def __init__(self) -> None:
        self.slept = 0.0  # seconds, since somebody set it back
        self._ahead = 0.0
        sleep, monotonic = time.sleep, time.monotonic

        def nap(seconds: Any) -> None:
            if seconds < limits.NAP:
                return sleep(seconds)
            self.slept += seconds
            self._ahead += seconds
            if self.slept > limits.SLEPT:
                days = limits.SLEPT / 86_400
                raise Overslept(f"It slept for more than {days:g} days, holding its worker.")
            return None

        time.sleep = nap
        time.monotonic = lambda: monotonic() + self._ahead


def _forget_signals(before: Mapping[int, Any]) -> None:
    """Undo what a task did to signals and to the rights of new files."""
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)


def _log_to(descriptor: int) -> None:
    """Set up Airflow's logging as in a task's process. Loggers keep their file, so it is the same for all tasks."""
    from airflow.sdk.log import configure_logging, reset_logging

    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, descriptor)
    if nowhere != descriptor:
        os.close(nowhere)
    lines = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115
    reset_logging()  # type: ignore[no-untyped-call]
    configure_logging(json_output=True, output=lines, sending_to_supervisor=True)


def _task(requests: int, output: int, errors: int, log: int) -> int:
    """One task, as Airflow's own task process runs it. Returns its exit code."""
    import structlog.contextvars
    from airflow.sdk.execution_time import task_runner

    os.dup2(log, LOG)
    os.close(log)
    for target, descriptor, name, mode in (
        (0, requests, "stdin", "r"),
        (1, output, "stdout", "w"),
        (2, errors, "stderr", "w"),
    ):
        os.dup2(descriptor, target)
        os.close(descriptor)
        # closefd: an older object of the same number must not close the new one when it is collected.
        setattr(sys, name, open(target, mode, buffering=1, closefd=False, errors="replace"))  # noqa: SIM115
    code = 0
    try:
        task_runner.main()  # type: ignore[no-untyped-call]
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
        code = 126
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    with suppress(Exception):
        task_runner.SUPERVISOR_COMMS.socket.close()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2, LOG):
        os.dup2(nowhere, target)
    if nowhere > LOG:  # input was closed above, and may have been opened again as this
        os.close(nowhere)
    structlog.contextvars.clear_contextvars()
    return code


def _forget(folder: str) -> None:
    """Throw away what was imported from the DAG folder, and all that hangs on it."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name.startswith("unusual_prefix_") or file.startswith(folder):
            del sys.modules[name]
    gc.collect()
