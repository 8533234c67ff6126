"""Object storage that speaks S3: moto's, with one bucket, ``landing``, to begin with. It asks for no key.

moto takes half a second and 70 MB to load: that is spent when somebody first calls.
"""

from __future__ import annotations

import logging
import select
import socket
import sys
import threading

from fastapi import APIRouter

BUCKET = "landing"
REGION = "us-east-1"
_BACKEND = "moto.s3.models"


def serve(listening: socket.socket) -> threading.Thread:
    """Serve on a listening socket, in a thread that ends with the process."""
    thread = threading.Thread(target=_serve, args=(listening,), name="objects", daemon=True)
    thread.start()
    return thread


def _serve(listening: socket.socket) -> None:
    select.select([listening], [], [])
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    _begin()
    host, port = listening.getsockname()
    application = create_backend_app("s3")
    make_server(
        host, port, application, threaded=True, request_handler=MotoRequestHandler, fd=listening.fileno()
    ).serve_forever()


def _begin() -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    s3_backends.reset()
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(BUCKET, REGION)


def router() -> APIRouter:
    """``DELETE /objects``: as at the beginning."""
    routes = APIRouter()

    @routes.delete("/objects")
    def forget() -> dict[str, list[str]]:
        if _BACKEND in sys.modules:
            _begin()
        return {"objects": []}

    return routes
