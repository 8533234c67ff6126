"""What makes Airflow's processes live in virtual time. Each one has a test that fails without it.

Installed in the launcher before Airflow is imported, so that every fork inherits it: ``install``. Those that
reach into Airflow's private API come after the imports and belong to one version: ``install_in_airflow``.
Virtual time = real time + the offset in ``hands``; monotonic clocks stay real.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import signal
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import time_machine
from _time_machine import original_time_ns  # type: ignore[import-not-found]

from windtunnel.clockwork.hands import BEGAN, LOOPS, OFFSET, Hands

VERSION = "3.3.2"
SLICE = 0.05  # seconds between looks at the clock while waiting for virtual time
SHORT = 1.0  # seconds; a shorter sleep is a real one

_monotonic = time.monotonic


def _set(owner: Any, name: str, shim: Any) -> None:
    """Put ``shim`` in place of a name of somebody else's."""
    setattr(owner, name, shim)


class Shims:
    """All of them, for the clock whose hands are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.hands = Hands(folder / "hands", writable=True)
        self.sleepers = folder / "sleepers"
        self._trigger: contextvars.ContextVar[int | None] = contextvars.ContextVar("trigger", default=None)

    def install(self) -> None:
        """Before Airflow is imported: the time of day, and waiting for it."""
        self.time_of_day()
        self.sleep()

    def install_in_airflow(self) -> None:
        """After Airflow was imported."""
        self.sensor_timeout()
        self.execution_timeout()
        self.dates_of_dag_files()
        self.count_scheduler_loops()
        self.know_the_trigger()

    # --- Python ------------------------------------------------------------------------------------
    def time_of_day(self) -> None:
        """``datetime.now``, ``time.time`` and their kin; the offset is read at each call."""
        hands = self.hands

        class Shared(time_machine.Traveller):
            def time_ns(self) -> int:
                return int(original_time_ns()) + hands.get(OFFSET)

        time_machine.travel(0).start()
        time_machine.traveller_stack[-1] = Shared(0, None, True)

    def sleep(self) -> None:
        """``time.sleep`` and ``asyncio.sleep`` of more than a second end when virtual time has passed.

        Who sleeps so is on record in ``sleepers``, for whoever turns the clock.
        """
        real, real_async = time.sleep, asyncio.sleep

        def sleep(seconds: float) -> None:
            if seconds <= SHORT:
                real(seconds)
                return
            left, wakes = self._waiting(seconds)
            with self._on_record(str(os.getpid()), wakes):
                while (rest := left()) > 0:
                    real(min(rest, SLICE))

        async def sleep_async(delay: float, result: Any = None) -> Any:
            if delay <= SHORT:
                return await real_async(delay, result)
            trigger = self._trigger.get()
            left, wakes = self._waiting(delay)
            record = (
                contextlib.nullcontext() if trigger is None else self._on_record(f"trigger-{trigger}", wakes)
            )
            with record:
                while (rest := left()) > 0:
                    await real_async(min(rest, SLICE))
            return result

        _set(time, "sleep", sleep)
        _set(asyncio, "sleep", sleep_async)
        _set(asyncio.tasks, "sleep", sleep_async)

    def _waiting(self, seconds: float) -> tuple[Callable[[], float], int]:
        """A function that tells how many virtual seconds are left of ``seconds`` from now, and when they end (ns).

        Both from one look at the clock, which may be turned at any moment.
        """
        offset, began, now = self.hands.get(OFFSET), _monotonic(), int(original_time_ns())
        return (
            lambda: seconds - (_monotonic() - began) - (self.hands.get(OFFSET) - offset) / 1e9,
            now + offset + int(seconds * 1e9),
        )

    @contextlib.contextmanager
    def _on_record(self, name: str, wakes: int) -> Any:
        """Say until when (virtual, ns) ``name`` sleeps; 0 once it is awake again."""
        with contextlib.suppress(OSError):  # a disk that is full must not break a sleep
            (self.sleepers / name).write_text(str(wakes))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (self.sleepers / name).write_text("0")

    # --- Airflow -----------------------------------------------------------------------------------
    def sensor_timeout(self) -> None:
        """A poking sensor measures its timeout on the monotonic clock; give it a virtual one."""
        from airflow.sdk.bases import sensor

        virtual = types.SimpleNamespace(**{name: getattr(time, name) for name in ("time", "sleep")})
        virtual.monotonic = lambda: _monotonic() + self.hands.get(OFFSET) / 1e9
        _set(sensor, "time", virtual)

    def execution_timeout(self) -> None:
        """``execution_timeout`` is a timer of the system's; a thread that watches the clock takes its place."""
        from airflow.sdk.execution_time.timeout import TimeoutPosix

        def enter(timeout: Any) -> Any:
            signal.signal(signal.SIGALRM, timeout.handle_timeout)
            timeout.done = threading.Event()
            left, wakes = self._waiting(timeout.seconds)
            process = os.getpid()
            timeout.record = self._on_record(f"{process}-timeout", wakes)
            timeout.record.__enter__()

            def watch() -> None:
                while not timeout.done.wait(SLICE):
                    if left() <= 0:
                        os.kill(process, signal.SIGALRM)
                        return

            threading.Thread(target=watch, daemon=True).start()
            return timeout

        def leave(timeout: Any, *_: object) -> None:
            timeout.done.set()
            timeout.record.__exit__(None, None, None)

        _set(TimeoutPosix, "__enter__", enter)
        _set(TimeoutPosix, "__exit__", leave)

    def dates_of_dag_files(self) -> None:
        """Files carry real dates, which virtual time calls the future: a file would be parsed for ever.

        A file's date is the virtual moment at which that real date was first seen.
        """
        from airflow.dag_processing import manager

        seen: dict[tuple[str, int], float] = {}

        def getmtime(path: Any) -> float:
            return seen.setdefault((str(path), os.stat(path).st_mtime_ns), time.time())  # noqa: PTH116

        class Path_:
            def __getattr__(self, name: str) -> Any:
                return getmtime if name == "getmtime" else getattr(os.path, name)

        class Os:
            path = Path_()

            def __getattr__(self, name: str) -> Any:
                return getattr(os, name)

        _set(manager, "os", Os())

    def count_scheduler_loops(self) -> None:
        """The scheduler tells when it begins a loop: two later, it has seen all that was there at the first."""
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        upstream = SchedulerJobRunner._do_scheduling

        @functools.wraps(upstream)
        def counted(runner: Any, session: Any) -> int:
            self.hands.put(LOOPS, self.hands.get(LOOPS) + 1)
            return upstream(runner, session)

        _set(SchedulerJobRunner, "_do_scheduling", counted)

    def know_the_trigger(self) -> None:
        """In the triggerer many triggers sleep in one process; each is to be on record by itself.

        On record is also when it began, on the monotonic clock: until then it cannot have looked at anything.
        """
        from airflow.jobs.triggerer_job_runner import TriggerRunner

        runner: Any = TriggerRunner
        upstream = runner.run_trigger

        @functools.wraps(upstream)
        async def run_trigger(self_: Any, trigger_id: int, *args: Any, **kwargs: Any) -> Any:
            self._trigger.set(trigger_id)
            with contextlib.suppress(OSError):
                (self.sleepers / f"trigger-{trigger_id}").write_text(f"{BEGAN} {_monotonic()}")
            return await upstream(self_, trigger_id, *args, **kwargs)

        runner.run_trigger = run_trigger
