"""Thirty daily runs of three tasks by turning the clock, beside thirty runs triggered one after the other, in turn.

The difference is what it costs to go from event to event. ``python benchmarks/clock.py [--rounds N]`` prints a table
and writes ``benchmarks/results/clock.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from windtunnel import clock, dagcell, pause, trigger, unpause
from windtunnel.sandbox import temporary
from windtunnel.session import connect
from windtunnel.waiting import poll

HERE = Path(__file__).parent
DAYS = 30
DAG = """
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("daily", schedule="0 6 * * *", start_date=datetime(2026, 3, 1), max_active_runs=1):
    @task
    def a(): ...
    @task
    def b(): ...
    @task
    def c(): ...
    a() >> b() >> c()
"""


def turned() -> float:
    """Seconds for a month on the clock."""
    unpause("daily")
    began = time.perf_counter()
    turn = clock.advance(days=DAYS)
    took = time.perf_counter() - began
    assert [run.state for run in turn.of("daily")] == ["success"] * DAYS
    pause("daily")
    return took


def triggered() -> float:
    """Seconds for as many runs by hand, each started when the one before has ended."""
    began = time.perf_counter()
    for number in range(DAYS):
        run = trigger("daily", conf={"number": number}, unpause=True)
        poll(lambda run=run: True if run.state == "success" else None, timeout=60, every=0.05)
    took = time.perf_counter() - began
    pause("daily")
    return took


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {"turned": [], "triggered": []}
    with temporary(clock=datetime(2026, 3, 1, tzinfo=UTC)):
        session = connect()
        dagcell.save(session, dagcell.Cell(DAG), "daily")
        for _ in range(rounds):
            clock.reset("2026-03-01")
            seconds["turned"].append(turned())
            seconds["triggered"].append(triggered())
    table = Table("30 runs of 3 tasks", "median s", "range s")
    for name, found in seconds.items():
        table.add_row(name, f"{statistics.median(found):.1f}", f"{min(found):.1f}-{max(found):.1f}")
    ratio = statistics.median(seconds["turned"]) / statistics.median(seconds["triggered"])
    Console().print(table, f"turned / triggered: {ratio:.2f}")
    record = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "seconds": {name: [round(value, 2) for value in found] for name, found in seconds.items()},
        "ratio of medians": round(ratio, 2),
    }
    (HERE / "results/clock.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
