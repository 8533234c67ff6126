"""The fault switch: an endpoint refuses, answers late, limits calls, garbles or leaves out what it sends."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

MINUTE = 60.0  # seconds
MAIL = "mail"  # an endpoint that is not of HTTP: its server can refuse and be late
Answer = Callable[[], Awaitable[Response]]


class Fault(BaseModel):
    """What goes wrong at one endpoint, named by its path: ``orders``, ``crm/customers``, ``jobs`` and all below it."""

    model_config = ConfigDict(extra="forbid")

    endpoint: str = Field(min_length=1)
    status: int | None = Field(default=None, ge=400, le=599)  # answer with this instead of data
    rename: dict[str, str] = {}  # fields that changed their name overnight
    slow: float = Field(default=0, ge=0)  # seconds before answering
    leave_out: int = Field(default=0, ge=0)  # rows missing from the end of each list in the answer
    malformed: bool = False  # the answer breaks off in the middle
    limit: int | None = Field(default=None, ge=1)  # calls allowed in a minute; the others get 429
    seconds: float | None = Field(default=None, gt=0)  # how long it lasts; None: until mended
    times: int | None = Field(default=None, ge=1)  # requests affected; None: all

    @model_validator(mode="after")
    def _says_what_breaks(self) -> Fault:
        if not any((self.status, self.rename, self.slow, self.leave_out, self.malformed, self.limit)):
            raise ValueError("say what breaks: status, rename, slow, leave_out, malformed or limit")
        return self

    async def apply(self, answer: Answer) -> Response:
        """The faulty response; ``answer`` gives the healthy one."""
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.status is not None:
            return JSONResponse({"detail": f"{self.endpoint} is out of order"}, self.status)
        response = await answer()
        if self.malformed:
            body = await _body(response)
            return Response(body[: len(body) // 2], response.status_code, media_type="application/json")
        if not self.rename and not self.leave_out:
            return response
        content = _shortened(await _decoded(response), self.leave_out)
        return JSONResponse(_renamed(content, self.rename), response.status_code)


class Faults:
    """The faults now switched on, at most one per endpoint: a new one replaces the old.

    ``clock`` tells the seconds, for faults that last a while and for limits.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._active: dict[str, Fault] = {}
        self._begun: dict[str, float] = {}
        self._calls: dict[str, list[float]] = {}  # within the last minute, of limited endpoints

    def active(self) -> list[Fault]:
        """The faults in force, with the requests each has left."""
        return list(self._active.values())

    def switch_on(self, fault: Fault) -> None:
        """Break the fault's endpoint from the next request on."""
        self._active[fault.endpoint] = fault
        self._begun[fault.endpoint] = self._clock()
        self._calls.pop(fault.endpoint, None)

    def clear(self) -> None:
        """Mend everything."""
        self._active.clear()

    async def around(self, endpoint: str, answer: Answer) -> Response:
        """``answer``, or what the endpoint's fault makes of it. Uses up one of the fault's ``times``."""
        fault = self.take(endpoint)
        if fault is None:
            return await answer()
        if fault.limit and (wait := self._wait(fault.endpoint, fault.limit)):
            detail = f"{fault.limit} calls a minute are allowed: try again in {wait} s"
            return JSONResponse({"detail": detail}, 429, {"Retry-After": str(wait)})
        return await fault.apply(answer)

    def take(self, endpoint: str) -> Fault | None:
        """The fault that a request to ``endpoint`` meets. Uses up one of its ``times``."""
        endpoint = self._broken(endpoint)
        fault = self._active.get(endpoint)
        if fault is not None and fault.seconds and self._clock() - self._begun[endpoint] >= fault.seconds:
            del self._active[endpoint]
            return None
        if fault is not None and fault.times is not None:
            if fault.times == 1:
                del self._active[endpoint]
            else:
                self._active[endpoint] = fault.model_copy(update={"times": fault.times - 1})
        return fault

    def _broken(self, path: str) -> str:
        """The endpoint with a fault that ``path`` belongs to: itself, or one that it lies below."""
        return next((name for name in self._active if path == name or path.startswith(f"{name}/")), path)

    def _wait(self, endpoint: str, limit: int) -> int:
        """Count a call; seconds to wait if it is one too many, else 0."""
        now = self._clock()
        calls = [when for when in self._calls.get(endpoint, []) if 0 <= now - when < MINUTE]
        self._calls[endpoint] = calls
        if len(calls) < limit:
            calls.append(now)
            return 0
        return math.ceil(calls[0] + MINUTE - now)


def router(faults: Faults) -> APIRouter:
    """``GET``, ``POST`` and ``DELETE /faults``."""
    routes = APIRouter()

    @routes.get("/faults")
    def active() -> dict[str, list[Fault]]:
        return {"faults": faults.active()}

    @routes.post("/faults")
    def switch_on(fault: Fault, request: Request) -> dict[str, list[Fault]]:
        paths = request.app.openapi()["paths"]
        known = {path.split("/{")[0].strip("/") for path in paths}  # /jobs/{job_id} is of /jobs
        known = known - {"faults", "objects", "received"} | {MAIL}  # how we look at the world stays whole
        if fault.endpoint not in known:
            names = ", ".join(sorted(known))
            raise HTTPException(422, f"endpoint: there is no {fault.endpoint!r}; known: {names}")
        if fault.endpoint == MAIL and not fault.status and not fault.slow:
            raise HTTPException(422, f"{MAIL} can refuse (status) and be slow, nothing else")
        faults.switch_on(fault)
        return {"faults": faults.active()}

    @routes.delete("/faults")
    def clear() -> dict[str, list[Fault]]:
        faults.clear()
        return {"faults": []}

    return routes


async def _body(response: Response) -> bytes:
    # Inside a middleware the body is a stream, whatever the endpoint returned.
    return b"".join([chunk async for chunk in response.body_iterator])  # type: ignore[attr-defined]


async def _decoded(response: Response) -> Any:
    return json.loads(await _body(response))


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
