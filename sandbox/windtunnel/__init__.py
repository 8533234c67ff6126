"""Learn Apache Airflow by running it: the reader's interface.

In a notebook, ``%load_ext windtunnel`` brings in everything named here; a script imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel.assets import assets, materialize, update, updates, wait_for_runs, waits_for
from windtunnel.backfills import Backfill, backfill
from windtunnel.clock import clock
from windtunnel.course import data_file, deploy
from windtunnel.crontab import run_crontab
from windtunnel.errors import WindtunnelError
from windtunnel.metadata import metadata
from windtunnel.outside import world
from windtunnel.pools import pool, pools
from windtunnel.predict import predict
from windtunnel.runs import Run, pause, runs, trigger, unpause
from windtunnel.warehouse import warehouse
from windtunnel.would_run import would_run

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

READER_NAMES = [
    "assets",
    "backfill",
    "clock",
    "data_file",
    "deploy",
    "materialize",
    "metadata",
    "pause",
    "pool",
    "pools",
    "predict",
    "run_crontab",
    "runs",
    "trigger",
    "unpause",
    "update",
    "updates",
    "wait_for_runs",
    "waits_for",
    "warehouse",
    "world",
    "would_run",
]
__all__ = [  # noqa: RUF022 what a notebook gets comes first
    "assets",
    "backfill",
    "clock",
    "data_file",
    "deploy",
    "materialize",
    "metadata",
    "pause",
    "pool",
    "pools",
    "predict",
    "run_crontab",
    "runs",
    "trigger",
    "unpause",
    "update",
    "updates",
    "wait_for_runs",
    "waits_for",
    "warehouse",
    "world",
    "would_run",
    "Backfill",
    "Run",
    "WindtunnelError",
]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext windtunnel`` calls."""
    from windtunnel.magics import load

    load(shell)
