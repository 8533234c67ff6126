"""``windtunnel grade``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from windtunnel import locks
from windtunnel.errors import WindtunnelError

JOURNAL = "journal.jsonl"
EPILOG = "Example: windtunnel grade handed-in --exercise 03 --format csv --format json"


class Format(StrEnum):
    """What grades are written as, beside the pages."""

    csv = "csv"
    json = "json"
    junit = "junit"


def grade(
    folder: Annotated[
        Path, typer.Argument(help="What the class handed in: alice.py, bob.ipynb, carol/, dave.zip, …")
    ],
    exercise: Annotated[
        str,
        typer.Option(
            "--exercise",
            "-e",
            help="The exercise, or the beginning of its name. If left out, names tell: FOLDER/SLUG/alice.py, "
            "FOLDER/alice/SLUG.py, FOLDER/alice-SLUG.zip, a notebook's %%exercise SLUG.",
        ),
    ] = "",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="How many at a time; 0: one for each core.")
    ] = 0,
    format_: Annotated[
        list[Format] | None,
        typer.Option(
            "--format", "-f", help="What to write beside the pages; may be repeated.  [default: csv]"
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for each submission.")] = 120,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where grades go.  [default: FOLDER-grades]")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Grade everything anew, also what is finished and unchanged.")
    ] = False,
) -> None:
    """Grade what a class handed in: points for everybody, a page each, and what most of them missed.

    Answers are judged as `windtunnel check` judges them, by what they do.
    Whatever is wrong with a submission costs that one its points, with the
    reason, and nobody else. Nothing that was handed in is changed.

    The grades are in FOLDER-grades: index.html, grades.csv.
    Ctrl-C or a crash loses nothing: the same command goes on.

    Exit code 0: all are graded, whatever the points.
    2: something could not be graded; it is named, and has no points, not zero.
    130: interrupted.

    A submission that has taken a quarter of its time lets the next begin beside
    it, so that one which loops for ever does not hold up a class.
    """
    # Imported here: the other commands need not wait for notebooks and templates.
    from windtunnel.engine import jail
    from windtunnel.grading import batch, report, submissions
    from windtunnel.grading.grades import Results, in_order
    from windtunnel.grading.journal import Journal
    from windtunnel.grading.progress import board
    from windtunnel.views import grades as view

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    target = output_folder(folder, output)
    found = submissions.find(folder, exercise, without=target)
    _prepare(target)
    for gap in jail.missing():  # the teacher's machine runs what a class wrote
        err.print(f"Not enforced on this machine: {gap}.", style="yellow", markup=False, soft_wrap=True)
    lock = locks.acquire(target, patience=0)
    if lock is None:
        raise WindtunnelError(
            f"Another `windtunnel grade` is writing to {target}.", "wait for it, or choose another --output."
        )
    with lock:
        kept = Journal(target, again=again)
        with board(err, len(found.submissions)) as shown:
            try:
                graded = batch.run(found.submissions, batch.Grader(timeout), kept, shown, jobs=jobs)
            except batch.Interrupted as stopped:
                shown.stopped(stopped.done)
                raise typer.Exit(130) from None
            finally:
                kept.close()
        results = Results(folder.resolve().name, tuple(in_order(graded)), found.skipped)
        written = report.write(target, results, {each.value for each in format_ or [Format.csv]})
    if shown.kept:
        out.print(f"{shown.kept} were finished and unchanged; --again grades them anew.", style="dim")
    out.print(view.terminal(results))
    for path in written:
        out.print(str(path), markup=False, soft_wrap=True)
    raise typer.Exit(2 if results.errors else 0)


def output_folder(folder: Path, output: Path | None) -> Path:
    """Where the grades of ``folder`` go. Raises WindtunnelError for the folder itself."""
    resolved = folder.expanduser().resolve()
    target = output.expanduser().absolute() if output else resolved.with_name(f"{resolved.name}-grades")
    if target.resolve() == resolved:
        raise WindtunnelError(
            f"Grades cannot go into {target}, among what was handed in.", "choose another --output."
        )
    return target


def _prepare(target: Path) -> None:
    """Make the output folder, or see that it is one. Raises WindtunnelError."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        there = {entry.name for entry in target.iterdir()}
    except OSError as error:
        raise WindtunnelError(
            f"Grades cannot be written to {target}: {error.strerror}.", "choose another place with --output."
        ) from error
    if there and not there & {JOURNAL, locks.LAUNCHER}:
        raise WindtunnelError(
            f"{target} is not empty, and holds no grades that could be gone on with.",
            "choose another --output.",
        )
