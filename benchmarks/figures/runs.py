"""From triggering a run to its success: a chain of six tasks, twenty tasks at once, a hundred mapped ones.

The DAG file is the same everywhere, and so is the client, which looks every 50 ms, and later less often. Three
Airflows that are up would charge each other for what they do while idle, and on two cores one could not tell whose
time it was; starting each anew for every figure would take a quarter of an hour of starts. So each is started once,
has one run that does not count, and stands still (SIGSTOP, its whole tree) while another is measured. Before its next
run all its components have said again that they live. It is never stopped in the middle of parsing a file, which
would take the stop for a timeout.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from benchmarks.harness import Bench, Comparison, Curve, Measure, Subject, Target, stopwatch
from benchmarks.standalone import Standalone, plain_postgres, ready
from windtunnel.api import Airflow, NotFoundError
from windtunnel.errors import WindtunnelError
from windtunnel.paths import dags_dir
from windtunnel.sandbox import temporary

EVERY = 0.05  # seconds between looks, or …
SHARE = 0.02  # … this part of the time so far: Airflow's answer gets dearer with each task instance
TIMEOUT = 300.0
CHECKED = 5.0  # seconds between looks whether everybody lives
AWAKE = 60.0  # seconds that all components get to say that they live
QUIET = 3.0  # seconds; a process of an idle Airflow that is younger parses a file
DAGS = """\
from airflow.sdk import dag, task


@dag
def chain():
    @task
    def one():
        return 1

    @task
    def add(number):
        return number + 1

    add(add(add(add(add(one())))))


@dag
def fan_out():
    @task
    def start(): ...

    @task
    def each(): ...

    start() >> [each() for _ in range(20)]


@dag(params={"many": 100})
def mapped():
    @task
    def numbers(params):
        return list(range(params["many"]))

    @task
    def square(number):
        return number * number

    square.expand(number=numbers())


