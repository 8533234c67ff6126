"""What the silver and gold pipelines compute, without Airflow."""

from __future__ import annotations

import ast
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines import daily_revenue
from world.shop import Shop

DAY = "2026-03-01"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    return tmp_path


def order(order_id: str, customer: str = "A", amount: float = 10.0, **more: Any) -> dict[str, Any]:
    row = {"order_id": order_id, "customer_id": customer, "total_amount": amount, "order_date": DAY}
    return row | {"status": "completed"} | more


def payment(transaction_id: str, customer: str = "A", amount: float = 10.0) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id,
        "customer_id": customer,
        "amount": amount,
        "transaction_date": DAY,
    }


def customer(customer_id: str, country: str | None = "DE") -> dict[str, Any]:
    return {"customer_id": customer_id, "country": country, "name": "not needed"}


def save_day(day: str, orders: list[Any], customers: list[Any], payments: list[Any]) -> None:
    for name, rows in (("orders", orders), ("customers", customers), ("payments", payments)):
        daily_revenue.save("silver", name, day, daily_revenue.silver(name, rows))


def test_a_night_is_about_the_day_before_it() -> None:
    assert daily_revenue.day_before(datetime(2026, 3, 1, 2, tzinfo=UTC)) == date(2026, 2, 28)


def test_silver_keeps_completed_orders_once_and_only_its_columns() -> None:
    rows = [order("1"), order("1"), order("2", status="cancelled"), order("3")]
    table = daily_revenue.silver("orders", rows)
    assert table["order_id"].tolist() == ["1", "3"]
    assert list(table.columns) == daily_revenue.SILVER["orders"]


def test_a_renamed_field_is_refused_by_name_with_what_came_instead() -> None:
    renamed = order("1")
    renamed["amount"] = renamed.pop("total_amount")
    with pytest.raises(ValueError, match=r"orders: no column total_amount; the answer has .*amount"):
        daily_revenue.silver("orders", [renamed])


def test_a_quiet_day_has_empty_tables_and_no_revenue(data: Path) -> None:
    save_day(DAY, [], [], [])
    assert daily_revenue.report(DAY) == {"orders": 0, "revenue": 0.0}


def test_gold_counts_orders_and_adds_payments_by_country() -> None:
    table = daily_revenue.gold(
        daily_revenue.silver("orders", [order("1"), order("2", "B"), order("3", "C")]),
        daily_revenue.silver("customers", [customer("A"), customer("B", "AT"), customer("C")]),
        daily_revenue.silver("payments", [payment("1", "A", 10.1), payment("3", "C", 20.2)]),
    )
    assert table.to_dict("list") == {"country": ["AT", "DE"], "orders": [1, 2], "revenue": [0.0, 30.3]}


def test_what_somebody_unknown_paid_is_not_lost() -> None:
    table = daily_revenue.gold(
        daily_revenue.silver("orders", [order("1")]),
        daily_revenue.silver("customers", [customer("A", None)]),
        daily_revenue.silver("payments", [payment("1"), payment("2", "nobody", 5.0)]),
    )
    assert table.to_dict("list") == {"country": ["unknown"], "orders": [1], "revenue": [15.0]}


def test_namibia_is_a_country(data: Path) -> None:
    save_day(DAY, [order("1")], [customer("A", "NA")], [payment("1")])
    daily_revenue.report(DAY)
    assert daily_revenue.load("gold", "daily_revenue", DAY)["country"].tolist() == ["NA"]


def test_a_report_is_json_and_a_second_one_replaces_the_first(data: Path) -> None:
    save_day(DAY, [order("1")], [customer("A")], [payment("1")])
    daily_revenue.report(DAY)
    save_day(DAY, [order("1"), order("2")], [customer("A")], [payment("1"), payment("2")])
    assert json.loads(json.dumps(daily_revenue.report(DAY))) == {"orders": 2, "revenue": 20.0}
    assert daily_revenue.load("gold", "daily_revenue", DAY)["orders"].tolist() == [2]
    assert [path.name for path in (data / "gold" / "daily_revenue").iterdir()] == [f"{DAY}.csv"]


def test_a_report_without_a_silver_table_fails_and_names_it(data: Path) -> None:
    save_day(DAY, [order("1")], [customer("A")], [])
    (data / "silver" / "payments" / f"{DAY}.csv").unlink()
    assert daily_revenue.missing(DAY) == ["payments"]
    with pytest.raises(FileNotFoundError, match=r"payments/2026-03-01\.csv"):
        daily_revenue.report(DAY)


def test_the_newest_table_is_that_of_the_last_day(data: Path) -> None:
    for day in ("2026-03-02", "2026-02-28", "2026-03-01"):
        save_day(day, [], [], [])
    assert daily_revenue.newest("payments") == "2026-03-02"


def test_days_are_named_by_updates_or_by_hand() -> None:
    extras = [{"day": "2026-03-02", "rows": 1}, {"day": DAY}, {"day": DAY}, {"other": 1}, None]
    assert daily_revenue.days_named(extras, {}) == [DAY, "2026-03-02"]
    assert daily_revenue.days_named([], {"day": DAY}) == [DAY]
    for conf in (None, {}, {"date": DAY}):
        with pytest.raises(ValueError, match="nothing names a day"):
            daily_revenue.days_named([{}, None], conf)


def test_the_shops_own_day_was_paid_in_full(data: Path) -> None:
    shop, first, after = Shop(), date(2026, 3, 1), date(2026, 3, 2)
    save_day(DAY, shop.orders(first, after), shop.crm_customers(after), shop.transactions(first, after))
    orders = daily_revenue.load("silver", "orders", DAY)
    assert daily_revenue.report(DAY) == {
        "orders": len(orders),
        "revenue": pytest.approx(orders["total_amount"].sum()),
    }
    table = daily_revenue.load("gold", "daily_revenue", DAY)
    pd.testing.assert_frame_equal(table, table.sort_values("country", ignore_index=True))


def test_the_business_logic_does_not_import_airflow() -> None:
    tree = ast.parse(Path(daily_revenue.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith("airflow")]
