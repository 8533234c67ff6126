"""A pytest plugin: nbval re-executes each committed notebook strictly, on a fresh sandbox of its own.

::

    pytest --nbval --nbval-current-env -p windtunnel.nbval_sandbox notebooks -n 2 --dist loadfile

(``--dist loadfile``, since a worker must have all cells of a notebook.) Kernels are those of
`windtunnel.kernels`: the same Python, environment and empty working folder as when the notebook was made. The
sandbox belongs to a `windtunnel.hosting.Host`, so it also goes when a worker is killed. A failure is reported
at its line in ``book/``; after a cell that could not run, the notebook's other cells are skipped.

What nbval 0.11.0 compares, from its source (``nbval/plugin.py``):

- *Letter for letter*: stdout, stderr, ``text/plain``, ``text/html``, ``image/svg+xml`` and every other mime
  type, name and value of an error. Outputs are collected per kind: the second table of a cell is compared
  with the second table, but the order of a table and a print is not. Streams are joined over the whole cell,
  and a line that a carriage return overwrites is dropped. Missing and additional kinds fail.
- *Never*: ``image/png``, ``image/jpeg`` (unless ``--nbdime``), ``application/vnd.jupyter.widget-view+json``,
  tracebacks, output metadata, execution counts.
- *Nothing at all* for a cell whose committed count is None; `windtunnel.normalise` gives every cell a count.
- Tags: ``nbval-ignore-output`` runs the cell and compares nothing; ``nbval-skip`` does not run it;
  ``raises-exception`` expects the committed error. Here ``skip-execution`` means ``nbval-skip`` too, so that
  one tag serves both making and checking.

What this plugin adds, so that what was committed can be compared at all (nbval ignores all three messages):
``clear_output`` clears, ``update_display`` replaces within the same cell, and what an ``Output`` widget
captures belongs to the widget. A live view is therefore compared in its final state.

Policy for pictures: they are committed for the reader and never compared, not with ``--nbdime`` either. The
bytes of a PNG differ between processors and systems. The figure's ``text/plain`` is compared (``<Figure size
640x480 with 1 Axes>``); a chapter prints the numbers it draws, and those are compared too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cached_property
from queue import Empty
from time import monotonic
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from nbval.kernel import RunningKernel  # type: ignore[import-untyped]
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError  # type: ignore[import-untyped]

from windtunnel import dated, kernels
from windtunnel.chapters import Chapter, cell_lines, of_notebook
from windtunnel.hosting import DEFAULT_SANDBOX, Host
from windtunnel.normalise import node

# Seconds: nbval's own default for a cell is 2000, which a job in CI does not live to see.
_NBVAL_CELL_TIMEOUT, _CELL_TIMEOUT = 2000, 240
_OUTPUT_TIMEOUT = 30
_NOT_COMPARED = ("image/png", "image/jpeg")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--nbval-sandbox``, for tests of this plugin and for sandboxes elsewhere."""
    parser.getgroup("nbval").addoption(
        "--nbval-sandbox",
        default=DEFAULT_SANDBOX,
        metavar="MODULE:NAME",
        help="context manager that gives each notebook its sandbox (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A shorter time limit for cells, unless one was asked for."""
    if config.getoption("nbval_cell_timeout") == _NBVAL_CELL_TIMEOUT:
        config.option.nbval_cell_timeout = _CELL_TIMEOUT


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
    """Put `ChapterFile` where nbval put its own collector."""
    collected = yield
    return [
        ChapterFile.from_parent(parent, path=found.path) if type(found) is IPyNbFile else found
        for found in collected
    ]


class SandboxKernel(RunningKernel):  # type: ignore[misc]
    """nbval's view of a kernel of `windtunnel.kernels`. It applies display messages that nbval ignores."""

    def __init__(self, host: Host, startup_timeout: float) -> None:
        self.cell: ChapterCell | None = None
        self.km = kernels.manager(KernelManager, host)
        try:
            with (host.folder / "kernel.log").open("wb") as log:
                self.km.start_kernel(**kernels.launch_options(host, log))
            self.kc = self.km.client()
            self.kc.start_channels()
            self.kc.wait_for_ready(timeout=startup_timeout)
            self._ensure_iopub_up()
        except BaseException:
            self.km.shutdown_kernel(now=True)
            raise

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        """As nbval's, but stored in the history: ``Out[2]`` and ``_`` work as they do in Lab."""
        self._clear_next = False
        self._displays: dict[str, list[int]] = {}
        self._capturing: set[str] = set()
        message_id: str = self.kc.execute(
            cell_input, store_history=True, allow_stdin=bool(allow_stdin), stop_on_error=False
        )
        self._message_id = message_id
        return message_id

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """The next message that nbval should see. Raises queue.Empty after ``timeout`` seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            try:
                message: dict[str, Any] = super().get_message(stream, timeout=1)
            except Empty:
                # nbval would wait out its whole limit for a kernel that has crashed.
                if not self.is_alive():
                    raise RuntimeError("the kernel died") from None
                if deadline is not None and monotonic() > deadline:
                    raise
                continue
            if stream != "iopub" or self.cell is None or not self._is_display(message):
                return message

    def _is_display(self, message: dict[str, Any]) -> bool:
        """Apply a message to the outputs nbval has gathered; False when it is nbval's to handle."""
        outputs = self.cell.test_outputs if self.cell else None
        if outputs is None or message["parent_header"].get("msg_id") != self._message_id:
            return False
        kind, content = message["msg_type"], message["content"]
        if kind in ("comm_open", "comm_msg"):
            # An Output widget captures what follows while its state holds the id of a message.
            state = content["data"].get("state", {})
            if state.get("msg_id"):
                self._capturing.add(content["comm_id"])
            elif "msg_id" in state:
                self._capturing.discard(content["comm_id"])
            return True
        if kind not in (
            "stream",
            "display_data",
            "execute_result",
            "update_display_data",
            "clear_output",
            "error",
        ):
            return False
        if self._capturing and kind != "error":
            return True
        if kind == "clear_output":
            if content.get("wait"):
                self._clear_next = True
            else:
                self._clear(outputs)
            return True
        display = (content.get("transient") or {}).get("display_id")
        if display and kind != "stream":
            for index in self._displays.get(display, []):
                outputs[index]["data"] = node(content["data"])
        if kind == "update_display_data":
            return True
        if self._clear_next:
            self._clear(outputs)
        if display:
            # nbval is about to append it.
            self._displays.setdefault(display, []).append(len(outputs))
        return False

    def _clear(self, outputs: list[Any]) -> None:
        outputs.clear()
        self._displays.clear()
        self._clear_next = False


class ChapterFile(IPyNbFile):  # type: ignore[misc]
    """A committed notebook, with its kernel and its sandbox."""

    host: Host | None = None
    skip_compare: tuple[str, ...]
    broken_at: str = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skip_compare = (*self.skip_compare, *_NOT_COMPARED)
        self.chapter: Chapter | None = of_notebook(self.path)

    def collect(self) -> Iterator[ChapterCell]:
        """A test for each code cell."""
        for cell in super().collect():
            if "skip-execution" in cell.cell.metadata.get("tags", []):
                cell.options["skip"] = True
            yield ChapterCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )

    def line(self, cell: Any) -> int:
        """The line of a cell in the chapter's text; 1 when the text has other cells by now."""
        index = next(n for n, each in enumerate(self.nb.cells) if each is cell)
        return self._lines[index] if len(self._lines) == len(self.nb.cells) else 1

    @cached_property
    def _lines(self) -> list[int]:
        return cell_lines(self.chapter) if self.chapter else []

    def setup(self) -> None:
        """Start the sandbox and the kernel."""
        self.host = Host(self.config.getoption("nbval_sandbox"), dated.start_in(self.nb.metadata))
        self.host.ready()
        self.kernel = SandboxKernel(self.host, self.config.getoption("nbval_kernel_startup_timeout"))
        self.setup_sanitize_files()

    def teardown(self) -> None:
        """Stop both. pytest calls this after the last cell, -x and Ctrl-C, and when ``setup`` failed."""
        try:
            super().teardown()
        finally:
            if self.host is not None:
                self.host.close()


