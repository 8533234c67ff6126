"""The state folder: what a sandbox keeps between starts, and the checks before it is used.

::

    sandbox.json   layout and version, this sandbox's id, its ports
    secrets.json   generated credentials (0600)
    status.json    written by the launcher: phase, process ids, restarts
    lock           held by the launcher while it lives
    postgres/ valkey/ airflow/ data/ logs/
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from windtunnel import ports
from windtunnel.errors import WindtunnelError

LAYOUT = 1
MIN_FREE_BYTES = 400 * 2**20  # Postgres' cluster, template, logs: 150 MB after first use, and room to work
RESET_HARD = "`windtunnel reset --hard` sets the folder aside (nothing is deleted) and starts fresh."


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` with mode 0600, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:  # mkstemp makes it 0600
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one sandbox."""

    api: int
    postgres: int
    valkey: int
    world: int

    @classmethod
    def pick(cls, ui: int | None = None, *, anywhere: bool = False) -> Ports:
        """Free ports; the UI's among 8080-8099 unless ``anywhere``."""
        spare = ports.any_free(4)
        return cls(spare[0] if anywhere else ports.choose(ui), *spare[1:])


@dataclass(frozen=True)
class State:
    """A state folder and what is in it."""

    path: Path

    # --- files -------------------------------------------------------------------------------------
    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME: logs and the generated password file."""
        return self.path / "airflow"

    @property
    def data(self) -> Path:
        """Where pipelines write their files (``WINDTUNNEL_DATA``)."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        """One log file for each process of the sandbox."""
        return self.path / "logs"

    # --- preparing ---------------------------------------------------------------------------------
    def prepare(self, *, anywhere: bool = False) -> dict[str, Any]:
        """Make or check the folder; return ``sandbox.json`` with ports that are free now.

        Raises WindtunnelError for a file in the folder's place, a folder that cannot be written, a full
        disk, or contents that cannot be read. A folder of another version is set aside, not deleted.
        """
        self._check_usable()
        config = self._read_config()
        if config and (config.get("layout"), config.get("airflow")) != (LAYOUT, version("apache-airflow")):
            old = self.set_aside(f"{config.get('airflow', 'unknown')}")
            print(f"The state folder was made by another version; it is kept as {old}.")
            self._check_usable()
            config = None
        for folder in (self.airflow_home, self.data, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        config = config or {"id": uuid.uuid4().hex}
        config |= {"layout": LAYOUT, "airflow": version("apache-airflow")}
        config["ports"] = asdict(self._free_ports(config.get("ports"), anywhere))
        write_private(self.path / "sandbox.json", json.dumps(config, indent=1))
        self.secrets()
        return config

    def _check_usable(self) -> None:
        choose_another = "choose another folder with WINDTUNNEL_STATE=/a/folder/of/yours."
        if self.path.exists() and not self.path.is_dir():
            raise WindtunnelError(
                f"The state folder should be at {self.path}, but a file is there.",
                f"move that file away, or {choose_another}",
            )
        # Root's Postgres runs under another account, which must be able to pass through.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(mode)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"x" * 2**16)
                probe.flush()
        except OSError as error:
            raise WindtunnelError(
                f"The state folder {self.path} cannot be written: {error.strerror}.",
                f"make it writable, make room on its disk, or {choose_another}",
            ) from error
        free = shutil.disk_usage(self.path).free
        if free < MIN_FREE_BYTES:
            raise WindtunnelError(
                f"The disk of the state folder {self.path} is nearly full: "
                f"{free // 2**20} MB free, {MIN_FREE_BYTES // 2**20} MB needed.",
                f"make room, or {choose_another}",
            )

    def _read_config(self) -> dict[str, Any] | None:
        file = self.path / "sandbox.json"
        if not file.exists():
            leftovers = [entry.name for entry in self.path.iterdir() if entry.name != "lock"]
            if leftovers:
                raise WindtunnelError(
                    f"{self.path} is not empty and not a sandbox's state folder "
                    f"(it holds {', '.join(sorted(leftovers)[:4])}, and no sandbox.json).",
                    f"choose another folder with WINDTUNNEL_STATE, or: {RESET_HARD}",
                )
            return None
        try:
            config = json.loads(file.read_text())
            if not isinstance(config, dict):
                raise ValueError("not an object")
            return config
        except (ValueError, OSError) as error:
            raise WindtunnelError(f"The state in {file} cannot be read: {error}.", RESET_HARD) from error

    def _free_ports(self, kept: dict[str, int] | None, anywhere: bool) -> Ports:
        if not kept:
            return Ports.pick(anywhere=anywhere)
        try:
            ports_kept = Ports(**kept)
        except TypeError:
            return Ports.pick(anywhere=anywhere)
        if all(ports.is_free(port) for port in asdict(ports_kept).values()):
            return ports_kept
        return Ports.pick(ports_kept.api, anywhere=anywhere)

    def set_aside(self, label: str) -> Path:
        """Rename the whole folder out of the way; nothing is deleted. Returns the new name."""
        aside = self.path.with_name(f"{self.path.name}.{label}-{time.strftime('%Y%m%d-%H%M%S')}")
        self.path.rename(aside)
        return aside

    # --- reading -----------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        """``sandbox.json``. Raises WindtunnelError when there is none or it cannot be read."""
        config = self._read_config() if self.path.is_dir() else None
        if config is None:
            raise WindtunnelError(
                f"No sandbox has been made in {self.path} yet.", "start one: `windtunnel up`."
            )
        return config

    def ports(self) -> Ports:
        """The ports of the last start."""
        return Ports(**self.config()["ports"])

    def secrets(self) -> dict[str, str]:
        """Generated credentials, made on first use. Raises WindtunnelError when the file is damaged."""
        file = self.path / "secrets.json"
        if not file.exists():
            from cryptography.fernet import Fernet  # slow to import, needed once

            names = ("postgres", "warehouse", "reader", "valkey", "admin", "jwt", "api")
            made = {name: secrets.token_urlsafe(24) for name in names}
            write_private(file, json.dumps(made | {"fernet": Fernet.generate_key().decode()}, indent=1))
        try:
            return dict(json.loads(file.read_text()))
        except (ValueError, OSError) as error:
            raise WindtunnelError(
                f"The credentials in {file} cannot be read: {error}.", RESET_HARD
            ) from error

    def status(self) -> dict[str, Any]:
        """What the launcher last wrote; empty when it never ran or the file is damaged."""
        try:
            return dict(json.loads((self.path / "status.json").read_text()))
        except (ValueError, OSError):
            return {}

    def write_status(self, status: dict[str, Any]) -> None:
        """Replace ``status.json``."""
        write_private(self.path / "status.json", json.dumps(status, indent=1))

    # --- one launcher at a time --------------------------------------------------------------------
    def acquire(self) -> IO[str] | None:
        """The launcher's lock, or None when another launcher holds it.

        A POSIX record lock: the system frees it when its process ends however it ends, and forked
        children do not inherit it.
        """
        file = (self.path / "lock").open("a")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def is_running(self) -> bool:
        """Whether a launcher lives on this folder."""
        if not (self.path / "lock").exists():
            return False
        held = self.acquire()
        if held is None:
            return True
        held.close()
        return False
