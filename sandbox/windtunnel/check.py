"""The check: a reader's answer in, a verdict out. Notebook, command line, CI and grading all call this.

The criteria run under pytest in a process of their own, which never imports the answer; the answer runs
in others (see ``windtunnel.engine``). So nothing an answer does can change how it is judged.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from windtunnel.engine.client import judged
from windtunnel.engine.limits import TIME
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import answer_path, exercises, find

__all__ = ["Criterion", "Verdict", "answer_path", "check", "exercises", "find", "points"]

TIME_LIMIT = 300.0  # seconds for a whole check; each run of the answer has its own, shorter one
JOBS = min(4, os.cpu_count() or 1)  # runs of one answer side by side

Function = TypeVar("Function", bound=Callable[..., Any])


def points(worth: int) -> Callable[[Function], Function]:
    """Mark a test function as a criterion worth ``worth`` points."""

    def mark(function: Function) -> Function:
        function.points = worth  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class Criterion:
    """One thing that was asked, and whether the answer does it."""

    name: str
    text: str  # what the reader reads: the criterion's docstring
    points: int
    passed: bool
    message: str = ""  # what was seen, what was expected, why it matters; empty when passed


@dataclass(frozen=True)
class Verdict:
    """What the check found, criterion by criterion, in the order of the exercise."""

    slug: str
    answer: Path
    criteria: tuple[Criterion, ...]

    @property
    def passed(self) -> bool:
        """Whether every criterion is met."""
        return all(criterion.passed for criterion in self.criteria)

    @property
    def earned(self) -> int:
        """Points of the criteria that are met."""
        return sum(criterion.points for criterion in self.criteria if criterion.passed)

    @property
    def total(self) -> int:
        """Points there are."""
        return sum(criterion.points for criterion in self.criteria)

    @property
    def exit_code(self) -> int:
        """0: every criterion is met; 1: one is not. (A check that could not run is a WindtunnelError.)"""
        return 0 if self.passed else 1


def check(
    slug: str,
    answer: Path | None = None,
    *,
    only: str | None = None,
    time_limit: float = TIME_LIMIT,
    jobs: int = JOBS,
    finding: Callable[[Criterion], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Judge ``answer``, by default the reader's own, by the criteria of exercise ``slug`` (a prefix will do).

    ``only`` names a single criterion to judge by; ``time_limit`` is for the whole check, in seconds; ``jobs`` runs of
    the answer go side by side. ``finding`` is called with each criterion as soon as it is judged, ``progress`` with
    what is done before the first.
    Raises WindtunnelError when there is no such exercise, no such file, or the check itself cannot run.
    """
    exercise = find(slug)
    answer = answer or answer_path(exercise.slug)
    if not answer.exists():
        raise WindtunnelError(
            f"There is no answer to {exercise.slug} at {answer}.",
            f"copy {exercise.starter} there and fill in its TODOs.",
        )
    order = {
        "answer": str(answer.resolve()),
        "criteria": str(exercise.criteria),
        "only": only,
        "time_limit": time_limit,
        "seconds": TIME,
        "jobs": jobs,
    }
    found = judged(order, lambda found: finding(Criterion(**found)), progress)
    if found["broken"]:
        raise WindtunnelError(*found["broken"])
    return Verdict(exercise.slug, answer, tuple(Criterion(**criterion) for criterion in found["criteria"]))
