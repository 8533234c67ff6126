"""The ``windtunnel`` command."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from windtunnel import cli_authors, cli_exercises
from windtunnel.console import err, out
from windtunnel.console import progress as _progress
from windtunnel.errors import WindtunnelError
from windtunnel.grading import command as grading

SANDBOX = "Sandbox"  # a panel of --help

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Learn Apache Airflow by running it. Start with [bold]windtunnel lab[/].",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(epilog="Example: windtunnel lab --no-browser", rich_help_panel=SANDBOX)
def lab(
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, open nothing.")
    ] = False,
    port: Annotated[int, typer.Option(help="First port to try for JupyterLab.")] = 8888,
) -> None:
    """Open JupyterLab on a live Airflow. Ctrl-C stops both."""
    from windtunnel.lab import serving

    with ExitStack() as stack:
        with _progress("Starting") as progress:
            session = stack.enter_context(serving(port, progress))
        try:
            session.announce(out, open_browser=not no_browser)
            code = session.process.wait()
        except KeyboardInterrupt:
            code = 0
    raise typer.Exit(code)


@app.command(
    epilog="Example: windtunnel up && windtunnel ui; windtunnel up --clock 2026-03-01",
    rich_help_panel=SANDBOX,
)
def up(
    clock: Annotated[
        str, typer.Option(metavar="DATE", help="Begin at this date, with a clock that can be turned.")
    ] = "",
) -> None:
    """Start the sandbox in the background, or find it running.

    With --clock, a fresh Airflow lives in virtual time until it goes down; the Airflow of real time is kept.
    """
    from windtunnel.moments import moment, text
    from windtunnel.sandbox import Sandbox

    sandbox, start = Sandbox(), time.monotonic()
    begin = moment(clock) if clock else None
    with _progress("Starting the sandbox") as progress:
        started = sandbox.up(progress, clock=begin)
    shown = sandbox.state.clock.get("start", "")
    if begin and not started and shown != begin.isoformat():
        lives = f"with a clock that began at {text(moment(shown))} UTC" if shown else "in real time"
        raise WindtunnelError(
            f"Airflow is already up, {lives}.",
            f"windtunnel reset --clock {clock} begins again at that date; `windtunnel down` stops it.",
        )
    seconds = f" in {time.monotonic() - start:.1f} s" if started else ""
    out.print(
        f"Airflow is {'up' if started else 'already up'}{seconds}: {sandbox.url}  (`windtunnel ui` opens it)"
    )


@app.command(epilog="Example: windtunnel down", rich_help_panel=SANDBOX)
def down() -> None:
    """Stop the sandbox. Runs, DAG files and answers are kept."""
    from windtunnel.sandbox import Sandbox

    with _progress("Stopping the sandbox"):
        stopped = Sandbox().down()
    out.print("The sandbox is down; what it holds is kept." if stopped else "No sandbox was running.")


@app.command(epilog="Example: windtunnel status", rich_help_panel=SANDBOX)
def status() -> None:
    """Show what runs, where, and how it is. Exit code 1 when the sandbox is not healthy."""
    from windtunnel.sandbox import Sandbox

    found = Sandbox().status()
    out.print(f"Sandbox  {found.phase}\nState    {escape(str(found.state))}", soft_wrap=True)
    if found.phase == "down":
        if found.problem:
            out.print(f"Reason   {escape(found.problem)}", soft_wrap=True)
        out.print("Next: `windtunnel up` starts it.")
        raise typer.Exit(1)
    out.print(f"Airflow  {found.url}")
    if found.clock:
        out.print(f"Clock    {found.clock} UTC")
    table = Table("process", "id", "restarts", "health", box=None, pad_edge=False)
    for name, component in found.components.items():
        health = found.health.get(name.replace("-", "_"), "")
        table.add_row(name, str(component["pid"] or "-"), str(component["restarts"]), health)
    out.print(table)
    raise typer.Exit(0 if found.healthy else 1)


@app.command(
    epilog="Example: windtunnel reset --yes; windtunnel reset --clock 2026-03-01; windtunnel reset 03",
    rich_help_panel=SANDBOX,
)
def reset(
    slug: Annotated[
        str, typer.Argument(help="An exercise: its answer goes back to the starter; yours is kept beside it.")
    ] = "",
    hard: Annotated[
        bool,
        typer.Option(
            "--hard", help="Set the whole state folder aside, for a damaged one. Nothing is deleted."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    clock: Annotated[
        str, typer.Option(metavar="DATE", help="Begin again at this date, with a clock that can be turned.")
    ] = "",
) -> None:
    """Give the sandbox a fresh Airflow, without runs and with an empty warehouse; or an exercise its starter."""
    if slug:
        if hard or clock:
            raise WindtunnelError(
                f"{'--hard' if hard else '--clock'} is about the sandbox, not about an exercise.",
                f"windtunnel reset {slug}, or windtunnel reset --hard",
            )
        cli_exercises.reset_answer(slug)
        return
    from windtunnel.sandbox import Sandbox

    sandbox = Sandbox()
    if hard:
        aside = sandbox.set_aside()
        out.print(f"The state folder is now {aside}. `windtunnel up` makes a fresh one.")
        return
    from windtunnel.moments import moment

    begin = moment(clock) if clock else None
    if not yes and sys.stdin.isatty() and (begin is None or sandbox.state.clock):
        typer.confirm("All runs and the warehouse's tables will be gone. Go on?", abort=True)
    with _progress("Resetting the sandbox") as progress:
        if begin:
            sandbox.begin(begin, progress)
        else:
            sandbox.reset(progress)
    out.print(f"Fresh: {sandbox.url}")


@app.command(epilog="Example: windtunnel ui --print", rich_help_panel=SANDBOX)
def ui(
    only_print: Annotated[bool, typer.Option("--print", help="Print, open nothing.")] = False,
) -> None:
    """Open Airflow's UI in the browser, and print the user and the password."""
    import webbrowser

    from windtunnel.sandbox import Sandbox

    sandbox = Sandbox()
    if sandbox.status().phase == "down":
        raise WindtunnelError("The sandbox is down.", "`windtunnel up` starts it.")
    elsewhere = sandbox.link != sandbox.url
    out.print(
        f"{sandbox.link}{'  at the address of JupyterLab; its tile Airflow opens it' if elsewhere else ''}"
    )
    out.print(f"user      admin\npassword  {sandbox.password}")
    if not only_print and not elsewhere:
        webbrowser.open(sandbox.url)


