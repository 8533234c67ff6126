"""Where things are: the clone, the reader's folder, the sandbox's state.

``WINDTUNNEL_STATE`` and ``WINDTUNNEL_WORK`` override the two folders that are written to.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

from windtunnel.errors import WindtunnelError


def repo_root() -> Path:
    """The clone this package runs from. Raises WindtunnelError when it was copied out of one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "_config.yml").exists():
        raise WindtunnelError(
            f"Windtunnel runs from a clone of its repository, and {root} is not one.",
            "clone the repository and type `make lab` in it.",
        )
    return root


def work_dir() -> Path:
    """The reader's own folder: notebooks, DAGs and answers. Never tracked, never overwritten."""
    named = os.environ.get("WINDTUNNEL_WORK")
    return Path(named).expanduser().resolve() if named else repo_root() / "work"


def dags_dir() -> Path:
    """The folder that the sandbox's Airflow parses."""
    named = os.environ.get("WINDTUNNEL_DAGS")
    return Path(named).expanduser().resolve() if named else work_dir() / "dags"


def state_dir() -> Path:
    """The sandbox's state folder, one for each clone, so that two clones never share an Airflow."""
    named = os.environ.get("WINDTUNNEL_STATE")
    if named:
        return Path(named).expanduser().resolve()
    root = repo_root()
    name = f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"
    if os.geteuid() == 0:
        # Postgres refuses to run as root, and the account it runs under instead cannot enter /root.
        return Path("/var/lib/windtunnel") / name
    try:
        return platformdirs.user_state_path("windtunnel", appauthor=False) / name
    except RuntimeError as error:  # no HOME and no entry in the password database
        raise WindtunnelError(
            f"The home folder could not be found ({error}).", "set WINDTUNNEL_STATE to a folder of yours."
        ) from error
