"""The outside world of a bench: one shop for each run, in a process that the answer cannot see."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from windtunnel.engine import kernel
from world.faults import Fault
from world.service import address, create_app, listen
from world.shop import Shop

LARGEST_BODY = 1 << 20  # bytes of a request that become evidence
MOST_REQUESTS = 10_000
KEPT = 16 << 20  # bytes of all requests to one world that become evidence
MOST_CASES = 8  # of one question


class Outside:
    """Worlds, one for each case of a question, served while the block lasts. Made in whoever's network it is in."""

    def __init__(self) -> None:
        self._sockets = [listen(0) for _ in range(MOST_CASES)]
        self._urls = [address(each) for each in self._sockets]
        self.ports = [each.getsockname()[1] for each in self._sockets]
        self._pipe, self._theirs = socket.socketpair()
        self._process = 0

    def __enter__(self) -> Outside:
        self._process = os.fork()
        if self._process == 0:
            try:
                self._pipe.close()
                kernel.die_with_parent(signal.SIGKILL)
                asyncio.run(_serve(self._sockets, self._theirs))
            finally:
                os._exit(0)
        self._theirs.close()
        for each in self._sockets:
            each.close()
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._pipe.close()

    def begin(self, cases: Sequence[Mapping[str, Any]]) -> list[str]:
        """Have a new world for each of the cases; returns their addresses."""
        if len(cases) > MOST_CASES:
            raise ValueError(f"{len(cases)} cases in one question: there may be {MOST_CASES}")
        told = self._ask({"cases": [{"data": case["data"], "faults": case.get("faults")} for case in cases]})
        if told:
            raise ValueError(told)
        return self._urls[: len(cases)]

    def received(self) -> list[list[dict[str, Any]]]:
        """What each world was asked and told since ``begin``; see ``evidence.Request``."""
        found: list[list[dict[str, Any]]] = self._ask({})
        return found

    def _ask(self, message: Mapping[str, Any]) -> Any:
        self._pipe.sendall(json.dumps(message).encode() + b"\n")
        parts = b""
        while not parts.endswith(b"\n"):
            part = self._pipe.recv(1 << 20)
            if not part:
                raise ConnectionError("the outside world has ended")
            parts += part
        return json.loads(parts)


async def _serve(sockets: list[socket.socket], pipe: socket.socket) -> None:
    """Serve the worlds, and who asks for new ones and what they received."""
    worlds: dict[int, _Recorder] = {}
    ports = [each.getsockname()[1] for each in sockets]

    async def by_port(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await worlds[scope["server"][1]](scope, receive, send)

    config = uvicorn.Config(by_port, log_level="critical", access_log=False, lifespan="off", ws="none")
    serving = asyncio.create_task(uvicorn.Server(config).serve(sockets=sockets))
    reader, writer = await asyncio.open_unix_connection(sock=pipe, limit=1 << 30)
    while line := await reader.readline():
        message = json.loads(line)
        if "cases" in message:
            reply: Any = ""
            try:
                worlds |= {port: _world(case) for port, case in zip(ports, message["cases"], strict=False)}
            except ValueError as error:  # an author's mistake
                reply = str(error)
            told = len(message["cases"])
        else:
            reply = [worlds[port].received for port in ports[:told]]
        writer.write(json.dumps(reply, default=str).encode() + b"\n")
        await writer.drain()
    serving.cancel()


def _world(case: Mapping[str, Any]) -> _Recorder:
    shop = None if case["data"] is None else Shop.from_tables(case["data"])
    broken = [Fault(**fault) for fault in case["faults"] or ()]
    # No switch: an answer that could reach it would mend what it is to cope with.
    made = partial(create_app, shop, broken=broken, switch=False)
    return _Recorder(made, at_once=bool(broken))  # a fault's time runs from the beginning


class _Recorder:
    """An ASGI app that keeps what passes through it.

    It is made with the first request, unless ``at_once``: many an answer asks for nothing, and its routes take longer
    to make than a short run takes.
    """

    def __init__(self, make: Callable[[], Any], *, at_once: bool) -> None:
        self._make = make
        self._app = make() if at_once else None
        self.received: list[dict[str, Any]] = []
        self._left = KEPT

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        request: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"].strip("/"),
            "query": dict(parse_qsl(scope["query_string"].decode())),
            "body": None,
            "status": 0,
        }
        self._left -= len(scope["path"]) + len(scope["query_string"])
        if len(self.received) < MOST_REQUESTS and self._left > 0:
            self.received.append(request)

        async def hear() -> Any:
            nonlocal body
            message = await receive()
            if message["type"] == "http.request" and len(body) < LARGEST_BODY and self._left > 0:
                body += message.get("body", b"")
                self._left -= len(message.get("body", b""))
                request["body"] = _json(body)
            return message

        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                request["status"] = message["status"]
            await send(message)

        self._app = self._app or self._make()
        await self._app(scope, hear, say)


def _json(body: bytes) -> Any:
    try:
        found = json.loads(body) if body else None
        json.dumps([[[[[[[[found]]]]]]]])  # as deep as it will be when it is told
        return found
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
