"""Airflow's UI behind the Jupyter server beside it, at ``…/airflow/``, for whoever that server lets in.

A server extension: ``sandbox/jupyter/jupyter_server_config.py`` puts it into the servers of the course's image, alone
or one of many behind a JupyterHub. Such a server starts the sandbox as it starts itself, and it goes down with it.
`windtunnel lab` does without: there the UI has a port of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyter_server.utils import url_path_join
from jupyter_server_proxy.config import ServerProcess  # type: ignore[import-untyped]
from jupyter_server_proxy.handlers import NamedLocalProxyHandler  # type: ignore[import-untyped]
from tornado.web import HTTPError

from windtunnel import lab, work
from windtunnel.airflow_env import PREFIX
from windtunnel.errors import WindtunnelError
from windtunnel.paths import work_dir
from windtunnel.sandbox import Sandbox

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

NAME = "airflow"  # in the server's paths
PUBLISHED = "WINDTUNNEL_PUBLISHED"  # where docker-compose.yaml has the containers' own UI


class Handler(NamedLocalProxyHandler):  # type: ignore[misc]
    """Passes requests on to the sandbox of now, whose port may change when it starts anew."""

    @property
    def port(self) -> int:
        """The port of the sandbox's API server."""
        return Sandbox().state.ports().api

    async def proxy(self, _port: int, path: str) -> Any:
        """Pass a request on. A visitor, unlike an open page's requests, has the sandbox started."""
        try:
            started_here = _is_visit(self)
            if started_here and not _uses_sandbox():
                return self.redirect(os.environ[PUBLISHED])
            if started_here:
                await asyncio.to_thread(_up)
            own = await asyncio.to_thread(_check, url_path_join(self.base_url, NAME))
        except WindtunnelError as error:
            raise HTTPError(503, reason=f"{error.message} Next: {error.next_step}") from error
        return await super().proxy(own, path)


class Server(ServerProcess):  # type: ignore[misc]
    """What jupyter-server-proxy is told about it."""

    def get_proxy_base_class(self) -> tuple[type, dict[str, Any]]:
        """Our own handler."""
        return Handler, {}

    def get_proxy_attributes(self) -> dict[str, Any]:
        """All but the port, which is looked up for each request."""
        return {name: value for name, value in super().get_proxy_attributes().items() if name != "port"}
