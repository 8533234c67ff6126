"""Assets: who updates what, who waits for it, and which update led to which run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from windtunnel.api import Airflow, ConflictError, NotFoundError
from windtunnel.deferred import Deferred
from windtunnel.errors import WindtunnelError, interrupted_means
from windtunnel.runs import Run, activate, did_you_mean, find_dag, must_be_json
from windtunnel.session import current
from windtunnel.views.graph import Graph
from windtunnel.views.states import FINISHED
from windtunnel.views.table import Table
from windtunnel.views.updates import Update, Updates
from windtunnel.waiting import poll

if TYPE_CHECKING:
    import networkx
else:
    networkx = Deferred("networkx")

# What Airflow adds to an event's extra, and what that says about where it came from.
ORIGIN = {"from_rest_api": "the REST API", "from_trigger": "a watcher"}

NOBODY = "(no DAG here)"


def assets() -> Graph:
    """The assets of all DAGs as a picture: who updates them on the left, whom they start on the right."""
    edges: set[tuple[str, str]] = set()
    for asset in current().airflow.assets():
        # An @asset and its DAG have one name; so may others. In the picture, an asset is in brackets.
        box = f"[{asset.name}]"
        into = {(task.dag_id, box) for task in asset.producing_tasks}
        out = {(box, dag.dag_id) for dag in asset.scheduled_dags}
        if into or out:  # otherwise no DAG names it any more
            edges |= into | out | {(watcher.name, box) for watcher in asset.watchers}
            edges |= set() if into or asset.watchers else {(NOBODY, box)}
    boxes = {end for edge in edges for end in edge}
    picture = Graph("assets", sorted(boxes), sorted(edges), note="an asset is in brackets")
    try:
        picture.order()
    except networkx.NetworkXUnfeasible:
        raise WindtunnelError(
            "The assets go round in a circle: some DAG waits for what it leads to, and would never end.",
            "take the asset that closes the circle out of a schedule or out of an outlet.",
        ) from None
    return picture


def waits_for(dag_id: str) -> Table:
    """The assets that start a DAG, and which of them have been updated since its last run.

    Raises WindtunnelError for a DAG that assets do not start, and for one that waits by partition.
    """
    airflow = current().airflow
    condition = _condition(airflow, dag_id)
    if find_dag(airflow, dag_id).timetable_partitioned:
        raise WindtunnelError(
            f"{dag_id} waits for each partition on its own, so it has no one state.",
            f'updates("{dag_id}") shows what came for each.',
        )
    updated = _updated(airflow, dag_id)
    rows = [[name, "yes" if name in updated else "no"] for name in _names(condition)]
    return Table(f"{dag_id} waits for {_text(condition)}", ["asset", "updated"], rows)


def update(asset: str, *, extra: dict[str, Any] | None = None, partition_key: str | None = None) -> None:
    """Tell Airflow that an asset was updated, as a system outside of it would.

    ``extra``: what the update says about itself, JSON. Raises WindtunnelError for an unknown asset.
    """
    must_be_json(extra, "extra")
    airflow = current().airflow
    airflow.update_asset(_find(airflow, asset).id, extra or {}, partition_key)


def materialize(asset: str, *, partition_key: str | None = None, unpause: bool = False) -> Run:
    """Run the DAG that updates an asset, for one partition of it if one is named.

    Raises WindtunnelError for an unknown asset, and unless exactly one DAG updates it.
    """
    airflow = current().airflow
    record = _find(airflow, asset)
    producers = sorted({task.dag_id for task in record.producing_tasks})
    for producer in producers[:1]:
        activate(airflow, find_dag(airflow, producer), unpause, f'materialize("{record.name}", unpause=True)')
    try:
        return Run(airflow, *airflow.materialize(record.id, partition_key))
    except (NotFoundError, ConflictError) as error:
        raise WindtunnelError(
            f"{record.name} is updated by {', '.join(producers) or 'no DAG'}.",
            f'trigger() the one you mean, or update("{record.name}") to say that it was updated elsewhere.',
        ) from error


def updates(dag_id: str) -> Updates:
    """Every update of the assets that start a DAG, in the order they came, with the run that took it."""
    airflow = current().airflow
    names = _names(_condition(airflow, dag_id))
    # What came before a DAG began to listen is nothing to it; Airflow sees it that way too.
    since = {
        asset.id: max(ref.created_at for ref in asset.scheduled_dags if ref.dag_id == dag_id)
        for asset in airflow.assets()
        if any(ref.dag_id == dag_id for ref in asset.scheduled_dags)
    }
    number = {record.dag_run_id: n for n, record in enumerate(airflow.runs(dag_id), start=1)}
    found = []
    for event in airflow.asset_events():
        if event.asset_id not in since or event.timestamp < since[event.asset_id]:
            continue
        extra = dict(event.extra or {})
        marks = [said for key, said in ORIGIN.items() if extra.pop(key, None)]
        takers = [number.get(run.run_id) for run in event.created_dagruns if run.dag_id == dag_id]
        source = event.source_dag_id or next(iter(marks), "")
        found.append(Update(event.name, source, event.partition_key or "", extra, next(iter(takers), None)))
    return Updates(dag_id, names, found)


def wait_for_runs(dag_id: str, count: int, timeout: float = 120) -> list[Run]:
    """Wait until a DAG has had ``count`` runs and they have ended; returns all its runs, oldest first.

    Raises WindtunnelError after ``timeout`` seconds, telling what it waits for, and for Ctrl-C.
    """
    airflow = current().airflow
    find_dag(airflow, dag_id)

    def look() -> list[Run] | None:
        records = airflow.runs(dag_id)
        if len(records) < count or not all(record.state.value in FINISHED for record in records[:count]):
            return None
        return [Run(airflow, dag_id, record.dag_run_id) for record in records]

    with interrupted_means(f"Stopped waiting for {dag_id}.", "run the cell again to wait on."):
        found = poll(look, timeout=timeout, every=0.15)
    if found is None:
        ended = sum(record.state.value in FINISHED for record in airflow.runs(dag_id))
        raise WindtunnelError(
            f"{dag_id} has had {ended} of {count} {'run' if count == 1 else 'runs'} after {timeout:.0f} s.",
            _still(airflow, dag_id),
        )
    return found


def _still(airflow: Airflow, dag_id: str) -> str:
    """What keeps a DAG from running, as a next step."""
    record = find_dag(airflow, dag_id)
    if record.is_paused:
        return f'it is paused, and hears no update meanwhile: unpause("{dag_id}").'
    missing = [
        name
        for name in _names(record.asset_expression or {})
        if name not in _updated(airflow, dag_id) and not record.timetable_partitioned
    ]
    if missing:
        return f"it waits for an update of {', '.join(missing)}."
    return f'runs("{dag_id}") shows its runs, and updates("{dag_id}") what came for it.'


def _find(airflow: Airflow, asset: str) -> Any:
    known = airflow.assets()
    for record in known:
        if asset in (record.name, record.uri):
            return record
    names = sorted(record.name for record in known)
    raise WindtunnelError(
        f"There is no asset {asset!r}.{did_you_mean(asset, names)}",
        f"assets here: {', '.join(names)}" if names else "no DAG here names an asset.",
    )


def _condition(airflow: Airflow, dag_id: str) -> dict[str, Any]:
    """What starts the DAG, as Airflow keeps it: ``{"all": [{"asset": {…}}, {"any": […]}]}``."""
    found: dict[str, Any] = find_dag(airflow, dag_id).asset_expression or {}
    if not found:
        raise WindtunnelError(
            f"No asset starts {dag_id}.",
            'a DAG waits for assets if its schedule names them: schedule=[Asset("…")].',
        )
    return found


def _names(condition: dict[str, Any]) -> list[str]:
    """The assets in a condition, in the order written."""
    [(kind, inside)] = condition.items() if condition else [("all", [])]
    if kind in ("all", "any"):
        return list(dict.fromkeys(name for part in inside for name in _names(part)))
    return [inside["name"]] if "name" in inside else []


def _text(condition: dict[str, Any]) -> str:
    """``orders and (customers or payments)``."""
    [(kind, inside)] = condition.items()
    if kind not in ("all", "any"):
        return str(inside.get("name", kind))
    word = {"all": " and ", "any": " or "}[kind]
    parts = [
        f"({_text(part)})" if len(inside) > 1 and next(iter(part)) in ("all", "any") else _text(part)
        for part in inside
    ]
    return word.join(parts)


def _updated(airflow: Airflow, dag_id: str) -> set[str]:
    """Names of the assets that were updated since the DAG's last run."""
    ids = {queued.asset_id for queued in airflow.queued_updates(dag_id)}
    return {asset.name for asset in airflow.assets() if asset.id in ids}
