"""The analytics dashboard: it remembers every refresh, so that we can see what a pipeline sent."""

from __future__ import annotations

from datetime import date
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field


class Refresh(BaseModel):
    """One push: which dashboard, for which day, and the rows or the summary it shows."""

    model_config = ConfigDict(extra="forbid")

    dashboard: str = Field(min_length=1)
    date: date
    rows: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}


def router() -> APIRouter:
    """``POST /dashboard/refresh``, and ``GET`` and ``DELETE /dashboard/refreshes``."""
    routes = APIRouter()
    received: list[Refresh] = []

    @routes.post("/dashboard/refresh")
    def refresh(push: Refresh) -> dict[str, int]:
        received.append(push)
        return {"refreshes": len(received)}

    @routes.get("/dashboard/refreshes")
    def refreshes() -> dict[str, list[Refresh]]:
        return {"refreshes": received}  # newest last

    @routes.delete("/dashboard/refreshes")
    def forget() -> dict[str, list[Refresh]]:
        received.clear()
        return {"refreshes": []}

    return routes
