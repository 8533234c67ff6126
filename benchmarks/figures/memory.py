"""What an idle Airflow holds and uses: memory, time of a core, processes. All of its processes count, databases too."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.harness import Bench, Comparison, Measure, Subject, Target
from benchmarks.standalone import Standalone, plain_postgres
from windtunnel import processes
from windtunnel.api import Airflow
from windtunnel.paths import dags_dir
from windtunnel.sandbox import temporary

SETTLED = 30.0  # seconds from ready to the look at memory
WINDOW = 30.0  # seconds over which a core's time is measured, from then on
QUICK = 7.0  # seconds of either with --quick
FILE = "daily.py"
DAG = """
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("daily", schedule="0 6 * * *", start_date=datetime(2026, 3, 1)):
    @task
    def a(): ...
    @task
    def b(): ...
    a() >> b()
"""
NOTE = (
    "Nobody does anything; one DAG, paused. Memory: proportional set size of all processes, shared pages once, "
    "{:.0f} s after it was ready. A core: what all of them use in the {:.0f} s after that. All three figures are of "
    "the same starts, each on folders of its own. Databases count where there are any: the sandbox's Postgres and "
    "Valkey, and the second standalone's Postgres, which has its own defaults; the sandbox's stand-in for the outside "
    "world counts, too."
)


class Shared:
    """A sample that is dear to take, and of which several comparisons show a figure each.

    ``take`` gives all figures, by name. It is called by whoever has used up those that there are.
    """

    def __init__(self, take: Callable[[], Mapping[str, float]]) -> None:
        self._take = take
        self._left: defaultdict[str, deque[float]] = defaultdict(deque)

    def figure(self, name: str) -> Measure:
        """Gives the figure called ``name`` of one sample after the other."""

        def measure() -> float:
            if not self._left[name]:
                for each, value in self._take().items():
                    self._left[each].append(value)
            return self._left[name].popleft()

        return measure


def families(roots: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and all below them, each once."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        found |= {each.pid: each for each in [root, *root.children(recursive=True)]}
    return list(found.values())


def memory(family: Iterable[psutil.Process]) -> Counter[str]:
    """Bytes: ``Pss`` of all, with what they share counted once, and its parts ``Anon``, ``Shmem`` and ``File``.

    Raises PermissionError for a process that may not be looked into.
    """
    found: Counter[str] = Counter()
    for process in family:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        found += pss(lines)
    return found


def pss(lines: Iterable[str]) -> Counter[str]:
    """Bytes by kind, from lines of ``smaps_rollup``."""
    found: Counter[str] = Counter()
    for line in lines:
        if line.startswith("Pss"):
            name, amount = line.split()[:2]
            found[name.strip(":").removeprefix("Pss_")] += int(amount) * 1024
    return found


def core_seconds(family: Iterable[psutil.Process]) -> float:
    """What they have used of a core's time, with their children that have ended: a parent counts these."""
    total = 0.0
    for process in family:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:  # its parent has it
            continue
    return total


def needs() -> str:
    """Proportional set size is Linux's, and of another account's processes (Postgres's, for root) root's to know."""
    return "" if sys.platform == "linux" else "only Linux tells how much memory processes share"


@contextmanager
def idle(bench: Bench) -> Iterator[list[Comparison]]:
    """Each sample is a start of its own."""
    numbers = itertools.count(1)
    settled, window = (QUICK, QUICK) if bench.quick else (SETTLED, WINDOW)

    def folder() -> Path:
        return bench.folder / str(next(numbers))

    def sandbox() -> dict[str, float]:
        with temporary() as made:
            (dags_dir() / FILE).write_text(DAG)
            return looked_at(made.airflow(), [psutil.Process(made.status().launcher)], settled, window)

    def standalone(database: str = "", *databases: psutil.Process) -> dict[str, float]:
        airflow = Standalone(folder(), database=database)
        (airflow.dags / FILE).write_text(DAG)
        with airflow:
            return looked_at(airflow.airflow, [airflow.process, *databases], settled, window)

    def with_postgres() -> dict[str, float]:
        place = folder()
        with plain_postgres(place) as database:
            return standalone(database(), *processes.started_for(place))

    sides = {
        "Windtunnel": Shared(sandbox),
        "airflow standalone (SQLite)": Shared(standalone),
        "airflow standalone (Postgres)": Shared(with_postgres),
    }

    def comparison(name: str, title: str, unit: str, target: Target | None = None) -> Comparison:
        return Comparison(
            name,
            title,
            unit,
            {side: shared.figure(name) for side, shared in sides.items()},
            rounds=3,
            only_full=frozenset({"airflow standalone (Postgres)"}),
            target=target,
            note=NOTE.format(settled, window),
        )

    yield [
        comparison("memory", "Memory of an idle Airflow", "MB", Target(most=800)),
        comparison("idle", "Time of a core that an idle Airflow uses", "% of a core", Target(most=10)),
        comparison("processes", "Processes of an idle Airflow", "processes"),
    ]


def looked_at(
    airflow: Airflow, roots: list[psutil.Process], settled: float, window: float
) -> dict[str, float]:
    """The figures of what has just become ready, and of its databases."""
    time.sleep(settled)
    assert [dag.dag_id for dag in airflow.dags()] == ["daily"]
    family = families(roots)
    held = memory(family)["Pss"]
    used, began = core_seconds(families(roots)), time.monotonic()
    time.sleep(window)
    used, took = core_seconds(families(roots)) - used, time.monotonic() - began
    assert all(root.is_running() for root in roots)
    assert os.getpid() not in {process.pid for process in family}
    return {"memory": held / 1e6, "idle": 100 * used / took, "processes": float(len(family))}


SUBJECT = Subject(
    "memory", "what an idle Airflow holds and uses: memory, a core's time, processes", idle, needs
)
