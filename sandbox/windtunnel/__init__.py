"""Learn Apache Airflow by running it: the reader's interface.

In a notebook, ``%load_ext windtunnel`` brings in everything named here; a script imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel.backfills import Backfill, backfill
from windtunnel.course import data_file, deploy
from windtunnel.crontab import run_crontab
from windtunnel.errors import WindtunnelError
from windtunnel.metadata import metadata
from windtunnel.outside import world
from windtunnel.predict import predict
from windtunnel.runs import Run, pause, runs, trigger, unpause

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

READER_NAMES = [
    "backfill",
    "data_file",
    "deploy",
    "metadata",
    "pause",
    "predict",
    "run_crontab",
    "runs",
    "trigger",
    "unpause",
    "world",
]
__all__ = [  # noqa: RUF022 what a notebook gets comes first
    "backfill",
    "data_file",
    "deploy",
    "metadata",
    "pause",
    "predict",
    "run_crontab",
    "runs",
    "trigger",
    "unpause",
    "world",
    "Backfill",
    "Run",
    "WindtunnelError",
]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext windtunnel`` calls."""
    from windtunnel.magics import load

    load(shell)
