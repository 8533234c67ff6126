"""Health checks of docker-compose.yaml: exit code 0 when the thing works, 1 with a reason when it does not.

Each asks for what its container is there for. Airflow's own checks are not used: `airflow jobs check` spends three
seconds of CPU on imports each time, and the API server's answer is 200 OK also while Postgres is down.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

HEARTBEAT = 30  # seconds; components beat every two
TIMEOUT = 5


def api_server() -> str:
    """It answers, and reaches the database."""
    with urllib.request.urlopen("http://127.0.0.1:8080/api/v2/monitor/health", timeout=TIMEOUT) as reply:
        found = json.load(reply)["metadatabase"]["status"]
    return "" if found == "healthy" else f"its database is {found}"


def _connect() -> Any:
    import psycopg2

    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg2", "postgresql")
    return psycopg2.connect(url, connect_timeout=TIMEOUT)


def database() -> str:
    """Airflow's database lets this container in."""
    _connect().close()
    return ""


def job(kind: str) -> str:
    """This container's component has written a heartbeat into the database a moment ago."""
    with _connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "select extract(epoch from now() - max(latest_heartbeat)) from job "
            "where job_type = %s and state = 'running' and hostname like %s",
            (kind, f"{socket.gethostname()}%"),
        )
        (age,) = cursor.fetchone()
    if age is None:
        return f"no {kind} has registered"
    return "" if age < HEARTBEAT else f"the last heartbeat was {age:.0f} s ago"


def worker() -> str:
    """Celery's worker of this container answers over the broker."""
    from celery import Celery

    app = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"])
    name = f"celery@{socket.gethostname()}"
    answers = app.control.ping(destination=[name], timeout=TIMEOUT, limit=1)
    return "" if answers else f"{name} does not answer"


def world() -> str:
    """HTTP, mail and object storage take connections."""
    with urllib.request.urlopen("http://127.0.0.1:8090/health", timeout=TIMEOUT) as reply:
        json.load(reply)
    for port in (8025, 9000):
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT).close()
    return ""


def lab() -> str:
    """JupyterLab answers."""
    with urllib.request.urlopen("http://127.0.0.1:8888/api", timeout=TIMEOUT) as reply:
        json.load(reply)
    return ""


CHECKS: dict[str, Callable[[], str]] = {
    "database": database,
    "api-server": api_server,
    "scheduler": lambda: job("SchedulerJob"),
    "dag-processor": lambda: job("DagProcessorJob"),
    "triggerer": lambda: job("TriggererJob"),
    "worker": worker,
    "world": world,
    "lab": lab,
}


def main(name: str) -> int:
    """Run one check. What Docker keeps of it (`docker inspect`) is the line that is printed."""
    try:
        problem = CHECKS[name]()
    except Exception as error:  # whatever goes wrong, it is not healthy
        problem = f"{type(error).__name__}: {error}"
    print(f"{name}: {problem or 'healthy'}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
