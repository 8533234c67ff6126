"""The check: a reader's answer in, a verdict out. Notebook, command line, CI and grading all call this.

The criteria run under pytest in a process of their own, which never imports the answer; the answer runs
in another (see ``windtunnel.workbench``). So nothing an answer does can change how it is judged.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from windtunnel.airflow_env import clean_environment
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise, answer_path, exercises, find

__all__ = ["Criterion", "Verdict", "answer_path", "check", "exercises", "find", "points"]

TIME_LIMIT = 300  # seconds for a whole check; each run of the answer has its own, shorter one

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


def check(slug: str, answer: Path | None = None, *, only: str | None = None) -> Verdict:
    """Judge ``answer``, by default the reader's own, by the criteria of exercise ``slug`` (a prefix will do).

    ``only`` names a single criterion to judge by. Raises WindtunnelError when there is no such exercise, no
    such file, or the check itself cannot run.
    """
    exercise = find(slug)
    answer = answer or answer_path(exercise.slug)
    if not answer.is_file():
        raise WindtunnelError(
            f"There is no answer to {exercise.slug} at {answer}.",
            f"copy {exercise.starter} there and fill in its TODOs.",
        )
    with tempfile.TemporaryDirectory(prefix="windtunnel-check-") as folder:
        report = Path(folder) / "verdict.json"
        _judge(exercise, answer.resolve(), only, report)
        found = json.loads(report.read_text())
    if found["broken"]:
        raise WindtunnelError(*found["broken"])
    criteria = tuple(Criterion(**criterion) for criterion in found["criteria"])
    return Verdict(exercise.slug, answer, criteria)


def _judge(exercise: Exercise, answer: Path, only: str | None, report: Path) -> None:
    """Run the criteria. Their findings are in ``report`` afterwards, see ``windtunnel._criteria``."""
    target = f"{exercise.criteria}::{only}" if only else str(exercise.criteria)
    options = ["-p", "windtunnel._criteria", "--answer", str(answer), "--report", str(report)]
    # Nothing of the reader's own pytest: no configuration, plugins or cache. Plain asserts: a criterion's
    # message is written for a reader, and rewriting would add to it.
    alone = ["-c", "/dev/null", "--rootdir", str(exercise.folder), "-p", "no:cacheprovider", "--assert=plain"]
    environment = clean_environment() | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
    }
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *alone, *options, target],
            env=environment,
            cwd=report.parent,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise WindtunnelError(
            f"The check of {exercise.slug} did not end within {TIME_LIMIT} s.",
            "see what else keeps this machine busy.",
        ) from None
    if not report.exists():
        raise WindtunnelError(
            f"The check of {exercise.slug} could not run: {_last_line(ended.stdout + ended.stderr)}",
            "if you did not edit the exercise, this is our mistake: please report it.",
        )


def _last_line(text: str) -> str:
    """The line of pytest's output that says most: the exception, else its own complaint, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for kind in ("E  ", "ERROR", ""):
        told = [line.removeprefix(kind).strip(": ") for line in lines if line.startswith(kind)]
        if told:
            return told[-1]
    return "pytest printed nothing"
