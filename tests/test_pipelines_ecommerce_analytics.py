"""A day's sales, checked and summed up, without Airflow; the upsert on a real Postgres, over both drivers of a hook."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import psycopg2
import pytest

from pipelines import ecommerce_analytics as analytics
from pipelines.orders_by_day import transaction
from windtunnel.postgres import Postgres
from windtunnel.sandbox import Sandbox
from world.shop import Shop

DAY = date(2026, 3, 1)
SHOP = Shop()


def sale(order_id: str = "1", amount: Any = 10.0, **more: Any) -> dict[str, Any]:
    row = {"order_id": order_id, "customer_id": "A", "country": "DE", "order_amount": amount}
    return row | {"order_date": str(DAY), "status": "completed"} | more


def of_the_shop() -> list[dict[str, Any]]:
    after = date(2026, 3, 2)
    return analytics.sales(SHOP.orders(DAY, after), SHOP.crm_customers(after))


def test_a_night_is_about_the_day_before_it() -> None:
    assert analytics.day_before(datetime(2026, 3, 1, 3, tzinfo=UTC)) == date(2026, 2, 28)


def test_sales_are_kept_as_they_came_and_know_their_country() -> None:
    orders = [
        {"order_id": "1", "customer_id": "A", "total_amount": -1, "order_date": None, "status": "completed"},
        {"order_id": "1", "customer_id": "nobody", "amount": 5},
    ]
    assert analytics.sales(orders, [{"customer_id": "A", "country": "NA"}]) == [
        sale("1", -1, country="NA", order_date=None),
        sale("1", None, customer_id="nobody", country=None, order_date=None, status=None),
    ]


def test_the_shops_own_day_has_no_issues() -> None:
    rows = of_the_shop()
    assert analytics.issues(rows, DAY) == []
    assert analytics.validate(rows, DAY) == len(rows) == 7


def test_a_quiet_day_has_no_issues() -> None:
    assert analytics.validate([], DAY) == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"order_id": None}, "1 of 2 rows without order_id"),
        ({"customer_id": ""}, "1 of 2 rows without customer_id"),
        ({"order_amount": None}, "1 of 2 rows without order_amount"),
        ({"order_date": None}, "1 of 2 rows without order_date"),
        ({"order_amount": "10"}, "1 of 2 rows with an order_amount that is no number"),
        ({"order_amount": float("nan")}, "1 of 2 rows with an order_amount that is no number"),
        ({"order_amount": -0.01}, "1 of 2 rows with a negative order_amount"),
        ({"order_amount": 10_000.01}, "1 of 2 rows with an order_amount above 10000 EUR"),
        ({"order_date": "2026-02-28"}, "1 of 2 rows of another day than 2026-03-01"),
        ({"order_id": "2"}, "1 of 2 rows with an order_id that was there before"),
    ],
)
def test_each_issue_is_found_and_named(wrong: dict[str, Any], said: str) -> None:
    rows = [sale("1") | wrong, sale("2")]
    assert analytics.issues(rows, DAY) == [said]
    with pytest.raises(analytics.BadSales, match=f"2026-03-01: {said}"):
        analytics.validate(rows, DAY)


def test_the_edges_are_still_right() -> None:
    assert analytics.issues([sale("1", 0), sale("2", 10_000)], DAY) == []


def test_all_issues_are_named_at_once() -> None:
    rows = [sale("1", None), sale("1", -5)]
    with pytest.raises(analytics.BadSales, match=r"without order_amount; .* negative .*; .* there before"):
        analytics.validate(rows, DAY)


def test_revenue_is_that_of_completed_orders_and_refunds_are_told_apart() -> None:
    rows = [
        sale("1", 10.1),
        sale("2", 20.2, country="AT", customer_id="B"),
        sale("3", 5, status="refunded"),
        sale("4", 9, status="cancelled", country=None),
    ]
    assert analytics.metrics(rows, DAY) == {
        "date": "2026-03-01",
        "total_orders": 4,
        "total_revenue": 30.3,
        "average_order_value": 15.15,
        "total_refunded": 5.0,
        "unique_customers": 2,
        "top_country": "DE",
        "revenue_by_country": {"AT": 20.2, "DE": 10.1, "unknown": 0.0},
    }


def test_of_equal_countries_the_first_by_name_is_on_top() -> None:
    rows = [sale("1", country="SE"), sale("2", country="AT")]
    assert analytics.metrics(rows, DAY)["top_country"] == "AT"
    assert analytics.metrics(rows[::-1], DAY)["top_country"] == "AT"


def test_a_day_without_sales_has_zeros_and_no_average() -> None:
    found = analytics.metrics([], DAY)
    assert (found["total_orders"], found["total_revenue"], found["total_refunded"]) == (0, 0.0, 0.0)
    assert found["average_order_value"] is found["top_country"] is None


def test_numbers_are_pythons_and_go_into_json_as_they_are() -> None:
    found = analytics.metrics(of_the_shop(), DAY)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    numbers = ("total_orders", "unique_customers", "total_revenue", "average_order_value", "total_refunded")
    assert [type(found[name]) for name in numbers] == [int, int, float, float, float]


def test_a_day_has_one_file_which_can_be_removed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    for rows in ([sale("1"), sale("2")], [sale("1", None)]):
        analytics.save(rows, DAY)
        assert analytics.load(DAY) == rows
    assert list(analytics.file(DAY).parent.iterdir()) == [analytics.file(DAY)]
    assert analytics.remove(DAY)
    assert not analytics.remove(DAY)
    with pytest.raises(FileNotFoundError, match="raw_sales_2026-03-01"):
        analytics.load(DAY)


@pytest.fixture(params=[psycopg2, psycopg], ids=lambda driver: str(driver.__name__))
def connect(request: pytest.FixtureRequest, sandbox: Sandbox) -> Callable[[], Any]:
    """Makes connections to a warehouse without the table."""
    postgres = Postgres(sandbox.state, sandbox.state.ports().postgres)
    url = postgres.url(sandbox.state.database("warehouse"), "warehouse", scheme="postgresql")
    with transaction(request.param.connect(url)) as cursor:
        cursor.execute("drop table if exists daily_metrics")
    return lambda: request.param.connect(url)


def test_a_day_has_one_row_however_often_it_is_written(connect: Callable[[], Any]) -> None:
    first, again = (analytics.metrics([sale("1", amount)], DAY) for amount in (10.0, 20.5))
    other = analytics.metrics([], date(2026, 3, 2))
    for found in (first, other, again):
        with transaction(connect()) as cursor:
            analytics.upsert(cursor, found)
    with transaction(connect()) as cursor:
        cursor.execute(f"select {', '.join(analytics.COLUMNS)} from daily_metrics order by date")
        rows = [dict(zip(analytics.COLUMNS, row, strict=True)) for row in cursor.fetchall()]
        cursor.execute("select count(*) from daily_metrics where pg_typeof(total_orders)::text = 'integer'")
        assert cursor.fetchone()[0] == 2
    assert [str(row["date"]) for row in rows] == ["2026-03-01", "2026-03-02"]
    assert (float(rows[0]["total_revenue"]), rows[0]["top_country"]) == (20.5, "DE")
    assert rows[1]["average_order_value"] is None


def test_the_business_logic_does_not_import_airflow() -> None:
    tree = ast.parse(Path(analytics.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith("airflow")]
