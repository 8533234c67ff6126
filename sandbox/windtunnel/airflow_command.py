"""``windtunnel airflow …``, in a notebook ``%airflow …``: Airflow's own command line, on the sandbox.

The environment names the sandbox's database and keys; on a sandbox with a clock the command lives by it. As in a
shell, settings for this one command come before it: ``%airflow AIRFLOW__CORE__XCOM_BACKEND=… dags test …``.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Sequence

from windtunnel.airflow_env import clean_environment
from windtunnel.errors import WindtunnelError
from windtunnel.sandbox import Sandbox
from windtunnel.surroundings import in_containers

_SETTING = re.compile(r"(AIRFLOW__[A-Z0-9_]+)=(.*)", re.DOTALL)
_COLOURS = {"FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS"}  # a kernel sets them
_PLAIN = {"NO_COLOR": "1", "COLUMNS": "120", "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}


def without_settings(arguments: Sequence[str]) -> list[str]:
    """The command itself: what comes after the leading settings."""
    return list(itertools.dropwhile(_SETTING.fullmatch, arguments))


def run(arguments: Sequence[str], *, captured: bool = False) -> subprocess.CompletedProcess[str]:
    """``airflow`` with these arguments; ``captured``: keep what it prints, without its log, instead of printing it.

    Leading arguments such as ``AIRFLOW__SECTION__KEY=value`` are settings for it.

    Raises WindtunnelError when the sandbox is down.
    """
    command = without_settings(arguments)
    before = arguments[: len(arguments) - len(command)]
    settings = dict(argument.split("=", 1) for argument in before)
    environment = _environment() | settings
    if captured:
        environment = {name: value for name, value in environment.items() if name not in _COLOURS} | _PLAIN
    return subprocess.run(
        [sys.executable, "-m", __name__, *command],
        env=environment,
        capture_output=captured,
        text=True,
        check=False,
    )


def _environment() -> dict[str, str]:
    if _is_for_containers():
        return dict(os.environ)
    sandbox = Sandbox()
    if sandbox.status().phase == "down":
        raise WindtunnelError("The sandbox is down.", "`windtunnel up` starts it.")
    return clean_environment() | sandbox.environ()


def _is_for_containers() -> bool:
    # A sandbox within one of them, for a chapter that turns the clock, has no WINDTUNNEL_URL.
    return in_containers() and "WINDTUNNEL_URL" in os.environ


def main() -> None:
    """What the child does: Airflow's ``main``, in the sandbox's time."""
    from windtunnel import dated
    from windtunnel.paths import state_dir
    from windtunnel.state import State

    shims = None if _is_for_containers() else dated.shims(State(state_dir()))
    if shims:
        shims().install()  # before Airflow is imported
    from airflow.__main__ import main as airflow

    sys.argv[0] = "airflow"
    airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
