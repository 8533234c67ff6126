"""``%load_ext windtunnel`` and the cell magics."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from windtunnel import airflow_command, dagcell, exercise_cell, session
from windtunnel.errors import WindtunnelError, interrupted_means
from windtunnel.live import in_lab, in_terminal, live_view
from windtunnel.moments import moment, text
from windtunnel.style import style
from windtunnel.surroundings import PUBLISHED, in_containers
from windtunnel.views.banner import Banner

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from windtunnel.views.graph import Graph

USAGE = "%%dag [NAME] [--many]"
WITH_CONTAINERS = (
    "User <code>admin</code>, password <code>AIRFLOW_PASSWORD</code> of the file <code>.env</code>."
)
IN_THIS_CONTAINER = (
    "<code>windtunnel ui</code> in a terminal tells the password. The containers' Airflow has no clock to turn, so "
    "this one is a sandbox within the container of JupyterLab; <code>windtunnel down</code> frees its memory."
)


def load(shell: InteractiveShell) -> None:
    """Start or find the sandbox, give this chapter a fresh state, and bring in the reader's names."""
    import windtunnel

    stopped = interrupted_means("Stopped before Airflow was ready.", "run the cell again.")
    with stopped, live_view("Starting Airflow") as view:
        found = session.connect(
            lambda phase: view.show({phase: "running"}) if phase != "running" else None, start=True
        )
        found.fresh()
        if found.is_near():
            windtunnel.world.reset()  # a fault never outlives its chapter
        view.end(_banner(found))
    shell.push(  # type: ignore[no-untyped-call]
        {name: getattr(windtunnel, name) for name in windtunnel.READER_NAMES}
    )
    register(shell)
    _load_again_next_time(shell)


def _banner(found: session.Session) -> Banner:
    clock = found.sandbox.state.clock.get("start") if found.sandbox else None
    # A page that is built shows no address and no style: they would be another machine's.
    somebody = in_lab() or in_terminal()
    banner = Banner(
        found.airflow.check_version(),
        (found.sandbox.link if found.sandbox else found.airflow.url) if somebody else None,
        style() if somebody else "",
        text(moment(clock)) if clock else "",
    )
    if not in_containers():
        return banner
    if found.sandbox:
        return replace(banner, way_in=IN_THIS_CONTAINER)
    return replace(banner, url=os.environ.get(PUBLISHED) if somebody else None, way_in=WITH_CONTAINERS)


def register(shell: InteractiveShell) -> None:
    """Add the magics. May be called again."""
    add: Any = shell.register_magic_function
    add(dag_cell, magic_kind="cell", magic_name="dag")
    add(exercise, magic_kind="line_cell", magic_name="exercise")
    add(airflow, magic_kind="line", magic_name="airflow")
    if _empty_exercise not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(_empty_exercise)


def _load_again_next_time(shell: InteractiveShell) -> None:
    """Let the same ``%load_ext`` give a fresh state again, instead of "already loaded"."""
    events: Any = shell.events

    def forget(*_: object) -> None:
        shell.extension_manager.loaded.discard("windtunnel")  # type: ignore[union-attr]
        events.unregister("post_run_cell", forget)

    events.register("post_run_cell", forget)


def dag_cell(line: str, body: str | None = None) -> Graph:
    """Make this cell a DAG file, wait until the live Airflow has parsed it, and draw its graph.

    ``%%dag`` takes the file's name from the DAG's id; ``%%dag NAME`` gives it one; ``--many`` lets the
    cell define several DAGs.
    """
    try:
        arguments = shlex.split(line)
    except ValueError as error:
        raise WindtunnelError(f"%%dag {line}: {error}.", f"write {USAGE}") from None
    names = [argument for argument in arguments if not argument.startswith("-")]
    unknown = [a for a in arguments if a.startswith("-") and a != "--many"]
    if unknown:
        raise WindtunnelError(f"%%dag has no option {' '.join(unknown)}.", f"write {USAGE}")
    if len(names) > 1:
        raise WindtunnelError(f"%%dag takes one name, not {len(names)}: {' '.join(names)}.", f"write {USAGE}")
    return dagcell.save(
        session.current(), dagcell.Cell(body or ""), names[0] if names else None, many="--many" in arguments
    )


def exercise(line: str, body: str | None = None) -> None:
    """Make this cell your answer to an exercise, check it, and show the verdict.

    ``%%exercise 03`` saves the cell below it as ``work/answers/03-….py`` first; ``%exercise 03`` checks the
    file as it is.
    """
    exercise_cell.run(line, body)


def airflow(line: str) -> None:
    """Airflow's own command line on the sandbox, as ``windtunnel airflow …`` in a terminal.

    ``%airflow AIRFLOW__SECTION__KEY=value …`` gives this one command a setting. Shows what it prints.
    Raises WindtunnelError with its last words when it fails.
    """
    try:
        arguments = shlex.split(line)
    except ValueError as error:
        raise WindtunnelError(f"%airflow {line}: {error}.", "write %airflow backfill create --help") from None
    stopped = interrupted_means("Stopped the command.", "run the cell again.")
    title = " ".join(["airflow", *airflow_command.without_settings(arguments)[:2]])
    with stopped, live_view(title):
        done = airflow_command.run(arguments, captured=True)
    if done.returncode:
        rows = [row for row in (done.stderr.strip() or done.stdout.strip()).splitlines() if row.strip()]
        last = rows[-1].strip() if rows else "it said nothing"
        raise WindtunnelError(f"airflow ended with exit code {done.returncode}: {last}", "%airflow --help")
    said = session.current().without_paths(done.stdout.strip())
    print(said or f"{title}: done")


def _empty_exercise(lines: list[str]) -> list[str]:
    """Take ``%%exercise 03`` with nothing below it for ``%exercise 03``: IPython refuses an empty cell magic."""
    if lines and lines[0].split()[:1] == ["%%exercise"] and not "".join(lines[1:]).strip():
        return [lines[0].removeprefix("%")]
    return lines
