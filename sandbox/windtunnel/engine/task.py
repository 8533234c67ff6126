"""One task under Airflow's own supervisor, with a bound on what it prints and an end that can be forced."""

from __future__ import annotations

import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import attrs
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.execution_time import supervisor as upstream
from airflow.sdk.execution_time.comms import _RequestFrame
from airflow.sdk.execution_time.supervisor import ActivitySubprocess, process_log_messages_from_subprocess

from windtunnel.engine import limits, pipes
from windtunnel.engine.learner import how
from windtunnel.engine.logs import Log
from windtunnel.engine.worker import Worker

UNREAD = 2.0  # seconds that a reply may wait for a task to read what came before
LINGER = 0.5  # seconds that pipes may stay open after the task has ended: what it left behind holds them


@attrs.define(kw_only=True)
class Task(ActivitySubprocess):
    """A running task instance. Many share one selector; whoever owns it calls ``ended`` now and then."""

    worker: Worker
    name: str
    task_id: str
    try_number: int
    pool: str
    slots: int
    log: Log
    _begun: float = attrs.field(factory=time.monotonic)
    _refused: str = ""

    @classmethod
    def on(
        cls,
        worker: Worker,
        environment: Mapping[str, str],
        name: str,
        ti: Any,
        log: Log,
        client: Any,
        selector: Any,
    ) -> Task:
        """Have ``worker`` run the task instance."""
        from airflow.executors.workloads import BundleInfo
        from airflow.executors.workloads.task import TaskInstanceDTO

        # As WatchedSubprocess.start does, with a process that is there already.
        what = TaskInstanceDTO.model_validate(ti, from_attributes=True)
        pairs = [socket.socketpair() for _ in range(4)]
        worker.give(environment, [theirs for _, theirs in pairs])
        for _, theirs in pairs:
            theirs.close()
        requests, output, errors, logs = (ours for ours, _ in pairs)
        requests.settimeout(UNREAD)
        task = cls(
            id=what.id,
            pid=worker.pid,
            stdin=requests,
            process=worker,  # type: ignore[arg-type]
            process_log=log.logger(),
            client=client,
            selector=selector,
            worker=worker,
            name=name,
            task_id=ti.task_id,
            try_number=ti.try_number,
            pool=ti.pool,
            slots=ti.pool_slots,
            log=log,
        )
        task._register_pipe_readers(output, errors, requests, logs, data={})
        task._on_child_started(
            ti=what,  # type: ignore[arg-type]
            dag_rel_path=ti.dag_model.relative_fileloc,
            bundle_info=BundleInfo(name="dags-folder"),
            sentry_integration="",
        )
        return task

    def ended(self) -> bool:
        """Whether it is over; if so, its state is known to the database."""
        if self.log.too_long:
            self._refused = (
                f"it printed more than {limits.OUTPUT >> 20} MB (a value that is returned is printed, too)"
            )
        if self._refused and self._exit_code is None:
            self.log.note(f"Stopped: {self._refused}.")
            self.worker.end()
            self._exit_code = -signal.SIGKILL
            self._process_exit_monotonic = 0.0
        if self._check_subprocess_exit() is None:
            return False
        if self._open_sockets:
            if time.monotonic() - (self._process_exit_monotonic or 0.0) < LINGER:
                return False
            self.worker.end()
            self._forget_sockets()
        if self._exit_code and not self._terminal_state:
            self.log.note(f"The process ended ({how(int(self._exit_code))}) in the middle of the task.")
        elif self._exit_code == 0 and not self._terminal_state:
            self.log.note(
                "The process ended (exit code 0) in the middle of the task: does it end Python itself?"
            )
            self._exit_code = 1  # upstream takes this for a success
        try:
            self.update_task_state_if_needed()  # type: ignore[no-untyped-call]
        except ServerResponseError:
            # It has a state that this end does not follow from: it reported one, and died of another.
            self.log.note("The process reported how the task ended, and then went on until it died.")
        return True

    def end(self) -> None:
        """Stop it now, whatever it does."""
        self.worker.end()
        self._forget_sockets()

    def span(self) -> dict[str, Any]:
        """When it ran, in seconds of a clock that all tasks of a run share, what it held, and what it slept of it."""
        return {
            "task": self.name,
            "try_number": self.try_number,
            "start": round(self._begun, 4),
            "end": round(time.monotonic(), 4),
            "pool": self.pool,
            "slots": self.slots,
            "slept": self.worker.slept,
        }

    def _forget_sockets(self) -> None:
        for each in list(self._open_sockets):
            with suppress(KeyError, ValueError):
                self.selector.unregister(each)
            each.close()
        self._open_sockets.clear()
        with suppress(OSError):
            self.stdin.close()

    def _create_log_forwarder(  # type: ignore[override]
        self, loggers: Any, name: str, *, data: bytes = b"", log_level: int = 0
    ) -> tuple[Callable[[socket.socket], bool], Callable[[socket.socket], None]]:
        """What the task prints, into its log. Upstream's keeps an endless line in memory."""
        del loggers, name, data, log_level

        def read(pipe: socket.socket) -> bool:
            part = pipe.recv(1 << 16)
            self.log.printed(part)
            return bool(part)

        return read, self._on_socket_closed

    def _register_pipe_readers(
        self,
        stdout: socket.socket,
        stderr: socket.socket,
        requests: socket.socket,
        logs: socket.socket,
        *,
        data: dict[socket.socket, bytes],
    ) -> None:
        """As upstream, with readers that believe nothing (``pipes``)."""
        super()._register_pipe_readers(stdout, stderr, requests, logs, data=data)
        asked = pipes.requests(
            _RequestFrame, self.handle_requests(upstream.log), limits.MESSAGE, lambda: bool(self._refused)
        )
        logged = pipes.lines(
            process_log_messages_from_subprocess((self.process_log,)), limits.OUTPUT, self.log.flooded
        )
        for pipe, read in ((requests, asked), (logs, logged)):
            self.selector.modify(pipe, selectors.EVENT_READ, (self._guarded(read), self._on_socket_closed))

    def _guarded(self, read: pipes.Reader) -> pipes.Reader:
        def guarded(pipe: socket.socket) -> bool:
            try:
                return read(pipe)
            except pipes.Refused as refused:
                self._refused = str(refused)
            except OSError:
                pass  # its other end is gone
            except (
                Exception
            ) as error:  # from the depths of Airflow, at something that no task of its own sends
                self._refused = f"it sent what Airflow cannot read ({type(error).__name__})"
            return False

        return guarded

    def send_msg(self, *message: Any, **how: Any) -> None:
        """As upstream, without waiting for ever for the task to read it."""
        try:
            super().send_msg(*message, **how)
        except TimeoutError:
            self._refused = "it asks Airflow's supervisor, and does not read what it is told"

    def _send_new_log_fd(self, req_id: int) -> None:
        """Not done: each time costs the supervisor a descriptor, and only another user's task needs it."""
        raise RuntimeError(f"request {req_id}: there is one log")
