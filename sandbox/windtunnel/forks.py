"""Airflow imported once, and forks of the process that did: they share its memory and its start time."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from windtunnel.errors import WindtunnelError

COMPONENTS = {
    "api-server": ["api-server"],
    # No log servers: upstream binds them to every interface, and the API server finds the files on disk.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
PRELOAD = [
    "airflow.cli.cli_parser",
    "airflow.jobs.scheduler_job_runner",
    "airflow.executors.local_executor",
    "airflow.jobs.triggerer_job_runner",
    "airflow.jobs.dag_processor_job_runner",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.manager",
    "airflow.dag_processing.processor",
    "airflow.sdk",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.connection",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.definitions.decorators.condition",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.definitions.decorators.task_group",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.api.client",
    "airflow.sdk.log",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.cli.commands.api_server_command",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.api_fastapi.auth.managers.simple.simple_auth_manager",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.decorators.python",
    "airflow.serialization.serialized_objects",
    "airflow.models.serialized_dag",
    "airflow.timetables.trigger",
    "airflow.utils.db",
    "uvicorn",
    "psycopg2",
    "asyncpg",
    "encodings.idna",  # for addresses, even those that are numbers
    "httpx",
    "jinja2.ext",
    "pandas",
]


class Shims(Protocol):
    """What changes Airflow for a sandbox with a clock: ``windtunnel.clockwork.shims``."""

    def install(self) -> None:
        """Called before Airflow is imported."""

    def install_in_airflow(self) -> None:
        """Called after all is imported."""


def preload(shims: Shims | None = None) -> Iterator[str]:
    """Import all that the components need, module by module, and patch it. Yields each module's name."""
    if shims:
        shims.install()
    gc.disable()  # imports leave no garbage worth a look: a fifth of the time
    # Airflow imports jsonschema, which imports this where JupyterLab has installed it, and it compiles a
    # grammar on import: a third of the whole start. jsonschema does without when it is missing.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

    import airflow

    from windtunnel import patches

    for module in PRELOAD:
        importlib.import_module(module)
        yield module
    patches.apply(airflow.__version__)
    if shims:
        shims.install_in_airflow()
    work_that_all_would_do()
    gc.collect()
    gc.freeze()  # keeps the collector from writing to, and so copying, shared pages
    gc.enable()


def work_that_all_would_do() -> None:
    """What each component does as it starts, done once: the parser of commands, the mapping of models to tables."""
    from airflow.cli.cli_parser import get_parser
    from sqlalchemy.orm import configure_mappers

    get_parser()
    configure_mappers()


def airflow(name: str) -> Callable[[], None]:
    """What the one of `COMPONENTS` called ``name`` does."""

    def run() -> None:
        from airflow.__main__ import main

        sys.argv = ["airflow", *COMPONENTS[name]]
        main()  # type: ignore[no-untyped-call]

    return run


def migrate() -> None:
    """Make Airflow's tables in an empty database. To be run in a fork: it leaves connections behind."""
    from airflow.utils.db import initdb

    initdb()


def fork(work: Callable[[], None], log: Path) -> int:
    """Do ``work`` in a fork, in a process group of its own, with its output in ``log``; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except WindtunnelError as problem:
        print(problem.message, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
