"""From a notebook cell to a live DAG: look at the source, save it, wait until Airflow has parsed it."""

from __future__ import annotations

import ast
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.api import Airflow, NotFoundError
from windtunnel.dagfiles import DagFile
from windtunnel.errors import WindtunnelError, interrupted_means
from windtunnel.live import live_view
from windtunnel.session import Session
from windtunnel.views.graph import Graph
from windtunnel.waiting import poll

PARSE_TIMEOUT = 60.0  # seconds; Airflow itself gives up on a file after 30 and says so
ELSEWHERE_TIMEOUT = 360.0  # an Airflow that is not ours may list its folder every 300 s
PATIENCE = 1.0  # seconds before a reader is told what is being waited for
FRAME = re.compile(r'^ +File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """The source below a ``%%dag`` line. ``first_line`` is the number of its first line in the cell."""

    source: str
    first_line: int = 2

    def excerpt(self, line: int, around: int = 2) -> str:
        """Lines around ``line`` (1-based in the source), numbered as JupyterLab numbers the cell."""
        lines = self.source.splitlines() or [""]
        line = min(max(line, 1), len(lines))
        shown = []
        for number in range(max(1, line - around), min(len(lines), line + around) + 1):
            mark = "→" if number == line else " "
            shown.append(f"{mark} {number + self.first_line - 1:3} │ {lines[number - 1]}")
        return "\n".join(shown)

    def error(self, what: str, line: int, next_step: str) -> WindtunnelError:
        """A message that points at ``line`` (1-based in the source)."""
        return WindtunnelError(f"{what} (line {line + self.first_line - 1})\n{self.excerpt(line)}", next_step)


@dataclass(frozen=True)
class Found:
    """What the source says about itself, as far as reading it tells."""

    names: list[str]  # DAG ids that are written out
    definitions: int  # places that define a DAG


def inspect(cell: Cell) -> Found:
    """Read the source without running it.

    Raises WindtunnelError for a syntax error and for a ``@dag`` function that nothing mentions again.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # Airflow will say those, once
            compile(cell.source, "cell", "exec", dont_inherit=True)
            tree = ast.parse(cell.source)
    except SyntaxError as error:
        raise cell.error(
            f"SyntaxError: {error.msg}", error.lineno or 1, "mend that line and run the cell again."
        ) from None
    except ValueError as error:  # a null byte, in early releases of Python 3.11
        raise WindtunnelError(
            f"This cell is not Python: {error}.", "delete the line that is not text."
        ) from None
    mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names: list[str] = []
    definitions = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if _is(decorator, "dag") and node.name not in mentioned:
                    raise cell.error(
                        f"{node.name} is decorated with @dag but never called, so no DAG is made",
                        node.lineno,
                        f"add a last line to the cell: {node.name}()",
                    )
                if _is(decorator, "dag") or _is(decorator, "asset"):
                    definitions += 1
                    names += _written_id(decorator, "dag_id" if _is(decorator, "dag") else "name", node.name)
        elif isinstance(node, ast.Call) and _is(node, "DAG"):
            definitions += 1
            names += _written_id(node, "dag_id", None)
    return Found(names, definitions)


def _is(node: ast.expr, name: str) -> bool:
    """Whether ``node`` is ``name``, ``something.name``, or a call of one of them."""
    if isinstance(node, ast.Call):
        node = node.func
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )


def _written_id(node: ast.expr, keyword: str, otherwise: str | None) -> list[str]:
    """The id given to a DAG where it is written out; ``otherwise`` where none is given."""
    if isinstance(node, ast.Call):
        given = [k.value for k in node.keywords if k.arg == keyword] or node.args[:1]
        if given:
            value = given[0].value if isinstance(given[0], ast.Constant) else None
            return [value] if isinstance(value, str) else []
        if any(k.arg is None for k in node.keywords):  # it may be among **settings
            return []
    return [otherwise] if otherwise else []


def save(session: Session, cell: Cell, name: str | None = None, *, many: bool = False) -> Graph:
    """Make the cell a DAG file of ``session``'s chapter and wait until it is live.

    ``name``: the file's name, for a DAG whose id is computed. ``many``: the cell may define several DAGs.
    Returns the picture of the (first) DAG. Raises WindtunnelError for everything that can be wrong with it;
    a cell that is refused before Airflow sees it leaves the earlier version live.
    """
    found = inspect(cell)
    file = DagFile(_path(session, cell, found, name))
    if len(set(found.names)) > 1 and not many:
        raise _several(sorted(set(found.names)))
    relative = f"{file.path.parent.name}/{file.path.name}"
    for dag_id in found.names:
        _refuse_foreign(session, dag_id, relative)
    earlier, first_line = file.read(), file.first_line()
    parsing = _Parsing(session.airflow, file, relative, cell.source)
    file.save(cell.source, cell.first_line)
    dags = _wait(session, cell, parsing)
    if len(dags) > 1 and not many:
        if earlier is None:
            file.remove()
        else:
            file.save(earlier, first_line)
        raise _several(dags)
    return picture(session, next((known for known in found.names if known in dags), dags[0]))


def _path(session: Session, cell: Cell, found: Found, name: str | None) -> Path:
    """Where the cell is saved. Raises WindtunnelError when it cannot be, or would not be seen there."""
    if session.dags is None:
        raise WindtunnelError(
            f"The DAG folder of the Airflow at {session.airflow.url} cannot be reached from here.",
            "set WINDTUNNEL_DAGS to the folder that Airflow reads, or unset WINDTUNNEL_URL.",
        )
    if not name and not found.definitions:
        raise WindtunnelError(
            "This cell defines no DAG.",
            "write `with DAG(…):`, or a function decorated with @dag and a call of it. Where a function from "
            "elsewhere makes the DAG, name the cell: %%dag my_dags. Ordinary Python needs no %%dag line.",
        )
    stem = name.removesuffix(".py") if name else next(iter(found.names), None)
    if stem is None:
        raise WindtunnelError(
            "The DAG's id is computed, so this cell has no name to be saved under.", "name it: %%dag my_dags"
        )
    if not re.fullmatch(r"\w[\w.-]{0,199}", stem, re.ASCII):
        raise WindtunnelError(
            f"{stem!r} cannot be a file's name.", "use letters, digits, dots, dashes and underscores."
        )
    words = cell.source.lower()
    if "airflow" not in words or not ("dag" in words or "asset" in words):
        raise WindtunnelError(
            "Airflow would not read this cell: it looks only at files that hold the words airflow and dag.",
            "name them, be it in a comment.",
        )
    return session.dags / f"{stem}.py"


def _several(names: Sequence[str]) -> WindtunnelError:
    return WindtunnelError(
        f"This cell defines {len(names)} DAGs: {', '.join(names)}.",
        "give each its own %%dag cell, or write `%%dag --many NAME` where several belong together.",
    )


def picture(session: Session, dag_id: str) -> Graph:
    """The DAG's graph with its schedule as a note."""
    record = session.airflow.dag(dag_id)
    tasks = session.airflow.tasks(dag_id)
    edges = [(task.task_id, down) for task in tasks for down in task.downstream_task_ids or []]
    schedule = record.timetable_summary or "none"
    paused = "paused" if record.is_paused else "active"
    return Graph(
        dag_id, sorted(t.task_id for t in tasks), sorted(edges), note=f"schedule: {schedule} · {paused}"
    )


def _refuse_foreign(session: Session, dag_id: str, relative: str) -> None:
    try:
        other = session.airflow.dag(dag_id)
    except NotFoundError:
        return
    deleted = session.is_near() and not Path(other.fileloc).exists()  # Airflow will notice in a moment
    if not _same_file(other.relative_fileloc, relative) and not other.is_stale and not deleted:
        raise WindtunnelError(
            f"A DAG named {dag_id!r} is already defined in {other.relative_fileloc}; "
            "with two files of one name, Airflow keeps whichever it parsed last.",
            "give this one another dag_id, or delete that file from your DAG folder.",
        )


def _same_file(place: str | None, relative: str) -> bool:
    """Whether Airflow's name for a file, relative to its own folder, is ours, relative to the chapters'."""
    return place == relative or (place or "").endswith(f"/{relative}")


@dataclass(frozen=True)
class _Outcome:
    """Of a parse: the import error's trace, or the ids of the DAGs."""

    trace: str = ""
    dags: tuple[str, ...] = ()


class _Parsing:
    """Tells when Airflow has parsed what a file holds now, by comparing what it says with what it said.

    Clocks are left out of it: Airflow's may be another than ours.
    """

    def __init__(self, airflow: Airflow, file: DagFile, relative: str, source: str) -> None:
        self.airflow, self.file, self.relative, self.source = airflow, file, relative, source
        self._errors, self._dags = self._look()
        self._asked_again = False

    def _look(self) -> tuple[dict[Any, str], dict[str, Any]]:
        """Import errors (trace by time) and DAGs (time by id) of this file."""
        dags = {
            dag.dag_id: dag.last_parsed_time
            for dag in self.airflow.dags()
            if _same_file(dag.relative_fileloc, self.relative)
        }
        # After the DAGs: a file may have DAGs and an error, and Airflow writes both at once.
        errors = {
            error.timestamp: str(error.stack_trace)
            for error in self.airflow.import_errors()
            if _same_file(error.filename, self.relative)
        }
        return errors, dags

    def outcome(self) -> _Outcome | None:
        """What came of the parse; None while there is nothing new."""
        errors, dags = self._look()
        fresh = sorted(dag_id for dag_id, when in dags.items() if when != self._dags.get(dag_id))
        trace = next((errors[when] for when in errors if when not in self._errors), "")
        if not trace and not fresh:
            return None
        if self._asked_again or self._is_new(trace, fresh):
            return _Outcome(trace, tuple(fresh))
        # It may be the outcome of a parse that began before the file was saved, or the same as before for a
        # change that makes no new version of the DAG. The next parse is surely of what the file holds now.
        self._errors, self._dags, self._asked_again = errors, dags, True
        self.file.touch()
        return None

    def _is_new(self, trace: str, fresh: list[str]) -> bool:
        if trace:
            return trace not in self._errors.values()
        try:
            return self.airflow.source(fresh[0]).strip() == self.source.strip()
        except NotFoundError:
            return False


def _wait(session: Session, cell: Cell, parsing: _Parsing) -> tuple[str, ...]:
    """The ids of the file's DAGs, in order. Raises WindtunnelError for an import error."""
    file = parsing.file.path.name
    timeout = PARSE_TIMEOUT if session.is_near() else ELSEWHERE_TIMEOUT
    begun = time.monotonic()
    stopped = interrupted_means(
        f"Stopped waiting for Airflow to parse {file}; the file is saved.",
        "run the cell again to see what it says.",
    )
    with stopped:
        outcome = poll(parsing.outcome, timeout=min(PATIENCE, timeout), every=0.05)
        if outcome is None:
            with live_view(f"Airflow is parsing {file}") as view:
                view.show({file: "running"})
                outcome = poll(parsing.outcome, timeout=timeout - (time.monotonic() - begun), every=0.2)
    if outcome and outcome.trace:
        raise _import_error(session, cell, parsing.relative, outcome.trace)
    if outcome:
        return outcome.dags
    health = session.airflow.health().get("dag_processor", "unknown")
    if health != "healthy":
        raise WindtunnelError(
            f"Airflow's DAG processor does not work (its health: {health}), so {file} was not parsed. "
            "The file is saved.",
            "`windtunnel status` shows it; `windtunnel down`, then `windtunnel up`, starts it anew.",
        )
    raise WindtunnelError(
        f"Airflow has made no DAG of {file} within {timeout:.0f} s.",
        "see that the cell makes its DAG when it runs from top to bottom, at the top level of the file.",
    )


def _import_error(session: Session, cell: Cell, relative: str, trace: str) -> WindtunnelError:
    what = session.without_paths(_last_words(trace))
    cycle = re.search(r"Cycle detected in Dag: (\S+)\. Faulty task: (\S+)", what)
    if cycle:
        return WindtunnelError(
            f"The tasks of {cycle[1]} go round in a circle, through {cycle[2]}: none of them could be first.",
            f"take out one arrow that leads into {cycle[2]} or out of it.",
        )
    own = [int(m["line"]) for m in FRAME.finditer(trace) if m["file"].endswith(f"/{relative}")]
    if not own:
        return WindtunnelError(
            f"Airflow cannot parse this cell: {what}", "Airflow's web interface shows the whole trace."
        )
    return cell.error(
        f"Airflow cannot parse this cell: {what}", own[-1], "mend that line and run the cell again."
    )


def _last_words(trace: str) -> str:
    """The exception's name and message, without the module it lives in."""
    frames = list(FRAME.finditer(trace))
    lines = (trace[frames[-1].end() :] if frames else trace).strip("\n").splitlines()
    # Below the last frame come its source lines, indented, then the exception.
    while frames and len(lines) > 1 and (not lines[0] or lines[0].startswith((" ", ","))):
        lines.pop(0)
    what = "\n".join(lines).strip() or "unknown error"
    return re.sub(r"^(\w+\.)+(?=\w+(:|$))", "", what)
