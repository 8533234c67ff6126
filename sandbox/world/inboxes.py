"""Systems that pipelines tell something: a chat, a pager, a metrics intake. They remember, so that we can look.

The chat takes what Slack's incoming webhooks take, at an address like theirs, and answers as they do.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

KEPT = 1000  # of each kind; the oldest go first


class Page(BaseModel):
    """Somebody is to be woken."""

    model_config = ConfigDict(extra="forbid")

    summary: str = Field(min_length=1)
    severity: Literal["info", "warning", "error", "critical"] = "error"
    source: str = ""
    details: dict[str, Any] = {}


class Metric(BaseModel):
    """A number with a name; ``date`` is what it is about, as ISO text."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    value: float
    date: str = ""
    tags: dict[str, str] = {}


class Inbox:
    """What arrived, oldest first."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []

    def take(self, message: dict[str, Any]) -> int:
        """Keep a message; returns how many there are."""
        self.received.append(message)
        del self.received[:-KEPT]
        return len(self.received)


def router() -> APIRouter:
    """``POST /services/…`` (chat), ``/pager/pages``, ``/metrics``; each with ``GET`` and ``DELETE`` of what came."""
    routes = APIRouter()
    chat, pager, metrics = Inbox(), Inbox(), Inbox()

    @routes.post("/services/{team}/{channel}/{secret}", response_class=PlainTextResponse)
    def post(team: str, channel: str, secret: str, message: Annotated[dict[str, Any], Body()]) -> str:
        if not any(message.get(part) for part in ("text", "blocks", "attachments")):
            raise HTTPException(400, "no_text")  # Slack's own word for it
        chat.take(message | {"channel": message.get("channel", channel)})
        return "ok"

    @routes.post("/pager/pages")
    def page(call: Page) -> dict[str, int]:
        return {"pages": pager.take(call.model_dump())}

    @routes.post("/metrics")
    def measure(metric: Metric) -> dict[str, int]:
        return {"metrics": metrics.take(metric.model_dump())}

    for path, name, inbox in (
        ("/chat/messages", "messages", chat),
        ("/pager/pages", "pages", pager),
        ("/metrics", "metrics", metrics),
    ):
        _readable(routes, path, name, inbox)
    return routes


def _readable(routes: APIRouter, path: str, name: str, inbox: Inbox) -> None:
    def received() -> dict[str, list[dict[str, Any]]]:
        return {name: inbox.received}

    def forget() -> dict[str, list[dict[str, Any]]]:
        inbox.received.clear()
        return {name: []}

    routes.add_api_route(path, received, methods=["GET"], operation_id=f"read {name}")
    routes.add_api_route(path, forget, methods=["DELETE"], operation_id=f"forget {name}")
