"""The warm process: Airflow imported once, a fork for each check. ``python -m windtunnel.engine.server FOLDER``.

It listens on a socket in FOLDER, which only its user may enter, and leaves after half an hour without work,
or when the code it was started from has changed. An order is a line of JSON; so is each reply.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from windtunnel.engine import fingerprint, jail, kernel
from windtunnel.engine.bench import Ground
from windtunnel.engine.judge import judge
from windtunnel.engine.preload import load, settle

IDLE = 30 * 60.0  # seconds
LOOK = 5.0  # seconds between looks at the code


def prepare(template: Path, home: Path, progress: Callable[[str], None] = lambda _: None) -> Ground:
    """Import Airflow, and run one DAG, so that all that is done once is done."""
    namespaces = jail.namespaces()
    ground = Ground(load(template, home, progress), namespaces, home / "checks")
    progress("running a first DAG")
    warm_up(ground)
    settle()
    return ground


def warm_up(ground: Ground) -> None:
    """Run a small DAG on a bench in this very process, and its tasks in here too."""
    from windtunnel.engine import warming

    warming.run(ground)


def serve(ground: Ground, listener: socket.socket, mark: str) -> None:
    """Fork a judge for each connection, until nobody comes any more."""
    checks: dict[int, tuple[socket.socket, int]] = {}  # by the connection's descriptor
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    last = time.monotonic()
    while True:
        for number, _ in poll.poll(LOOK * 1000):
            last = time.monotonic()
            if number == listener.fileno():
                connection, _ = listener.accept()
                checks[connection.fileno()] = connection, _forked(ground, listener, connection, checks)
                poll.register(connection, select.POLLRDHUP)
            else:  # its client has left, or its judge is done: both look the same from here
                connection, process = checks.pop(number)
                poll.unregister(number)
                connection.close()
                _end(process)
                shutil.rmtree(ground.checks / f"windtunnel-check-{process}", ignore_errors=True)
        if not checks and (time.monotonic() - last > IDLE or fingerprint.of_code() != mark):
            return


def _forked(
    ground: Ground,
    listener: socket.socket,
    connection: socket.socket,
    others: dict[int, tuple[socket.socket, int]],
) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        kernel.die_with_parent(signal.SIGKILL)
        listener.close()
        for each, _ in others.values():
            each.close()
        answer_order(ground, connection)
    finally:
        os._exit(0)


def answer_order(ground: Ground, connection: socket.socket) -> None:
    """Read an order, judge, and reply."""

    def say(reply: dict[str, Any]) -> None:
        connection.sendall(json.dumps(reply).encode() + b"\n")

    try:
        with connection.makefile("rb") as lines:
            order = json.loads(lines.readline())
        os.umask(0o022)
        say({"done": judge(ground, order, lambda finding: say({"finding": finding}))})
    except BrokenPipeError:
        pass
    except BaseException as error:
        say({"failed": "".join(traceback.format_exception(error))[-4_000:]})
    finally:
        connection.shutdown(socket.SHUT_RDWR)


def _end(process: int) -> None:
    """End a judge and all its processes; they are one session's group, or die with one of it."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _leave(*_: object) -> None:
    sys.exit(0)


def main() -> int:
    """Serve; returns 0. The folder then holds no socket any more."""
    parser = argparse.ArgumentParser(prog="python -m windtunnel.engine.server")
    parser.add_argument("socket", type=Path)
    parser.add_argument("template", type=Path)
    parser.add_argument("mark")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    home = Path(tempfile.mkdtemp(prefix="windtunnel-engine-"))
    unfinished = options.socket.with_suffix(f".{os.getpid()}")
    try:
        ground = prepare(options.template, home, lambda step: print(step, flush=True))
        signal.signal(signal.SIGTERM, _leave)  # the first task has left Airflow's own handler, which goes on
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unfinished))
        unfinished.chmod(0o600)
        listener.listen(64)
        unfinished.replace(options.socket)
        print("ready", flush=True)
        serve(ground, listener, options.mark)
        return 0
    finally:
        options.socket.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
