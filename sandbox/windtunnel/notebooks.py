"""The chapter line: text → notebook → executed on a fresh sandbox → normalised → ``notebooks/``.

One way only. The command ``windtunnel notebooks`` is `run`. A chapter that fails leaves its committed
notebook as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from rich.console import Console

from windtunnel import png
from windtunnel.chapters import (
    Chapter,
    cell_lines,
    chapters,
    find,
    orphans,
    references,
    same_source,
    stale,
    to_notebook,
)
from windtunnel.errors import WindtunnelError
from windtunnel.execution import CELL_TIMEOUT, CellFailed, execute, execute_async
from windtunnel.hosting import DEFAULT_SANDBOX
from windtunnel.normalise import dumps, loads, normalise
from windtunnel.progress import Board, board
from windtunnel.whole import put

__all__ = [
    "CellFailed",
    "Chapter",
    "Outcome",
    "cell_lines",
    "chapters",
    "dumps",
    "execute",
    "find",
    "normalise",
    "run",
    "same_source",
    "stale",
    "to_notebook",
    "write",
]


@dataclass(frozen=True)
class Outcome:
    """What became of one chapter: ``written``, ``unchanged``, or ``failed`` with the error."""

    chapter: Chapter
    status: str
    seconds: float
    error: WindtunnelError | None = None


def write(chapter: Chapter, nb: NotebookNode) -> bool:
    """Write an executed, normalised notebook, whole or not at all. False when the file holds it already.

    Pictures that look like the committed ones keep the committed bytes (see `windtunnel.png`).
    """
    path = chapter.notebook
    committed = ""
    if path.exists():
        committed = path.read_text(encoding="utf-8", errors="replace")
        with contextlib.suppress(Exception):  # not a notebook: nothing to keep
            nb = png.keep_committed(nb, loads(committed))
    text = dumps(nb)
    if text == committed:
        return False
    path.parent.mkdir(exist_ok=True)
    put(path, text)
    return True


def run(
    slugs: Sequence[str] = (),
    jobs: int = 2,
    *,
    check: bool = False,
    root: Path | None = None,
    sandbox: str = DEFAULT_SANDBOX,
    timeout: int = CELL_TIMEOUT,
    console: Console | None = None,
) -> int:
    """``windtunnel notebooks [SLUG…] [--jobs N] [--check]``: make these chapters' notebooks, or all, references too.

    ``jobs`` chapters run side by side, each on a sandbox of its own. With ``check`` nothing runs: stale
    notebooks are named, and, when no slug is given, notebooks that no chapter makes.

    Returns the exit code: 0, 1 when a chapter failed or is stale, 130 after Ctrl-C (what was finished is
    kept). Raises WindtunnelError for an unknown slug.
    """
    console = console or Console()
    chosen = [find(slug, root) for slug in slugs] or [*chapters(root), *references(root)]
    chosen = sorted(set(chosen), key=lambda chapter: chapter.slug)
    if check:
        reasons = [reason for chapter in chosen for reason in stale(chapter)]
        if not slugs:
            reasons += [f"notebooks/{path.name} has no chapter in book/" for path in orphans(root)]
        for reason in reasons:
            console.print(reason, markup=False, highlight=False, soft_wrap=True)
        if reasons:
            console.print("Next: windtunnel notebooks", markup=False, highlight=False, soft_wrap=True)
        return 1 if reasons else 0
    with board(console, [chapter.slug for chapter in chosen]) as progress:
        try:
            outcomes = asyncio.run(_run(chosen, jobs, sandbox, timeout, progress))
        except KeyboardInterrupt:
            progress.say("Stopped. Chapters that were finished are written; the others are as they were.")
            return 130
    for outcome in outcomes:
        if outcome.error:
            console.print(f"\n{outcome.error}", markup=False, highlight=False, soft_wrap=True)
    return 1 if any(outcome.error for outcome in outcomes) else 0


async def _run(
    chosen: list[Chapter], jobs: int, sandbox: str, timeout: int, progress: Board
) -> list[Outcome]:
    gate = asyncio.Semaphore(max(jobs, 1))

    async def one(chapter: Chapter) -> Outcome:
        async with gate:
            began = time.monotonic()
            progress.started(chapter.slug)
            error: WindtunnelError | None = None
            try:
                nb = await execute_async(
                    chapter,
                    sandbox=sandbox,
                    timeout=timeout,
                    on_cell=lambda done, total: progress.cell(chapter.slug, done, total),
                )
                status = "written" if write(chapter, nb) else "unchanged"
            except WindtunnelError as failure:
                status, error = "failed", failure
            except Exception as failure:
                # One chapter's accident must not take the others' work with it.
                status = "failed"
                error = WindtunnelError(f"{chapter.shown(chapter.text)}: {type(failure).__name__}: {failure}")
            outcome = Outcome(chapter, status, time.monotonic() - began, error)
            progress.finished(chapter.slug, outcome.status, outcome.seconds)
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(chapter)) for chapter in chosen]
    return [task.result() for task in tasks]
