"""The state folder: what a sandbox keeps between starts, and the checks before it is used.

::

    sandbox.json   layout and version, this sandbox's id, its ports
    secrets.json   generated credentials (0600)
    status.json    written by the launcher: phase, process ids, restarts
    lock           held by the launcher while it lives; turn.lock: by whoever starts or stops it
    postgres/ valkey/ airflow/ data/ logs/
    dated/         what belongs to a sandbox with a clock (``windtunnel.clockwork``), gone when it goes down
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from windtunnel import locks, ports
from windtunnel.errors import WindtunnelError

LAYOUT = 1
MIN_FREE_BYTES = 400 * 2**20  # Postgres' cluster, template, logs: 150 MB after first use, and room to work
MAX_LOG_BYTES = 2**20
RESET_HARD = "`windtunnel reset --hard` sets the folder aside (nothing is deleted) and starts fresh."
CHOOSE_ANOTHER = "choose another folder with WINDTUNNEL_STATE=/a/folder/of/yours."
SECRETS = ("postgres", "warehouse", "reader", "source", "valkey", "admin", "jwt", "api", "fernet")
YOUNGER_SECRETS = {"source"}  # sandboxes made before there was such a thing get it at their next start


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
    smtp: int
    s3: int

    @classmethod
    def pick(cls, ui: int | None = None, *, anywhere: bool = False) -> Ports:
        """Free ports; the UI's among 8080-8099 unless ``anywhere``."""
        spare = ports.any_free(6)
        return cls(spare[0] if anywhere else ports.choose(ui), *spare[1:])

    @classmethod
    def of(cls, config: dict[str, Any]) -> Ports | None:
        """The ports named in ``sandbox.json``, or None where it does not name them."""
        kept = config.get("ports")
        names = cls.__dataclass_fields__
        if not isinstance(kept, dict) or not all(isinstance(kept.get(name), int) for name in names):
            return None
        return cls(**{name: kept[name] for name in names})


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
        return (self.dated if self.clock else self.path) / "data"

    @property
    def task_logs(self) -> Path:
        """Where Airflow keeps the logs of its tasks."""
        return self.dated / "logs" if self.clock else self.airflow_home / "logs"

    @property
    def logs(self) -> Path:
        """One log file for each process of the sandbox."""
        return self.path / "logs"

    # --- the clock ---------------------------------------------------------------------------------
    @property
    def dated(self) -> Path:
        """Data, logs and hands of a sandbox that has a clock."""
        return self.path / "dated"

    @property
    def clock(self) -> dict[str, str]:
        """``{"start": ISO moment, "id": of this beginning}`` of a sandbox that has a clock; empty without one.

        Also empty where ``sandbox.json`` cannot be read: who needs more of it than the time says so.
        """
        try:
            found = self._read_config().get("clock")
        except WindtunnelError:
            return {}
        return found if isinstance(found, dict) and {"start", "id"} <= found.keys() else {}

    def set_clock(self, start: datetime | None) -> None:
        """From the next start or reset on, begin at ``start``; None: live in real time."""
        config = self._read_config()
        config.pop("clock", None)
        if start is not None:
            config["clock"] = {"start": start.isoformat(), "id": uuid.uuid4().hex}
        write_private(self.path / "sandbox.json", json.dumps(config, indent=1))

    def database(self, name: str) -> str:
        """What ``airflow`` or ``warehouse`` is called in Postgres: a clock's times are kept from the real ones."""
        return f"{name}_dated" if self.clock else name

    # --- preparing ---------------------------------------------------------------------------------
    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Make the folder if need be, and keep others from starting or stopping its sandbox meanwhile.

        Raises WindtunnelError for a file in the folder's place, somebody else's folder, or one that cannot be
        written.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise WindtunnelError(
                    f"The state folder should be at {self.path}, but a file is there.",
                    f"move that file away, or {CHOOSE_ANOTHER}",
                )
            self.check_ours()
            held = contextlib.ExitStack()
            held.enter_context(locks.turn(self.path))
        except OSError as error:
            raise self._unusable(error) from error
        with held:
            yield

    def check_ours(self) -> None:
        """Raise WindtunnelError unless the folder is empty or a sandbox's: others' are left alone."""
        found = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        found.discard("cache")  # a check has been here before the first sandbox
        if found and not found & {"sandbox.json", "secrets.json", locks.TURN}:
            raise WindtunnelError(
                f"{self.path} is not empty and not a sandbox's state folder "
                f"(it holds {', '.join(sorted(found)[:4])}, and no sandbox.json).",
                CHOOSE_ANOTHER,
            )

    def is_made(self) -> bool:
        """Whether there is a sandbox here. Raises WindtunnelError when the folder is somebody else's."""
        if self.path.is_dir():
            self.check_ours()
        return (self.path / "sandbox.json").exists()

    def is_outdated(self) -> bool:
        """Whether it was made by another version. Raises WindtunnelError when that cannot be read."""
        config = self._read_config()
        return bool(config) and (config.get("layout"), config.get("airflow")) != (
            LAYOUT,
            version("apache-airflow"),
        )

    def prepare(self, *, anywhere: bool = False, clock: datetime | None = None) -> Ports:
        """Make or check what the folder holds; return ports that are free now. To be called in one's `turn`.

        ``clock``: the moment at which a sandbox that has a clock begins.

        Raises WindtunnelError for a full disk, or contents that cannot be read.
        """
        config = self._read_config() or {"id": uuid.uuid4().hex}
        chosen = self._free_ports(Ports.of(config), anywhere)
        config |= {"layout": LAYOUT, "airflow": version("apache-airflow"), "ports": asdict(chosen)}
        try:
            # Root's Postgres runs under another account, which must be able to pass through.
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            write_private(self.path / "sandbox.json", json.dumps(config, indent=1))
            self.set_clock(clock)
            for folder in (self.airflow_home, self.path / "data", self.logs):
                folder.mkdir(mode=0o700, exist_ok=True)
            self.trim_logs()
            self._check_room()
            self._make_secrets()
        except OSError as error:
            raise self._unusable(error) from error
        self.secrets()
        return chosen

    def _unusable(self, error: OSError) -> WindtunnelError:
        return WindtunnelError(
            f"The state folder {self.path} cannot be written: {error.strerror}.",
            f"make it writable, make room on its disk, or {CHOOSE_ANOTHER}",
        )

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < MIN_FREE_BYTES:
            raise WindtunnelError(
                f"The disk of the state folder {self.path} is nearly full: "
                f"{free // 2**20} MB free, {MIN_FREE_BYTES // 2**20} MB needed.",
                f"make room, or {CHOOSE_ANOTHER}",
            )

    def _free_ports(self, kept: Ports | None, anywhere: bool) -> Ports:
        if kept and all(ports.is_free(port) for port in asdict(kept).values()):
            return kept
        return Ports.pick(kept.api if kept else None, anywhere=anywhere)

    def set_aside(self, label: str) -> Path:
        """Rename the whole folder out of the way; nothing is deleted. Returns the new name."""
        aside = self.path.with_name(f"{self.path.name}.{label}-{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            self.path.rename(aside)
        except OSError as error:
            raise WindtunnelError(
                f"{self.path} cannot be renamed to {aside.name}: {error.strerror}.",
                f"rename or remove it yourself, or {CHOOSE_ANOTHER}",
            ) from error
        return aside

    def trim_logs(self) -> None:
        """Keep the last megabyte of each log that has outgrown it in ``NAME.1``, and start that log again.

        Emptied in place: whoever writes to it appends, and goes on at its new end.
        """
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > MAX_LOG_BYTES:
                with log.open("r+b") as file:
                    file.seek(-MAX_LOG_BYTES, os.SEEK_END)
                    write_private(log.with_name(f"{log.name}.1"), file.read().decode(errors="replace"))
                    file.truncate(0)

    # --- reading -----------------------------------------------------------------------------------
    def _read_config(self) -> dict[str, Any]:
        """``sandbox.json``; empty when there is none."""
        file = self.path / "sandbox.json"
        try:
            config = json.loads(file.read_text())
            if not isinstance(config, dict) or not isinstance(config.get("id"), str):
                raise ValueError("it does not name a sandbox")
            return config
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (ValueError, OSError) as error:
            raise WindtunnelError(f"The state in {file} cannot be read: {error}.", RESET_HARD) from error

    def config(self) -> dict[str, Any]:
        """``sandbox.json``. Raises WindtunnelError when there is none or it cannot be read."""
        config = self._read_config()
        if not config:
            raise WindtunnelError(
                f"No sandbox has been made in {self.path} yet.", "start one: `windtunnel up`."
            )
        return config

    def ports(self) -> Ports:
        """The ports of the last start. Raises WindtunnelError when they are not known."""
        found = Ports.of(self.config())
        if found is None:
            raise WindtunnelError(f"{self.path / 'sandbox.json'} does not name the ports.", RESET_HARD)
        return found

    def _make_secrets(self) -> None:
        file = self.path / "secrets.json"
        if file.exists():
            self._add_younger_secrets(file)
            return
        if (self.path / "postgres").exists():
            raise WindtunnelError(f"{file} is gone, and with it the database's passwords.", RESET_HARD)
        from cryptography.fernet import Fernet  # slow to import, needed once

        made = {name: secrets.token_urlsafe(24) for name in SECRETS} | {
            "fernet": Fernet.generate_key().decode()
        }
        write_private(file, json.dumps(made, indent=1))

    def _add_younger_secrets(self, file: Path) -> None:
        try:
            found = json.loads(file.read_text())
            missing = set(SECRETS) - set(found)
        except (ValueError, TypeError, OSError):
            return  # damaged: `secrets` tells
        if isinstance(found, dict) and missing and missing <= YOUNGER_SECRETS:
            added = {name: secrets.token_urlsafe(24) for name in sorted(missing)}
            write_private(file, json.dumps(found | added, indent=1))

    def secrets(self) -> dict[str, str]:
        """Generated credentials. Raises WindtunnelError when they are missing or damaged."""
        file = self.path / "secrets.json"
        try:
            found = json.loads(file.read_text())
            if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in SECRETS):
                raise ValueError("some are missing")
            return found
        except (ValueError, OSError) as error:
            raise WindtunnelError(
                f"The credentials in {file} cannot be read: {error}.", RESET_HARD
            ) from error

    def status(self) -> dict[str, Any]:
        """What the launcher last wrote; empty when it never ran or the file is damaged."""
        try:
            found = json.loads((self.path / "status.json").read_text())
        except (ValueError, OSError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_status(self, status: dict[str, Any]) -> None:
        """Replace ``status.json``."""
        write_private(self.path / "status.json", json.dumps(status, indent=1))

    def is_running(self) -> bool:
        """Whether a launcher lives on this folder. Raises WindtunnelError when it cannot be looked into."""
        try:
            return locks.is_held(self.path)
        except NotADirectoryError:
            return False
        except OSError as error:
            raise self._unusable(error) from error