class ChapterCell(IPyNbCell):  # type: ignore[misc]
    """A code cell, known by its place in the chapter's text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_timeout = _OUTPUT_TIMEOUT

    @property
    def place(self) -> str:
        """``book/02-first-dag.md:57``, or the notebook's path and the cell when it is not a chapter's."""
        chapter: Chapter | None = self.parent.chapter
        return chapter.at(self.parent.line(self.cell)) if chapter else f"{self.parent.path.name}, {self.name}"

    def runtest(self) -> None:
        """Run the cell and compare. Cells after one that could not run would only repeat its failure."""
        if self.parent.broken_at:
            pytest.skip(f"{self.parent.broken_at} could not run")
        self.parent.kernel.cell = self
        try:
            super().runtest()
        except NbCellError as error:
            if str(error) != "Cell outputs differ":
                self.parent.broken_at = self.place
            raise
        except RuntimeError:
            self.parent.broken_at = self.place
            raise

    def reportinfo(self) -> tuple[Any, int, str]:
        """Where a failure is: the chapter's text, its line (from 0), the title of the report."""
        chapter: Chapter | None = self.parent.chapter
        if chapter is None:
            return self.path, 0, f"{self.path.name}: {self.name}"
        return chapter.text, self.parent.line(self.cell) - 1, f"{self.place} ({self.name})"
