"""The migrated, empty database that every check begins with; made once for each version of Airflow."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from windtunnel.airflow_env import clean_environment
from windtunnel.errors import WindtunnelError
from windtunnel.paths import state_dir

_MAKE = """
from airflow.utils.db import initdb
from airflow.dag_processing.bundles.manager import DagBundlesManager
initdb()
DagBundlesManager().sync_bundles_to_db()
"""


def template(progress: Callable[[str], None] = lambda _: None) -> Path:
    """The folder with ``airflow.db``. Raises WindtunnelError when it cannot be made."""
    ready = state_dir() / "cache" / f"check-{version('apache-airflow')}"
    if ready.exists():
        return ready
    progress("making a database, once")
    try:
        ready.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=ready.parent, prefix=".making-"))
    except OSError as error:
        raise WindtunnelError(
            f"The check cannot keep its database: {error}.", f"see to {ready.parent}."
        ) from error
    try:
        _make(making)
        with contextlib.suppress(OSError):  # another check was quicker: theirs is as good
            making.rename(ready)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return ready


def _make(folder: Path) -> None:
    base = folder / "airflow.db"
    # Left to itself, Airflow would write a configuration that names this folder. Its defaults will do.
    (folder / "airflow.cfg").touch()
    environment = clean_environment() | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{base}",
    }
    made = subprocess.run(
        [sys.executable, "-P", "-c", _MAKE], env=environment, cwd=folder, capture_output=True, text=True
    )
    if made.returncode:
        said = made.stderr.strip().splitlines()[-1:]
        raise WindtunnelError(f"The check's database could not be made: {said}", "please report this.")
    with contextlib.closing(sqlite3.connect(base)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in folder.iterdir():
        if path != base:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
