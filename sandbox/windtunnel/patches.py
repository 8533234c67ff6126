"""Small changes to Airflow's private API that halve the time from a click to a green run.

They are applied to the exact version they were written for and to no other; ``WINDTUNNEL_PATCHES=off``
leaves Airflow as it is, and everything works without them, more slowly.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VERSION = "3.3.2"
BUSY_SLEEP, IDLE_SLEEP, LINGER = 0.02, 0.5, 3.0  # seconds; what comes through the API server wakes it at once
# Seconds: how much more than it sleeps the scheduler works until it rests, and how long it rests at most.
SPRINT, REST = 0.1, 0.1
LOOK_EVERY = 0.1  # seconds between looks at the DAG folder


def apply(version: str) -> bool:
    """Apply all that a sandbox wants if ``version`` is the one they are for. Returns whether they were."""
    if version != VERSION or os.environ.get("WINDTUNNEL_PATCHES") == "off":
        return False
    reap_finished_tasks_at_once()
    sleep_less_while_busy()
    wake_on_changed_files()
    close_ended_backfills_soon()
    serve_tasks_of_this_version_only()
    keep_shared_memory_shared()
    wake_the_scheduler()
    read_metrics_once()
    build_message_types_once()
    return True


def for_forks(version: str) -> bool:
    """Apply what helps a process that forks one task after the other (``windtunnel.engine``)."""
    if version != VERSION or os.environ.get("WINDTUNNEL_PATCHES") == "off":
        return False
    serve_tasks_of_this_version_only()
    build_message_types_once()
    analyse_overridden_dependencies_once()
    return True


def build_message_types_once() -> None:
    """Each task builds the same validators for its messages with the supervisor; have forks inherit them."""
    from airflow.sdk.execution_time import comms as module

    comms: Any = module
    upstream = comms.TypeAdapter

    @functools.lru_cache
    def built(kind: Any) -> Any:
        return upstream(kind)

    class Once:
        """Stands in for ``pydantic.TypeAdapter``, also as ``TypeAdapter[kind](kind)``."""

        def __class_getitem__(cls, _: Any) -> Any:
            return built

        def __new__(cls, kind: Any) -> Any:
            return built(kind)

    comms.TypeAdapter = Once
    built(comms.ToTask)


def analyse_overridden_dependencies_once() -> None:
    """FastAPI takes every dependency apart anew in each request to an app that overrides one; once will do."""
    from fastapi.dependencies import utils as module

    utils: Any = module
    upstream, known = utils.get_dependant, {}

    @functools.wraps(upstream)
    def once(**arguments: Any) -> Any:
        key = tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in sorted(arguments.items()))
        if key not in known:
            known[key] = upstream(**arguments)
        return known[key]

    utils.get_dependant = once


def reap_finished_tasks_at_once() -> None:
    """The supervisor waits a whole heartbeat interval for a task whose pipes have closed; wait 10 ms."""
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess

    upstream = WatchedSubprocess._service_subprocess

    @functools.wraps(upstream)
    def service(self: Any, max_wait_time: float, *args: Any, **kwargs: Any) -> Any:
        if not self._open_sockets and self._exit_code is None:
            max_wait_time = min(max_wait_time, 0.01)
        return upstream(self, max_wait_time, *args, **kwargs)

    WatchedSubprocess._service_subprocess = service  # type: ignore[method-assign]


def sleep_less_while_busy() -> None:
    """The scheduler sleeps a fixed time between loops; sleep little while something is going on."""
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    last_busy = 0.0

    def noting(upstream: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(upstream)
        def wrapper(*args: Any, **kwargs: Any) -> int:
            nonlocal last_busy
            done = upstream(*args, **kwargs)
            if done:
                last_busy = time.monotonic()
            return done

        return wrapper

    def sleep_time(_self: Any) -> float:
        return BUSY_SLEEP if time.monotonic() - last_busy < LINGER else IDLE_SLEEP

    runner: Any = SchedulerJobRunner
    runner._do_scheduling = noting(runner._do_scheduling)
    runner._process_executor_events = noting(runner._process_executor_events)
    runner._scheduler_idle_sleep_time = property(sleep_time, lambda _self, _value: None)


def wake_on_changed_files() -> None:
    """The DAG processor looks at its folder once a second; look ten times, by comparing file dates."""
    from airflow.dag_processing.manager import DagFileProcessorManager

    manager: Any = DagFileProcessorManager
    upstream = manager._service_processor_sockets
    seen: frozenset[tuple[str, int]] | None = None

    @functools.wraps(upstream)
    def service(self: Any, timeout: float | None = 1.0) -> Any:
        nonlocal seen
        end = time.monotonic() + (timeout or 0)
        while True:
            now = _file_dates(Path(bundle.path) for bundle in self._dag_bundles)
            if now != seen:
                if seen is not None:
                    self.request_bundle_refresh([bundle.name for bundle in self._dag_bundles])
                seen = now
                return upstream(self, timeout=0)
            left = end - time.monotonic()
            if left <= 0:
                return upstream(self, timeout=0)
            if self.selector.get_map():  # a file is being parsed: its result wakes us
                return upstream(self, timeout=min(left, LOOK_EVERY))
            time.sleep(min(left, LOOK_EVERY))

    manager._service_processor_sockets = service


def close_ended_backfills_soon() -> None:
    """The scheduler looks for backfills that have ended every 30 s, and a DAG has one at a time; look every second."""
    from airflow.utils.event_scheduler import EventScheduler

    upstream = EventScheduler.call_regular_interval

    @functools.wraps(upstream)
    def call(self: Any, delay: float, action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if getattr(action, "__name__", "") == "_mark_backfills_complete":
            delay = min(delay, 1.0)
        return upstream(self, delay, action, *args, **kwargs)

    EventScheduler.call_regular_interval = call  # type: ignore[method-assign]


def serve_tasks_of_this_version_only() -> None:
    """The first call of a task makes the API server build its routes for every older release; build one set.

    That takes seconds in which it answers nobody. Here, tasks and API server are always of one version.
    """
    from airflow.api_fastapi.execution_api import versions
    from airflow.api_fastapi.execution_api.routes import execution_api_router
    from airflow.sdk.api.datamodels._generated import API_VERSION
    from cadwyn import HeadVersion, Version, VersionBundle
    from cadwyn.route_generation import _DELETED_ROUTE_TAG

    if versions.bundle.versions[0].value == API_VERSION:
        versions.bundle = VersionBundle(HeadVersion(), Version(API_VERSION))
        routes = execution_api_router.routes
        routes[:] = [route for route in routes if _DELETED_ROUTE_TAG not in getattr(route, "tags", [])]


def wake_the_scheduler() -> None:
    """The scheduler sleeps between loops; whatever is asked of the API server, or told by a task, wakes it."""
    from airflow.api_fastapi import app as module
    from airflow.jobs import scheduler_job_runner

    scheduler: Any = scheduler_job_runner
    bell, upstream = Bell(), module.create_app

    @functools.wraps(upstream)
    def create_app(*args: Any, **kwargs: Any) -> Any:
        made = upstream(*args, **kwargs)
        made.add_middleware(bell.on_requests)
        return made

    module.create_app = create_app
    scheduler.time = bell


class Bell:
    """Stands in for the module ``time``, for a sleep that ends when the bell rings.

    It is a pipe that all forks inherit. Where nobody rings, a sleep is as long as it was.
    """

    def __init__(self) -> None:
        self._tired, self._worked = 0.0, time.thread_time()
        self._hears, self._rings = os.pipe()
        os.set_blocking(self._hears, False)
        os.set_blocking(self._rings, False)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def ring(self) -> None:
        """End the sleep, or the next one."""
        with contextlib.suppress(BlockingIOError):  # full: it has been rung often enough
            os.write(self._rings, b".")

    def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, in real time, unless the bell rings.

        Whoever rings, it makes up first for more work than rest: where each of a hundred tasks rings, as many loops
        of the scheduler would cost more than they speed up.
        """
        began, worked = time.monotonic(), time.thread_time()
        self._tired += worked - self._worked
        rest = min(max(0.0, self._tired - SPRINT), REST)
        time.sleep(rest)
        if select.select([self._hears], [], [], max(0.0, seconds - rest))[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._hears, 4096)
        self._tired = max(0.0, self._tired - (time.monotonic() - began))
        self._worked = worked

    def on_requests(self, app: Any) -> Any:
        """An ASGI middleware: rings after each request that may have given the scheduler something to do.

        Looking gives it nothing, and neither does a task's heartbeat.
        """

        async def called(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)
            if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
                path = scope["path"]
                if "/execution/" not in path or path.endswith("/state"):
                    self.ring()

        return called


def keep_shared_memory_shared() -> None:
    """The scheduler gives the collector all that was frozen, which then writes to, and so copies, every shared page."""
    from airflow.executors.local_executor import LocalExecutor

    executor: Any = LocalExecutor

    def spawn(self: Any, number: int) -> None:
        gc.freeze()
        for _ in range(number):
            self._spawn_worker()

    executor._spawn_workers_with_gc_freeze = spawn


def read_metrics_once() -> None:
    """Each component reads a long file of YAML at its first metric, sent or not; have forks inherit it."""
    from airflow._shared.observability.metrics import stats

    stats._get_registry()


def _file_dates(folders: Any) -> frozenset[tuple[str, int]]:
    dates = set()
    for folder in folders:
        for root, names, files in os.walk(folder):
            names[:] = [name for name in names if name != "__pycache__"]
            for name in files:
                if name.endswith((".py", ".zip", ".airflowignore")):
                    path = Path(root, name)
                    try:
                        dates.add((str(path), path.stat().st_mtime_ns))
                    except OSError:  # deleted between the listing and the look
                        continue
    return frozenset(dates)
