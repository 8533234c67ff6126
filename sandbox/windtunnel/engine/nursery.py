"""The process that benches are forked from. It has seen neither the criteria nor any answer."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from windtunnel.engine import jail, kernel
from windtunnel.engine.bench import Ground, receive, send, serve, sweep

GRACE = 20.0  # seconds beyond the limits of what is asked, for the bench's own work


class Nursery:
    """The other end of the process: ask it. A context manager; leaving it ends every bench."""

    def __init__(self, ground: Ground) -> None:
        self._folder = ground.checks / f"windtunnel-check-{os.getpid()}"
        self._folder.mkdir(parents=True)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._process = os.fork()
        if self._process == 0:
            self._ours.close()
            _work(ground, theirs, self._folder)
        theirs.close()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        os.kill(self._process, signal.SIGTERM)
        os.waitpid(self._process, 0)
        jail.remove(self._folder)

    def bench(self, answer: Path, database: int) -> Bench:
        """A new bench for the answer. May be called from several threads at once."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._ours, [b"?"], [theirs.fileno(), database])
        return Bench(ours, answer)


class Bench:
    """The judge's end of one bench, which answers one question at a time."""

    def __init__(self, pipe: socket.socket, answer: Path) -> None:
        self._pipe = pipe
        self._process = 0
        self.usable = True
        try:
            send(pipe, {"name": answer.name, "source": answer.read_bytes().hex()})
            self._process = receive(pipe)
        except (EOFError, BrokenPipeError):
            self.usable = False

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The reply; see ``bench._replied``. A bench that does not reply in time is ended."""
        doing = what(question)
        seconds = question["seconds"] * max(1, len(question.get("cases") or ())) + GRACE
        self._pipe.settimeout(seconds)
        try:
            send(self._pipe, question)
            found: dict[str, Any] = receive(self._pipe)
        except TimeoutError:
            self.end()
            return {"lost": f"Stopped: {doing} took more than {seconds:g} s."}
        except (EOFError, BrokenPipeError):
            self.end()
            return {
                "lost": f"Whoever watched {doing} was ended: does the file kill processes, or fill memory?"
            }
        return found

    def end(self) -> None:
        """End it, and all that it started."""
        self.usable = False
        self._pipe.close()
        if self._process:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)


def what(question: Mapping[str, Any]) -> str:
    """What is being done, for messages."""
    if question["do"] == "run":
        return "the run for " + ", ".join(case["date"] for case in question["cases"])
    if question["do"] in ("planned", "ready"):
        return f"asking when {question['dag_id']} runs"
    if question["do"] == "call":
        return f"{question['function']}(…)"
    return "importing your file" if question["do"] == "parse" else "running your cell"


def _work(ground: Ground, questions: socket.socket, folder: Path) -> None:
    """Fork a bench for each question until there is nobody to ask. Never returns."""
    try:
        kernel.die_with_parent(signal.SIGTERM)
        if sys.platform == "linux" and not ground.namespaces:
            kernel.adopt_orphans()
        children: set[int] = set()

        def leave(*_: object) -> None:
            for child in children:
                os.kill(child, signal.SIGKILL)  # and the kernel, what hangs on it
            if not ground.namespaces:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                sweep(set())  # what answers left running has become ours
            os._exit(0)

        def reap(*_: object) -> None:
            for child in list(children):
                if os.waitpid(child, os.WNOHANG)[0]:
                    children.discard(child)

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, reap)
        while True:
            said, descriptors, _, _ = socket.recv_fds(questions, 1, 2)
            if not said:
                leave()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
            child = os.fork()
            if child == 0:
                questions.close()
                _bench(ground, descriptors, folder)
            children.add(child)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
            for each in descriptors:
                os.close(each)
    finally:
        os._exit(1)


def _bench(ground: Ground, descriptors: list[int], folder: Path) -> None:
    """Be a bench. Never returns."""
    try:
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
        kernel.die_with_parent(signal.SIGKILL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # Airflow's scheduler talks a lot
            os.dup2(nowhere, stream)
        judge, database = descriptors
        mine = Path(tempfile.mkdtemp(dir=folder))
        serve(ground, socket.socket(fileno=judge), database, mine)
    finally:
        os._exit(0)
