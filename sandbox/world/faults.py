"""The fault switch: an endpoint refuses, answers late, renames fields or leaves out rows until told to stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

Answer = Callable[[], Awaitable[Response]]


class Fault(BaseModel):
    """What goes wrong at one endpoint, named by its path: ``orders``, ``crm/customers``."""

    model_config = ConfigDict(extra="forbid")

    endpoint: str = Field(min_length=1)
    status: int | None = Field(default=None, ge=400, le=599)  # answer with this instead of data
    rename: dict[str, str] = {}  # fields that changed their name overnight
    slow: float = Field(default=0, ge=0)  # seconds before answering
    leave_out: int = Field(default=0, ge=0)  # rows missing from the end of each list in the answer
    times: int | None = Field(default=None, ge=1)  # requests affected; None: all

    @model_validator(mode="after")
    def _says_what_breaks(self) -> Fault:
        if self.status is None and not self.rename and not self.slow and not self.leave_out:
            raise ValueError("say what breaks: status, rename, slow or leave_out")
        return self

    async def apply(self, answer: Answer) -> Response:
        """The faulty response; ``answer`` gives the healthy one."""
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.status is not None:
            return JSONResponse({"detail": f"{self.endpoint} is out of order"}, self.status)
        response = await answer()
        if not self.rename and not self.leave_out:
            return response
        content = _shortened(await _decoded(response), self.leave_out)
        return JSONResponse(_renamed(content, self.rename), response.status_code)


class Faults:
    """The faults now switched on, at most one per endpoint: a new one replaces the old."""

    def __init__(self) -> None:
        self._active: dict[str, Fault] = {}

    def active(self) -> list[Fault]:
        """The faults in force, with the requests each has left."""
        return list(self._active.values())

    def switch_on(self, fault: Fault) -> None:
        """Break the fault's endpoint from the next request on."""
        self._active[fault.endpoint] = fault

    def clear(self) -> None:
        """Mend everything."""
        self._active.clear()

    async def around(self, endpoint: str, answer: Answer) -> Response:
        """``answer``, or what the endpoint's fault makes of it. Uses up one of the fault's ``times``."""
        fault = self._active.get(endpoint)
        if fault is None:
            return await answer()
        if fault.times is not None:
            if fault.times == 1:
                del self._active[endpoint]
            else:
                self._active[endpoint] = fault.model_copy(update={"times": fault.times - 1})
        return await fault.apply(answer)


def router(faults: Faults) -> APIRouter:
    """``GET``, ``POST`` and ``DELETE /faults``."""
    routes = APIRouter()

    @routes.get("/faults")
    def active() -> dict[str, list[Fault]]:
        return {"faults": faults.active()}

    @routes.post("/faults")
    def switch_on(fault: Fault, request: Request) -> dict[str, list[Fault]]:
        known = sorted(path.strip("/") for path in request.app.openapi()["paths"])
        if fault.endpoint not in known:
            raise HTTPException(422, f"endpoint: there is no {fault.endpoint!r}; known: {', '.join(known)}")
        faults.switch_on(fault)
        return {"faults": faults.active()}

    @routes.delete("/faults")
    def clear() -> dict[str, list[Fault]]:
        faults.clear()
        return {"faults": []}

    return routes


async def _decoded(response: Response) -> Any:
    # Inside a middleware the body is a stream, whatever the endpoint returned.
    body = b"".join([chunk async for chunk in response.body_iterator])  # type: ignore[attr-defined]
    return json.loads(body)


def _shortened(content: Any, rows: int) -> Any:
    """``content`` without the last ``rows`` of each list that it is made of."""
    lists = {
        name: rest[: max(len(rest) - rows, 0)] for name, rest in content.items() if isinstance(rest, list)
    }
    return content | lists


def _renamed(content: Any, names: dict[str, str]) -> Any:
    """``content`` with fields renamed wherever they occur in it."""
    if isinstance(content, dict):
        return {names.get(key, key): _renamed(item, names) for key, item in content.items()}
    return [_renamed(item, names) for item in content] if isinstance(content, list) else content
