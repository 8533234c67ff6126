"""Wait for something that Airflow does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from windtunnel.api import NoAnswerError

T = TypeVar("T")
OUTAGE = 30.0  # seconds; the sandbox restarts a killed API server well within


def poll(look: Callable[[], T | None], *, timeout: float, every: float) -> T | None:
    """Call ``look`` until it returns something, and return that; None when ``timeout`` seconds have passed.

    ``every``: seconds between calls. An Airflow that stops answering gets OUTAGE seconds to come back, then
    its NoAnswerError is raised.
    """
    deadline = time.monotonic() + timeout
    silent_since: float | None = None
    while True:
        try:
            found = look()
            silent_since = None
        except NoAnswerError:
            found, now = None, time.monotonic()
            silent_since = now if silent_since is None else silent_since
            if now - silent_since > OUTAGE:
                raise
        if found is not None or time.monotonic() > deadline:
            return found
        time.sleep(every)
