"""Two or more ways to the same end, measured in turn: A B A B …, so that whatever else the machine does hits all alike.

A `Comparison` has a row for each way, a `Curve` a line for each way over a growing number. A `Subject` opens what its
comparisons need once, and closes it.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Measure = Callable[[], float]
"""Does the thing once, all of it real, and returns what it took, in the comparison's unit.

It times itself, so that preparing and clearing up do not count. Whatever went wrong is an exception: a way that did
not reach its end has no figure.
"""


@dataclass(frozen=True)
class Target:
    """What Windtunnel's figure is wished to be. It is shown; nothing passes or fails by it.

    ``most``: the median, at most. ``worst``: the largest sample, at most. ``beats``: the side that it is compared with,
    which must be ``times`` as large (or as small, where more is better).
    """

    most: float | None = None
    worst: float | None = None
    least: float | None = None
    beats: str = ""
    times: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """Sides that do the same. The first is Windtunnel's; with ``all_ours`` all are, and a target is for each.

    ``rounds`` and ``quick``: how often each side is measured, as a rule and with ``--quick`` (0: not then).
    ``warm``: each side is run once before, unmeasured. ``only_full``: sides that ``--quick`` leaves out, as they take
    too long. ``more``: more is better.
    """

    name: str
    title: str
    unit: str
    sides: Mapping[str, Measure]
    rounds: int = 5
    quick: int = 1
    warm: bool = False
    only_full: frozenset[str] = frozenset()
    more: bool = False
    all_ours: bool = False
    target: Target | None = None
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """How a cost grows. Each side takes the number and returns the figure.

    ``quick_points``: the numbers that ``--quick`` measures.
    """

    name: str
    title: str
    unit: str
    over: str
    points: Sequence[int]
    sides: Mapping[str, Callable[[int], float]]
    rounds: int = 3
    quick_points: Sequence[int] = ()
    note: str = ""


@dataclass(frozen=True)
class Subject:
    """What belongs together: ``open`` prepares it in a folder of its own and gives what is to be measured.

    ``needs``: why it cannot be measured here, or nothing.
    """

    name: str
    about: str
    open: Callable[[Bench], AbstractContextManager[Sequence[Comparison | Curve]]]
    needs: Callable[[], str] = lambda: ""


@dataclass
class Bench:
    """What a subject is given: a folder that is removed afterwards, one that is kept between runs, and how to tell
    what is being prepared.
    """

    folder: Path
    kept: Path
    quick: bool
    say: Callable[[str], None]


@dataclass
class Row:
    """The figures of one side, in the order in which they were taken; or why there are none."""

    samples: list[float] = field(default_factory=list)
    failed: str = ""

    def summary(self) -> dict[str, Any]:
        """Median, smallest, largest, all."""
        if not self.samples:
            return {"failed": self.failed}
        found: dict[str, Any] = {
            "median": round(statistics.median(self.samples), 3),
            "min": round(min(self.samples), 3),
            "max": round(max(self.samples), 3),
            "n": len(self.samples),
            "samples": [round(sample, 3) for sample in self.samples],
        }
        return found | ({"failed": self.failed} if self.failed else {})


def stopwatch() -> Callable[[], float]:
    """Seconds since it was made."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began


def compare(comparison: Comparison, quick: bool, step: Callable[[str], None]) -> dict[str, Any]:
    """Measure side after side, round after round. A side that fails has no more rounds; the others go on.

    ``step`` is told each measurement before it begins. Returns what is kept of it, as JSON has it.
    """
    sides = {
        name: measure
        for name, measure in comparison.sides.items()
        if not (quick and name in comparison.only_full)
    }
    rows = {name: Row() for name in sides}
    before = os.getloadavg()[0]
    if comparison.warm:
        for name, measure in sides.items():
            step(f"{comparison.title}: {name}, once before")
            _measure(rows[name], measure, keep=False)
    for number in range(comparison.quick if quick else comparison.rounds):
        for name, measure in sides.items():
            if not rows[name].failed:
                step(f"{comparison.title}: {name}, round {number + 1}")
                _measure(rows[name], measure)
    return {
        "title": comparison.title,
        "unit": comparison.unit,
        "more_is_better": comparison.more,
        "all_ours": comparison.all_ours,
        "note": comparison.note,
        "target": {k: v for k, v in vars(comparison.target).items() if v} if comparison.target else {},
        "sides": {name: row.summary() for name, row in rows.items()},
        "load": {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)},
    }


def grow(curve: Curve, quick: bool, step: Callable[[str], None]) -> dict[str, Any]:
    """Measure every side at every point, round after round."""
    points = list(curve.quick_points if quick else curve.points)
    rows = {name: {point: Row() for point in points} for name in curve.sides}
    before = os.getloadavg()[0]
    for number in range(1 if quick else curve.rounds):
        for point in points:
            for name, measure in curve.sides.items():
                if not rows[name][point].failed:
                    step(f"{curve.title}: {name}, {point} {curve.over}, round {number + 1}")
                    _measure(rows[name][point], lambda measure=measure, point=point: measure(point))  # type: ignore[misc]
    return {
        "title": curve.title,
        "unit": curve.unit,
        "over": curve.over,
        "note": curve.note,
        "sides": {
            name: {str(point): row.summary() for point, row in line.items()} for name, line in rows.items()
        },
        "load": {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)},
    }


def _measure(row: Row, measure: Measure, *, keep: bool = True) -> None:
    try:
        sample = float(measure())
    except Exception as error:  # whatever a peer's program does, the other figures are wanted
        row.failed = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    else:
        if keep:
            row.samples.append(sample)


def steps(found: Comparison | Curve, quick: bool) -> int:
    """How many measurements there will be, at most."""
    if isinstance(found, Curve):
        points = found.quick_points if quick else found.points
        return len(points) * len(found.sides) * (1 if quick else found.rounds)
    rounds = found.quick if quick else found.rounds
    sides = [name for name in found.sides if not (quick and name in found.only_full)]
    return len(sides) * (rounds + (1 if found.warm and rounds else 0))


def wanted(found: Sequence[Comparison | Curve], quick: bool) -> Iterator[Comparison | Curve]:
    """Those that have anything to measure."""
    return (each for each in found if steps(each, quick))
