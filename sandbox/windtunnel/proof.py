"""Proof that the checks of an exercise tell right from wrong: its known answers, judged by the real engine.

A check is a measuring instrument, and known answers are its weights. Every right one must get full points; every
known misconception must be refused by the criterion that is about it, in words that name it; the starter must
run, and must not be enough.
"""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from windtunnel import exercises
from windtunnel.check import JOBS, TIME_LIMIT, Criterion, Verdict, check
from windtunnel.engine.client import judged
from windtunnel.engine.limits import TIME
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise
from windtunnel.live import live_view
from windtunnel.misconceptions import Misconception, misconceptions
from windtunnel.views.proof import Cell, Matrix, Row, matrix, table
from windtunnel.views.table import Table

STARTER, SOLUTION, RIGHT, WRONG = "starter", "solution", "right", "wrong"  # kinds of claims
ENOUGH = 0.25  # of the points: a starter that earns more leaves too little to do


@dataclass(frozen=True)
class Outcome:
    """A claim after its trial. ``verdict`` is None when it could not be judged; ``objection`` then says why."""

    claim: Claim
    objection: str
    seconds: float
    verdict: Verdict | None

    @property
    def holds(self) -> bool:
        """Whether the check judged as it must."""
        return not self.objection

    @property
    def refused_by(self) -> list[str]:
        """Names of the criteria that are not met."""
        return [each.name for each in self.verdict.criteria if not each.passed] if self.verdict else []


@dataclass(frozen=True)
class Claim:
    """What a known answer must get. ``kind``: starter, solution, right or wrong."""

    exercise: Exercise
    kind: str
    name: str
    answer: Callable[[], str]
    wrong: Misconception | None = None
    whole: bool = False  # judge a wrong answer by every criterion, not by the one that must refuse it alone

    def judged(self) -> str:
        """Why the claim does not hold; empty when it does. Raises WindtunnelError when there is no verdict."""
        return self._objection(self._verdict())

    def tried(self, folder: str | None = None) -> Outcome:
        """The claim's trial, in ``folder``. Raises nothing: what goes wrong is the objection."""
        began = time.monotonic()
        verdict: Verdict | None = None
        try:
            verdict = self._verdict(folder)
            objection = self._objection(verdict)
        except WindtunnelError as error:
            objection = f"not judged: {error.message}"
        except Exception as error:  # one claim's accident must not take the others' trials with it
            objection = f"not judged: {type(error).__name__}: {error}"
        return Outcome(self, objection, time.monotonic() - began, verdict)

    def _verdict(self, folder: str | None = None) -> Verdict:
        only = self.wrong.criterion if self.wrong and not self.whole else None
        with _file(self.answer(), folder) as file:
            return check(self.exercise.slug, file, only=only)

    def _objection(self, verdict: Verdict) -> str:
        if self.wrong:
            return _not_refused(verdict, self.wrong)
        if self.kind == STARTER:
            return _not_a_starter(verdict)
        missed = [f"{each.name}: {each.message}" for each in verdict.criteria if not each.passed]
        return f"refused by {'; '.join(missed)}" if missed else ""


@dataclass(frozen=True)
class Tally:
    """What became of the claims about one exercise: how many hold, of how many."""

    slug: str
    right: tuple[int, int]  # right answers that get full points
    wrong: tuple[int, int]  # wrong answers refused by the named criterion in the named words: the kill rate
    starter: bool
    points: int  # that there are; 0 when the solution could not be judged

    @property
    def holds(self) -> bool:
        """Whether all claims do."""
        return self.starter and self.right[0] == self.right[1] and self.wrong[0] == self.wrong[1]


