"""How the sandbox's costs grow: with its DAG files from 1 to 300, with a run's mapped task instances from 10 to 1,000.

With files there are three figures of one pass: all files are moved into the folder at once and are waited for; then
Airflow is left alone for a minute, in which the CPU time of scheduler and DAG processor is read off the system, and
at whose end each file's last parse is so many seconds old. Airflow parses each file again every 30 s, so an age above
that says that it does not keep up.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from benchmarks.figures import runs
from benchmarks.harness import Bench, Comparison, Curve, Subject, stopwatch
from windtunnel.paths import dags_dir
from windtunnel.sandbox import Sandbox, temporary

SOURCE = """\
from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule="0 6 * * *", start_date=datetime(2026, 1, 1), catchup=False)
def {name}():
    @task
    def extract():
        return [1, 2, 3]

    @task
    def transform(rows):
        return [row * 2 for row in rows]

    @task
    def load(rows): ...

    load(transform(extract()))


{name}()
"""
FILES, MAPPED = (1, 30, 100, 300), (10, 100, 300, 1000)
TIMEOUT = 600.0
WINDOW = 60.0  # seconds in which it is left alone: two of Airflow's intervals between parses of a file


class Files:
    """A sandbox's DAG folder with so many files, all new each time."""

    def __init__(self, sandbox: Sandbox, quick: bool) -> None:
        self.sandbox, self.airflow, self.quick = sandbox, sandbox.airflow(), quick
        self.passes = 0
        self.alone: dict[int, dict[str, float]] = {}

    def visible(self, number: int) -> float:
        """Seconds from the moment in which all are in the folder until Airflow's API has all their DAGs."""
        self.passes += 1
        prefix = f"growth{self.passes}_"
        folder = self._made(prefix, number)
        try:
            took = stopwatch()
            folder.rename(dags_dir() / folder.name)
            self._wait(prefix, number, took)
            end = took()
            if number not in self.alone and not self.quick:
                self.alone[number] = self._left_alone(prefix)
            return end
        finally:
            shutil.rmtree(dags_dir() / folder.name, ignore_errors=True)
            self._wait(prefix, 0, stopwatch())

    def left_alone(self, what: str, number: int) -> float:
        """A figure of the minute after the first pass with so many files."""
        if number not in self.alone:
            self.visible(number)
        return self.alone[number][what]

    @staticmethod
    def _made(prefix: str, number: int) -> Path:
        folder = dags_dir().parent / prefix.rstrip("_")
        folder.mkdir()
        for each in range(number):
            name = f"{prefix}{each}"
            (folder / f"{name}.py").write_text(SOURCE.format(name=name))
        return folder

    def _wait(self, prefix: str, number: int, took: Callable[[], float]) -> None:
        # Looking costs too: a list of 300 is three requests.
        while len(self.airflow.dags(dag_id_pattern=prefix)) != number:
            if took() > TIMEOUT:
                raise TimeoutError(f"{number} files: not so many DAGs after {TIMEOUT:.0f} s")
            time.sleep(0.05 if number <= 30 else 0.25)

    def _left_alone(self, prefix: str) -> dict[str, float]:
        before = self._cpu()
        time.sleep(WINDOW)
        after = self._cpu()
        now = datetime.now(UTC)
        ages = [
            (now - dag.last_parsed_time).total_seconds() for dag in self.airflow.dags(dag_id_pattern=prefix)
        ]
        return {name: after[name] - before[name] for name in before} | {"age": max(ages)}

    def _cpu(self) -> dict[str, float]:
        """Seconds of CPU so far, by component, those of ended children included."""
        found = {}
        for name, component in self.sandbox.status().components.items():
            process = psutil.Process(component["pid"])
            children = process.children(recursive=True)
            found[name] = sum(sum(each.cpu_times()[:4]) for each in [process, *children])
        return found


@contextmanager
def opened(bench: Bench) -> Iterator[Sequence[Comparison | Curve]]:
    """One sandbox for all."""
    with temporary() as sandbox:
        airflow = sandbox.airflow()
        runs.put(dags_dir() / "runs.py")
        runs.get_ready(airflow)
        runs.seconds(airflow, "chain", runs.CHAIN)
        files = Files(sandbox, bench.quick)
        yield [
            Curve(
                "growth-mapped",
                "A run of mapped task instances, from trigger to success",
                "s",
                "task instances",
                MAPPED,
                {
                    "Windtunnel": lambda many: runs.seconds(airflow, "mapped", many + 1, {"many": many}),
                },
                quick_points=(10, 30),
                note="One task returns so many numbers, and as many instances of another square one each; four "
                "run at a time, as the sandbox is set.",
            ),
            Curve(
                "growth-files-visible",
                "New DAG files, all saved at once, until Airflow's API has all",
                "s",
                "DAG files",
                FILES,
                {"Windtunnel": files.visible},
                quick_points=(1, 30),
                note="Each file makes one DAG of three tasks. They are parsed one after the other, each in a "
                "process forked for it.",
            ),
            Curve(
                "growth-files-idle",
                "CPU time of an idle minute",
                "s",
                "DAG files",
                FILES,
                {
                    "Windtunnel, DAG processor": partial(files.left_alone, "dag-processor"),
                    "Windtunnel, scheduler": partial(files.left_alone, "scheduler"),
                    "Windtunnel, Postgres": partial(files.left_alone, "postgres"),
                },
                rounds=1,
                note="Nothing runs and nobody looks; every DAG has a schedule and is paused. 60 s are one core.",
            ),
            Curve(
                "growth-files-age",
                "The oldest parse, after an idle minute",
                "s",
                "DAG files",
                FILES,
                {"Windtunnel": partial(files.left_alone, "age")},
                rounds=1,
                note="Airflow means to parse each file every 30 s ([dag_processor] min_file_process_interval).",
            ),
        ]


SUBJECT = Subject(
    "growth_airflow", "How the sandbox's costs grow with DAG files and mapped task instances", opened
)
