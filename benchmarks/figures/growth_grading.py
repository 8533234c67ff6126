"""How grading grows with the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.figures.grading import Windtunnel, graders, handed_in
from benchmarks.harness import Bench, Curve, Subject

POINTS = (10, 30, 100, 300)
NOTE = (
    "The submissions of the comparison, without those that loop for ever; `windtunnel grade`, whole command, engine "
    "warm. A straight line would be twice as long for twice as many."
)


@contextmanager
def open_(bench: Bench) -> Iterator[Sequence[Curve]]:
    """A class for each number."""
    with graders(bench) as own:
        classes = {
            count: Windtunnel(own, bench.folder / f"handed-in-{count}", handed_in(count, endless=False))
            for count in POINTS
        }

        def seconds(count: int, jobs: int) -> float:
            return count / classes[count].grade(jobs) * 60

        yield [
            Curve(
                "growth_grading",
                "Grading a class",
                "s",
                "submissions",
                POINTS,
                {"Windtunnel": lambda count: seconds(count, 2)},
                rounds=3,
                note=NOTE,
            )
        ]


SUBJECT = Subject("growth_grading", "how grading grows with the class", open_)
