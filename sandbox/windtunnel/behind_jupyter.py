"""Airflow's UI behind the Jupyter server beside it, at ``…/airflow/``, for whoever that server lets in.

A server extension. ``sandbox/jupyter/jupyter_server_config.py`` puts it into the servers of the course's image, alone
or one of many behind a JupyterHub: such a server starts the sandbox as it starts itself, and takes it down with it.
`windtunnel lab` does without; there the UI has a port of its own.
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
from windtunnel.paths import repo_root, state_dir, work_dir
from windtunnel.sandbox import Sandbox
from windtunnel.surroundings import PUBLISHED

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

NAME = "airflow"  # the last part of the path
# A forwarded port of GitHub Codespaces: pages come from that address, requests say "localhost".
CODESPACE = ("CODESPACE_NAME", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")


def configure(config: Any, port: int = 8888) -> None:
    """Set up the reader's folders and a Jupyter server of the course: ``config`` is traitlets' own, for a ``port``.

    Raises WindtunnelError when a folder cannot be made.
    """
    Sandbox().prepare(anywhere=True)  # nobody types the port, and a class begins at once
    work.prepare()
    config.ServerApp.root_dir = str(work_dir())
    config.ServerApp.jpserver_extensions = {__name__: True}
    config.LabApp.app_settings_dir = str(lab.settings(state_dir() / "jupyter"))
    config.LabApp.extension_manager = "readonly"
    config.LanguageServerManager.autodetect = False
    config.ServerProxy.servers = {NAME: _entry()}
    if all(os.environ.get(name) for name in CODESPACE):
        name, domain = (os.environ[variable] for variable in CODESPACE)
        config.ServerApp.allow_origin = f"https://{name}-{port}.{domain}"


def _entry() -> Server:
    icon = repo_root() / "sandbox/jupyter/airflow.svg"
    tile = {"title": "Airflow", "icon_path": str(icon)}
    return Server(name=NAME, absolute_url=True, launcher_entry=tile)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    path = url_path_join(server.base_url, NAME)
    if "%" not in path:
        # Kernels and terminals inherit it: whoever of them starts the sandbox starts it under this path.
        os.environ[PREFIX] = path

    def start() -> None:
        try:
            _up()
        except WindtunnelError as error:
            server.log.error("%s", error)

    if _is_ours():
        threading.Thread(target=start, daemon=True).start()


class Handler(NamedLocalProxyHandler):  # type: ignore[misc]
    """Passes requests on to the sandbox as it is now: when it starts anew, its port may be another."""

    def is_visit(self) -> bool:
        """Whether a person wants a page, or a page that they have open asks for more."""
        return "text/html" in self.request.headers.get("Accept", "")

    async def proxy(self, _port: int, path: str) -> Any:
        """Pass a request on. Somebody's visit starts a sandbox that is down; requests of an open page do not."""
        try:
            if self.is_visit():
                if not (_is_ours() or Sandbox().state.is_running()):
                    return self.redirect(os.environ[PUBLISHED])
                await asyncio.to_thread(_answering)
            return await super().proxy(_port_under(url_path_join(self.base_url, NAME)), path)
        except WindtunnelError as error:
            raise HTTPError(503, "%s", error) from error
        except ConnectionRefusedError as error:
            raise HTTPError(503, "Airflow is starting, or starting again.") from error


class Server(ServerProcess):  # type: ignore[misc]
    """The entry of jupyter-server-proxy, with our handler."""

    def get_proxy_base_class(self) -> tuple[type, dict[str, Any]]:
        """The handler's class, and what it is made with."""
        return Handler, {}


def _is_ours() -> bool:
    """Whether the server's sandbox is what its reader means by Airflow: not where containers run one."""
    return PUBLISHED not in os.environ


def _up() -> None:
    Sandbox().up(follow=os.getpid(), anywhere=True)


def _answering() -> None:
    """Wait for an Airflow that answers, starting it if need be; not for one whose parts are all well."""
    sandbox = Sandbox()
    if not (sandbox.state.is_running() and sandbox.airflow().health(timeout=2)):
        _up()


def _port_under(path: str) -> int:
    """The port of the sandbox that is served under this path. Raises WindtunnelError when there is none."""
    sandbox = Sandbox()
    if "%" in path:  # Airflow unquotes where to go after the login once more, and finds it unsafe
        raise WindtunnelError(
            f"Airflow's login does not work below {path}: there are other characters than letters, digits and -_.~@ "
            "in the user's name.",
            "notebooks and terminals work; whoever runs the JupyterHub can give the user another name.",
        )
    if not sandbox.state.is_running():
        raise WindtunnelError("The sandbox is down.", "`windtunnel up` in a terminal starts it.")
    found = urlsplit(sandbox.url)
    if found.path != path or not found.port:
        raise WindtunnelError(
            f"The sandbox was started to be reached at {sandbox.url}, not behind this server.",
            "`windtunnel down` in a terminal of this server, then open this page again.",
        )
    return found.port
