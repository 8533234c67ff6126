"""The API that Airflow's supervisor asks on behalf of a task, in this process: no server, no thread.

What every task asks for goes to Airflow's own functions directly. The way through the web framework, which
translates between releases and resolves some thirty dependencies, costs five times as much as what it leads to;
all other requests take it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, get_args
from uuid import UUID

import anyio.to_thread
import httpx
from airflow.api_fastapi.execution_api.datamodels.taskinstance import (
    TIEnterRunningPayload,
    TIStateUpdate,
    ti_state_discriminator,
)
from airflow.api_fastapi.execution_api.datamodels.token import TIClaims, TIToken
from airflow.api_fastapi.execution_api.routes import task_instances, xcoms
from airflow.utils.session import create_session
from fastapi import HTTPException, Response
from pydantic import TypeAdapter

# Annotated[A tagged a | B tagged b | …]: what a change of state may be.
_STATES = {
    get_args(choice)[1].tag: TypeAdapter(get_args(choice)[0])
    for choice in get_args(get_args(TIStateUpdate)[0])
}
_TASK = r"task-instances/(?P<task>[^/]+)"
# A key with slashes, which looks like a part of a mapped task's values, takes the other way.
_XCOM = r"xcoms/(?P<dag_id>[^/?#%]+)/(?P<run_id>[^/?#%]+)/(?P<task_id>[^/?#%]+)/(?P<key>[^/?#%]+)"


def client(app: Any) -> Any:
    """Airflow's client of the execution API, answered by ``app``."""
    from airflow.sdk.api.client import Client

    class Direct(Client):
        """What is not answered here, and every refusal, comes from the app: with all that belongs to it."""

        def request(self, method: str, url: Any, **how: Any) -> Any:  # type: ignore[override]
            for verb, pattern, answer in _DIRECT:
                if verb == method and (found := pattern.fullmatch(str(url))):
                    try:
                        with create_session(scoped=False) as session:
                            return httpx.Response(HTTPStatus.OK, content=answer(app, found, how, session))
                    except (HTTPException, ValueError):  # a ValidationError is a ValueError, too
                        break  # nothing was kept
            return super().request(method, url, **how)

    made: Any = Direct(base_url=None, token="", dry_run=True, transport=_InThisThread(app))
    made.base_url = "http://in-process.invalid./"
    return made


class _InThisThread(httpx.BaseTransport):
    """Answers requests in the calling thread: a process with threads is not safe to fork."""

    def __init__(self, app: Any) -> None:
        async def at_once(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
            return function(*arguments)

        anyio.to_thread.run_sync = at_once  # type: ignore[assignment]
        self._asgi = httpx.ASGITransport(app=app)
        self._loop = asyncio.new_event_loop()
        self._lifespan = AsyncExitStack()  # kept: collected, it would close the app
        self._loop.run_until_complete(self._lifespan.enter_async_context(app.router.lifespan_context(app)))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The response to one request."""
        request.read()
        return self._loop.run_until_complete(self._answered(request))

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        response = await self._asgi.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


def _run(app: Any, found: re.Match[str], how: Mapping[str, Any], session: Any) -> bytes:
    task = UUID(found["task"])
    context = task_instances.ti_run(
        task,
        TIEnterRunningPayload.model_validate_json(how["content"]),
        Response(),
        session,
        app.state.dag_bag,
        None,
        TIToken(id=task, claims=TIClaims(scope="execution")),
    )
    return context.model_dump_json(exclude_unset=True).encode()


def _state(app: Any, found: re.Match[str], how: Mapping[str, Any], session: Any) -> bytes:
    payload = _STATES[ti_state_discriminator(json.loads(how["content"]))].validate_json(how["content"])
    task_instances.ti_update_state(UUID(found["task"]), payload, session, app.state.dag_bag)
    return b""


def _rendered(_app: Any, found: re.Match[str], how: Mapping[str, Any], session: Any) -> bytes:
    task_instances.ti_put_rtif(UUID(found["task"]), _json(how["json"]), session)
    return b""


def _get_xcom(_app: Any, found: re.Match[str], how: Mapping[str, Any], session: Any) -> bytes:
    parameters = xcoms.GetXcomFilterParams.model_validate(how.get("params") or {})
    value = xcoms.get_xcom(**found.groupdict(), session=session, params=parameters)
    return value.model_dump_json().encode()


def _set_xcom(_app: Any, found: re.Match[str], how: Mapping[str, Any], session: Any) -> bytes:
    asked: dict[str, Any] = {
        **found.groupdict(),
        **(how.get("params") or {}),
        "value": _json(how.get("json")),
    }
    xcoms.set_xcom(session=session, **asked)
    return b""


def _json(value: Any) -> Any:
    """As it would arrive. Raises ValueError for what is no JSON, such as NaN."""
    return json.loads(json.dumps(value, allow_nan=False))


_DIRECT = [
    ("PATCH", re.compile(_TASK + "/run"), _run),
    ("PATCH", re.compile(_TASK + "/state"), _state),
    ("PUT", re.compile(_TASK + "/rtif"), _rendered),
    ("GET", re.compile(_XCOM), _get_xcom),
    ("POST", re.compile(_XCOM), _set_xcom),
]
