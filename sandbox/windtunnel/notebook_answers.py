"""Answers that are cells: their outputs compared with those of a reference notebook, by nbval's own comparison.

The reference is ``solutions/NN-slug/reference.ipynb``, made on a live Airflow from the text beside it and
re-verified by nbval as the chapters are. An answer never sees it: it runs where there is no ``solutions``.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, coalesce_streams, nocolors  # type: ignore[import-untyped]

from windtunnel import exercises
from windtunnel.errors import WindtunnelError
from windtunnel.run_table import COLUMNS, MIME

Output = dict[str, Any]
Runs = list[dict[str, str]]
NOT_COMPARED = (
    "metadata",
    "traceback",
    "prompt_number",
    "output_type",
    "name",
    "execution_count",
    "application/vnd.jupyter.widget-view+json",
    "image/png",
    "image/jpeg",
)


@functools.cache
def reference(slug: str) -> list[NotebookNode]:
    """The outputs of all cells of an exercise's reference. Raises WindtunnelError when there is none."""
    file = exercises.find(slug).reference
    try:
        nb = nbformat.reads(file.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise WindtunnelError(
            f"The reference of {slug} cannot be read: {error}.",
            "`git restore solutions` brings it back; its author makes it with `windtunnel notebooks`.",
        ) from error
    return [output for cell in nb.cells for output in cell.get("outputs", [])]


def difference(outputs: Iterable[Output], expected: Iterable[Output]) -> str:
    """What nbval finds different between the outputs of a cell and those expected; empty when nothing is."""
    cell = _Comparison()
    seen, wanted = (coalesce_streams(_nodes(some)) for some in (outputs, expected))
    return "" if cell.compare_outputs(seen, wanted) else "\n".join(map(str, cell.comparison_traceback))


def tables(outputs: Iterable[Output], dag_id: str) -> list[Output]:
    """The run tables of one DAG among the outputs (see ``windtunnel.run_table``)."""
    return [output for output in outputs if _table(output).get("dag_id") == dag_id]


def runs(output: Output) -> Runs | None:
    """The runs in a run table; None for a table without a line, or one that `windtunnel.run_table` did not make."""
    found = _table(output).get("runs")
    if not isinstance(found, list):
        return None
    regular = [
        run
        for run in found
        if isinstance(run, dict)
        and set(run) <= set(COLUMNS)
        and all(isinstance(v, str) for v in run.values())
    ]
    if len(regular) < len(found):
        return None
    # A notebook's file has its keys sorted by name.
    return [{column: run[column] for column in COLUMNS if column in run} for run in regular]


def problem(output: Output) -> str:
    """Why a run table cannot be read, as `windtunnel.run_table` found it; empty when it can."""
    found = _table(output).get("problem")
    return " ".join(found.split())[:500] if isinstance(found, str) else ""


def _table(output: Output) -> dict[str, Any]:
    found = (output.get("data") or {}).get(MIME)
    return found if isinstance(found, dict) else {}


def _nodes(outputs: Iterable[Output]) -> list[NotebookNode]:
    return [nbformat.from_dict(copy.deepcopy(dict(output))) for output in outputs]  # type: ignore[no-untyped-call]


class _Comparison:
    """The part of nbval 0.11.0's cell that compares, without a pytest session and a kernel around it.

    What is not compared, as in `windtunnel.nbval_sandbox`: metadata, counts, tracebacks, pictures, widgets.
    """

    compare_outputs = IPyNbCell.compare_outputs
    sanitize = IPyNbCell.sanitize
    colors = nocolors

    def __init__(self) -> None:
        self.comparison_traceback: list[str] = []
        self.parent = SimpleNamespace(sanitize_patterns={}, skip_compare=NOT_COMPARED)

    def format_output_compare(self, key: str, left: object, right: object) -> None:
        """Say what differs; nbval asks pytest's hooks for that."""
        self.comparison_traceback.append(f"{key}: expected\n{left}\nbut seen\n{right}")
