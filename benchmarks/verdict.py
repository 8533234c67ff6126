"""From a saved answer to its verdict, beside ``python dag.py`` with ``dag.test()`` on the same DAG, in turn.

``python benchmarks/verdict.py [--rounds N]`` prints a table and writes ``benchmarks/results/verdict.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from windtunnel.airflow_env import clean_environment
from windtunnel.check import check
from windtunnel.engine.client import judged
from windtunnel.exercises import exercises

HERE = Path(__file__).parent
SIX = """\
from airflow.sdk import dag, task


@dag(schedule="0 6 * * *", catchup=False)
def six():
    @task
    def one():
        return 1

    @task
    def add(number):
        return number + 1

    add(add(add(add(add(one())))))


made = six()
if __name__ == "__main__":
    made.test()
"""


CRITERIA = '''
from windtunnel.check import points

@points(1)
def test_the_chain(submission):
    """Six tasks, one after the other, add up to six"""
    run = submission.run("2026-03-02").succeeded()
    assert list(run.tasks.values()) == ["success"] * 6, run.tasks
    assert max(xcom.value for xcom in run.xcoms) == 6, run.xcoms
'''


def verdict(folder: Path) -> Callable[[], None]:
    """The same DAG, judged by one criterion that has it run once."""
    answer, criteria = folder / "chain.py", folder / "test_chain.py"
    answer.write_text(SIX)
    criteria.write_text(CRITERIA)
    order = {"answer": str(answer), "criteria": str(criteria), "only": None}
    limits = {"time_limit": 60.0, "seconds": 60.0, "jobs": 2}

    def run() -> None:
        [found] = judged(order | limits)["criteria"]
        assert found["passed"], found

    return run


def by_hand(folder: Path) -> Callable[[], None]:
    """``python dag.py``, over a database that is migrated already: what a reader without a sandbox does."""
    environment = clean_environment() | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    (folder / "dags").mkdir()
    file = folder / "dags" / "chain.py"
    file.write_text(SIX)
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True
    )

    def run() -> None:
        subprocess.run([sys.executable, file], env=environment, check=True, capture_output=True)

    return run


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        measured: dict[str, Callable[[], object]] = {
            "python dag.py, six tasks": by_hand(Path(folder)),
            "verdict on the same file": verdict(Path(folder)),
        }
        for exercise in exercises():
            measured[f"check {exercise.slug}"] = lambda exercise=exercise: check(
                exercise.slug, exercise.solution
            )  # type: ignore[misc]
        times: dict[str, list[float]] = {name: [] for name in measured}
        for run in measured.values():
            run()  # the first of each pays what is paid once
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("measuring", total=rounds * len(measured))
            for _ in range(rounds):
                for name, run in measured.items():
                    began = time.monotonic()
                    run()
                    times[name].append(time.monotonic() - began)
                    progress.advance(task)
    report(times)


def report(times: dict[str, list[float]]) -> None:
    """Print the table, and write it with the machine it is true of."""
    first = statistics.median(next(iter(times.values())))
    table = Table("", "median", "min", "max", "of the first", title="seconds")
    rows = {}
    for name, each in times.items():
        median = statistics.median(each)
        rows[name] = {"median": median, "min": min(each), "max": max(each), "n": len(each)}
        table.add_row(name, f"{median:.2f}", f"{min(each):.2f}", f"{max(each):.2f}", f"{median / first:.2f}")
    Console().print(table)
    machine = {
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "verdict.json").write_text(json.dumps({"machine": machine, "seconds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
