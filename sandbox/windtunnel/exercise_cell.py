"""``%%exercise``: the cell becomes the reader's answer, is checked, and its verdict is shown."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from windtunnel import answers, brief, hints
from windtunnel.check import Criterion, Verdict
from windtunnel.errors import WindtunnelError, interrupted_means
from windtunnel.exercises import Exercise, answer_path, find
from windtunnel.live import in_lab, live_view
from windtunnel.paths import repo_root, work_dir
from windtunnel.views.exercise_card import ExerciseCard, HintLine, hints_html

USAGE = "%%exercise SLUG, and below it the whole file; %exercise SLUG checks the file in work/answers"

_buttons: dict[str, HintButton] = {}  # of each exercise the one below its last verdict


def run(line: str, source: str | None = None) -> None:
    """Save ``source`` as the answer to the exercise that ``line`` names, check it, and show the verdict.

    Without source, the answer that is there is checked. Raises WindtunnelError when the slug is none, the
    answer cannot be saved, or the check cannot run.
    """
    exercise = _named(line)
    has_source = bool(source and source.strip())
    notes = answers.save(exercise, source or "") if has_source else []
    saved = "your answer is saved" if has_source else "nothing was changed"
    stopped = interrupted_means(f"Stopped before there was a verdict; {saved}.", "run the cell again.")
    with stopped, live_view(f"Checking {exercise.slug}") as view:
        view.show({exercise.slug: "running"})
        attempt = answers.attempt(exercise)
        verdict = _in_words_of_the_cell(attempt.verdict, answer_path(exercise.slug).name, has_source)
        view.end(ExerciseCard(brief.title(exercise), verdict, (*notes, *attempt.notes)))
    earlier = _buttons.pop(exercise.slug, None)
    if earlier:
        earlier.close()
    if not verdict.passed:
        _offer_hints(exercise)


def _named(line: str) -> Exercise:
    words = line.split()
    if len(words) != 1 or words[0].startswith("-"):
        problem = "names no exercise" if not words else f"takes one exercise, not {line.strip()!r}"
        raise WindtunnelError(f"%%exercise {problem}.", f"write {USAGE}.")
    return find(words[0])


def _in_words_of_the_cell(verdict: Verdict, name: str, from_cell: bool) -> Verdict:
    """The verdict without this machine's folders, and with the cell's line numbers, which JupyterLab shows.

    The file begins in the cell's second line.
    """
    places = re.compile(
        rf"line (?P<a>\d+) of {re.escape(name)}|{re.escape(name)}, line (?P<b>\d+)|{re.escape(name)}:(?P<c>\d+)"
    )

    def place(found: re.Match[str]) -> str:
        return f"line {int(found[found.lastgroup or 0]) + 1} of the cell"

    def said(criterion: Criterion) -> Criterion:
        message = criterion.message.replace(f"{work_dir()}/", "work/").replace(f"{repo_root()}/", "")
        return replace(criterion, message=places.sub(place, message) if from_cell else message)

    return replace(verdict, criteria=tuple(said(criterion) for criterion in verdict.criteria))


def _offer_hints(exercise: Exercise) -> None:
    from IPython.display import display

    found = hints.so_far(exercise)
    if not found.all:
        return
    if in_lab():
        _buttons[exercise.slug] = HintButton(exercise, found)
        _buttons[exercise.slug].show()
    else:
        display(HintLine(exercise.slug))  # type: ignore[no-untyped-call]


class HintButton:
    """A button that shows one hint more, below those that were shown."""

    def __init__(self, exercise: Exercise, found: hints.Hints) -> None:
        import ipywidgets

        self._exercise = exercise
        self.text: Any = ipywidgets.HTML()
        self.button: Any = ipywidgets.Button(
            layout={"width": "auto", "align_self": "flex-start"}, icon="lightbulb-o"
        )
        self.box: Any = ipywidgets.VBox([self.text, self.button])
        self.button.on_click(lambda _button: self.press())
        self._draw(found)

    def show(self) -> None:
        """Draw it below the cell. A saved notebook keeps the line that a build has."""
        from IPython.display import display

        line = HintLine(self._exercise.slug)
        instead = {"text/plain": repr(line), "text/html": line._repr_html_()}
        display(self.box._repr_mimebundle_() | instead, raw=True)  # type: ignore[no-untyped-call]

    def press(self) -> None:
        """One hint more."""
        try:
            self._draw(hints.one_more(self._exercise))
        except WindtunnelError as error:
            self.button.description = f"{error.message} {error.next_step}"

    def close(self) -> None:
        """Take it away."""
        for widget in (self.text, self.button, self.box):
            widget.close()

    def _draw(self, found: hints.Hints) -> None:
        self.text.value = hints_html(found.shown, len(found.all))
        self.button.disabled = not found.left
        number = f"{found.seen + 1} of {len(found.all)}"
        self.button.description = f"Next hint ({number})" if found.left else "That was the last hint"
