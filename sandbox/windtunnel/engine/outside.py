"""The outside world of a question: one shop for each run, in a process that the answer cannot see."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from windtunnel.engine import kernel
from world.faults import Fault
from world.service import address, create_app, listen
from world.shop import Shop

LARGEST_BODY = 1 << 20  # bytes of a request that become evidence
MOST_REQUESTS = 10_000


class Outside:
    """Worlds, one for each case, served while the block lasts. The sockets are made on construction."""

    def __init__(self, cases: Sequence[Mapping[str, Any]]) -> None:
        self._cases = cases
        self._sockets = [listen(0) for _ in cases]
        self.urls = [address(each) for each in self._sockets]
        self.ports = [each.getsockname()[1] for each in self._sockets]
        self._pipe: socket.socket | None = None
        self._process = 0

    def __enter__(self) -> Outside:
        if self._cases:
            self._pipe, theirs = socket.socketpair()
            self._process = os.fork()
            if self._process == 0:
                try:
                    self._pipe.close()
                    kernel.die_with_parent(signal.SIGKILL)
                    asyncio.run(_serve(self._cases, self._sockets, theirs))
                finally:
                    os._exit(0)
            theirs.close()
        for each in self._sockets:
            each.close()
        return self

    def received(self) -> list[list[dict[str, Any]]]:
        """What each world was asked and told; see ``evidence.Request``."""
        if self._pipe is None:
            return []
        self._pipe.sendall(b"?")
        with self._pipe.makefile("rb") as replies:
            found: list[list[dict[str, Any]]] = json.loads(replies.read() or b"[]")
        return found

    def __exit__(self, *_: object) -> None:
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


async def _serve(
    cases: Sequence[Mapping[str, Any]], sockets: list[socket.socket], pipe: socket.socket
) -> None:
    """Serve until asked what was received; then tell, and return."""
    worlds = {}
    for case, each in zip(cases, sockets, strict=True):
        shop = Shop() if case["data"] is None else Shop.from_tables(case["data"])
        broken = [Fault(**fault) for fault in case.get("faults") or ()]
        # No switch: an answer that could reach it would mend what it is to cope with.
        worlds[each.getsockname()[1]] = _Recorder(create_app(shop, broken=broken, switch=False))

    async def by_port(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await worlds[scope["server"][1]](scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(by_port, log_level="critical", access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=sockets))
    pipe.setblocking(False)
    if await asyncio.get_running_loop().sock_recv(pipe, 1):
        told = json.dumps([world.received for world in worlds.values()], default=str).encode()
        await asyncio.get_running_loop().sock_sendall(pipe, told)
    serving.cancel()


class _Recorder:
    """An ASGI app that keeps what passes through it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.received: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        request: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"].strip("/"),
            "query": dict(parse_qsl(scope["query_string"].decode())),
            "body": None,
            "status": 0,
        }
        if len(self.received) < MOST_REQUESTS:
            self.received.append(request)

        async def hear() -> Any:
            nonlocal body
            message = await receive()
            if message["type"] == "http.request" and len(body) < LARGEST_BODY:
                body += message.get("body", b"")
                request["body"] = _json(body)
            return message

        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                request["status"] = message["status"]
            await send(message)

        await self._app(scope, hear, say)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")
