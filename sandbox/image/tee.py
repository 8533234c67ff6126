"""Pass on what comes in, and keep the last of it in a file: ``program | python tee.py FILE``."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler

BYTES = 2**20  # of the file, and of the one before it


def main(path: str) -> None:
    """Until the other side closes its end."""
    kept = RotatingFileHandler(path, maxBytes=BYTES, backupCount=1)
    for line in sys.stdin:
        sys.stdout.write(line)
        sys.stdout.flush()
        kept.emit(logging.makeLogRecord({"msg": line.rstrip("\n")}))


if __name__ == "__main__":
    main(sys.argv[1])
