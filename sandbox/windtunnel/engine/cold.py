"""One check in a process of its own: ``python -m windtunnel.engine.cold DESCRIPTOR TEMPLATE``."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from pathlib import Path

from windtunnel.engine.server import answer_order, prepare


def main() -> int:
    """Answer the order that comes over the socket, and leave."""
    descriptor, template = int(sys.argv[1]), Path(sys.argv[2])
    home = Path(tempfile.mkdtemp(prefix="windtunnel-engine-"))
    try:
        answer_order(prepare(template, home), socket.socket(fileno=descriptor))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