chain()
fan_out()
mapped()
"""
CHAIN, FAN_OUT, MAPPED = 6, 21, 101  # task instances
NAMES = {"chain": CHAIN, "fan_out": FAN_OUT, "mapped": MAPPED}
NOTE = (
    "From the API's answer to a trigger being asked for until the run's state is success, asked every 50 ms, "
    "later whenever another 2 % of the time has passed. airflow "
    "standalone has its defaults; Windtunnel its settings and its changes to Airflow (sandbox/windtunnel/"
    "airflow_env.py, patches.py), and no durable writes in its Postgres. Each Airflow stands still while another is "
    "measured. "
)


def get_ready(airflow: Airflow, timeout: float = 60) -> None:
    """Wait until all DAGs of the file are there, and unpause them."""
    took = stopwatch()
    for name in NAMES:
        while not _is_there(airflow, name):
            if took() > timeout:
                raise TimeoutError(f"{name} is not there: {airflow.import_errors()}")
            time.sleep(EVERY)
        airflow.pause(name, False)


def _is_there(airflow: Airflow, name: str) -> bool:
    try:
        return bool(airflow.dag(name))
    except NotFoundError:
        return False


def seconds(
    airflow: Airflow,
    name: str,
    instances: int,
    conf: dict[str, object] | None = None,
    check: Callable[[], None] = lambda: None,
) -> float:
    """From the trigger to success. Raises RuntimeError if it ends otherwise, or with other task instances.

    ``check`` is called now and then; it raises if there is nobody who could go on.
    """
    took, checked = stopwatch(), stopwatch()
    run = airflow.trigger(name, conf, None)
    while (state := _state(airflow, name, run)) not in ("success", "failed"):
        if took() > TIMEOUT:
            break
        if checked() > CHECKED:
            check()
            checked = stopwatch()
        time.sleep(max(EVERY, took() * SHARE))
    end = took()
    found = Counter(each.state and each.state.value for each in airflow.task_instances(name, run))
    if state != "success" or found != {"success": instances}:
        raise RuntimeError(f"{name} is {state} after {end:.1f} s, its tasks: {dict(found)}")
    return end


def _state(airflow: Airflow, name: str, run: str) -> str:
    try:
        return str(airflow.run(name, run).state.value)
    except WindtunnelError:  # SQLite refuses a look while it writes; that is not the run's failure
        return ""


Started = tuple[Airflow, int, Callable[[], None]]


class Contestant:
    """An Airflow that is started when it is first needed, and stands still between its runs.

    ``start`` returns its client, the process whose tree it is, and what raises if it cannot go on; it leaves its end
    to the stack.
    """

    def __init__(self, stack: ExitStack, start: Callable[[ExitStack], Started]) -> None:
        self._stack, self._start = stack, start
        self._airflow: Airflow | None = None
        self._root: psutil.Process | None = None
        self._check: Callable[[], None] = lambda: None

    def measure(self, name: str, instances: int) -> float:
        """Seconds of one run."""
        try:
            return seconds(self._awake(), name, instances, check=self._check)
        finally:
            self._stand_still()

    def _awake(self) -> Airflow:
        if self._airflow is None:
            self._airflow, pid, self._check = self._start(self._stack)
            self._root = psutil.Process(pid)
            self._stack.callback(self._signal, signal.SIGCONT)  # who stands still cannot end
            get_ready(self._airflow)
            seconds(self._airflow, "chain", CHAIN)
            return self._airflow
        since = datetime.now(UTC)
        self._signal(signal.SIGCONT)
        took = stopwatch()
        while not ready(self._airflow, since):
            if took() > AWAKE:
                raise TimeoutError("its components are not healthy again")
            time.sleep(0.2)
        return self._airflow

    def _stand_still(self) -> None:
        took = stopwatch()
        while self._youngest() < QUIET and took() < 10 * QUIET:
            time.sleep(0.2)
        self._signal(signal.SIGSTOP)

    def _tree(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)] if self._root else []
        except psutil.NoSuchProcess:
            return []

    def _youngest(self) -> float:
        """Seconds since the last of its processes was started."""
        born = 0.0
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                born = max(born, process.create_time())
        return time.time() - born

    def _signal(self, number: int) -> None:
        """To all of the tree, parents first, and to those who were started meanwhile."""
        told: set[int] = set()
        while fresh := [process for process in self._tree() if process.pid not in told]:
            for process in fresh:
                told.add(process.pid)
                with contextlib.suppress(psutil.Error, OSError):
                    os.kill(process.pid, number)


def in_a_sandbox(stack: ExitStack) -> Started:
    """A fresh one with the DAG file."""
    sandbox = stack.enter_context(temporary())
    put(dags_dir() / "runs.py")
    return sandbox.airflow(), sandbox.status().launcher, lambda: None  # it starts again whoever ends


def on_standalone(folder: Path, address: Callable[[], str] | None, stack: ExitStack) -> Started:
    """A fresh one with the DAG file, on SQLite unless it is told a database."""
    standalone = Standalone(folder, database=address() if address else "")
    put(standalone.dags / "runs.py")
    stack.enter_context(standalone)
    return standalone.airflow, standalone.process.pid, standalone.check


def put(file: Path) -> None:
    """The DAG file, whole at once."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(DAGS)
    unfinished.rename(file)


@contextmanager
def opened(bench: Bench) -> Iterator[Sequence[Comparison | Curve]]:
    """Three Airflows, of which one is awake at a time."""
    postgres = "airflow standalone (Postgres)"
    sqlite = "airflow standalone (SQLite)"
    with plain_postgres(bench.folder / "postgres") as address, ExitStack() as stack:
        sides = {
            "Windtunnel": Contestant(stack, in_a_sandbox),
            sqlite: Contestant(stack, lambda s: on_standalone(bench.folder / "sqlite", None, s)),
            postgres: Contestant(stack, lambda s: on_standalone(bench.folder / "server", address, s)),
        }

        def each(name: str) -> dict[str, Measure]:
            return {side: partial(who.measure, name, NAMES[name]) for side, who in sides.items()}

        yield [
            Comparison(
                "run-chain",
                "A chain of 6 tasks, from trigger to success",
                "s",
                each("chain"),
                only_full=frozenset({postgres}),
                target=Target(beats=sqlite, times=5),
                note=NOTE + "Each task adds 1 to what the one before returned.",
            ),
            Comparison(
                "run-fan-out",
                "20 tasks at once after a first one, from trigger to success",
                "s",
                each("fan_out"),
                only_full=frozenset({postgres}),
                target=Target(most=3.0),
                note=NOTE + "21 empty tasks.",
            ),
            Comparison(
                "run-mapped",
                "100 mapped task instances, from trigger to success",
                "s",
                each("mapped"),
                rounds=3,
                only_full=frozenset({sqlite, postgres}),
                note=NOTE + "One task returns 100 numbers, and 100 instances of another square one each.",
            ),
        ]


SUBJECT = Subject("runs", "From trigger to success: a chain, twenty at once, a hundred mapped", opened)
