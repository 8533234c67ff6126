"""The files in which stores send a day's takings: which have come, and whether they are whole.

A file is ``tills/<day>/<store>.csv``: a line ``receipt,euros`` for each sale, and a last one, ``total,<number of
sales>``. A file that is there may still be on its way; the last line says that it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

STORES = ["berlin", "lyon", "milano", "wien"]


def path(folder: Path, day: str, store: str) -> Path:
    """Where a store's file is, below the data folder. ``day`` is ISO text."""
    return folder / "tills" / day / f"{store}.csv"


def is_whole(file: Path) -> bool:
    """Whether the file is there with its last line, and as many sales above it as that says."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return False
    kind, _, number = (lines or [""])[-1].partition(",")
    return kind == "total" and number == str(len(lines) - 1)


def missing(folder: Path, day: str, stores: Sequence[str] = STORES) -> list[str]:
    """The stores whose file of that day has not come, or not as a whole."""
    return [store for store in stores if not is_whole(path(folder, day, store))]


def takings(folder: Path, day: str, stores: Sequence[str] = STORES) -> float:
    """What these stores took on that day, in euros. Raises ValueError, naming them, while some are missing."""
    if absent := missing(folder, day, stores):
        raise ValueError(f"{day}: nothing whole from {', '.join(absent)}")
    lines = [line for store in stores for line in path(folder, day, store).read_text().splitlines()[:-1]]
    return round(sum(float(line.partition(",")[2]) for line in lines), 2)
