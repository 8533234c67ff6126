"""The outside world as one service on loopback: HTTP, and beside it a mail server and object storage.

``python -m world.service --port 8090`` serves the invented shop, with ``--data FILE`` one written by hand.
The address is printed once it can be talked to.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.base import RequestResponseEndpoint

from world import catalogue, cluster, dashboard, faults, mail, objects, shop_api, weather
from world.inboxes import Inboxes
from world.shop import Shop

HOST = "127.0.0.1"


def create_app(
    shop: Shop | None = None,
    *,
    broken: Sequence[faults.Fault] = (),
    switch: bool = True,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """One world: every outside system and the fault switch. Its state lives and dies with the app.

    ``broken`` are the faults that it begins with; without ``switch`` nobody can mend or add any. ``clock`` tells
    the seconds since 1970 to what takes time here: jobs, limits, faults that last a while.
    """
    app = FastAPI(title="Windtunnel's outside world", docs_url=None, redoc_url=None)
    app.state.faults = now = faults.Faults(clock)
    app.state.inboxes = inboxes = Inboxes()
    for fault in broken:
        now.switch_on(fault)
    # A new outside system is one module with a router, and a line here.
    app.include_router(shop_api.router(shop or Shop()))
    app.include_router(dashboard.router())
    app.include_router(weather.router(clock))
    app.include_router(catalogue.router())
    app.include_router(inboxes.router())
    app.include_router(cluster.router(clock))
    app.include_router(objects.router())
    if switch:
        app.include_router(faults.router(now))

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.middleware("http")
    async def with_faults(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await now.around(request.url.path.strip("/"), lambda: call_next(request))

    @app.exception_handler(RequestValidationError)
    async def explain(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"detail": "; ".join(map(_sentence, error.errors()))}, 422)

    return app


def _sentence(problem: Mapping[str, object]) -> str:
    """FastAPI's account of one bad value, in words: which field, what was sent, what is wrong with it."""
    where = ".".join(str(part) for part in problem["loc"][1:]) or "body"  # type: ignore[index]
    if problem["type"] == "missing":
        return f"{where}: missing"
    return f"{where}: {problem['input']!r}: {problem['msg']}"


def server_for(app: FastAPI) -> uvicorn.Server:
    """A quiet server for ``app``; run it with ``.run(sockets=[listen(port)])``."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))


def listen(port: int, host: str = HOST) -> socket.socket:
    """A socket on ``port``; 0 lets the system choose. Raises OSError when the port is taken."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
        server.listen()  # from here on clients wait in the queue instead of being refused
    except OSError:
        server.close()
        raise
    return server


async def serve(
    app: FastAPI, http: socket.socket, smtp: socket.socket | None = None, s3: socket.socket | None = None
) -> None:
    """Serve ``app`` on listening sockets until told to stop; mail and objects where they have one."""
    async with contextlib.AsyncExitStack() as serving:
        if smtp is not None:
            await serving.enter_async_context(
                await mail.serve(smtp, app.state.inboxes.mail, app.state.faults)
            )
        if s3 is not None:
            objects.serve(s3)
        await server_for(app).serve(sockets=[http])


def address(server: socket.socket) -> str:
    """The URL of a socket that ``listen`` made."""
    host, port = server.getsockname()
    return f"http://{host}:{port}"


def turned_by(hands: Path) -> Callable[[], float]:
    """A clock that is ahead of real time by the nanoseconds in ``hands``, a signed 64-bit number at its beginning."""

    def clock() -> float:
        with hands.open("rb") as file:
            return time.time() + int.from_bytes(file.read(8), "little", signed=True) / 1e9

    return clock


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns 0, or 2 when the file or the port cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m world.service", description="Windtunnel's outside world."
    )
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 chooses a free one")
    parser.add_argument(
        "--host", default=HOST, help="another address to listen on, within a container's network"
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help="a shop written by hand (JSON)")
    parser.add_argument("--smtp-port", type=int, metavar="PORT", help="also take mail, there")
    parser.add_argument("--s3-port", type=int, metavar="PORT", help="also keep objects, there")
    parser.add_argument("--hands", type=Path, metavar="FILE", help="the hands of a clock to live by")
    options = parser.parse_args(arguments)

    # uvicorn restores these handlers on its way out and raises the signal again: leave quietly, as told to.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        shop = Shop.from_json(options.data) if options.data else Shop()
    except (OSError, ValueError) as error:
        print(f"world.service: {error}", file=sys.stderr)
        return 2
    sockets: list[socket.socket | None] = []
    for port in (options.port, options.smtp_port, options.s3_port):
        try:
            sockets.append(listen(port, options.host) if port is not None else None)
        except OSError as error:
            print(f"world.service: port {port} of {options.host}: {error.strerror}", file=sys.stderr)
            return 2
    http, smtp, s3 = sockets
    assert http is not None
    print(address(http), flush=True)
    clock = turned_by(options.hands) if options.hands else time.time
    asyncio.run(serve(create_app(shop, clock=clock), http, smtp, s3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
