"""The reader's hold on the outside world: break an endpoint, mend it, look at what it received."""

from __future__ import annotations

import json
from typing import Any

import urllib3

from windtunnel.errors import WindtunnelError
from windtunnel.ports import HOST
from windtunnel.session import current

ENDPOINTS = {
    "crm": "crm/customers",
    "customers": "customers",
    "orders": "orders",
    "transactions": "transactions",
    "weather": "weather",
}
EVERYTHING = 1_000_000  # rows, more than any answer has


class Endpoint:
    """One outside system, named by its path."""

    def __init__(self, world: World, path: str) -> None:
        self._world, self.path = world, path

    def __repr__(self) -> str:
        return f"world endpoint /{self.path}"

    def fails(self, status: int = 503, times: int | None = None) -> None:
        """Answer with this HTTP status, the next ``times`` requests or until ``world.mend()``."""
        self._fault(status=status, times=times)

    def slow(self, seconds: float, times: int | None = None) -> None:
        """Answer ``seconds`` late."""
        self._fault(slow=seconds, times=times)

    def renames(self, old: str, new: str) -> None:
        """Send the field ``old`` under the name ``new``, as after somebody's deployment."""
        self._fault(rename={old: new})

    def leaves_out(self, rows: int = EVERYTHING) -> None:
        """Answer without the last ``rows`` rows, and with none unless told how many; the status stays 200."""
        self._fault(leave_out=rows)

    def get(self, **parameters: str) -> Any:
        """What it answers now. Raises WindtunnelError with the status when it refuses."""
        return self._world.ask("GET", self.path, fields=parameters)

    def _fault(self, **fault: Any) -> None:
        body = {name: value for name, value in fault.items() if value is not None}
        self._world.ask("POST", "faults", json={"endpoint": self.path} | body)


class World:
    """Every outside system of the sandbox: ``world.orders.fails(503, times=2)``."""

    def __init__(self) -> None:
        self.crm, self.customers, self.orders, self.transactions, self.weather = (
            Endpoint(self, path) for path in ENDPOINTS.values()
        )

    def __repr__(self) -> str:
        return f"world: {', '.join(ENDPOINTS)}, dashboard"

    @property
    def url(self) -> str:
        """Where the world is served. Raises WindtunnelError without a local sandbox."""
        sandbox = current().sandbox
        if sandbox is None:
            raise WindtunnelError(
                "The outside world belongs to the local sandbox, and WINDTUNNEL_URL names another Airflow.",
                "unset WINDTUNNEL_URL.",
            )
        return f"http://{HOST}:{sandbox.state.ports().world}"

    def mend(self) -> None:
        """End every fault."""
        self.ask("DELETE", "faults")

    def reset(self) -> None:
        """End every fault and forget what was received."""
        self.mend()
        self.ask("DELETE", "dashboard/refreshes")

    def refreshes(self, date: str | None = None) -> list[dict[str, Any]]:
        """What the dashboard was sent, newest last; only for the day ``date`` (ISO) if given."""
        received: list[dict[str, Any]] = self.ask("GET", "dashboard/refreshes")["refreshes"]
        return [refresh for refresh in received if date in (None, refresh["date"])]

    def ask(self, method: str, path: str, **content: Any) -> Any:
        """A request to the world, its JSON decoded. Raises WindtunnelError when it refuses or is down."""
        try:
            reply = urllib3.request(method, f"{self.url}/{path}", timeout=60, retries=False, **content)
        except urllib3.exceptions.HTTPError as error:
            raise WindtunnelError(
                f"The outside world does not answer at {self.url}.", "`windtunnel status` tells more."
            ) from error
        if reply.status >= 400:
            try:
                detail = json.loads(reply.data).get("detail", "")
            except (ValueError, AttributeError):
                detail = ""
            raise WindtunnelError(
                f"/{path} answered {reply.status}: {detail}", "world.mend() ends every fault."
            )
        return json.loads(reply.data)


world = World()
