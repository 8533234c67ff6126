"""What a task sends, read without trusting it: its requests to the supervisor, and the lines of its log.

Airflow's own readers believe the length that a message announces, and keep an endless line in memory.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from typing import Any

import msgspec

Reader = Callable[[socket.socket], bool]  # reads what is there; False when there will be no more


class Refused(Exception):
    """What came is nothing that is read here. Says why, for the learner."""


def requests(
    kind: type[Any], handle: Generator[None, Any, None], most: int, given_up: Callable[[], bool]
) -> Reader:
    """A reader of messages of ``kind``, each behind its length in four bytes, that go to ``handle``.

    It reads no further once ``given_up`` says so, and raises Refused for a message of more than ``most`` bytes,
    or of another kind.
    """
    decoder = msgspec.msgpack.Decoder(kind)
    buffer = bytearray()
    next(handle)

    def read(pipe: socket.socket) -> bool:
        part = pipe.recv(1 << 16)
        buffer.extend(part)
        while len(buffer) >= 4:
            length = int.from_bytes(buffer[:4], "big")
            if length > most:
                raise Refused(
                    f"it handed {length >> 20} MB to Airflow at once, which takes {most >> 20} MB here: "
                    "hand on where the data are instead"
                )
            if len(buffer) < 4 + length:
                break
            text = bytes(buffer[4 : 4 + length])
            del buffer[: 4 + length]
            try:
                message = decoder.decode(text)
            except (msgspec.MsgspecError, RecursionError, ValueError):
                raise Refused("it sent Airflow's supervisor a message that is none") from None
            handle.send(message)
            if given_up():
                return False
        return bool(part)

    return read


def lines(handle: Generator[None, Any, None], most: int, flooded: Callable[[], None]) -> Reader:
    """A reader of lines that go to ``handle``. One of more than ``most`` bytes is dropped, and ``flooded`` called."""
    rest = bytearray()
    next(handle)

    def read(pipe: socket.socket) -> bool:
        part = pipe.recv(1 << 16)
        rest.extend(part)
        if b"\n" in part:
            *whole, last = bytes(rest).split(b"\n")
            rest[:] = last
            for line in whole:
                handle.send(line)
        if len(rest) > most:
            rest.clear()
            flooded()
        return bool(part)

    return read
