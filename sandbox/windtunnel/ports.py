"""Free loopback ports. A taken port is named with its owner, never talked to."""

from __future__ import annotations

import itertools
import secrets
import socket

import psutil

from windtunnel.errors import WindtunnelError

HOST = "127.0.0.1"
UI_PORTS = range(8080, 8100)  # where people look for Airflow
# Below what Linux, macOS and Windows give to outgoing connections: a port chosen here is not lost to one of
# those between the choice and the server's start.
QUIET_PORTS = range(20000, 32000)


class PortTakenError(WindtunnelError):
    """Another program began to listen on a port between its choice and its use."""


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        # Like every server: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def any_free(count: int) -> list[int]:
    """``count`` different free ports from `QUIET_PORTS`, at random: two sandboxes seldom meet."""
    shuffled = secrets.SystemRandom().sample(QUIET_PORTS, len(QUIET_PORTS))
    free = (port for port in shuffled if is_free(port))
    return list(itertools.islice(free, count))


def owner(port: int) -> str:
    """Who listens on ``port``, in words; "another program" when the system does not tell."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return "another program"


def listens(process: int, port: int) -> bool:
    """Whether the process of that id listens on ``port``: that very one, not whoever was faster."""
    try:
        found = psutil.Process(process).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def choose(preferred: int | None = None) -> int:
    """A port for the Airflow UI: ``preferred``, else the first free of 8080-8099, else any."""
    candidates: list[int] = [preferred] if preferred else []
    for port in candidates + list(UI_PORTS):
        if is_free(port):
            return port
    return any_free(1)[0]
