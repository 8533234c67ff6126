"""Airflow, imported once and made fit to be forked: no threads, no open database, everything warm.

Import nothing else of Airflow before ``load``: its settings are read on import.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULES = [
    "IPython.core.interactiveshell",
    "airflow.sdk",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.serde",
    "airflow.api_fastapi.execution_api.app",
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.collection",
    "airflow.dag_processing.bundles.manager",
    "airflow.models.dagrun",
    "airflow.models.serialized_dag",
    "airflow.models.xcom",
    "airflow.providers.common.sql.hooks.sql",
    "airflow.providers.http.hooks.http",
    "airflow.providers.http.operators.http",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.branch",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.sensors.python",
    "airflow.secrets.environment_variables",
    "airflow.secrets.metastore",
    "airflow.serialization.serialized_objects",
    "airflow.ti_deps.dep_context",
    "httpx",
    "jinja2.ext",
    "nbval.plugin",
    "numpy",
    "pandas",
    "psutil",
    "pytest",
    "requests",
    "setproctitle",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
    "world.service",
]


class Loaded:
    """The imported Airflow. ``database`` is the SQLite file that it opens next; see ``use``."""

    def __init__(self) -> None:
        self.app: Any = None
        self.database = ""

    def use(self, database: Path, dags: Path) -> None:
        """Have this process work on another database and DAG folder than it, or its parent, did."""
        settings: Any = importlib.import_module("airflow.settings")
        self.database = str(database)
        os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags)
        settings.Session.remove()
        # Not closed: the connections are the parent's, too. The engines stay, and with them all that they
        # have compiled: SQLAlchemy would otherwise compile every statement anew in every fork.
        settings.engine.dispose(close=False)
        settings.async_engine.sync_engine.dispose(close=False)
        settings.configure_vars()

    def close(self) -> None:
        """Bring all that was written into the one file, and let go of it."""
        settings: Any = importlib.import_module("airflow.settings")
        settings.Session.remove()
        with settings.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        settings.engine.dispose()

    def client(self) -> Any:
        """The API that Airflow's supervisor talks to on behalf of a task; see ``api``."""
        from airflow.api_fastapi.common.dagbag import create_dag_bag

        from windtunnel.engine import api

        self.app.state.dag_bag = create_dag_bag()
        return api.client(self.app)


def load(template: Path, home: Path, progress: Callable[[str], None] = lambda _: None) -> Loaded:
    """Import Airflow over the migrated database in the folder ``template``; ``home`` becomes AIRFLOW_HOME."""
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API_AUTH__JWT_SECRET": os.urandom(16).hex(),  # nobody listens, but Airflow asks for one
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{template / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",  # of this process and its benches; see below for tasks
        "OPENBLAS_NUM_THREADS": "1",  # each thread of its pool counts against an answer's processes
        "OMP_NUM_THREADS": "1",
    }
    (home / "airflow.cfg").touch()  # left to itself, Airflow writes one
    sys.dont_write_bytecode = True
    gc.disable()  # imports leave no garbage worth a look: a fifth of the time
    # jsonschema imports this where JupyterLab has installed it, and it compiles a grammar on import: a third
    # of the whole start. jsonschema does without when it is missing.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    progress("importing Airflow")
    import airflow

    for module in MODULES:
        importlib.import_module(module)
    from windtunnel import patches

    patches.for_forks(airflow.__version__)
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"  # read anew by each task's process
    loaded = Loaded()
    _redirect_databases(loaded)
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    loaded.database = str(template / "airflow.db")
    loaded.app = InProcessExecutionAPI().app
    return loaded


def settle() -> None:
    """To be called before the first fork: what is in memory now stays where it is, shared by all forks."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _redirect_databases(loaded: Loaded) -> None:
    """Have the existing engines open ``loaded.database``, whatever their address says."""
    from sqlalchemy import event

    settings: Any = importlib.import_module("airflow.settings")

    def redirect(_dialect: Any, _record: Any, arguments: list[Any], _parameters: Any) -> None:
        arguments[0] = loaded.database

    for engine in (settings.engine, settings.async_engine.sync_engine):
        event.listen(engine, "do_connect", redirect)