@dataclass(frozen=True)
class Proof:
    """The claims about some exercises after their trials."""

    outcomes: tuple[Outcome, ...]

    @property
    def broken(self) -> list[Outcome]:
        """Claims that do not hold."""
        return [outcome for outcome in self.outcomes if not outcome.holds]

    @property
    def exit_code(self) -> int:
        """0: every claim holds; 1: one does not; 2: one could not be judged."""
        if any(outcome.verdict is None for outcome in self.outcomes):
            return 2
        return 1 if self.broken else 0

    @property
    def tallies(self) -> list[Tally]:
        """One for each exercise, in the order of their numbers."""
        slugs = sorted({outcome.claim.exercise.slug for outcome in self.outcomes})
        return [self._tally(slug) for slug in slugs]

    def table(self) -> Table:
        """The tallies, as a notebook shows them."""
        return table(self.tallies)

    def _tally(self, slug: str) -> Tally:
        about = [outcome for outcome in self.outcomes if outcome.claim.exercise.slug == slug]

        def count(*kinds: str) -> tuple[int, int]:
            some = [outcome.holds for outcome in about if outcome.claim.kind in kinds]
            return sum(some), len(some)

        totals = [each.verdict.total for each in about if each.claim.kind == SOLUTION and each.verdict]
        starters = count(STARTER)
        return Tally(slug, count(SOLUTION, RIGHT), count(WRONG), starters[0] == starters[1], *totals or [0])


def claims(exercise: Exercise) -> list[Claim]:
    """All that must hold for an exercise: its starter, solution, other right answers, misconceptions.

    Raises WindtunnelError when its misconceptions cannot be read.
    """
    solution = exercise.solution.read_text
    return [
        Claim(exercise, STARTER, STARTER, exercise.starter.read_text),
        Claim(exercise, SOLUTION, SOLUTION, solution),
        *(Claim(exercise, RIGHT, path.stem, path.read_text) for path in exercise.right),
        *(
            Claim(exercise, WRONG, wrong.name, lambda wrong=wrong: wrong.of(solution()), wrong)  # type: ignore[misc]
            for wrong in misconceptions(exercise.wrong)
        ),
    ]


def trials(some: Sequence[Claim], jobs: int = 0) -> Iterator[Outcome]:
    """Try the claims, ``jobs`` at a time (0: one for each core); yields each outcome as soon as it is there.

    Leaving the loop, as Ctrl-C does, waits for nothing: a check ends when the process that asked for it does.
    """
    todo: queue.SimpleQueue[Claim] = queue.SimpleQueue()
    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    stop = threading.Event()
    for claim in some:
        todo.put(claim)

    def work(folder: str) -> None:
        while not stop.is_set():
            try:
                claim = todo.get_nowait()
            except queue.Empty:
                return
            done.put(claim.tried(folder))

    # One folder for all, so that threads that are left behind leave nothing behind.
    with tempfile.TemporaryDirectory(prefix="windtunnel-proof-", ignore_cleanup_errors=True) as folder:
        for _ in range(min(jobs or os.cpu_count() or 1, len(some))):
            # A daemon: the interpreter does not wait for it, and a check may take minutes.
            threading.Thread(target=work, args=(folder,), daemon=True).start()
        try:
            for _ in some:
                yield done.get()
        finally:
            stop.set()


def prove(*slugs: str, jobs: int = 0) -> Proof:
    """Try every claim about these exercises, or about all. For notebooks; see ``windtunnel prove``.

    Raises WindtunnelError for an unknown exercise, or one whose misconceptions cannot be read.
    """
    some = [claim for exercise in chosen(slugs) for claim in claims(exercise)]
    return _proved(some, jobs)


def refusals(slug: str, jobs: int = 0) -> Matrix:
    """Which criteria refuse what: the first misconception about each criterion, judged by all of them."""
    exercise = exercises.find(slug)
    about: dict[str, Claim] = {}
    for claim in claims(exercise):
        if claim.wrong:
            about.setdefault(claim.wrong.criterion, replace(claim, whole=True))
    proof = _proved(list(about.values()), jobs)
    verdicts = [outcome.verdict for outcome in proof.outcomes if outcome.verdict]
    if len(verdicts) < len(about):
        raise WindtunnelError(proof.broken[0].objection, "`windtunnel doctor` looks for a cause.")
    criteria = [each.name for each in verdicts[0].criteria]
    rows = [
        Row(
            outcome.claim.name,
            [_cell(name, name in outcome.refused_by, outcome.claim.wrong) for name in criteria],
        )
        for outcome in sorted(proof.outcomes, key=lambda each: criteria.index(_named(each)))
    ]
    return matrix(criteria, rows)


