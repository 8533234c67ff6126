"""The course's two DAGs about dependencies, on a live Airflow: what must be visible, on good nights and on bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from pipelines import category_ratings
from pipelines import ecommerce_analytics as analytics
from windtunnel import outside
from windtunnel.course import data_file, deploy
from windtunnel.metadata import metadata
from windtunnel.runs import Run, trigger
from windtunnel.sandbox import Sandbox
from windtunnel.session import connect
from windtunnel.warehouse import warehouse
from world import catalogue
from world.shop import Shop

P2, P4 = "ecommerce_daily_analytics", "multi_category_processing"
FILE = "ecommerce/raw_sales_{}.json"


@pytest.fixture(scope="module", autouse=True)
def deployed(sandbox: Sandbox) -> None:
    connect()
    for dag_id in (P2, P4):
        deploy(dag_id)


@pytest.fixture
def world() -> Iterator[outside.World]:
    outside.world.reset()
    yield outside.world
    outside.world.reset()


def ended(run: Run) -> Run:
    run.watch()
    return run


def night(when: str) -> Run:
    return ended(trigger(P2, logical_date=when, unpause=True))


def rows(day: str) -> list[dict[str, object]]:
    found = warehouse("select * from daily_metrics where date = %s", [day])
    assert found is not None
    return found.to_dict("records")


def test_each_has_the_schedule_that_was_asked_for() -> None:
    found = metadata(
        "select dag_id, timetable_summary, max_active_runs from dag where dag_id = any(%s) order by dag_id",
        [[P2, P4]],
    )
    assert found.rows[0] == [P2, "0 3 * * *", "1"]
    assert found.rows[1][:2] == [P4, "0 4 * * *"]


def test_a_good_night_leaves_one_row_and_no_file(world: outside.World) -> None:
    run = night("2026-03-02")
    assert (run.state, set(run.states().values())) == ("success", {"success"})
    first, after = date(2026, 3, 1), date(2026, 3, 2)
    expected = analytics.metrics(
        analytics.sales(Shop().orders(first, after), Shop().crm_customers(after)), first
    )
    assert run.xcom("calculate_daily_metrics") == expected
    [row] = rows("2026-03-01")
    assert (row["total_orders"], row["total_revenue"]) == (
        expected["total_orders"],
        expected["total_revenue"],
    )
    assert not data_file(FILE.format("2026-03-01")).exists()

    run.clear("extract_sales_data")
    assert ended(run).state == "success"
    assert rows("2026-03-01") == [row]


def test_a_bad_night_is_cleaned_up_and_stays_red_and_can_be_made_again(world: outside.World) -> None:
    world.orders.renames("total_amount", "amount")
    run = night("2026-03-03")
    assert run.state == "failed"
    assert run.states() == {
        "extract_sales_data": "success",
        "validate_data_quality": "failed",
        "calculate_daily_metrics": "upstream_failed",
        "cleanup_temp_files": "success",
    }
    assert "8 of 8 rows without order_amount" in run.log("validate_data_quality")
    assert not rows("2026-03-02")
    assert not data_file(FILE.format("2026-03-02")).exists()

    world.mend()
    run.clear("validate_data_quality")
    assert ended(run).state == "success"
    assert run.tries()["extract_sales_data"] == 2  # the setup came along: its file was gone
    assert len(rows("2026-03-02")) == 1
    assert not data_file(FILE.format("2026-03-02")).exists()


def test_a_night_without_an_answer_has_nothing_to_clean_up(world: outside.World) -> None:
    world.orders.fails(503)
    run = night("2026-03-04")
    assert run.state == "failed"
    assert run.states()["cleanup_temp_files"] == "upstream_failed"


def test_five_categories_fan_in_to_one_summary(world: outside.World) -> None:
    run = ended(trigger(P4, logical_date="2026-03-02", unpause=True))
    extracts = [f"extract_{category}_data" for category in category_ratings.CATEGORIES]
    assert run.state == "success"
    assert set(run.states()) == {*extracts, "summarize_all_categories"}
    assert sorted(run.graph().edges) == sorted((name, "summarize_all_categories") for name in extracts)
    found = run.xcom("summarize_all_categories")
    assert found["categories"] == 5
    reviews = catalogue.reviews(date(2026, 3, 1))
    assert found["reviews"] == len({one["review_id"] for one in reviews})
    kept = data_file("category_ratings/2026-03-01")
    assert sorted(path.stem for path in kept.iterdir()) == sorted(category_ratings.CATEGORIES)


def test_without_one_category_there_is_no_summary(world: outside.World) -> None:
    world.products.fails(503, times=1)
    run = ended(trigger(P4, logical_date="2026-03-03", unpause=True))
    assert run.state == "failed"
    states = run.states()
    assert states.pop("summarize_all_categories") == "upstream_failed"
    assert sorted(states.values()) == ["failed", *["success"] * 4]
