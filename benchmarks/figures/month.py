"""Thirty daily runs of three tasks by turning the clock, beside as many triggered by hand, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from benchmarks.harness import Bench, Comparison, Subject, Target, stopwatch
from windtunnel import clock, dagcell, pause, trigger, unpause
from windtunnel.runs import Run
from windtunnel.sandbox import temporary
from windtunnel.session import connect
from windtunnel.waiting import poll

DAYS = 30
START = datetime(2026, 3, 1, tzinfo=UTC)
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
NOTE = (
    f"{DAYS} daily runs of three empty tasks, one after the other, in the sandbox's Airflow. Windtunnel: "
    f"`clock.advance(days={DAYS})`. Nobody else turns Airflow's clock: on the wall it takes {DAYS * 86_400:,} s. "
    "By hand: as many runs without a date, each triggered when the one before has succeeded; the difference is what "
    "it costs to get from day to day."
)


def turned() -> float:
    """Seconds for the month on the clock, which begins anew."""
    clock.reset(START)
    unpause("daily")
    took = stopwatch()
    turn = clock.advance(days=DAYS)
    seconds = took()
    found = turn.of("daily")
    assert [run.state for run in found] == ["success"] * DAYS, found
    assert len({run.logical_date for run in found}) == DAYS, found
    pause("daily")
    return seconds


def triggered() -> float:
    """Seconds for as many runs by hand."""
    made: list[Run] = []
    took = stopwatch()
    for _ in range(DAYS):
        run = trigger("daily", unpause=True)
        ended = poll(lambda run=run: _ended(run), timeout=60, every=0.05)  # type: ignore[misc]
        assert ended == "success", ended
        made.append(run)
    seconds = took()
    pause("daily")
    assert all(run.states() == dict.fromkeys("abc", "success") for run in made)
    return seconds


def _ended(run: Run) -> str | None:
    state = run.state
    return state if state in ("success", "failed") else None


@contextmanager
def month(bench: Bench) -> Iterator[list[Comparison]]:
    """A sandbox that begins on the first of March."""
    bench.say("a sandbox with a clock")
    with temporary(clock=START):
        dagcell.save(connect(), dagcell.Cell(DAG), "daily")
        yield [
            Comparison(
                "month",
                f"{DAYS} days of a daily DAG",
                "s",
                {"Windtunnel": turned, "the same runs, by hand": triggered},
                only_full=frozenset({"the same runs, by hand"}),
                target=Target(most=20),
                note=NOTE,
            )
        ]


SUBJECT = Subject("month", "thirty virtual days by turning the clock, and as many runs by hand", month)