def judged_by(criteria: Path | str, answers: Mapping[str, str]) -> Table:
    """What the criteria in a file make of some answers (name → text): who passes, and what the others are told.

    For whoever writes a criterion and wants to see whom it refuses. Raises WindtunnelError when there is no
    verdict to be had.
    """
    rows = []
    for name, text in answers.items():
        with _file(text) as file:
            found = judged(_order(Path(criteria), file))
        if found["broken"]:
            raise WindtunnelError(*found["broken"])
        missed = [each for each in (Criterion(**each) for each in found["criteria"]) if not each.passed]
        said = " ".join(each.message for each in missed)
        rows.append([name, "refused" if missed else "accepted", said])
    return Table(f"Judged by {Path(criteria).name}", ["answer", "verdict", "what its author is told"], rows)


def chosen(slugs: Sequence[str]) -> list[Exercise]:
    """These exercises, each once and in the order of their numbers; all when none is named."""
    known = exercises.exercises()
    named = {exercises.find(slug).slug for slug in slugs} or {exercise.slug for exercise in known}
    return [exercise for exercise in known if exercise.slug in named]


def ordered(some: Sequence[Claim], outcomes: Sequence[Outcome]) -> Proof:
    """The outcomes in the order of the claims, whichever came first."""
    places = {id(claim): place for place, claim in enumerate(some)}
    return Proof(tuple(sorted(outcomes, key=lambda outcome: places[id(outcome.claim)])))


def _proved(some: Sequence[Claim], jobs: int) -> Proof:
    """Try the claims, showing how far it is where somebody looks on."""
    states = {f"{claim.exercise.slug}: {claim.name}": "queued" for claim in some}
    outcomes = []
    with live_view("Proving the checks") as view:
        view.show(states)
        for outcome in trials(some, jobs):
            outcomes.append(outcome)
            state = "success" if outcome.holds else "failed"
            states[f"{outcome.claim.exercise.slug}: {outcome.claim.name}"] = state
            view.show(states)
    return ordered(some, outcomes)


def _named(outcome: Outcome) -> str:
    assert outcome.claim.wrong
    return outcome.claim.wrong.criterion


def _cell(name: str, refused: bool, wrong: Misconception | None) -> Cell:
    if not refused:
        return Cell.MET
    return Cell.NAMED if wrong and wrong.criterion == name else Cell.ALSO


def _order(criteria: Path, answer: Path) -> dict[str, object]:
    return {
        "answer": str(answer),
        "criteria": str(criteria.resolve()),
        "only": None,
        "time_limit": TIME_LIMIT,
        "seconds": TIME,
        "jobs": JOBS,
    }


@contextmanager
def _file(text: str, below: str | None = None) -> Iterator[Path]:
    """An answer's text as a file, while the block lasts."""
    with tempfile.TemporaryDirectory(
        prefix="windtunnel-proof-", dir=below, ignore_cleanup_errors=True
    ) as folder:
        file = Path(folder) / "answer.py"
        file.write_text(text)
        yield file


def _not_refused(verdict: Verdict, wrong: Misconception) -> str:
    about = [criterion for criterion in verdict.criteria if criterion.name == wrong.criterion]
    if not about:
        return f"the exercise has no criterion {wrong.criterion}"
    [criterion] = about
    if criterion.passed:
        return f"{wrong.criterion} lets it pass"
    missing = [words for words in wrong.words if words not in criterion.message]
    return f"{wrong.criterion} does not say {missing}; it says: {criterion.message}" if missing else ""


def _not_a_starter(verdict: Verdict) -> str:
    messages = " ".join(criterion.message for criterion in verdict.criteria)
    if "cannot import" in messages:
        return f"it cannot be imported: {messages}"
    if verdict.earned > verdict.total * ENOUGH:
        return f"it earns {verdict.earned} of {verdict.total} points"
    return ""
