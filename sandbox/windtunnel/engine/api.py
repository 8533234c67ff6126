"""The API that Airflow's supervisor asks on behalf of a task, in this process: no server, no thread.

What every task asks for goes to Airflow's own functions directly. The way through the web framework, which
translates between releases and resolves some thirty dependencies, costs five times as much as what it leads to;
all other requests take it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
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
from pydantic import TypeAdapter, ValidationError

# Annotated[A tagged a | B tagged b | …]: what a change of state may be.
_STATES = {
    get_args(choice)[1].tag: TypeAdapter(get_args(choice)[0])
    for choice in get_args(get_args(TIStateUpdate)[0])
}
_TASK = r"/task-instances/(?P<task>[^/]+)"
# A key with slashes, and a part of a mapped task's values, take the other way.
_XCOM = r"/xcoms/(?P<dag_id>[^/]+)/(?P<run_id>[^/]+)/(?P<task_id>[^/]+)/(?P<key>[^/]+)"


def client(app: Any) -> Any:
    """Airflow's client of the execution API, answered by ``app``."""
    from airflow.sdk.api.client import Client

    found: Any = Client(base_url=None, token="", dry_run=True, transport=Transport(app))
    found.base_url = "http://in-process.invalid./"
    return found


class Transport(httpx.BaseTransport):
    """Answers requests in the calling thread: a process with threads is not safe to fork."""

    def __init__(self, app: Any) -> None:
        async def at_once(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
            return function(*arguments)

        anyio.to_thread.run_sync = at_once  # type: ignore[assignment]
        self._app = app
        self._asgi = httpx.ASGITransport(app=app)
        self._loop = asyncio.new_event_loop()
        self._lifespan = AsyncExitStack()  # kept: collected, it would close the app
        self._loop.run_until_complete(self._lifespan.enter_async_context(app.router.lifespan_context(app)))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The response to one request."""
        request.read()
        for method, pattern, answer in _DIRECT:
            if request.method == method and (found := pattern.fullmatch(request.url.path)):
                return self._direct(answer, found, request)
        return self._loop.run_until_complete(self._through_the_app(request))

    def _direct(
        self, answer: Callable[..., Any], found: re.Match[str], request: httpx.Request
    ) -> httpx.Response:
        try:
            with create_session(scoped=False) as session:
                status, body = answer(self._app, found, request, session)
        except HTTPException as error:
            return httpx.Response(error.status_code, json={"detail": error.detail}, headers=error.headers)
        except ValidationError as error:
            return httpx.Response(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                json={"detail": error.errors(include_url=False, include_input=False)},
            )
        return httpx.Response(status, content=body, headers={"content-type": "application/json"})

    async def _through_the_app(self, request: httpx.Request) -> httpx.Response:
        response = await self._asgi.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


def _run(app: Any, found: re.Match[str], request: httpx.Request, session: Any) -> tuple[int, bytes]:
    task = UUID(found["task"])
    context = task_instances.ti_run(
        task,
        TIEnterRunningPayload.model_validate_json(request.content),
        Response(),
        session,
        app.state.dag_bag,
        None,
        TIToken(id=task, claims=TIClaims(scope="execution")),
    )
    return HTTPStatus.OK, context.model_dump_json(exclude_unset=True).encode()


def _state(app: Any, found: re.Match[str], request: httpx.Request, session: Any) -> tuple[int, bytes]:
    payload = _STATES[ti_state_discriminator(json.loads(request.content))].validate_json(request.content)
    task_instances.ti_update_state(UUID(found["task"]), payload, session, app.state.dag_bag)
    return HTTPStatus.NO_CONTENT, b""


def _rendered(_app: Any, found: re.Match[str], request: httpx.Request, session: Any) -> tuple[int, bytes]:
    told = task_instances.ti_put_rtif(UUID(found["task"]), json.loads(request.content), session)
    return HTTPStatus.CREATED, json.dumps(told).encode()


def _get_xcom(_app: Any, found: re.Match[str], request: httpx.Request, session: Any) -> tuple[int, bytes]:
    parameters = xcoms.GetXcomFilterParams.model_validate(dict(request.url.params))
    value = xcoms.get_xcom(**found.groupdict(), session=session, params=parameters)
    return HTTPStatus.OK, value.model_dump_json().encode()


def _set_xcom(_app: Any, found: re.Match[str], request: httpx.Request, session: Any) -> tuple[int, bytes]:
    asked = request.url.params
    mapped_length = asked.get("mapped_length")
    told = xcoms.set_xcom(
        **found.groupdict(),
        session=session,
        value=json.loads(request.content) if request.content else None,
        map_index=int(asked.get("map_index", -1)),
        dag_result=asked.get("dag_result", "false").lower() == "true",
        mapped_length=None if mapped_length is None else int(mapped_length),
    )
    return HTTPStatus.CREATED, json.dumps(told).encode()


_DIRECT = [
    ("PATCH", re.compile(_TASK + "/run"), _run),
    ("PATCH", re.compile(_TASK + "/state"), _state),
    ("PUT", re.compile(_TASK + "/rtif"), _rendered),
    ("GET", re.compile(_XCOM), _get_xcom),
    ("POST", re.compile(_XCOM), _set_xcom),
]
