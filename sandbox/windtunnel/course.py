"""What the course brings along: finished DAGs to put live, and the folder their tasks write to."""

from __future__ import annotations

from pathlib import Path

from windtunnel import dagcell
from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root
from windtunnel.session import current
from windtunnel.views.graph import Graph


def deploy(dag_id: str) -> Graph:
    """Put one of the course's own DAGs live, as a ``%%dag`` cell would, and return its picture.

    Looks in ``sandbox/dags`` and among the solutions of exercises. Raises WindtunnelError, naming what there
    is, for any other id.
    """
    sources = _sources()
    if dag_id not in sources:
        raise WindtunnelError(f"The course has no DAG {dag_id!r}.", f"it has: {', '.join(sorted(sources))}")
    return dagcell.save(current(), dagcell.Cell(sources[dag_id].read_text(), first_line=1), dag_id)


def _sources() -> dict[str, Path]:
    """The file of each finished DAG, by DAG id."""
    root = repo_root()
    files = [
        *sorted((root / "sandbox/dags").glob("*.py")),
        *sorted((root / "solutions").glob("*/solution.py")),
    ]
    return {
        dag_id: path
        for path in files
        for dag_id in dagcell.inspect(dagcell.Cell(path.read_text(), first_line=1)).names
    }


def data_file(name: str) -> Path:
    """A file below the folder in which pipelines keep their tables (``WINDTUNNEL_DATA`` in a task)."""
    return current().around().data / name
