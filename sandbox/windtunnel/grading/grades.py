"""Grades as data, and what the grades of a class say together."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from windtunnel.check import Criterion

PASSED, FAILED, ERROR = "passed", "failed", "error"
BINS = 10  # of a distribution: 0-9 %, 10-19 %, … 90-100 %

# XML and spreadsheets cannot hold them, and no message needs them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")


def clean(text: str) -> str:
    """``text`` as every file of the report can hold it: no control characters, no halves of a character."""
    whole = text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", whole)


def one_line(text: str, most: int = 300) -> str:
    """``text`` without line breaks, cut after ``most`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 2].rstrip() + " …"


@dataclass(frozen=True)
class Grade:
    """What one student's answer to one exercise is worth.

    ``status``: ``passed`` (every criterion is met), ``failed`` (one is not), or ``error``: it could not be
    graded, which is nobody's zero. ``reason`` is one line; empty when passed.
    """

    student: str
    exercise: str
    status: str
    criteria: tuple[Criterion, ...] = ()
    reason: str = ""
    file: str = ""  # what was handed in, as a path below the folder that was graded
    source: str = ""  # the text that was checked
    seconds: float = 0.0

    @property
    def earned(self) -> int | None:
        """Points; None when it could not be graded."""
        if self.status == ERROR:
            return None
        return sum(criterion.points for criterion in self.criteria if criterion.passed)

    @property
    def total(self) -> int | None:
        """Points there are; None when it could not be graded."""
        return None if self.status == ERROR else sum(criterion.points for criterion in self.criteria)

    @property
    def percent(self) -> float | None:
        """Share of the points, in percent; None when it could not be graded."""
        if self.earned is None or not self.total:
            return None
        return 100 * self.earned / self.total

    def to_dict(self) -> dict[str, Any]:
        """JSON; see `from_dict`."""
        return asdict(self) | {"criteria": [asdict(criterion) for criterion in self.criteria]}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Grade:
        """The inverse of `to_dict`. Raises TypeError or KeyError for anything else."""
        return cls(**kept | {"criteria": tuple(Criterion(**each) for each in kept["criteria"])})


def graded(
    student: str,
    exercise: str,
    criteria: Iterable[Criterion],
    *,
    file: str,
    source: str,
    seconds: float,
    reason: str = "",
) -> Grade:
    """The grade that follows from ``criteria``. ``reason``: why none of them could be met, if so."""
    kept = tuple(
        Criterion(each.name, clean(each.text), each.points, each.passed, clean(each.message))
        for each in criteria
    )
    missed = [criterion for criterion in kept if not criterion.passed]
    told = clean(reason) or (missed[0].message if missed else "")
    status = FAILED if missed else PASSED
    return Grade(student, exercise, status, kept, one_line(told), file, clean(source), round(seconds, 1))


@dataclass(frozen=True)
class Missed:
    """A criterion, and how many of those who were graded do not meet it."""

    criterion: Criterion
    missed: int
    of: int


@dataclass(frozen=True)
class ExerciseResults:
    """What the grades of one exercise say together. Those that could not be graded are not counted."""

    exercise: str
    grades: tuple[Grade, ...]

    @property
    def percents(self) -> list[float]:
        """Shares of the points, in percent."""
        return [grade.percent for grade in self.grades if grade.percent is not None]

    @property
    def mean(self) -> float | None:
        """In percent; None when nobody was graded."""
        return statistics.fmean(self.percents) if self.percents else None

    @property
    def median(self) -> float | None:
        """In percent; None when nobody was graded."""
        return statistics.median(self.percents) if self.percents else None

    @property
    def distribution(self) -> list[int]:
        """How many are in each tenth of the percentages; 100 % is in the last."""
        counts = [0] * BINS
        for percent in self.percents:
            counts[min(math.floor(percent * BINS / 100), BINS - 1)] += 1
        return counts

    @property
    def criteria(self) -> list[Criterion]:
        """The criteria, in the exercise's order, from whoever has them all."""
        found: dict[str, Criterion] = {}
        for grade in sorted(self.grades, key=lambda each: -len(each.criteria)):
            for criterion in grade.criteria:
                found.setdefault(criterion.name, criterion)
        return list(found.values())

    @property
    def missed(self) -> list[Missed]:
        """Every criterion, the most missed first."""
        counted = []
        for criterion in self.criteria:
            met = [each.passed for g in self.grades for each in g.criteria if each.name == criterion.name]
            counted.append(Missed(criterion, met.count(False), len(met)))
        return sorted(counted, key=lambda each: -each.missed / max(each.of, 1))


@dataclass(frozen=True)
class Results:
    """Everything a report is made from. ``skipped``: what lay in the folder and is no submission."""

    folder: str  # its name, for headings
    grades: tuple[Grade, ...]
    skipped: tuple[str, ...] = field(default=())

    @property
    def exercises(self) -> list[ExerciseResults]:
        """By exercise, in the order of their names."""
        slugs = sorted({grade.exercise for grade in self.grades if grade.exercise})
        return [ExerciseResults(slug, tuple(g for g in self.grades if g.exercise == slug)) for slug in slugs]

    @property
    def errors(self) -> list[Grade]:
        """Those that could not be graded."""
        return [grade for grade in self.grades if grade.status == ERROR]


def in_order(grades: Iterable[Grade]) -> Sequence[Grade]:
    """By student, then exercise."""
    return sorted(grades, key=lambda g: (g.student.casefold(), g.student, g.exercise))
