"""The environment that makes an Airflow this sandbox's: settings, connections, import path.

Airflow reads ``AIRFLOW__SECTION__KEY`` before its configuration file, so nothing is written to airflow.cfg
but what Airflow itself puts there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from windtunnel.paths import dags_dir, work_dir
from windtunnel.ports import HOST
from windtunnel.postgres import Postgres
from windtunnel.state import Ports, State

ADMIN = "admin"
PREFIX = "WINDTUNNEL_UI_PREFIX"  # the path of the UI, where another server passes requests on to it

# What makes a saved file live and a short run quick. Upstream's defaults, in brackets, suit a cluster.
QUICK = {
    "CORE__PARALLELISM": "4",  # [32] workers are forked at start; four keep two cores busy
    "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",  # [30 s] a second edit within 30 s is kept too
    "CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "30",  # [2] deep enough to reach the line in the DAG file
    "DAG_PROCESSOR__REFRESH_INTERVAL": "1",  # [300 s] how often the folder is listed
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",  # [5 s]
    "DAG_PROCESSOR__PARSING_PROCESSES": "1",  # [2]
    "DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": "15",  # [30 s]
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",  # [1 s]
    "SCHEDULER__JOB_HEARTBEAT_SEC": "2",  # [5 s]
    "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # [5 s] upstream sleeps this long after a task's pipes close
    "API__WORKERS": "1",
    "API__DAG_CACHE_TTL": "1",  # [3600 s] an edited DAG's new shape shows at once
}

# What lets a run in progress outlive the loss of one component, which is back in a few seconds.
PATIENT = {
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",  # [30 s] when a killed scheduler counts as dead
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",  # [300 s] and its tasks are taken over
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",  # [300 s] when a killed task counts as dead
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",  # [600 s]
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",  # [120 s]
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    "WORKERS__EXECUTION_API_RETRIES": "30",  # [5] a task asks the API server again for half a minute …
    "WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.2",  # [1 s] … soon
    "WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "2",  # [90 s] … and often
}

SAFE = {
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
    "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
    "API__HOST": HOST,
    "API__EXPOSE_CONFIG": "False",
    # Three lines a second about looking at the folder again: 40 MB a day.
    "LOGGING__NAMESPACE_LEVELS": "airflow.dag_processing.manager.DagFileProcessorManager=WARNING",
    "SCHEDULER__ENABLE_HEALTH_CHECK": "False",  # it would listen on every interface
}


def password_file(state: State) -> Path:
    """Where the simple auth manager looks up passwords: JSON ``{user: password}``, mode 0600."""
    return state.airflow_home / "passwords.json"


def address(state: State, ports: Ports) -> str:
    """Where API and UI are, the path included: as the sandbox was started, or as it would be started from here."""
    running = state.status().get("url") if state.is_running() else None
    prefix = os.environ.get(PREFIX, "").strip("/")
    return str(running or f"http://{HOST}:{ports.api}{f'/{prefix}' if prefix else ''}")


def airflow_environment(state: State, ports: Ports) -> dict[str, str]:
    """Every variable that Airflow's components, and the tasks they run, need."""
    secrets = state.secrets()
    postgres = Postgres(state, ports.postgres)
    api = address(state, ports)
    settings = {
        "CORE__DAGS_FOLDER": str(dags_dir()),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": secrets["fernet"],
        "CORE__EXECUTION_API_SERVER_URL": f"{api}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(state)),
        "DATABASE__SQL_ALCHEMY_CONN": postgres.url(state.database("airflow")),
        "DATABASE__CHECK_MIGRATIONS": "False",  # this version made the tables; each component would import Alembic
        "API__PORT": str(ports.api),
        "API__BASE_URL": api,
        "API__SECRET_KEY": secrets["api"],
        "API_AUTH__JWT_SECRET": secrets["jwt"],
        "LOGGING__BASE_LOG_FOLDER": str(state.task_logs),
    }
    if state.clock:
        from windtunnel.clockwork.settings import DATED

        settings |= DATED
    variables = {f"AIRFLOW__{key}": value for key, value in (QUICK | PATIENT | SAFE | settings).items()}
    variables |= {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections(state, ports).items()
    }
    return variables | {
        "AIRFLOW_HOME": str(state.airflow_home),
        **_no_proxy(),
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",  # macOS: forking after imports is meant
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),  # pipelines and world, in every task
        "WINDTUNNEL_DATA": str(state.data),
        "WINDTUNNEL_SANDBOX": state.config()["id"],  # marks every process of this sandbox
        "WINDTUNNEL_STATE": str(state.path),
        "WINDTUNNEL_WORK": str(work_dir()),
    }


def _no_proxy() -> dict[str, str]:
    # Programs differ in which spelling they read first; a proxy of the reader's stays in use for the rest.
    kept = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    hosts = ",".join([*([kept] if kept else []), HOST, "localhost"])
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def connections(state: State, ports: Ports) -> dict[str, dict[str, object]]:
    """Airflow connections every sandbox has: to the outside world, the databases, the cache and the data folder.

    ``source_db`` is the warehouse as another team's database, which lets us in five times at once; ``data_folder``
    is where tasks keep their files.
    """
    secrets = state.secrets()
    world: dict[str, object] = {"conn_type": "http", "host": f"http://{HOST}:{ports.world}"}

    return {
        **dict.fromkeys(
            ("shop_api", "weather_api", "job_cluster", "dashboard", "chat", "pager", "metrics"), world
        ),
        # Like every local stand-in for S3, ours asks for no key; the client insists on having one.
        "aws_default": {
            "conn_type": "aws",
            "login": "no-key",
            "password": "is-asked-for",
            "extra": {"endpoint_url": f"http://{HOST}:{ports.s3}", "region_name": "us-east-1"},
        },
        "smtp_default": {
            "conn_type": "smtp",
            "host": HOST,
            "port": ports.smtp,
            "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@shop.example"},
        },
        "warehouse": _database(state, ports, "warehouse", "warehouse"),
        "source_db": _database(state, ports, "warehouse", "source"),
        "valkey": {"conn_type": "redis", "host": HOST, "port": ports.valkey, "password": secrets["valkey"]},
        # What tasks find in WINDTUNNEL_DATA, for sensors of files.
        "data_folder": {"conn_type": "fs", "host": "", "extra": {"path": str(state.data)}},
    }


def metadata(state: State, ports: Ports) -> dict[str, object]:
    """Airflow's own database for whoever may only look, as the record of a connection."""
    return _database(state, ports, "airflow", "reader")


def _database(state: State, ports: Ports, name: str, role: str) -> dict[str, object]:
    return {
        "conn_type": "postgres",
        "host": HOST,
        "port": ports.postgres,
        "login": role,
        "password": state.secrets()[role],
        "schema": state.database(name),
    }


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change the sandbox's Airflow.

    Settings of another Airflow or Postgres in the reader's shell are dropped; so is PYTHONDONTWRITEBYTECODE,
    which makes every start slow for ever.
    """
    dropped = ("AIRFLOW_", "PG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME")
    return {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
