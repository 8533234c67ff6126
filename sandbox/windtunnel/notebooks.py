"""The chapter line: text → notebook → executed on a fresh sandbox → normalised → ``notebooks/``.

One way only. The command ``windtunnel notebooks`` is `run`. A chapter that fails leaves its committed
notebook as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from rich.console import Console

from windtunnel import kernels, png
from windtunnel.chapters import Chapter, cell_lines, chapters, find, orphans, same_source, stale, to_notebook
from windtunnel.errors import WindtunnelError
from windtunnel.hosting import DEFAULT_SANDBOX, Host
from windtunnel.normalise import dumps, loads, normalise
from windtunnel.progress import Board, board

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

#: Seconds that one cell may take. Starting a sandbox is not counted.
CELL_TIMEOUT = 240

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LINE_IN_CELL = re.compile(r"Cell In\[\d+\], line (\d+)")
# Lines shown on either side of the one that failed, and of a long message.
_AROUND, _MESSAGE = 2, 6

# nbclient logs what it also raises; one report is enough.
_silent = logging.Logger("windtunnel.notebooks", level=logging.CRITICAL + 1)


class CellFailed(WindtunnelError):
    """A cell that should not have failed: where in ``book/``, the lines around, and the error's own words."""

    def __init__(self, chapter: Chapter, cell: NotebookNode, first_line: int, error: str) -> None:
        self.chapter = chapter
        trace = _ANSI.sub("", "\n".join(_errors(cell)[-1].traceback)) if _errors(cell) else ""
        # The first frame of a traceback is the cell's own. An error that renders itself may have none.
        inside = _LINE_IN_CELL.search(trace)
        source = cell.source.splitlines() or [""]
        at = min(int(inside[1]), len(source)) if inside else 1
        self.line = first_line + at - 1
        shown = range(max(at - _AROUND, 1), min(at + _AROUND, len(source)) + 1)
        excerpt = "\n".join(
            f"{'>' if n == at else ' '} {first_line + n - 1:4d} | {source[n - 1]}" for n in shown
        )
        words = error.strip().splitlines()
        if len(words) > _MESSAGE:
            words = [*words[:_MESSAGE], "…"]
        super().__init__(f"{chapter.at(self.line)} failed\n{excerpt}\n" + "\n".join(words))


@dataclass(frozen=True)
class Outcome:
    """What became of one chapter: ``written``, ``unchanged``, or ``failed`` with the error."""

    chapter: Chapter
    status: str
    seconds: float
    error: WindtunnelError | None = None


async def execute_async(
    chapter: Chapter,
    *,
    sandbox: str = DEFAULT_SANDBOX,
    timeout: int = CELL_TIMEOUT,
    on_cell: Callable[[int, int], None] = lambda index, total: None,
) -> NotebookNode:
    """Execute a chapter on a fresh sandbox and give it back normalised. Writes in temporary folders only.

    ``on_cell`` is called with the number of code cells done and their total. Cancelling stops the kernel and
    the sandbox.

    Raises CellFailed for a cell that raises without the tag ``raises-exception``, has the tag and does not
    raise, takes longer than ``timeout`` seconds, or kills its kernel; WindtunnelError when the sandbox does
    not start.
    """
    nb, lines = to_notebook(chapter), cell_lines(chapter)
    host = Host(sandbox)
    try:
        await asyncio.to_thread(host.ready)
        await _execute_cells(nb, lines, chapter, host, timeout, on_cell)
    finally:
        await asyncio.to_thread(host.close)
    return normalise(nb, chapter.slug)


def execute(chapter: Chapter, *, sandbox: str = DEFAULT_SANDBOX, timeout: int = CELL_TIMEOUT) -> NotebookNode:
    """`execute_async` for callers without an event loop."""
    return asyncio.run(execute_async(chapter, sandbox=sandbox, timeout=timeout))


async def _execute_cells(
    nb: NotebookNode,
    lines: list[int],
    chapter: Chapter,
    host: Host,
    timeout: int,
    on_cell: Callable[[int, int], None],
) -> None:
    km = kernels.manager(AsyncKernelManager, host)
    # nbclient's own `async_execute` is not used: it takes over the signal handlers of the process, one
    # chapter's for all.
    client = NotebookClient(
        nb,
        km=km,
        timeout=timeout,
        record_timing=False,
        iopub_timeout=30,
        raise_on_iopub_timeout=True,  # else outputs that are late are lost without a word
        log=_silent,
    )
    client.reset_execution_trackers()
    total, done = sum(cell.cell_type == "code" for cell in nb.cells), 0
    with (host.folder / "kernel.log").open("wb") as log:
        try:
            await km.start_kernel(**kernels.launch_options(host, log))
            await client.async_start_new_kernel_client()
            for index, cell in enumerate(nb.cells):
                on_cell(done, total)
                try:
                    await client.async_execute_cell(
                        cell, index, execution_count=client.code_cells_executed + 1
                    )
                except CellExecutionError as error:
                    raise CellFailed(chapter, cell, lines[index], f"{error.ename}: {error.evalue}") from None
                except CellTimeoutError:
                    slow = f"It was still running after {timeout} s."
                    raise CellFailed(chapter, cell, lines[index], slow) from None
                except DeadKernelError:
                    # nbclient takes any cancellation for a dead kernel.
                    task = asyncio.current_task()
                    if task and task.cancelling():
                        raise asyncio.CancelledError from None
                    raise CellFailed(chapter, cell, lines[index], "The kernel died.") from None
                tags = cell.metadata.get("tags", [])
                if "raises-exception" in tags and "skip-execution" not in tags and not _errors(cell):
                    kept = "It did not raise, though it is tagged raises-exception."
                    raise CellFailed(chapter, cell, lines[index], kept)
                done += cell.cell_type == "code"
            on_cell(done, total)
            client.set_widgets_metadata()
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
            if km.has_kernel:
                await km.shutdown_kernel(now=True)


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
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
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
    """``windtunnel notebooks [SLUG…] [--jobs N] [--check]``: make these chapters' notebooks, or all.

    ``jobs`` chapters run side by side, each on a sandbox of its own. With ``check`` nothing runs: stale
    notebooks are named, and, when no slug is given, notebooks that no chapter makes.

    Returns the exit code: 0, 1 when a chapter failed or is stale, 130 after Ctrl-C (what was finished is
    kept). Raises WindtunnelError for an unknown slug.
    """
    console = console or Console()
    chosen = [find(slug, root) for slug in slugs] or chapters(root)
    chosen = sorted(set(chosen))
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
                error = WindtunnelError(f"book/{chapter.text.name}: {type(failure).__name__}: {failure}")
            outcome = Outcome(chapter, status, time.monotonic() - began, error)
            progress.finished(chapter.slug, outcome.status, outcome.seconds)
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(chapter)) for chapter in chosen]
    return [task.result() for task in tasks]


def _errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]
