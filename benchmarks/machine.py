"""The machine on which it was measured: without it a figure says nothing."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ["apache-airflow", "jupyter-book", "jupyterlab", "nbval", "pytest"]


def machine() -> dict[str, object]:
    """Processor, cores, memory, system, versions."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def in_words(found: dict[str, object]) -> str:
    """One line."""
    packages = found["packages"]
    assert isinstance(packages, dict)
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_gb']} GB; {found['system']}; "
        f"Python {found['python']}, Airflow {packages['apache-airflow']}; {found['date']}"
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"
