"""A student's notebook, run from top to bottom in a fresh kernel, and compared with the reference.

Only exercises with a ``solutions/<slug>/reference.ipynb`` ask for it: a notebook with its outputs. Of its cells,
those tagged ``answer`` or ``output`` are compared, letter for letter, by nbval; all others must merely run. The
student's own outputs, nbval marks and permissions to raise count for nothing.

A notebook that needs no Airflow runs locked in, see `windtunnel.grading.contained`. One whose reference loads
windtunnel gets a sandbox of its own, and with it the network and what the account may read.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from nbformat import NotebookNode

from windtunnel import exercises
from windtunnel.airflow_env import clean_environment
from windtunnel.check import Criterion
from windtunnel.errors import WindtunnelError
from windtunnel.grading import contained, notebook
from windtunnel.grading.archive import Broken
from windtunnel.hosting import DEFAULT_SANDBOX
from windtunnel.normalise import dumps, normalise

TEXT = "The notebook runs top to bottom and shows what was asked"
COMPARED = ("answer", "output")
NOWHERE = "windtunnel.grading.rehearsal:nowhere"

_MARKS = re.compile(r"^(\s*#+\s*)(?=(NBVAL|PYTEST_VALIDATE)_)", re.MULTILINE)
_CELL = re.compile(r"\bCell (\d+)\b")
_ANSI = re.compile(r"(\x1b|#x1B)\[[0-9;]*m")  # JUnit's XML spells the first character out


def reference_of(slug: str) -> Path | None:
    """The reference notebook of an exercise, if it has one."""
    path = exercises.find(slug).solution.with_name("reference.ipynb")
    return path if path.exists() else None


def criteria(
    slug: str, raw: bytes, known: Sequence[str], timeout: float, scratch: str | None = None
) -> list[Criterion]:
    """The criterion of a notebook in ``raw`` that answers ``slug``; none where no notebook is asked for.

    Its points are ``windtunnel.points`` in the metadata of the reference, 1 if not said. Raises WindtunnelError
    when the reference itself cannot be used, or the run cannot be started. ``scratch``: where it runs.
    """
    path = reference_of(slug)
    if path is None:
        return []
    try:
        reference = notebook.parse(path.name, path.read_bytes())
    except Broken as broken:
        raise WindtunnelError(f"The reference of {slug} is broken: {broken}", "please report this.") from None
    points = int(reference.metadata.get("windtunnel", {}).get("points", 1))
    message = rehearse(notebook.parse("the notebook", raw), reference, slug, known, timeout, scratch)
    return [Criterion("notebook", TEXT, points, not message, message)]


def rehearse(
    handed_in: NotebookNode,
    reference: NotebookNode,
    slug: str,
    known: Sequence[str],
    timeout: float,
    scratch: str | None = None,
) -> str:
    """What is wrong with the notebook; empty when it runs and shows what the reference does."""
    try:
        prepared = prepare(handed_in, reference, slug, known)
    except Broken as broken:
        return f"{broken}."
    with tempfile.TemporaryDirectory(prefix="notebook-", dir=scratch, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "notebook.ipynb").write_text(dumps(prepared), encoding="utf-8", errors="replace")
        wants_airflow = any(re.search(r"^%load_ext windtunnel", c.source, re.M) for c in reference.cells)
        sandbox = DEFAULT_SANDBOX if wants_airflow else NOWHERE
        with contained.started(
            _command(sandbox),
            timeout,
            locked=not wants_airflow,
            cwd=folder,
            env=_environment(folder),
            log=folder / "log",
        ) as process:
            code = process.wait()
        if code == contained.OUT_OF_TIME:
            return f"It was still running after {timeout:g} s."
        try:
            report = ElementTree.fromstring((folder / contained.OUT).read_text())  # noqa: S314 - nbval's, of this very run
        except (OSError, ElementTree.ParseError):
            said = (folder / "log").read_text(errors="replace").strip().splitlines()
            raise WindtunnelError(
                f"The notebook could not be run: {said[-1] if said else 'no word why'}", "please report this."
            ) from None
    return _told(report, prepared)


def prepare(
    handed_in: NotebookNode, reference: NotebookNode, slug: str, known: Sequence[str]
) -> NotebookNode:
    """A copy of the student's notebook as nbval is to judge it. Raises Broken when a compared cell is missing."""
    answer = notebook.answer_cell(handed_in, slug, known)
    body = notebook.answer("the notebook", handed_in, slug, known)
    pairs = _pairs(handed_in, reference, answer)
    may_raise = {
        cell.source.strip() for cell in reference.cells if "raises-exception" in cell.metadata.get("tags", [])
    }
    nb = normalise(handed_in, "notebook")
    count = 0
    for place, cell in enumerate(nb.cells):
        cell.pop("attachments", None)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.source = _MARKS.sub(r"\1not ", body if place == answer else cell.source)
        told = ["raises-exception"] if cell.source.strip() in may_raise else []
        expected = pairs.get(place)
        cell.metadata = {"tags": told if expected else [*told, "nbval-ignore-output"]}
        cell.outputs = expected.outputs if expected else []
        cell.execution_count = count
    nb.metadata.pop("widgets", None)
    return nb


