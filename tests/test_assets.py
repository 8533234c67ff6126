"""Assets on a real Airflow: who updates what, who waits, and which update led to which run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace

import pytest

from windtunnel import (
    assets,
    dagcell,
    data_file,
    deploy,
    materialize,
    outside,
    pause,
    runs,
    trigger,
    unpause,
    update,
    updates,
    wait_for_runs,
    waits_for,
)
from windtunnel.errors import WindtunnelError
from windtunnel.runs import Run
from windtunnel.sandbox import Sandbox
from windtunnel.session import Session, connect
from windtunnel.views.updates import COLOURS, Update, Updates

CELLS = {
    "window": """
        from airflow.sdk import DAG, Asset, task

        a, b, c = Asset("a"), Asset("b"), Asset("c")

        with DAG("window", schedule=a | (b & c)):
            @task
            def names(triggering_asset_events=None):
                return sorted(asset.name for asset in triggering_asset_events)

            names()
        """,
    "maker": """
        from datetime import timedelta
        from airflow.sdk import DAG, Asset, CronPartitionTimetable, PartitionedAssetTimetable, asset, task

        # Unless told, it makes up for a moment that passed less than a tenth of a day ago: from 02:00 to 04:24.
        NIGHTLY = CronPartitionTimetable(
            "0 2 * * *", timezone="UTC", key_format="%Y-%m-%d", run_immediately=timedelta(seconds=1)
        )

        @asset(schedule=NIGHTLY)
        def left():
            pass

        @asset(schedule=NIGHTLY)
        def right():
            pass

        @asset(schedule=PartitionedAssetTimetable(assets=left & right))
        def both(context):
            return context["partition_key"]

        with DAG("two_makers", schedule=None):
            @task(outlets=[Asset("shared")])
            def one(): pass
            one()

        with DAG("two_makers_too", schedule=[Asset("never")]):
            @task(outlets=[Asset("shared")])
            def two(): pass
            two()
        """,
    "asleep": """
        from airflow.sdk import DAG, Asset, task

        with DAG("asleep", schedule=[Asset("lullaby")]):
            @task
            def rest(): pass
            rest()
        """,
    "plain": """
        from airflow.sdk import DAG, task

        with DAG("plain", schedule=None):
            @task
            def work(): pass
            work()
        """,
}


@pytest.fixture(scope="module")
def session(sandbox: Sandbox) -> Session:
    connected = connect()
    for name, source in CELLS.items():
        dagcell.save(connected, dagcell.Cell(textwrap.dedent(source).lstrip("\n")), name, many=True)
    for name in ("window", "left", "right", "both", "two_makers", "two_makers_too", "plain"):
        unpause(name)
    return connected


def ended(run: Run) -> Run:
    wait_for_runs(run.dag_id, len(runs(run.dag_id)))
    return run


# --- on a sandbox ----------------------------------------------------------------------------------


def test_a_condition_is_written_out_and_each_update_noted(session: Session) -> None:
    before = len(runs("window"))
    assert waits_for("window").title == "window waits for a or (b and c)"
    update("b")
    assert waits_for("window").rows == [["a", "no"], ["b", "yes"], ["c", "no"]]
    update("a", extra={"name": "spring"})
    run = wait_for_runs("window", before + 1)[before]
    assert run.xcom("names") == ["a", "b"]
    assert waits_for("window").rows == [["a", "no"], ["b", "no"], ["c", "no"]]


def test_an_update_is_listed_with_what_it_says_and_the_run_that_took_it(session: Session) -> None:
    before = len(runs("window"))
    update("b")
    update("a", extra={"name": "summer", "rows": 3})
    count = wait_for_runs("window", before + 1)
    update("c")
    last = updates("window").updates[-3:]
    assert [(u.asset, u.source, u.extra, u.run) for u in last] == [
        ("b", "the REST API", {}, len(count)),
        ("a", "the REST API", {"name": "summer", "rows": 3}, len(count)),
        ("c", "the REST API", {}, None),
    ]


def test_partitions_are_taken_key_by_key(session: Session) -> None:
    ended(materialize("left", partition_key="2026-03-04"))
    ended(materialize("left", partition_key="2026-03-05"))
    ended(materialize("right", partition_key="2026-03-05"))
    assert wait_for_runs("both", 1)[0].xcom("both") == "2026-03-05"
    ended(materialize("right", partition_key="2026-03-04"))
    assert wait_for_runs("both", 2)[1].xcom("both") == "2026-03-04"
    assert [(u.asset, u.source, u.partition, u.run) for u in updates("both").updates] == [
        ("left", "left", "2026-03-04", 2),
        ("left", "left", "2026-03-05", 1),
        ("right", "right", "2026-03-05", 1),
        ("right", "right", "2026-03-04", 2),
    ]
    with pytest.raises(WindtunnelError, match="each partition on its own"):
        waits_for("both")


def test_the_picture_has_who_updates_and_who_waits(session: Session) -> None:
    picture = assets()
    assert {("left", "[left]"), ("[left]", "both"), ("both", "[both]")} <= set(picture.edges)
    assert ("(no DAG here)", "[a]") in picture.edges
    assert ("(no DAG here)", "[shared]") not in picture.edges
    assert "[a] → window" in repr(picture)


def test_an_asset_without_one_producer_is_not_materialized(session: Session) -> None:
    with pytest.raises(WindtunnelError, match="lullaby is updated by no DAG"):
        materialize("lullaby")
    with pytest.raises(WindtunnelError, match="shared is updated by two_makers, two_makers_too"):
        materialize("shared")


def test_an_unknown_asset_is_refused_with_the_nearest_name(session: Session) -> None:
    for refused in (update, materialize):
        with pytest.raises(WindtunnelError, match=r"no asset 'lulaby'\. Did you mean 'lullaby'"):
            refused("lulaby")
    with pytest.raises(WindtunnelError, match="extra must be a dict"):
        update("a", extra={"when": object()})


def test_a_dag_that_no_asset_starts_has_nothing_to_wait_for(session: Session) -> None:
    for question in (waits_for, updates):
        with pytest.raises(WindtunnelError, match="No asset starts plain"):
            question("plain")


def test_waiting_in_vain_tells_what_is_missing(session: Session) -> None:
    with pytest.raises(WindtunnelError, match=r"has had 0 of 1 run after 0 s(?s:.*)hears no update"):
        wait_for_runs("asleep", 1, timeout=0.3)
    update("lullaby")
    unpause("asleep")
    assert waits_for("asleep").rows == [["lullaby", "no"]]
    with pytest.raises(WindtunnelError, match="waits for an update of lullaby"):
        wait_for_runs("asleep", 1, timeout=0.3)
    pause("asleep")
    with pytest.raises(WindtunnelError, match=r"0 of 2 runs"):
        wait_for_runs("plain", 2, timeout=0.3)


@pytest.fixture
def world(session: Session) -> Iterator[outside.World]:
    outside.world.reset()
    yield outside.world
    outside.world.reset()


def test_gold_runs_when_all_three_silver_tables_have_been_updated(world: outside.World) -> None:
    silver = ("orders", "customers", "payments")
    for name in silver:
        deploy(f"{name}_silver_pipeline")
    deploy("gold_daily_revenue")
    unpause("gold_daily_revenue")
    loads = {}
    world.transactions.fails(503)
    for name in silver:
        load = trigger(f"{name}_silver_pipeline", logical_date="2026-03-02", unpause=True)
        loads[name] = ended(load)
    assert loads["payments"].state == "failed"
    assert waits_for("gold_daily_revenue").rows[2] == ["silver_payments", "no"]
    assert not runs("gold_daily_revenue")

    world.mend()
    loads["payments"].clear()
    gold = wait_for_runs("gold_daily_revenue", 1)[0]
    orders = world.orders.get(start="2026-03-01", end="2026-03-02")["orders"]
    paid = [order["total_amount"] for order in orders if order["status"] == "completed"]
    report = gold.xcom("build_gold_revenue")["2026-03-01"]
    assert report == {"orders": len(paid), "revenue": pytest.approx(sum(paid))}
    assert data_file("gold/daily_revenue/2026-03-01.csv").exists()

    again = ended(trigger("gold_daily_revenue", conf={"day": "2026-03-01"}))
    assert again.xcom("build_gold_revenue") == {"2026-03-01": report}
    nothing = ended(trigger("gold_daily_revenue"))
    assert "nothing names a day" in nothing.log("build_gold_revenue")


def test_assets_that_go_round_in_a_circle_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = SimpleNamespace(dag_id="snake")
    tail = SimpleNamespace(name="tail", producing_tasks=[dag], scheduled_dags=[dag], watchers=[])
    session = SimpleNamespace(airflow=SimpleNamespace(assets=lambda: [tail]))
    # The package's attribute of this name is the function.
    monkeypatch.setattr(import_module("windtunnel.assets"), "current", lambda: session)
    with pytest.raises(WindtunnelError, match="go round in a circle"):
        assets()


# --- the picture -----------------------------------------------------------------------------------


def taken(asset: str, run: int | None, partition: str = "", **extra: object) -> Update:
    return Update(asset, "somebody", partition, extra, run)


def test_a_run_is_drawn_after_the_last_update_that_it_took() -> None:
    shown = Updates("gold", ["a", "b"], [taken("a", 2), taken("a", 1), taken("b", 1), taken("b", 2)])
    assert [step if isinstance(step, int) else step.asset for step in shown._steps()] == [
        "a",
        "a",
        "b",
        1,
        "b",
        2,
    ]
    svg = shown.svg()
    assert svg.index("run 1</text>") < svg.index("run 2</text>")
    assert svg.count("<path") == 4


def test_an_update_that_waits_is_hollow_and_leads_nowhere() -> None:
    svg = Updates("gold", ["a"], [taken("a", None)]).svg()
    assert "<path" not in svg
    assert 'fill="none" stroke="currentColor" stroke-width="2"' in svg
    assert all(colour not in svg for colour in COLOURS)


def test_a_dot_is_labelled_with_its_partition_or_the_first_thing_it_says() -> None:
    assert taken("a", 1, "2026-03-01", rows=1).label == "2026-03-01"
    assert taken("a", 1, day="2026-03-02", rows=1).label == "2026-03-02"
    assert taken("a", 1).label == ""


def test_the_table_leaves_out_columns_that_nobody_filled() -> None:
    shown = Updates("gold", ["a"], [taken("a", 1), taken("a", None)])
    assert shown.table().columns == ["update of", "by", "taken by"]
    assert shown.table().rows == [["a", "somebody", "run 1"], ["a", "somebody", "waits"]]
    assert repr(shown).splitlines()[0] == "gold: 2 updates"


def test_names_are_escaped_and_no_updates_are_a_picture_too() -> None:
    html = Updates("<gold>", ["<a>"], [taken("<a>", 1, note="<b>")])._repr_html_()
    assert "<gold>" not in html
    assert "<a>" not in html
    assert "<b>" not in html
    assert "0 updates" in Updates("gold", [], [])._repr_html_()
