"""Kernels whose outputs depend on the chapter and the sandbox alone, not on whose machine runs them.

`windtunnel.notebooks`, which makes notebooks, and `windtunnel.nbval_sandbox`, which checks them, both start
kernels from here, so they see the same Python, environment and folder.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import IO, Any, TypeVar

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager, KernelManager
from traitlets import Type

from windtunnel.hosting import Host

Manager = TypeVar("Manager", bound=KernelManager)

# A person's own settings. What remains of them would be committed with the outputs.
_PERSONAL = (
    "AIRFLOW_",  # another Airflow
    "WINDTUNNEL_",  # the reader's own sandbox
    "IPYTHON",
    "JUPYTER",
    "JPY_",
    "LC_",
    "LANGUAGE",
    "MPL",
    "MATPLOTLIB",
    "PYTEST_",
    "PYTHONSTARTUP",
    "PYTHONDONTWRITEBYTECODE",  # makes every import slow
    "PYTHONWARNINGS",
)
# Width and colour of a terminal that nobody is looking at.
_TERMINAL = {
    "COLUMNS",
    "LINES",
    "COLORTERM",
    "FORCE_COLOR",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "PY_COLORS",
}


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this package. Somebody's ``python3`` may be another."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name=kernel_name,
            language="python",
        )


class _WakefulChannel(AsyncZMQSocketChannel):
    """Looks again five times a second for a message it was not told of.

    When nbclient answers an Output widget it sends on a socket that it is also waiting on, and pyzmq 27.3 then
    misses the wake-up in 1–5 % of such cells: the reply is seen when the cell's whole time limit has passed.
    """

    async def get_msg(  # type: ignore[override]  # jupyter_client says the same of its own
        self, timeout: float | None = None
    ) -> dict[str, Any]:
        deadline = math.inf if timeout is None else monotonic() + timeout
        while True:
            try:
                return await super().get_msg(min(0.2, max(deadline - monotonic(), 0)))
            except Empty:
                if monotonic() >= deadline:
                    raise


class _WakefulClient(AsyncKernelClient):
    shell_channel_class = Type(_WakefulChannel)
    iopub_channel_class = Type(_WakefulChannel)


def environment(host: Host) -> dict[str, str]:
    """The variables of a kernel: this process's, less the person's own settings, plus the sandbox's."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PERSONAL) and name not in _TERMINAL
    }
    home = host.folder / "profile"
    profile = {
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "jupyter"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_NO_CONFIG": "1",  # nor the configuration beside the interpreter or in /etc
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "TERM": "dumb",
        "TZ": "UTC",
    }
    return inherited | host.environ | profile


def manager(kind: type[Manager], host: Host) -> Manager:
    """A manager, of the class given, for a kernel that was not started. It writes below ``host.folder`` only.

    The kernel listens on Unix sockets in that folder: no port to lose to another process between choosing and
    binding it.
    """
    folder = _made(host.folder / "kernel")
    made = kind(
        kernel_spec_manager=_ThisPython(),
        transport="ipc",
        connection_file=str(folder / "c.json"),
        ip=str(folder / "s"),
    )
    if isinstance(made, AsyncKernelManager):
        made.client_factory = _WakefulClient
    return made


def launch_options(host: Host, log: IO[bytes]) -> dict[str, Any]:
    """Arguments for the manager's ``start_kernel``: an empty working folder, the environment, no terminal.

    A kernel that inherits a terminal takes widths from it (pandas, rich), hence ``log``.
    """
    return {
        "cwd": str(_made(host.folder / "work")),
        "env": environment(host),
        "stdout": log,
        "stderr": log,
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
