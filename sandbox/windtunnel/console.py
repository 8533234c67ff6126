"""The two consoles of the command line, and the spinner on the second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner with the present step and the seconds so far; plain lines where there is no terminal."""
    start = time.monotonic()
    if not err.is_terminal:
        yield lambda step: err.print(f"{time.monotonic() - start:5.1f} s  {step}")
        return
    with err.status(f"{what} …") as spinner:
        yield lambda step: spinner.update(f"{what}: {step} …")