def _pairs(handed_in: NotebookNode, reference: NotebookNode, answer: int | None) -> dict[int, NotebookNode]:
    """Place in the student's notebook → the cell of the reference whose outputs it must have."""
    pairs: dict[int, NotebookNode] = {}
    theirs = [n for n, cell in enumerate(handed_in.cells) if _is(cell, "output")]
    ours = [cell for cell in reference.cells if _is(cell, "output")]
    for position, cell in enumerate(ours):
        same = [n for n, each in enumerate(handed_in.cells) if _alike(each, cell) and n not in pairs]
        # Tags are lost when cells are copied; texts change when students edit. Either is enough.
        by_tag = theirs[position : position + 1] if len(theirs) == len(ours) else []
        if not same and not by_tag:
            first = (cell.source.strip().splitlines() or [""])[0]
            raise Broken(f"The cell that begins with `{first[:60]}` is missing or was changed")
        pairs[(same or by_tag)[0]] = cell
    if answer is not None and (marked := [c for c in reference.cells if _is(c, "answer")]):
        pairs[answer] = marked[-1]
    return pairs


def _is(cell: NotebookNode, tag: str) -> bool:
    return cell.cell_type == "code" and tag in cell.metadata.get("tags", [])


def _alike(one: NotebookNode, other: NotebookNode) -> bool:
    return bool(one.cell_type == "code" and one.source.split() == other.source.split())


def _command(sandbox: str) -> list[str]:
    alone = ["-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "--color=no", "-q"]
    nbval = ["-p", "nbval.plugin", "--nbval", "--nbval-current-env"]
    plugin = ["-p", "windtunnel.nbval_sandbox", f"--nbval-sandbox={sandbox}"]
    return [
        sys.executable, "-P", "-m", "pytest", *alone, *nbval, *plugin, f"--junitxml={contained.OUT}", "notebook.ipynb"
    ]  # fmt: skip


def _environment(folder: Path) -> dict[str, str]:
    (folder / "home").mkdir()
    kept = {name: value for name, value in clean_environment().items() if not name.startswith("WINDTUNNEL_")}
    return kept | {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "home"),
        "OPENBLAS_NUM_THREADS": "2",  # each thread of more takes address space, which is limited
        "PYTEST_ADDOPTS": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


def _told(report: ElementTree.Element, nb: NotebookNode) -> str:
    """The first failure, for the student: which cell, what happened."""
    for case in report.iter("testcase"):
        for failure in [*case.findall("failure"), *case.findall("error")]:
            return _failure(
                case.get("name", ""), _ANSI.sub("", failure.text or failure.get("message") or ""), nb
            )
    return ""


def _failure(name: str, text: str, nb: NotebookNode) -> str:
    number = _CELL.search(name)
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    cell = cells[int(number[1])] if number and int(number[1]) < len(cells) else None
    where = f"Code cell {int(number[1]) + 1}" if number else "A cell"
    begins = f" (`{cell.source.strip().splitlines()[0][:60]}`)" if cell and cell.source.strip() else ""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if "Cell outputs differ" in text:
        difference = "\n".join(lines[lines.index("Traceback:") + 1 :] if "Traceback:" in lines else lines)
        return f"{where}{begins} shows something else than was asked.\n{difference[-1500:]}"
    why = lines[-1].strip().removeprefix("pytest plugin exception: ") if lines else "no word why"
    return f"{where}{begins} could not run: {why}"


@dataclass(frozen=True)
class Nowhere:
    """A sandbox that is none, for notebooks that need no Airflow."""

    def environ(self) -> dict[str, str]:
        """No variables."""
        return {}


@contextlib.contextmanager
def nowhere() -> Iterator[Nowhere]:
    """What nbval's plugin enters for each notebook."""
    yield Nowhere()
