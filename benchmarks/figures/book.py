"""The book: built from its committed outputs, and with its chapters executed again, beside Jupyter Book's own way.

Both sides work on a copy of the book's sources, so the committed notebooks stay as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nbformat

from benchmarks.harness import Bench, Comparison, Subject, stopwatch
from benchmarks.peers import plain_environment
from windtunnel import processes
from windtunnel.chapters import chapters
from windtunnel.normalise import dumps, loads
from windtunnel.paths import repo_root
from windtunnel.sandbox import Sandbox

NOTHING: Mapping[str, str] = {}
NOT_COPIED = (".git", ".venv", ".*_cache", "__pycache__", "_build", "work")
RESULT = re.compile(r"\.\./(benchmarks/results/[\w.-]+)")  # what the page on these figures shows
EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'
OFF = 'execute_notebooks: "off"'
THREE = "01", "02", "10"  # short ones
CELL_TIMEOUT = 600  # seconds; Jupyter Book's own is 30
GRACE = 60.0  # seconds that a program gets to end when it is stopped
# As JupyterLab tells its kernels, and nbclient does not; and no DAGs of a chapter before.
BEFORE = """import os, pathlib

os.environ["WINDTUNNEL_CHAPTER"] = "{}"
for path in pathlib.Path(os.environ["WINDTUNNEL_WORK"], "dags").rglob("*.py"):
    path.unlink()
"""
# `windtunnel notebooks` writes into the clone it belongs to; this is what it calls.
AGAIN = (
    "import sys; from pathlib import Path; from windtunnel.notebooks import run; "
    "sys.exit(run(sys.argv[2:], root=Path(sys.argv[1])))"
)
BUILD = ["--all", "-W", "-n", "--keep-going", "-q"]  # as in the Makefile
OUTPUTS, EXECUTED = "Windtunnel", "jupyter-book, execute: force"
HOW = (
    "All pages are built each time, warnings are errors. Windtunnel: `windtunnel notebooks` (two chapters at a time, "
    "each on a fresh sandbox), then the build. The other: one build with `execute: force`, which runs one chapter "
    "after the other on one sandbox that the first cell starts; chapters that are not counted are in its "
    "`exclude_patterns`. A first cell says which chapter it is, as JupyterLab does, and removes the DAGs of the "
    "chapter before. Chapters sleep and wait for schedules for a good part of their time."
)


@contextmanager
def opened(bench: Bench) -> Iterator[Sequence[Comparison]]:
    """Nothing to prepare: each sample has a copy of its own."""

    def sample(way: Callable[[Path], float]) -> float:
        with fresh(bench.folder) as folder:
            return way(folder)

    def sides(slugs: Sequence[str]) -> Mapping[str, Callable[[], float]]:
        return {
            OUTPUTS: partial(sample, partial(executed_here, slugs=slugs)),
            EXECUTED: partial(sample, partial(executed_there, slugs=slugs)),
        }

    every = [chapter.slug for chapter in chapters()]
    yield [
        Comparison(
            "book-build",
            "Build the book from its outputs",
            "s",
            {OUTPUTS: partial(sample, from_outputs)},
            rounds=3,
            note="What `make book` runs, on all pages, without Airflow. With `execute: force` there is no such build.",
        ),
        Comparison(
            "book-three",
            f"Build the book with chapters {', '.join(THREE)} executed again",
            "s",
            sides(THREE),
            rounds=3,
            quick=0,
            note=HOW,
        ),
        Comparison(
            "book-all",
            f"Build the book with all {len(every)} chapters executed again",
            "s",
            sides(every),
            rounds=1,
            quick=0,
            note=f"{HOW} Measured once, as it takes minutes; chapters {', '.join(THREE)} three times, above.",
        ),
    ]


# --- the ways ------------------------------------------------------------------------------------------
def from_outputs(folder: Path) -> float:
    """Seconds that the site takes from the committed notebooks."""
    book = copied(folder / "book")
    took = stopwatch()
    build(book, folder)
    return took()


def executed_here(folder: Path, *, slugs: Sequence[str]) -> float:
    """Seconds for the chapters' notebooks and the site, by Windtunnel."""
    book = copied(folder / "book")
    strip(notebooks(book, slugs))
    took = stopwatch()
    execute(book, slugs, folder)
    build(book, folder)
    seconds = took()
    for path in notebooks(book, slugs):
        check(path)
    return seconds


