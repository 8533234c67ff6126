"""What a notebook shares with the tasks of its Airflow: connections, the data folder, Airflow's own database.

The local sandbox knows them from its state folder. In containers they come through the environment, where tasks
find them too (see ``docker-compose.yaml``). An Airflow elsewhere, which ``WINDTUNNEL_URL`` names, shares nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from windtunnel import airflow_env
from windtunnel.errors import WindtunnelError
from windtunnel.state import State

if TYPE_CHECKING:
    from windtunnel.sandbox import Sandbox

IN_CONTAINERS = "WINDTUNNEL_CONTAINERS"  # set by docker-compose.yaml, in every container
PUBLISHED = "WINDTUNNEL_PUBLISHED"  # where the reader's browser finds the containers' Airflow
METADATA = "WINDTUNNEL_METADATA"  # the record of a connection, as JSON
_CONNECTION = "AIRFLOW_CONN_"
_SHARED = ("AIRFLOW_", "WINDTUNNEL_")

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Surroundings:
    """``connections`` by id, and ``metadata``, are records as Airflow has them: host, port, login, password, schema."""

    connections: Mapping[str, Record]
    metadata: Record
    data: Path
    logs: Path  # with scheduler.log
    task_logs: Path  # a folder for each DAG

    @classmethod
    def of(cls, state: State) -> Surroundings:
        """Those of a local sandbox, as it is now."""
        ports = state.ports()
        return cls(
            airflow_env.connections(state, ports),
            airflow_env.metadata(state, ports),
            state.data,
            state.logs,
            state.task_logs,
        )

    @classmethod
    def from_environment(cls) -> Surroundings | None:
        """Those of the containers; None elsewhere. Raises WindtunnelError when they do not say all of it."""
        if not in_containers():
            return None
        try:
            logs = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"])
            return cls(
                {
                    name.removeprefix(_CONNECTION).lower(): json.loads(value)
                    for name, value in os.environ.items()
                    if name.startswith(_CONNECTION)
                },
                json.loads(os.environ[METADATA]),
                Path(os.environ["WINDTUNNEL_DATA"]),
                logs,
                logs,
            )
        except (KeyError, ValueError) as error:
            raise WindtunnelError(
                f"This container's environment is not complete: {error!r}.",
                "compare docker-compose.yaml with the one that came with Windtunnel, then `make up`.",
            ) from error

    @property
    def world(self) -> str:
        """The address of the outside world."""
        return str(self.connections["shop_api"]["host"])


def in_containers() -> bool:
    """Whether this process is in one of the containers of ``docker-compose.yaml``."""
    return bool(os.environ.get(IN_CONTAINERS))


def database(record: Record) -> Any:
    """A psycopg2 connection with autocommit to the database of a record. Raises WindtunnelError when it refuses."""
    try:
        connection = psycopg2.connect(
            host=record["host"],
            port=record["port"],
            user=record["login"],
            password=record["password"],
            dbname=record["schema"],
            connect_timeout=5,
            # The reader's own PGSSLMODE and PGOPTIONS are for other servers.
            sslmode="disable",
            gssencmode="disable",
            options="",
        )
    except psycopg2.OperationalError as error:
        command = "docker compose ps" if in_containers() else "windtunnel status"
        raise WindtunnelError(
            f"Postgres does not let the role {record['login']} in: {str(error).strip()}",
            f"`{command}` tells whether it is up.",
        ) from error
    connection.autocommit = True
    return connection


@contextlib.contextmanager
def containers(clock: datetime | None = None) -> Iterator[_Containers | Sandbox]:
    """What chapters run on where the containers are up: for ``--nbval-sandbox windtunnel.surroundings:containers``.

    A chapter with a ``clock`` has a sandbox within this container. Raises WindtunnelError outside of them.
    """
    from windtunnel.sandbox import temporary

    if not in_containers():
        raise WindtunnelError("This is none of the containers.", "run it in the container `lab`.")
    if clock is None:
        yield _Containers()
    else:
        for name in ("WINDTUNNEL_URL", "WINDTUNNEL_DAGS"):
            os.environ.pop(name, None)  # they lead to the containers' Airflow
        with temporary(clock=clock) as sandbox:
            yield sandbox


class _Containers:
    """A `windtunnel.hosting.Sandbox` that is there already, and stays."""

    @staticmethod
    def environ() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith(_SHARED)}
