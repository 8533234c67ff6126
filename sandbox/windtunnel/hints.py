"""Hints, one at a time: how many a reader has seen is kept with their progress."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel import brief, progress_record
from windtunnel.brief import Hint
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise


@dataclass(frozen=True)
class Hints:
    """All hints of an exercise; the reader has seen the first ``seen`` of them."""

    slug: str
    all: tuple[Hint, ...]
    seen: int

    @property
    def shown(self) -> tuple[Hint, ...]:
        """Those the reader has seen."""
        return self.all[: self.seen]

    @property
    def left(self) -> int:
        """How many more there are."""
        return len(self.all) - self.seen


def so_far(exercise: Exercise) -> Hints:
    """The hints of ``exercise``, and how many of them were seen; shows none."""
    found = tuple(brief.hints(exercise))
    seen = progress_record.read().entry(exercise.slug).hints
    return Hints(exercise.slug, found, min(seen, len(found)))  # an update may have taken some away


def one_more(exercise: Exercise) -> Hints:
    """The same after one more was shown; the last stays the last. Raises WindtunnelError when there are none."""
    return _seen(exercise, so_far(exercise).seen + 1)


def all_of_them(exercise: Exercise) -> Hints:
    """The same after all were shown. Raises WindtunnelError when there are none."""
    return _seen(exercise, len(so_far(exercise).all))


def _seen(exercise: Exercise, number: int) -> Hints:
    hints = so_far(exercise)
    if not hints.all:
        raise WindtunnelError(f"{exercise.slug} has no hints.", f"read its brief again: {exercise.brief}")
    number = min(number, len(hints.all))
    if number > hints.seen:
        progress_record.hinted(exercise.slug, number)
    return Hints(exercise.slug, hints.all, number)
