"""The reader's hold on the outside world: break an endpoint, mend it, look at what it received."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import urllib3

from windtunnel.errors import WindtunnelError
from windtunnel.session import current

ENDPOINTS = {
    "crm": "crm/customers",
    "customers": "customers",
    "jobs": "jobs",
    "orders": "orders",
    "products": "products",
    "reviews": "reviews",
    "stores": "stores",
    "transactions": "transactions",
    "weather": "weather",
}
INBOXES = {"chat": "services", "mail": "mail", "metrics": "metrics", "pager": "pager/pages"}
NAMES = sorted([*ENDPOINTS, *INBOXES, "dashboard", "s3"])
BUCKET = "landing"  # as in world.objects, which this side does not import
EVERYTHING = 1_000_000  # rows, more than any answer has


class System:
    """One outside system, named by its path; it breaks in many ways."""

    def __init__(self, world: World, path: str) -> None:
        self._world, self.path = world, path

    def __repr__(self) -> str:
        return f"world system /{self.path}"

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

    def empty(self, times: int | None = None) -> None:
        """Answer as usual, and with nothing in it."""
        self._fault(leave_out=EVERYTHING, times=times)

    def malformed(self, times: int | None = None) -> None:
        """Answer with text that breaks off in the middle; the status stays 200."""
        self._fault(malformed=True, times=times)

    def rate_limit(self, calls: int) -> None:
        """Allow so many calls a minute, and answer the others with 429."""
        self._fault(limit=calls)

    def down(self, for_: str | float | timedelta) -> None:
        """Be out of order (503) for a while: ``"10min"``, ``"2h"``, seconds, or a timedelta."""
        self._fault(status=503, seconds=_seconds(for_))

    def _fault(self, **fault: Any) -> None:
        body = {name: value for name, value in fault.items() if value is not None}
        self._world.ask("POST", "faults", json={"endpoint": self.path} | body)


class Endpoint(System):
    """A system that is asked for data."""

    def get(self, **parameters: str) -> Any:
        """What it answers now. Raises WindtunnelError with the status when it refuses."""
        return self._world.ask("GET", self.path, fields=parameters)


class Inbox(System):
    """A system that pipelines tell something; it shows what it received, also while it is broken for them."""

    def __init__(self, world: World, name: str, path: str) -> None:
        super().__init__(world, path)
        self._name = name

    def __repr__(self) -> str:
        return f"world.{self._name}: {len(self.messages)} received"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What arrived, oldest first."""
        found: list[dict[str, Any]] = self._world.ask("GET", f"received/{self._name}")["received"]
        return found


class Objects:
    """The object storage that speaks S3: put an object there, see and delete what is there.

    ``bucket``: ``landing`` is there from the beginning; another is made when something is put into it.
    """

    def __repr__(self) -> str:
        return "world.s3: put, keys, get, delete"

    def put(self, key: str, data: str | bytes, bucket: str = BUCKET) -> None:
        """Store ``data`` under ``key``, in place of what was there."""
        with self._asked() as client:
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key=key, Body=data)

    def keys(self, prefix: str = "", bucket: str = BUCKET) -> list[str]:
        """The keys that begin with ``prefix``, in order; none for a bucket that is not there."""
        with self._asked() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            try:
                return [found["Key"] for page in pages for found in page.get("Contents", [])]
            except client.exceptions.NoSuchBucket:
                return []

    def get(self, key: str, bucket: str = BUCKET) -> str:
        """The text under ``key``. Raises WindtunnelError when there is none."""
        with self._asked() as client:
            try:
                content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            except (client.exceptions.NoSuchKey, client.exceptions.NoSuchBucket) as error:
                raise WindtunnelError(
                    f"There is no {key!r} in the bucket {bucket!r}.", "world.s3.keys() lists what is there."
                ) from error
        return content.decode()

    def delete(self, key: str, bucket: str = BUCKET) -> None:
        """Delete the object; nothing happens when there is none."""
        with self._asked() as client:
            client.delete_object(Bucket=bucket, Key=key)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[Any]:
        """A client; what it objects to is raised as WindtunnelError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield self._client()
        except (BotoCoreError, ClientError) as error:
            raise WindtunnelError(
                f"The object storage could not do that: {error}",
                "look at the key and at the bucket's name; `windtunnel status` tells whether the world is up.",
            ) from error

    @staticmethod
    def _client() -> Any:
        import boto3  # half a second that only those spend who store objects

        access = current().around().connections["aws_default"]
        return boto3.client(
            "s3",
            aws_access_key_id=access["login"],
            aws_secret_access_key=access["password"],
            **access["extra"],
        )


def _seconds(how_long: str | float | timedelta) -> float:
    """Seconds from a number, a timedelta, or text such as ``10min``. Raises WindtunnelError for anything else."""
    if isinstance(how_long, timedelta):
        return how_long.total_seconds()
    if isinstance(how_long, int | float):
        return float(how_long)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*", how_long)
    if not found or not float(found[1]):
        raise WindtunnelError(
            f"{how_long!r} is no length of time.", 'write it as "30s", "10min", "2h" or "1d".'
        )
    return float(found[1]) * {"s": 1, "min": 60, "h": 3600, "d": 86_400}[found[2]]


class World:
    """Every outside system of the sandbox: ``world.orders.fails(503, times=2)``."""

    def __init__(self) -> None:
        for name, path in ENDPOINTS.items():
            setattr(self, name, Endpoint(self, path))
        for name, path in INBOXES.items():
            setattr(self, name, Inbox(self, name, path))
        self.dashboard = System(self, "dashboard/refresh")
        self.s3 = Objects()

    def __repr__(self) -> str:
        return f"world: {', '.join(NAMES)}"

    def __getattr__(self, name: str) -> Any:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean world.{close[0]}?" if close else ""
        raise WindtunnelError(f"The outside world has no {name!r}.{hint}", f"it has: {', '.join(NAMES)}.")

    @property
    def url(self) -> str:
        """Where the world is served. Raises WindtunnelError for an Airflow elsewhere, which has none."""
        return current().around().world

    def mend(self) -> None:
        """End every fault."""
        self.ask("DELETE", "faults")

    def reset(self) -> None:
        """End every fault, and forget what was received, submitted or stored."""
        self.mend()
        for path in ("dashboard/refreshes", "jobs", "objects", *(f"received/{name}" for name in INBOXES)):
            self.ask("DELETE", path)

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
            asked_wrongly = reply.status in (404, 422)
            raise WindtunnelError(
                f"/{path} answered {reply.status}: {detail}",
                "correct what was asked." if asked_wrongly else "world.mend() ends every fault.",
            )
        if reply.data == b"ok":  # the chat's answer, as Slack's
            return "ok"
        try:
            return json.loads(reply.data)
        except ValueError as error:
            raise WindtunnelError(
                f"/{path} answered {reply.status}, and what it sent is not JSON.",
                "world.mend() ends every fault.",
            ) from error


world = World()
