"""Modules that are imported when something in them is first used.

Airflow's client takes a second to import, and `windtunnel status` or a starting sandbox needs none of it.
"""

from __future__ import annotations

import importlib
from typing import Any


class Deferred:
    """Stands for a module until one of its names is asked for."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._module), name)
