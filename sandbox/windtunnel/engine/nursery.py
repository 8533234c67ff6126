"""The process that benches are forked from. It has seen neither the criteria nor any answer.

A question comes as three descriptors: the question as JSON, the pipe for the reply, the answer's database.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windtunnel.engine import kernel
from windtunnel.engine.question import Ground, answer


class Nursery:
    """The other end of the process: ask it. A context manager; leaving it ends every bench."""

    def __init__(self, ground: Ground) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="windtunnel-check-"))
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
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, question: Mapping[str, Any], database: int) -> dict[str, Any]:
        """The reply of a bench; see ``question.answer``. May be called from several threads at once."""
        ours, theirs = os.pipe()
        with tempfile.TemporaryFile() as asked:
            asked.write(json.dumps(question).encode())
            asked.flush()
            socket.send_fds(self._ours, [b"?"], [asked.fileno(), theirs, database])
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            reply = pipe.read()
        if not reply:
            return {"lost": "Whoever watched your code was ended: does the file kill other processes?"}
        found: dict[str, Any] = json.loads(reply)
        return found


def _work(ground: Ground, questions: socket.socket, folder: Path) -> None:
    """Fork a bench for each question until there is nobody to ask. Never returns."""
    try:
        kernel.die_with_parent(signal.SIGTERM)
        children: set[int] = set()

        def leave(*_: object) -> None:
            for child in children:
                os.kill(child, signal.SIGKILL)  # and the kernel, what hangs on it
            os._exit(0)

        def reap(*_: object) -> None:
            for child in list(children):
                if os.waitpid(child, os.WNOHANG)[0]:
                    children.discard(child)

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, reap)
        while True:
            said, descriptors, _, _ = socket.recv_fds(questions, 1, 3)
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
    """Answer one question. Never returns."""
    asked, reply, database = descriptors
    try:
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
        kernel.die_with_parent(signal.SIGKILL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # Airflow's scheduler talks a lot
            os.dup2(nowhere, stream)
        with os.fdopen(asked, "rb") as source:
            source.seek(0)
            question = json.loads(source.read())
        mine = Path(tempfile.mkdtemp(dir=folder))
        try:
            found = answer(ground, question, database, mine)
        except BaseException as error:
            found = {"broken": "".join(traceback.format_exception(error))[-4_000:]}
        if not ground.namespaces:
            shutil.rmtree(mine, ignore_errors=True)
        with os.fdopen(reply, "wb") as pipe:
            pipe.write(json.dumps(found).encode())
    finally:
        os._exit(0)