@app.command(
    epilog="Example: windtunnel airflow dags list; windtunnel airflow backfill create --help",
    rich_help_panel=SANDBOX,
    add_help_option=False,
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],  # --help is Airflow's
    },
)
def airflow(context: typer.Context) -> None:
    """Run Airflow's own command line on the sandbox. All arguments, --help included, are Airflow's."""
    from windtunnel import airflow_command

    raise typer.Exit(airflow_command.run(context.args).returncode)


@app.command(epilog="Example: windtunnel doctor", rich_help_panel=SANDBOX)
def doctor() -> None:
    """Look for what would keep the sandbox from working. Exit code 1 when something does."""
    from windtunnel.doctor import examine

    findings = list(examine())
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        out.print(f"{mark} {escape(f'{finding.what}: {finding.found}')}", soft_wrap=True)
        if finding.next_step:
            out.print(f"  [bold]Next:[/] {escape(finding.next_step)}", soft_wrap=True)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


cli_exercises.register(app)


cli_authors.register(app)

app.command(epilog=grading.EPILOG, rich_help_panel="Instructors")(grading.grade)


def main() -> None:
    """Run the command; say what is wrong without a traceback. Exit codes: 2 for that, 130 for Ctrl-C."""
    try:
        app()
    except WindtunnelError as error:
        cli_exercises.say(error)
        sys.exit(2)
    except OSError as error:  # what no command foresaw: still no traceback
        err.print(f"[red]✗[/] {escape(str(error))}", soft_wrap=True)
        err.print("[bold]Next:[/] `windtunnel doctor` looks for the cause.")
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("\nStopped; nothing is left running that this command started.")
        sys.exit(130)


if __name__ == "__main__":
    main()
