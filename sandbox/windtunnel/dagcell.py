"""From a notebook cell to a live DAG: look at the source, save it, wait until Airflow has parsed it."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from windtunnel.api import NotFoundError
from windtunnel.errors import WindtunnelError
from windtunnel.session import Session
from windtunnel.views.graph import Graph

PARSE_TIMEOUT = 30.0
ELSEWHERE_TIMEOUT = 330.0  # an Airflow that is not ours may list its folder every 300 s
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


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

    Raises WindtunnelError for a syntax error, for a cell without a DAG and for a ``@dag`` function that is
    never called.
    """
    try:
        tree = ast.parse(cell.source)
    except SyntaxError as error:
        line = error.lineno or 1
        raise cell.error(
            f"SyntaxError: {error.msg}", line, "mend that line and run the cell again."
        ) from None
    names: list[str] = []
    definitions = 0
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            decorator = next((d for d in node.decorator_list if _named(d, "dag")), None)
            if decorator is None:
                continue
            if node.name not in called:
                raise cell.error(
                    f"{node.name} is decorated with @dag but never called, so no DAG is made",
                    node.lineno,
                    f"add a last line to the cell: {node.name}()",
                )
            definitions += 1
            names += _literal_id(decorator) or [node.name]
        elif isinstance(node, ast.Call) and _named(node.func, "DAG"):
            definitions += 1
            names += _literal_id(node)
    if not definitions:
        raise WindtunnelError(
            "This cell defines no DAG.",
            "write `with DAG(…):` or a function decorated with @dag, and call it; "
            "ordinary Python needs no %%dag line.",
        )
    return Found(names, definitions)


def _named(node: ast.expr, name: str) -> bool:
    if isinstance(node, ast.Call):
        node = node.func
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )


def _literal_id(call: ast.expr) -> list[str]:
    if not isinstance(call, ast.Call):
        return []
    values = [k.value for k in call.keywords if k.arg == "dag_id"] or call.args[:1]
    return [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]


def save(session: Session, cell: Cell, name: str | None = None, *, many: bool = False) -> Graph:
    """Make the cell a DAG file of ``session``'s chapter and wait until it is live.

    ``name``: the file's name, for a DAG whose id is computed. ``many``: the cell may define several DAGs.
    Returns the picture of the (first) DAG. Raises WindtunnelError for everything that can be wrong with it;
    a cell that is refused before Airflow sees it leaves the earlier version live.
    """
    found = inspect(cell)
    folder = session.dags
    if folder is None:
        raise WindtunnelError(
            f"The DAG folder of the Airflow at {session.airflow.url} cannot be reached from here.",
            "set WINDTUNNEL_DAGS to the folder that Airflow reads, or unset WINDTUNNEL_URL.",
        )
    stem = name or (found.names[0] if found.names else None)
    if stem is None:
        raise WindtunnelError(
            "The DAG's id is computed, so this cell has no name to be saved under.", "name it: %%dag my_dags"
        )
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", stem):
        raise WindtunnelError(
            f"{stem!r} cannot be a file's name.", "use letters, digits, dots, dashes and underscores."
        )
    if len(set(found.names)) > 1 and not many:
        raise _two(sorted(set(found.names)))
    path = folder / f"{stem}.py"
    relative = f"{folder.name}/{path.name}"
    for dag_id in found.names:
        _refuse_foreign(session, dag_id, relative)
    before = path.read_text() if path.exists() else None
    since = datetime.now(UTC)
    _write(path, cell.source)
    dags = _wait_parsed(session, cell, relative, since)
    if len(dags) > 1 and not many:
        _restore(path, before)
        raise _two(sorted(dag.dag_id for dag in dags))
    return picture(session, _first(found, dags))


def _first(found: Found, dags: list[Any]) -> str:
    parsed = sorted(dag.dag_id for dag in dags)
    return next((name for name in found.names if name in parsed), parsed[0])


def _two(names: list[str]) -> WindtunnelError:
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
    if other.relative_fileloc != relative and not other.is_stale:
        raise WindtunnelError(
            f"A DAG named {dag_id!r} is already defined in {other.relative_fileloc}; "
            "with two files of one name, Airflow keeps whichever it parsed last.",
            f"give this one another dag_id, or delete {other.fileloc}.",
        )


_written: dict[Path, str] = {}  # what this process saved, to tell a reader's own edits from it


def _write(path: Path, source: str) -> None:
    """Save atomically; a file that somebody edited since we saved it is kept as ``.bak``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            old = path.read_text()
            if old != source and _written.get(path) not in (None, _digest(old)):
                path.with_suffix(f".py.{time.strftime('%Y%m%d-%H%M%S')}.bak").write_text(old)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(source)
        unfinished.replace(path)
    except OSError as error:
        raise WindtunnelError(
            f"{path} cannot be written: {error.strerror}.",
            "make the folder writable, or make room on its disk.",
        ) from error
    _written[path] = _digest(source)
    # Airflow compares file dates of a filesystem's resolution: two saves must not look like one.
    os.utime(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _restore(path: Path, before: str | None) -> None:
    if before is None:
        path.unlink()
    else:
        _write(path, before)


def _wait_parsed(session: Session, cell: Cell, relative: str, since: datetime) -> list[Any]:
    timeout = PARSE_TIMEOUT if session.sandbox else ELSEWHERE_TIMEOUT
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for error in session.airflow.import_errors():
            if error.filename == relative and error.timestamp >= since:
                raise _import_error(cell, relative, error.stack_trace)
        dags = [
            dag
            for dag in session.airflow.dags()
            if dag.relative_fileloc == relative and dag.last_parsed_time and dag.last_parsed_time >= since
        ]
        if dags:
            return dags
        time.sleep(0.05)
    raise WindtunnelError(
        f"Airflow has not made a DAG of {relative} within {timeout:.0f} s.",
        "the file may define none when it is run; else `windtunnel status` tells whether the DAG processor lives.",
    )


def _import_error(cell: Cell, relative: str, trace: str) -> WindtunnelError:
    lines = [line for line in trace.strip().splitlines() if line.strip()]
    what = lines[-1].strip() if lines else "unknown error"
    cycle = re.search(r"Cycle detected in Dag: (\S+)\. Faulty task: (\S+)", what)
    if cycle:
        return WindtunnelError(
            f"The tasks of {cycle[1]} go round in a circle, through {cycle[2]}: none of them could be first.",
            f"take out one arrow that leads into {cycle[2]} or out of it.",
        )
    own = [int(m["line"]) for m in FRAME.finditer(trace) if m["file"].endswith(relative)]
    if not own:
        return WindtunnelError(f"Airflow cannot parse this cell: {what}", "the UI shows the whole trace.")
    return cell.error(
        f"Airflow cannot parse this cell: {what}", own[-1], "mend that line and run the cell again."
    )
