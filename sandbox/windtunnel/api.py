"""The one module that speaks HTTP to an Airflow, through Airflow's own client.

It turns whatever goes wrong into a WindtunnelError that says what to do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3
from pydantic import ValidationError

from windtunnel.deferred import Deferred
from windtunnel.errors import WindtunnelError

if TYPE_CHECKING:
    import airflow_client.client as client
else:
    client = Deferred("airflow_client.client")

T = TypeVar("T")
PAGE = 100  # Airflow's own limit


class NotFoundError(WindtunnelError):
    """The API answered 404."""


class ConflictError(WindtunnelError):
    """The API answered 409: something like it is there already."""


class NoAnswerError(WindtunnelError):
    """Nothing answers at the address, for now at least."""


class Airflow:
    """An Airflow 3 by its address. Logs in on first use and again when its token has run out.

    ``token`` takes the place of user name and password.
    """

    def __init__(self, url: str, *, username: str = "", password: str = "", token: str = "") -> None:
        self.url = url.rstrip("/")
        self._username, self._password = username, password
        self._client: client.ApiClient | None = None
        self._token = token
        self._http = urllib3.PoolManager(retries=False)

    @classmethod
    def from_environment(cls) -> Airflow | None:
        """The Airflow named by ``WINDTUNNEL_URL``, or None.

        ``WINDTUNNEL_TOKEN``, or ``WINDTUNNEL_USERNAME`` and ``WINDTUNNEL_PASSWORD``, let it in.
        """
        url = os.environ.get("WINDTUNNEL_URL")
        if not url:
            return None
        if not url.startswith(("http://", "https://")):
            raise WindtunnelError(
                f"WINDTUNNEL_URL is {url!r}, which is no web address.",
                'write it like "http://127.0.0.1:8080", or unset it to use the sandbox that comes with the course.',
            )
        return cls(
            url,
            username=os.environ.get("WINDTUNNEL_USERNAME", ""),
            password=os.environ.get("WINDTUNNEL_PASSWORD", ""),
            token=os.environ.get("WINDTUNNEL_TOKEN", ""),
        )

    # --- is it there -------------------------------------------------------------------------------
    def health(self, timeout: float = 5) -> dict[str, str]:
        """``{"metadatabase": "healthy", "scheduler": …}``; empty when nothing answers."""
        try:
            reply = self._http.request("GET", f"{self.url}/api/v2/monitor/health", timeout=timeout)
            found = json.loads(reply.data)
            return {name: str(part.get("status")) for name, part in found.items() if isinstance(part, dict)}
        except (urllib3.exceptions.HTTPError, ValueError, AttributeError):
            return {}

    def can_log_in(self) -> bool:
        """Whether this Airflow takes our credentials: the proof that it is ours."""
        try:
            self._log_in()
        except WindtunnelError:
            return False
        return True

    def check_version(self) -> str:
        """The server's version. Raises WindtunnelError unless it is an Airflow 3."""
        found = self._version("/api/v2/version") or self._version("/api/v1/version")  # Airflow 2's
        if not found.startswith("3."):
            what = f"is Airflow {found}" if found else "does not answer as an Airflow does"
            raise WindtunnelError(
                f"{self.url} {what}; this course drives Airflow 3.",
                "name an Airflow 3 with WINDTUNNEL_URL, or unset it to use the sandbox that comes with the course."
                if os.environ.get("WINDTUNNEL_URL")
                else "something else took the sandbox's port: `windtunnel down`, then `windtunnel up`.",
            )
        return found

    def check_access(self) -> None:
        """Raises WindtunnelError unless our credentials open the API."""
        self._call(lambda c: client.DAGApi(c).get_dags(limit=1))

    def _version(self, path: str) -> str:
        try:
            reply = self._http.request("GET", f"{self.url}{path}", timeout=10)
        except urllib3.exceptions.HTTPError as error:
            raise self._down() from error
        try:
            return str(json.loads(reply.data)["version"] or "") if reply.status == 200 else ""
        except (ValueError, KeyError, TypeError):
            return ""

    def _down(self) -> NoAnswerError:
        return NoAnswerError(
            f"Airflow does not answer at {self.url}.",
            "`windtunnel status` tells what is wrong, `windtunnel up` starts it."
            if not os.environ.get("WINDTUNNEL_URL")
            else "start it, or unset WINDTUNNEL_URL to use the sandbox that comes with the course.",
        )

    def _refused(self, whom: str, status: int) -> WindtunnelError:
        return WindtunnelError(
            f"The Airflow at {self.url} refused {whom} (HTTP {status}).",
            "set WINDTUNNEL_USERNAME and WINDTUNNEL_PASSWORD, or WINDTUNNEL_TOKEN."
            if os.environ.get("WINDTUNNEL_URL")
            else "another Airflow may be listening there: `windtunnel down`, then `windtunnel up`.",
        )

    def _log_in(self) -> None:
        token = self._token or self._new_token()
        configuration = client.Configuration(host=self.url, access_token=token)
        configuration.retries = urllib3.Retry(total=3, backoff_factor=0.2, allowed_methods=["GET"])
        self._client = client.ApiClient(configuration)

    def _new_token(self) -> str:
        body = json.dumps({"username": self._username, "password": self._password}).encode()
        try:
            reply = self._http.request(
                "POST",
                f"{self.url}/auth/token",
                body=body,
                headers={"Content-Type": "application/json"},
                timeout=10,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._down() from error
        try:
            return str(json.loads(reply.data)["access_token"])
        except (ValueError, KeyError, TypeError):
            who = f"the user {self._username!r}" if self._username else "a caller without a user name"
            raise self._refused(who, reply.status) from None

    def _call(self, action: Callable[[client.ApiClient], T]) -> T:
        try:
            return self._attempt(action)
        except client.ApiException as error:
            # Airflow answers 403 to a token that is invalid or has run out.
            if error.status != 401 and not (error.status == 403 and "token" in (error.body or "").lower()):
                raise _explained(error) from error
            if self._token:
                raise self._refused("the token", error.status) from error
        self._client = None  # the session's token has run out: log in again, once
        try:
            return self._attempt(action)
        except client.ApiException as error:
            raise _explained(error) from error

    def _attempt(self, action: Callable[[client.ApiClient], T]) -> T:
        if self._client is None:
            self._log_in()
        assert self._client is not None
        try:
            return action(self._client)
        except urllib3.exceptions.HTTPError as error:
            raise self._down() from error
        except ValidationError as error:
            raise WindtunnelError(
                f"The Airflow at {self.url} answered in a form this course does not know "
                f"({error.error_count()} fields of a {error.title}).",
                f"use an Airflow of the version of its client, {client.__version__}.",
            ) from error

    def _json(self, action: Callable[[client.ApiClient], Any]) -> Any:
        """The decoded answer of a call whose answer the client itself should leave alone."""

        def checked(connected: client.ApiClient) -> Any:
            reply = action(connected)
            if not 200 <= reply.status < 300:
                raise client.ApiException(status=reply.status, reason=reply.reason, body=reply.data.decode())
            return json.loads(reply.data)

        return self._call(checked)

    # --- DAGs --------------------------------------------------------------------------------------
    def dag(self, dag_id: str) -> Any:
        """The DAG's record. Raises NotFoundError."""
        return self._call(lambda c: client.DAGApi(c).get_dag_details(dag_id))

    def dags(self, **filters: Any) -> list[Any]:
        """Records of all DAGs, paused ones included."""
        return list(
            self._pages(lambda c, o: client.DAGApi(c).get_dags(limit=PAGE, offset=o, **filters), "dags")
        )

    def import_errors(self) -> list[Any]:
        """What could not be parsed: ``filename``, ``stack_trace``, ``timestamp``."""
        return list(
            self._pages(
                lambda c, o: client.ImportErrorApi(c).get_import_errors(limit=PAGE, offset=o), "import_errors"
            )
        )

    def source(self, dag_id: str) -> str:
        """The file of the DAG's current version as Airflow keeps it. Raises NotFoundError."""
        reply = self._json(
            lambda c: client.DagSourceApi(c).get_dag_source_without_preload_content(
                dag_id, accept="application/json"
            )
        )
        return str(reply["content"])

    def tasks(self, dag_id: str) -> list[Any]:
        """Tasks of the DAG's current version, with ``downstream_task_ids``."""
        return list(self._call(lambda c: client.TaskApi(c).get_tasks(dag_id)).tasks)

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause."""
        body = client.DAGPatchBody(is_paused=paused)
        self._call(lambda c: client.DAGApi(c).patch_dag(dag_id, body))

    def delete_dag(self, dag_id: str) -> None:
        """Forget the DAG and all its runs."""
        self._call(lambda c: client.DAGApi(c).delete_dag(dag_id))

    # --- runs --------------------------------------------------------------------------------------
    def trigger(self, dag_id: str, conf: dict[str, Any] | None, logical_date: datetime | None) -> str:
        """Make a run; returns its id. Raises ConflictError when it has one with that logical date."""
        body = client.TriggerDAGRunPostBody(conf=conf, logical_date=logical_date)
        return str(self._call(lambda c: client.DagRunApi(c).trigger_dag_run(dag_id, body)).dag_run_id)

    def fail(self, dag_id: str, run_id: str) -> None:
        """End a run as failed, its tasks with it."""
        body = client.DAGRunPatchBody(state=client.DagRunMutableStates.FAILED)
        self._call(lambda c: client.DagRunApi(c).patch_dag_run(dag_id, run_id, body))

    def run(self, dag_id: str, run_id: str) -> Any:
        """The run's record. Raises NotFoundError."""
        return self._call(lambda c: client.DagRunApi(c).get_dag_run(dag_id, run_id))

    def runs(self, dag_id: str, **filters: Any) -> list[Any]:
        """Records of the DAG's runs, oldest first."""
        return list(
            self._pages(
                lambda c, o: client.DagRunApi(c).get_dag_runs(
                    dag_id, limit=PAGE, offset=o, order_by=["id"], **filters
                ),
                "dag_runs",
            )
        )

    def task_instances(self, dag_id: str, run_id: str) -> list[Any]:
        """Task instances of one run."""
        return list(
            self._pages(
                lambda c, o: client.TaskInstanceApi(c).get_task_instances(
                    dag_id, run_id, limit=PAGE, offset=o
                ),
                "task_instances",
            )
        )

    def clear(self, dag_id: str, run_id: str, task_ids: list[str]) -> int:
        """Clear tasks and what is downstream of them; the failed ones when none is named. Returns how many."""
        options: dict[str, Any] = (
            {
                "task_ids": [client.ClearTaskInstancesBodyTaskIdsInner(t) for t in task_ids],
                "only_failed": False,
            }
            if task_ids
            else {"only_failed": True}
        )
        body = client.ClearTaskInstancesBody(
            dag_run_id=run_id, dry_run=False, include_downstream=True, reset_dag_runs=True, **options
        )
        return len(
            self._call(
                lambda c: client.TaskInstanceApi(c).post_clear_task_instances(dag_id, body)
            ).task_instances
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """The stored value. Raises NotFoundError."""
        reply = self._json(
            lambda c: client.XComApi(c).get_xcom_entry_without_preload_content(
                dag_id, task_id, run_id, key, map_index=map_index, deserialize=False, stringify=False
            )
        )
        return reply["value"]

    def log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int = -1
    ) -> list[dict[str, Any]]:
        """One try's log as structured events (``timestamp``, ``event``, ``level``, ``logger`` …)."""
        reply = self._json(
            lambda c: client.TaskInstanceApi(c).get_log_without_preload_content(
                dag_id,
                run_id,
                task_id,
                try_number,
                map_index=map_index,
                full_content=True,
                accept="application/json",
            )
        )
        return [line if isinstance(line, dict) else {"event": str(line)} for line in reply["content"]]

    # --- assets ------------------------------------------------------------------------------------
    def assets(self) -> list[Any]:
        """Records of the assets that some DAG names, with ``producing_tasks`` and ``scheduled_dags``."""
        return list(self._pages(lambda c, o: client.AssetApi(c).get_assets(limit=PAGE, offset=o), "assets"))

    def asset_events(self) -> list[Any]:
        """Every update of every asset, oldest first, with the runs it led to (``created_dagruns``)."""
        return list(
            self._pages(
                lambda c, o: client.AssetApi(c).get_asset_events(
                    limit=PAGE, offset=o, order_by=["timestamp"]
                ),
                "asset_events",
            )
        )

    def queued_updates(self, dag_id: str) -> list[Any]:
        """Of the assets the DAG waits for, those that were updated (``asset_id``); empty for an unknown DAG."""
        try:
            found = self._call(lambda c: client.AssetApi(c).get_dag_asset_queued_events(dag_id))
        except NotFoundError:  # Airflow's way to say: none
            return []
        return list(found.queued_events)

    def update_asset(self, asset_id: int, extra: dict[str, Any], partition_key: str | None) -> None:
        """Say that an asset was updated."""
        body = client.CreateAssetEventsBody(asset_id=asset_id, extra=extra, partition_key=partition_key)
        self._call(lambda c: client.AssetApi(c).create_asset_event(body))

    def materialize(self, asset_id: int, partition_key: str | None) -> tuple[str, str]:
        """Run the DAG that produces an asset; returns its id and the run's.

        Raises NotFoundError when none does, ConflictError when several do.
        """
        body = client.MaterializeAssetBody(partition_key=partition_key)
        made = self._call(lambda c: client.AssetApi(c).materialize_asset(asset_id, body))
        return str(made.dag_id), str(made.dag_run_id)

    # --- pools -------------------------------------------------------------------------------------
    def pools(self) -> list[Any]:
        """Records of the pools by name, with how many of their slots tasks hold and how many wait."""
        return list(
            self._pages(
                lambda c, o: client.PoolApi(c).get_pools(limit=PAGE, offset=o, order_by=["name"]), "pools"
            )
        )

    def make_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool. Raises ConflictError when there is one of that name."""
        body = client.PoolBody(name=name, slots=slots, description=description)
        self._call(lambda c: client.PoolApi(c).post_pool(body))

    def change_pool(self, name: str, slots: int) -> None:
        """Give a pool another size. Raises NotFoundError."""
        # Airflow wants all of it, and changes what the mask names.
        body = client.PoolPatchBody(pool=name, slots=slots, include_deferred=False)
        self._call(lambda c: client.PoolApi(c).patch_pool(name, body, update_mask=["slots"]))

    def drop_pool(self, name: str) -> None:
        """Remove a pool. Raises NotFoundError."""
        self._call(lambda c: client.PoolApi(c).delete_pool(name))

    # --- backfills ---------------------------------------------------------------------------------
    def backfill(self, dag_id: str, start: datetime, end: datetime, **options: Any) -> int:
        """Create a backfill; returns its id. Raises ConflictError while the DAG has another."""
        body = client.BackfillPostBody(dag_id=dag_id, from_date=start, to_date=end, **options)
        return int(self._call(lambda c: client.BackfillApi(c).create_backfill(body)).id)

    def backfill_dates(self, dag_id: str, start: datetime, end: datetime, **options: Any) -> list[datetime]:
        """Logical dates of the runs that `backfill` would make, in its order; those of partitions are left out."""
        body = client.BackfillPostBody(dag_id=dag_id, from_date=start, to_date=end, **options)
        found = self._call(lambda c: client.BackfillApi(c).create_backfill_dry_run(body)).backfills
        return [record.logical_date for record in found if record.logical_date]

    def open_backfills(self, dag_id: str) -> list[Any]:
        """Records of the DAG's backfills that Airflow has not closed yet."""
        found = self._pages(
            lambda c, o: client.BackfillApi(c).list_backfills(dag_id, limit=PAGE, offset=o), "backfills"
        )
        return [record for record in found if record.completed_at is None]

    def _pages(self, page: Callable[[client.ApiClient, int], Any], items: str) -> Iterator[Any]:
        offset = 0
        while True:
            reply = self._call(lambda c, o=offset: page(c, o))  # type: ignore[misc]
            found = getattr(reply, items)
            yield from found
            offset += len(found)
            if not found or offset >= reply.total_entries:
                return


def _explained(error: client.ApiException) -> WindtunnelError:
    try:
        detail = json.loads(error.body or "{}").get("detail", "")
    except (ValueError, AttributeError):
        detail = ""
    if isinstance(detail, list):  # FastAPI's validation errors
        detail = "; ".join(f"{'.'.join(map(str, d.get('loc', [])[1:]))}: {d.get('msg')}" for d in detail)
    if isinstance(detail, dict):  # Airflow's database errors
        detail = detail.get("reason") or detail.get("message")
    detail = detail or f"{error.reason} (HTTP {error.status})"
    if error.status >= 500:
        return WindtunnelError(f"Airflow failed: {detail}", "its own logs tell more: `windtunnel status`.")
    kind = {404: NotFoundError, 409: ConflictError}.get(error.status, WindtunnelError)
    return kind(f"Airflow refuses: {detail}")


@contextmanager
def not_found_means(message: str, next_step: str) -> Iterator[None]:
    """Turn a 404 inside the block into the given message."""
    try:
        yield
    except NotFoundError as error:
        raise NotFoundError(message, next_step) from error
