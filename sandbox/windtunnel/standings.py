"""Where a reader stands: every exercise of the course, what they have done of it, and which is next."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from windtunnel import answers, brief, progress_record
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise, exercises
from windtunnel.progress_record import Entry

NOT_STARTED, BEGUN, DONE, FORMER = "not started", "begun", "done", "former"


@dataclass(frozen=True)
class Standing:
    """One exercise and what the reader has done of it. ``exercise`` is None for one that the course has no more."""

    slug: str
    title: str
    state: str
    entry: Entry
    total: int  # points there are
    hints: int  # hints there are
    exercise: Exercise | None = None


def standings() -> list[Standing]:
    """All exercises in their order, then former ones. Raises WindtunnelError for a clone without exercises."""
    record = progress_record.read()
    known = exercises()
    if not known:
        raise WindtunnelError("This clone has no exercises.", "`git restore exercises` brings them back.")
    found = [_standing(exercise, record.entry(exercise.slug)) for exercise in known]
    slugs = {exercise.slug for exercise in known}
    for slug in sorted(record.exercises.keys() - slugs):
        entry = record.entry(slug)
        found.append(Standing(slug, "", FORMER, entry, entry.total, entry.hints))
    return found


def next_to_do(after: str = "") -> Exercise | None:
    """The first other exercise that is not done, from behind ``after`` on and around; None when all are."""
    record = progress_record.read()
    known = exercises()
    place = next((index + 1 for index, each in enumerate(known) if each.slug == after), 0)
    around = known[place:] + known[:place]
    return next((each for each in around if not record.entry(each.slug).done and each.slug != after), None)


def worth(exercise: Exercise) -> int:
    """Points there are, read from the criteria without running them: ``@points(2)``, or 1."""
    try:
        tree = ast.parse(exercise.criteria.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return 0  # the check says what is wrong with it; a list need not
    tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    return sum(_points(test) for test in tests)


def _points(test: ast.FunctionDef) -> int:
    for mark in test.decorator_list:
        match mark:
            case ast.Call(func=ast.Name(id="points"), args=[ast.Constant(value=int(number))]):
                return number
    return 1


def _standing(exercise: Exercise, entry: Entry) -> Standing:
    begun = entry.earned is not None or not answers.untouched(exercise)
    state = DONE if entry.done else BEGUN if begun else NOT_STARTED
    total = worth(exercise) or entry.total
    return Standing(
        exercise.slug, brief.title(exercise), state, entry, total, len(brief.hints(exercise)), exercise
    )
