"""The commands of the exercise loop: check, watch, hint, progress, and putting an answer back."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from windtunnel.console import err, out
from windtunnel.console import progress as spinner
from windtunnel.errors import WindtunnelError

if TYPE_CHECKING:
    from windtunnel.exercises import Exercise

PANEL = "Exercises"
Slug = Annotated[str, typer.Argument(help="The exercise, or the beginning of its name.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command, example in (
        (check, "windtunnel check 03"),
        (watch, "windtunnel watch"),
        (hint, "windtunnel hint 03"),
        (progress, "windtunnel progress"),
    ):
        app.command(epilog=f"Example: {example}", rich_help_panel=PANEL)(command)


def check(
    slug: Annotated[
        str, typer.Argument(help="The exercise, or the beginning of its name. All, if left out.")
    ] = "",
    file: Annotated[
        Path | None, typer.Option(help="Check this file instead of your answer in work/answers.")
    ] = None,
) -> None:
    """Judge your answer by what it does. Exit code 0: all criteria met; 1: one is not; 2: could not be judged."""
    from windtunnel import exercises

    if file and not slug:
        raise WindtunnelError(
            "--file needs to know which exercise the file answers.", "windtunnel check 03 --file FILE"
        )
    if slug:
        raise typer.Exit(_checked(exercises.find(slug), file))
    worst = 0
    for exercise in exercises.exercises():
        try:
            worst = max(worst, _checked(exercise, None))
        except WindtunnelError as error:  # the others can still be judged
            say(error)
            worst = 2
    raise typer.Exit(worst)


def _checked(exercise: Exercise, file: Path | None) -> int:
    """Check one answer and print the verdict; what is not the reader's answer is not their progress."""
    from windtunnel import answers
    from windtunnel.check import check as judge
    from windtunnel.exercises import answer_path
    from windtunnel.views.verdict import render

    own = file is None or file.resolve() == answer_path(exercise.slug).resolve()
    with spinner(f"Checking {exercise.slug}") as step:
        step("running your pipeline for several dates and worlds")
        attempt = (
            answers.attempt(exercise, step)
            if own
            else answers.Attempt(judge(exercise.slug, file, progress=step))
        )
    out.print(f"[bold]{exercise.slug}[/]  {escape(str(attempt.verdict.answer))}", soft_wrap=True)
    out.print(render(attempt.verdict))
    _tell(attempt.notes)
    return attempt.verdict.exit_code


def watch(
    slug: Annotated[
        str, typer.Argument(help="The exercise, or the beginning of its name. The next to do, if left out.")
    ] = "",
) -> None:
    """Check your answer on every save. Keys: h hint, a all criteria, r run again, n next, l list, q quit."""
    from windtunnel import exercises, keys, standings
    from windtunnel.watch import Watch

    exercise = exercises.find(slug) if slug else standings.next_to_do()
    if exercise is None:
        standings.standings()  # a clone without exercises is an error
        out.print("All exercises are done. `windtunnel watch SLUG` watches one again.")
        return
    # A closed terminal and a polite kill leave as Ctrl-C does: with the terminal as it was.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with keys.pressed() as pressed:
            Watch(exercise, out, pressed or keys.no_keys, has_keys=bool(pressed), move_on=not slug).run()
    except KeyboardInterrupt:
        pass
    out.print("Stopped watching; your answers and your progress are kept.")


def hint(
    slug: Slug,
    everything: Annotated[bool, typer.Option("--all", help="Show all hints at once.")] = False,
) -> None:
    """Show a hint; each call shows one more."""
    from windtunnel import hints, progress_record
    from windtunnel.exercises import find
    from windtunnel.views.watching import hint as view

    exercise = find(slug)
    found = hints.all_of_them(exercise) if everything else hints.one_more(exercise)
    for number in range(1 if everything else found.seen, found.seen + 1):
        out.print(view(hints.Hints(found.slug, found.all, number)))
    _tell(progress_record.notes())


def progress() -> None:
    """Show what you have done, exercise by exercise, and what is next."""
    from windtunnel import progress_record
    from windtunnel.standings import standings
    from windtunnel.views.standings import render

    out.print(render(standings()))
    _tell(progress_record.notes())


def reset_answer(slug: str) -> None:
    """Put the starter back; say where the old answer is."""
    from windtunnel import answers
    from windtunnel.exercises import answer_path, find

    exercise = find(slug)
    kept = answers.reset(exercise)
    out.print(f"{answer_path(exercise.slug)} is the starter again.", soft_wrap=True, markup=False)
    if kept:
        out.print(f"What it held is kept as {kept}.", soft_wrap=True, markup=False)


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        err.print(f"· {escape(note)}", soft_wrap=True)


def say(error: WindtunnelError) -> None:
    """The message and the next step, without a traceback."""
    err.print(f"[red]✗[/] {escape(error.message)}", soft_wrap=True)
    if error.next_step:
        err.print(f"[bold]Next:[/] {escape(error.next_step)}", soft_wrap=True)
