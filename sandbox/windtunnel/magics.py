"""``%load_ext windtunnel`` and the cell magics."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from IPython.display import HTML, display

from windtunnel import dagcell, session
from windtunnel.errors import WindtunnelError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

USAGE = "%%dag [NAME] [--many]"


def load(shell: InteractiveShell) -> None:
    """Start or find the sandbox, give this chapter a fresh state, and bring in the reader's names."""
    import windtunnel

    found = session.connect(_say, start=True)
    found.fresh()
    if found.sandbox:
        windtunnel.world.reset()  # a fault never outlives its chapter
    shell.push(  # type: ignore[no-untyped-call]
        {name: getattr(windtunnel, name) for name in windtunnel.READER_NAMES}
    )
    register: Any = shell.register_magic_function
    register(dag_cell, magic_kind="cell", magic_name="dag")
    display(HTML(_banner(found)))  # type: ignore[no-untyped-call]


def _say(phase: str) -> None:
    # Which steps a start takes depends on what is there already: not for a page that is compared.
    if "WINDTUNNEL_BUILD" not in os.environ:
        print(f"· {phase}", flush=True)


def _banner(found: session.Session) -> str:
    version = found.airflow.check_version()
    if "WINDTUNNEL_BUILD" in os.environ:
        where = "its address is shown here in JupyterLab"
    else:
        where = f'<a href="{found.airflow.url}" target="_blank">{found.airflow.url}</a>'
        if found.sandbox:
            where += " · user <code>admin</code>, password: type <code>windtunnel ui</code> in a terminal"
    return (
        f'<div class="wt-card"><strong>Airflow {version} is live</strong> and fresh for this chapter. '
        f"UI: {where}</div>"
    )


def dag_cell(line: str, body: str | None = None) -> Any:
    """Make this cell a DAG file, wait until the live Airflow has parsed it, and draw its graph.

    ``%%dag`` takes the file's name from the DAG's id; ``%%dag NAME`` gives it one; ``--many`` lets the
    cell define several DAGs.
    """
    arguments = shlex.split(line)
    many = "--many" in arguments
    names = [argument for argument in arguments if not argument.startswith("-")]
    unknown = [a for a in arguments if a.startswith("-") and a != "--many"]
    if unknown or len(names) > 1:
        raise WindtunnelError(
            f"{' '.join(unknown) or 'Two names'}: %%dag does not know that.", f"write {USAGE}"
        )
    return dagcell.save(session.current(), dagcell.Cell(body or ""), names[0] if names else None, many=many)
