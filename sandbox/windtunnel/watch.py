"""Watch mode: every save of an answer is checked, and the first thing that is missing is shown.

One loop, one thread: it waits for a key a fifth of a second at a time and looks at the file in between. It looks
at content, not at events: an editor that saves by renaming, and a folder on a network disk, are no special cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from windtunnel import answers, hints, progress_record, standings
from windtunnel.answers import Attempt
from windtunnel.errors import WindtunnelError
from windtunnel.exercises import Exercise, answer_path, exercises
from windtunnel.keys import ENDED, Keys
from windtunnel.views import watching
from windtunnel.views.standings import render as standings_table
from windtunnel.views.verdict import render as all_criteria

INTERVAL = 0.2  # seconds between two looks at the file


class Watch:
    """Watches one exercise after the other until the reader leaves or all are done."""

    def __init__(
        self,
        exercise: Exercise,
        console: Console,
        keys: Keys,
        *,
        has_keys: bool = True,
        move_on: bool = False,
        attempt: Callable[[Exercise, Callable[[str], None]], Attempt] = answers.attempt,
    ) -> None:
        self.exercise = exercise
        self._console, self._keys, self._has_keys = console, keys, has_keys
        self._move_on, self._attempt = move_on, attempt
        self._file = _Saved(answer_path(exercise.slug))
        self._last: Attempt | None = None
        self._problem: WindtunnelError | None = None
        self._notes: list[str] = []
        self._leaving = False

    def run(self) -> None:
        """Check, then wait for saves and keys; returns when the reader leaves or everything is done."""
        self._begin(self.exercise)
        while not self._leaving:
            for key in self._keys(INTERVAL):
                self._press(key.lower())
            if not self._leaving and self._file.saved():
                self._check()

    def _begin(self, exercise: Exercise, *above: RenderableType) -> None:
        self.exercise, self._last, self._problem = exercise, None, None
        self._file = _Saved(answer_path(exercise.slug))
        self._check(*above)

    def _check(self, *above: RenderableType) -> None:
        """Judge what the file holds now. ``above`` is what led here; it stays on the screen."""
        self._problem, self._notes = None, []
        try:
            self._notes += answers.begin(self.exercise)
            self._file.noted()  # before the check: what is saved while it runs is checked next
            what = f"Checking {self.exercise.slug}"
            with self._console.status(f"{what} …") as spinner:
                self._last = self._attempt(self.exercise, lambda step: spinner.update(f"{what}: {step} …"))
            self._notes += self._last.notes
        except WindtunnelError as error:
            # The check could not run, this time: the watch goes on.
            self._problem = error
        except OSError as error:  # the file went away in between, the disk is full for a moment
            self._problem = WindtunnelError(f"{error}.", "r runs the check again.")
        if self._last and not self._problem and self._last.verdict.passed:
            self._passed(*above)
        else:
            self._draw(*above)

    def _passed(self, *above: RenderableType) -> None:
        done = watching.done(self.exercise.slug, self._last)
        following = standings.next_to_do(after=self.exercise.slug)
        if following is None and self._move_on:
            self._leaving = True
            self._draw(*above, watching.all_done())
        elif following and self._move_on:
            self._begin(following, *above, done, Text())
        else:
            self._draw(*above, done)

    def _press(self, key: str) -> None:
        actions: dict[str, Callable[[], None]] = {
            "h": self._hint,
            "l": lambda: self._draw(below=standings_table(standings.standings(), self.exercise.slug)),
            "a": self._all,
            "n": self._next,
            "r": self._check,
            "q": self._leave,
            ENDED: self._leave,
        }
        if key in actions and not self._leaving:
            try:
                actions[key]()
            except WindtunnelError as error:
                self._draw(below=watching.problem(error))

    def _hint(self) -> None:
        self._draw(below=watching.hint(hints.one_more(self.exercise)))

    def _all(self) -> None:
        if self._last:
            self._draw(below=all_criteria(self._last.verdict))

    def _next(self) -> None:
        known = exercises()
        place = next((index for index, each in enumerate(known) if each.slug == self.exercise.slug), -1)
        following = standings.next_to_do(after=self.exercise.slug) or known[(place + 1) % len(known)]
        if following.slug == self.exercise.slug:
            self._draw(below=Text("There is no other exercise.", "dim"))
        else:
            self._begin(following)

    def _leave(self) -> None:
        self._leaving = True

    def _draw(self, *above: RenderableType, below: RenderableType | None = None) -> None:
        self._console.clear()  # does nothing where there is no terminal
        for part in above:
            self._console.print(part)
        found = standings.standings()
        self._notes += progress_record.notes()
        self._console.print(
            watching.screen(self.exercise, found, self._last, self._problem, tuple(self._notes))
        )
        if below is not None:
            self._console.print(Text())
            self._console.print(below)
        if self._has_keys and not self._leaving:
            self._console.print(watching.keys())


class _Saved:
    """Whether a file was saved since it was last `noted`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._seen = ""

    def noted(self) -> None:
        """What it holds now is known."""
        self._known = self._seen = self._digest()

    def saved(self) -> bool:
        """Whether it holds something new, the same at two looks: an editor may be writing at the first."""
        now = self._digest()
        still, self._seen = now == self._seen, now
        return bool(now) and still and now != self._known

    def _digest(self) -> str:
        """Empty while there is no file: it is being renamed."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError:
            return ""
