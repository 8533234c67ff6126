"""The commands of those who write the course: chapters executed, checks proven."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from windtunnel.console import err, out
from windtunnel.errors import WindtunnelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel.proof import Outcome

PANEL = "Authors"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command, example in (
        (notebooks, "windtunnel notebooks 02 --jobs 1"),
        (prove, "windtunnel prove 01 05"),
        (bench, "windtunnel bench --quick"),
    ):
        app.command(epilog=f"Example: {example}", rich_help_panel=PANEL)(command)


def notebooks(
    slugs: Annotated[list[str] | None, typer.Argument(help="Chapters, or beginnings of their names.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many chapters at a time.")] = 2,
    only_check: Annotated[
        bool, typer.Option("--check", help="Name stale notebooks; execute nothing.")
    ] = False,
) -> None:
    """Execute chapters on fresh sandboxes: book/*.md to notebooks/*.ipynb. Exit code 1 when one fails or is stale."""
    from windtunnel.notebooks import run

    raise typer.Exit(run(slugs or [], jobs, check=only_check, console=out))


def prove(
    slugs: Annotated[
        list[str] | None,
        typer.Argument(help="Exercises, or the beginnings of their names. All, if left out."),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="How many answers at a time; 0: one for each core.")
    ] = 0,
) -> None:
    """Prove that the checks tell right from wrong, on all known answers.

    Every right answer must be accepted, every known misconception refused
    by the criterion about it in words that name it, and every starter must
    run without being enough.

    Exit code 0: all of that holds. 1: something does not; it is named.
    2: something could not be judged. 130: interrupted.
    """
    from windtunnel import proof
    from windtunnel.views.proof import terminal

    exercises = proof.chosen(slugs or [])
    claims = [claim for exercise in exercises for claim in proof.claims(exercise)]
    outcomes = []
    try:
        with _shown(err, len(claims)) as told:
            for outcome in proof.trials(claims, jobs):
                outcomes.append(outcome)
                told(outcome)
    except KeyboardInterrupt:
        err.print(f"Stopped: {len(outcomes)} of {len(claims)} claims were tried.")
    found = proof.ordered(claims, outcomes)
    if outcomes:
        out.print(terminal(found))
    raise typer.Exit(found.exit_code if len(outcomes) == len(claims) else 130)


@contextlib.contextmanager
def _shown(console: Console, total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar with the time that is left on a terminal, a line for each claim elsewhere."""
    done = broken = 0

    def line(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        claim = outcome.claim
        mark = "holds" if outcome.holds else f"DOES NOT HOLD: {outcome.objection}"
        console.print(
            f"[{done:{len(str(total))}}/{total}] {claim.exercise.slug}  {claim.kind:8}  "
            f"{outcome.seconds:5.1f} s  {claim.name}: {mark}",
            markup=False,
            soft_wrap=True,
        )

    if not console.is_terminal:
        yield line
        return
    columns = (
        BarColumn(24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=total, told="")

        def step(outcome: Outcome) -> None:
            nonlocal broken
            broken += not outcome.holds
            bad = f"[red]{broken} do not hold[/]  " if broken else ""
            name = escape(f"{outcome.claim.exercise.slug}: {outcome.claim.name}")
            bars.update(task, advance=1, told=f"{bad}[dim]{name}[/]")

        yield step


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Subjects, see --list. All, if left out.", metavar="[SUBJECT]..."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Each once, the long ones left out: about ten minutes.")
    ] = False,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for results. benchmarks/results, or _build/benchmarks with --quick."
        ),
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Name the subjects; measure nothing.")] = False,
    redraw: Annotated[
        bool,
        typer.Option("--redraw", help="Page, plots and README from the results there are; measure nothing."),
    ] = False,
) -> None:
    """Measure Windtunnel beside what people use today: in turn, on this machine, with nothing else at work.

    The whole takes more than an hour. Peers are installed the first time,
    in environments of their own below _build. Results are written as they
    come: a table, JSON and a plot for each subject.

    Exit code 0: all was measured. 1: a side failed; the table says which.
    2: nothing could be measured. 130: interrupted; what there is is kept.
    """
    from windtunnel.paths import repo_root

    root = repo_root()
    if not (root / "benchmarks/command.py").is_file():
        raise WindtunnelError("The benchmarks are not here.", "run them in a clone of Windtunnel.")
    sys.path.insert(0, str(root))
    command = import_module("benchmarks.command")
    if only_list:
        command.listed(out)
        return
    if redraw:
        command.publish(out_folder or root / "benchmarks/results", None if out_folder else root)
        return
    raise typer.Exit(command.run(names or [], quick=quick, folder=out_folder, out=out, err=err))
