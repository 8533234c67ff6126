"""Environments of their own for what others have made, from the package index that pip is set up for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from windtunnel.airflow_env import clean_environment


def plain_environment(**more: str) -> dict[str, str]:
    """This process's environment, without Airflow's settings, ours, and what forbids or misleads a Python.

    Bytecode is compiled and kept on both sides of every comparison.
    """
    found = {
        name: value
        for name, value in clean_environment().items()
        if not name.startswith(("AIRFLOW", "WINDTUNNEL_"))
        and name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")
    }
    return found | more


def environment(kept: Path, name: str, *requirements: str) -> Path:
    """The Python of an environment with these packages, made the first time that it is asked for.

    Raises subprocess.CalledProcessError if it cannot be made.
    """
    folder = kept / name
    python = folder / "bin" / "python"
    done = folder / "made-with"
    if done.is_file() and done.read_text() == "\n".join(requirements):
        return python
    uv = Path(sys.executable).parent / "uv"
    for command in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        ["pip", "install", "--quiet", "--python", str(python), *requirements],
    ):
        # The system's certificates, as pip uses them: a network with an inspecting proxy has its own.
        subprocess.run(
            [str(uv), "--system-certs", *command],
            env=plain_environment(UV_COMPILE_BYTECODE="1"),
            check=True,
            capture_output=True,
            text=True,
        )
    done.write_text("\n".join(requirements))
    return python
