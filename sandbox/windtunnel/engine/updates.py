"""Assets: which a run updated, which DAGs that makes due, and a run that is due because of them.

Airflow's own queue and evaluator decide. Only what a scheduler does with a DAG that is due, and when, is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def outlets(task: Any) -> list[dict[str, str]]:
    """The assets that a serialized task updates when it succeeds. Aliases are none yet."""
    from airflow.serialization.definitions.assets import SerializedAsset, SerializedAssetRef

    found = []
    for outlet in task.outlets or ():
        if isinstance(outlet, SerializedAsset):
            found.append({"name": outlet.name, "uri": outlet.uri})
        elif isinstance(outlet, SerializedAssetRef):
            found.append({"name": getattr(outlet, "name", ""), "uri": getattr(outlet, "uri", "")})
    return sorted(found, key=lambda each: (each["name"], each["uri"]))


def ready(dag: Any, names: Sequence[str], session: Any) -> bool:
    """Whether a serialized DAG would run once the assets of these names or URIs have been updated."""
    from airflow.assets.evaluation import AssetEvaluator
    from airflow.serialization.definitions.assets import SerializedAssetUniqueKey

    condition = dag.timetable.asset_condition
    statuses = {SerializedAssetUniqueKey.from_asset(asset): True for asset in _known(names, session)}
    return bool(condition) and bool(AssetEvaluator(session).run(condition, statuses))


def consume(made: Any, names: Sequence[str], session: Any) -> None:
    """Have the run be one that these assets' updates started: it is given their events, and the queue is emptied.

    Events are those that are there, from runs before this one; an asset without any gets one.
    """
    from airflow.models.asset import AssetDagRunQueue, AssetEvent
    from sqlalchemy import delete, select

    for asset in _known(names, session):
        known = select(AssetEvent).where(AssetEvent.asset_id == asset.id).order_by(AssetEvent.id)
        events = list(session.scalars(known)) or [AssetEvent(asset_id=asset.id, extra={})]
        made.consumed_asset_events.extend(events)
    session.execute(delete(AssetDagRunQueue).where(AssetDagRunQueue.target_dag_id == made.dag_id))


def updated(run_id: str, session: Any) -> list[dict[str, Any]]:
    """What a run's tasks updated, in that order; see ``evidence.Update``."""
    from airflow.models.asset import AssetEvent, AssetModel
    from sqlalchemy import select

    query = select(AssetModel.name, AssetModel.uri, AssetEvent.source_task_id, AssetEvent.extra)
    query = query.join(AssetModel, AssetModel.id == AssetEvent.asset_id)
    query = query.where(AssetEvent.source_run_id == run_id).order_by(AssetEvent.id)
    return [
        {"asset": name, "uri": uri, "task_id": task_id, "extra": extra}
        for name, uri, task_id, extra in session.execute(query)
    ]


def due(session: Any) -> list[str]:
    """The DAGs that a scheduler would now start because of updated assets."""
    from airflow.models.asset import AssetDagRunQueue
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    if session.scalar(select(AssetDagRunQueue.target_dag_id).limit(1)) is None:
        return []
    _, triggered = DagModel.dags_needing_dagruns(session)
    return sorted(triggered)


def _known(names: Sequence[str], session: Any) -> list[Any]:
    from airflow.models.asset import AssetModel
    from sqlalchemy import or_, select

    wanted = or_(AssetModel.name.in_(names), AssetModel.uri.in_(names))
    return list(session.scalars(select(AssetModel).where(wanted).order_by(AssetModel.id)))
