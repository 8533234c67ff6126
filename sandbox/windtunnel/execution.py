"""One chapter, executed from the top on a fresh sandbox; a cell that fails is reported at its line in ``book/``."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from windtunnel import dated, kernels
from windtunnel.chapters import Chapter, cell_lines, to_notebook
from windtunnel.errors import WindtunnelError
from windtunnel.hosting import DEFAULT_SANDBOX, Host
from windtunnel.normalise import normalise

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
    host = Host(sandbox, dated.start_in(nb.metadata))
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


def _errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]