def executed_there(folder: Path, *, slugs: Sequence[str]) -> float:
    """Seconds for the same, by Jupyter Book alone."""
    book = copied(folder / "book")
    mine = notebooks(book, slugs)
    strip(mine)
    for path in mine:
        notebook = loads(path.read_text(encoding="utf-8"))
        before = nbformat.v4.new_code_cell(BEFORE.format(path.stem), metadata={"tags": ["remove-cell"]})  # type: ignore[no-untyped-call]
        notebook.cells.insert(0, before)
        path.write_text(dumps(notebook), encoding="utf-8")
    others = [path.name for path in sorted((book / "notebooks").glob("*.ipynb")) if path not in mine]
    config = (book / "_config.yml").read_text(encoding="utf-8")
    assert OFF in config, f"_config.yml has no {OFF}"
    force = f"execute_notebooks: force\n  timeout: {CELL_TIMEOUT}\n  exclude_patterns: {others}"
    (book / "_config.yml").write_text(config.replace(OFF, force), encoding="utf-8")
    state = folder / "state"
    try:
        took = stopwatch()
        build(book, folder, WINDTUNNEL_STATE=str(state), WINDTUNNEL_WORK=str(folder / "work"))
        seconds = took()
    finally:
        if state.exists():
            Sandbox(state).down()
        processes.end(processes.started_for(folder), grace=5.0)  # kernels of a build that was stopped
    for path in mine:
        check(book / "_build/jupyter_execute/notebooks" / path.name)
    return seconds


# --- what they need --------------------------------------------------------------------------------------
def copied(to: Path) -> Path:
    """What the book is built from, without anything that was built."""
    shutil.copytree(repo_root(), to, ignore=shutil.ignore_patterns(*NOT_COPIED))
    text = "".join(path.read_text(encoding="utf-8") for path in (to / "book").glob("*.md"))
    for name in set(RESULT.findall(text)):
        if not (to / name).exists():  # not measured yet
            (to / name).parent.mkdir(exist_ok=True)
            (to / name).write_text(EMPTY if name.endswith(".svg") else "")
    return to


@contextmanager
def fresh(parent: Path) -> Iterator[Path]:
    """An empty folder, gone with all it holds when the block ends."""
    with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)  # root's Postgres runs under another account and must pass through
        yield Path(name)


def execute(
    book: Path, slugs: Sequence[str], folder: Path, heard: Callable[[str], None] = lambda _line: None
) -> None:
    """Execute chapters as `windtunnel notebooks` does. ``heard`` is told each line that it prints."""
    run([sys.executable, "-u", "-c", AGAIN, str(book), *slugs], folder, heard)


def build(book: Path, folder: Path, *options: str, **environment: str) -> None:
    """Build the site as `make book` does, and see that every page of it is there."""
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", str(book), *(options or BUILD)]
    run(command, folder, environment=environment)
    pages = [path.stem for path in (book / "_build/html/notebooks").glob("*.html")]
    assert sorted(pages) == [path.stem for path in notebooks(book)], f"built were: {pages}"


def run(
    command: Sequence[str],
    folder: Path,
    heard: Callable[[str], None] = lambda _line: None,
    environment: Mapping[str, str] = NOTHING,
) -> None:
    """Run a command that starts others; stopped, it gets the time to end them."""
    own = {
        f"JUPYTER_{name}_DIR": str(folder / "jupyter" / name.lower())
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    said = folder / "said.log"  # a file: a pipe would be held open by whatever the command leaves running
    with said.open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=plain_environment(IPYTHONDIR=str(folder / "ipython"), **own, **environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with said.open(errors="replace") as lines:
            while (code := process.poll()) is None:
                for line in lines:
                    heard(line)
                time.sleep(0.05)
            for line in lines:
                heard(line)
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    if code:
        words = " / ".join(said.read_text(errors="replace").strip().splitlines()[-3:])
        raise RuntimeError(f"{Path(command[0]).name} ended with {code}: {words}")


def check(path: Path) -> None:
    """See that a notebook that had no outputs has them where the committed one has, and errors where they are meant."""
    committed = loads((repo_root() / "notebooks" / path.name).read_text(encoding="utf-8"))
    found = loads(path.read_text(encoding="utf-8"))
    wanted, cells = _outcomes(committed), _outcomes(found)
    assert cells[-len(wanted) :] == wanted, f"{path.name}: other outputs than committed"


def _outcomes(notebook: nbformat.NotebookNode) -> list[tuple[bool, bool]]:
    """For each code cell, whether it has an output, and whether an error."""
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return [(bool(each), any(output.output_type == "error" for output in each)) for each in outputs]


def notebooks(book: Path, slugs: Sequence[str] = ()) -> list[Path]:
    """The notebooks of these chapters, or of all."""
    found = sorted((book / "notebooks").glob("*.ipynb"))
    return [path for path in found if not slugs or path.stem.startswith(tuple(slugs))]


def strip(paths: Sequence[Path]) -> None:
    """Make notebooks what they were before they were ever run."""
    for path in paths:
        notebook = loads(path.read_text(encoding="utf-8"))
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        path.write_text(dumps(notebook), encoding="utf-8")


SUBJECT = Subject(
    name="book",
    about="the book from its outputs, and with chapters executed again, beside Jupyter Book's execution",
    open=opened,
)
