"""Proof that the checks of an exercise tell right from wrong: all known answers, judged by the real engine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from windtunnel.check import Verdict, check
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise
from windtunnel.misconceptions import Misconception, misconceptions


@dataclass(frozen=True)
class Claim:
    """What a known answer must get. ``kind``: solution, right, wrong or starter."""

    exercise: Exercise
    kind: str
    name: str
    answer: Callable[[], str]
    wrong: Misconception | None = None

    def judged(self) -> str:
        """Why the claim does not hold; empty when it does. Raises WindtunnelError when the engine fails."""
        with tempfile.TemporaryDirectory(prefix="windtunnel-proof-") as folder:
            file = Path(folder) / "answer.py"
            file.write_text(self.answer())
            verdict = check(self.exercise.slug, file, only=self.wrong.criterion if self.wrong else None)
        if self.wrong:
            return _accepted(verdict, self.wrong)
        if self.kind == "starter":
            return _too_good(verdict)
        missed = [f"{each.name}: {each.message}" for each in verdict.criteria if not each.passed]
        return "; ".join(missed)


@dataclass(frozen=True)
class Outcome:
    """A claim after its trial."""

    claim: Claim
    objection: str
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the check judged as it must."""
        return not self.objection


def claims(exercise: Exercise) -> list[Claim]:
    """All that must hold for an exercise: its starter, solution, other right answers, misconceptions."""
    solution = exercise.solution.read_text
    return [
        Claim(exercise, "starter", "starter", exercise.starter.read_text),
        Claim(exercise, "solution", "solution", solution),
        *(Claim(exercise, "right", path.stem, path.read_text) for path in exercise.right),
        *(
            Claim(exercise, "wrong", wrong.name, lambda wrong=wrong: wrong.of(solution()), wrong)  # type: ignore[misc]
            for wrong in misconceptions(exercise.wrong)
        ),
    ]


def prove(some: Sequence[Claim], jobs: int) -> Iterator[Outcome]:
    """Try the claims, ``jobs`` at a time; yields each outcome in the order of the claims."""

    def tried(claim: Claim) -> Outcome:
        began = time.monotonic()
        try:
            objection = claim.judged()
        except WindtunnelError as error:
            objection = f"not judged: {error.message}"
        return Outcome(claim, objection, time.monotonic() - began)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        yield from pool.map(tried, some)


def _accepted(verdict: Verdict, wrong: Misconception) -> str:
    [criterion] = verdict.criteria
    if criterion.passed:
        return f"{wrong.criterion} lets it pass"
    missing = [words for words in wrong.words if words not in criterion.message]
    return f"{wrong.criterion} does not say {missing}; it says: {criterion.message}" if missing else ""


def _too_good(verdict: Verdict) -> str:
    messages = " ".join(criterion.message for criterion in verdict.criteria)
    if "cannot import" in messages:
        return f"it cannot be imported: {messages}"
    if verdict.earned > verdict.total / 4:
        return f"it earns {verdict.earned} of {verdict.total} points"
    return ""
