"""Systems that pipelines tell something: a chat, a mailbox, a pager, a metrics intake. They remember, so that we
can look. Mail comes by SMTP (``world.mail``), the rest over HTTP.

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


class Inboxes:
    """All of them, by the name under which ``GET`` and ``DELETE /received/NAME`` show and empty them."""

    def __init__(self) -> None:
        self.chat, self.mail, self.metrics, self.pager = Inbox(), Inbox(), Inbox(), Inbox()

    def router(self) -> APIRouter:
        """``POST /services/…`` (chat), ``/pager/pages`` and ``/metrics``; ``GET`` and ``DELETE /received/NAME``."""
        routes = APIRouter()

        @routes.post("/services/{team}/{channel}/{secret}", response_class=PlainTextResponse)
        def post(team: str, channel: str, secret: str, message: Annotated[dict[str, Any], Body()]) -> str:
            if not any(message.get(part) for part in ("text", "blocks", "attachments")):
                raise HTTPException(400, "no_text")  # Slack's own word for it
            self.chat.take(message | {"channel": message.get("channel", channel)})
            return "ok"

        @routes.post("/pager/pages")
        def page(call: Page) -> dict[str, int]:
            return {"pages": self.pager.take(call.model_dump())}

        @routes.post("/metrics")
        def measure(metric: Metric) -> dict[str, int]:
            return {"metrics": self.metrics.take(metric.model_dump())}

        @routes.get("/received/{name}")
        def received(name: str) -> dict[str, list[dict[str, Any]]]:
            return {"received": self._named(name).received}

        @routes.delete("/received/{name}")
        def forget(name: str) -> dict[str, list[dict[str, Any]]]:
            self._named(name).received.clear()
            return {"received": []}

        return routes

    def _named(self, name: str) -> Inbox:
        inbox = vars(self).get(name)
        if inbox is None:
            raise HTTPException(404, f"there is no inbox {name!r}; known: {', '.join(sorted(vars(self)))}")
        found: Inbox = inbox
        return found
