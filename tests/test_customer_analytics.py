import ast
import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from pipelines import customer_analytics as analytics
from world.shop import Shop

DAY = date(2026, 3, 2)


def customer(customer_id, registered="2025-03-02", country="DE"):
    return {
        "customer_id": customer_id,
        "name": f"Name of {customer_id}",
        "country": country,
        "acquisition_channel": "search",
        "registration_date": registered,
    }


def order(order_id, customer_id, amount, status="completed"):
    return {
        "order_id": order_id,
        "customer_id": customer_id,
        "total_amount": amount,
        "order_date": "2026-01-01",
        "status": status,
    }


def values(customers, orders, day=DAY):
    joined = analytics.join(
        analytics.customers_table({"customers": customers}), analytics.orders_table({"orders": orders})
    )
    return analytics.lifetime_value(joined, day)


def row(table, customer_id):
    return table[table["customer_id"] == customer_id].iloc[0].to_dict()


def test_lifetime_value_is_the_total_of_completed_orders():
    table = values(
        [customer("A")],
        [order("1", "A", 10.10), order("2", "A", 20.20), order("3", "A", 99.0, "cancelled")],
    )
    assert (table["orders"][0], table["lifetime_value"][0]) == (2, 30.3)
    assert table["average_order_value"][0] == 15.15


def test_a_customer_without_orders_is_kept_with_zeros():
    table = values([customer("A"), customer("B")], [order("1", "A", 10.0)])
    assert row(table, "B") | {"orders": 0, "lifetime_value": 0, "average_order_value": 0} == row(table, "B")


def test_a_customer_whose_only_order_was_refunded_is_worth_nothing():
    table = values([customer("A")], [order("1", "A", 10.0, "refunded")])
    assert (table["orders"][0], table["lifetime_value"][0], table["average_order_value"][0]) == (0, 0, 0)


def test_an_order_of_an_unknown_customer_is_nobodys_value():
    assert values([customer("A")], [order("1", "X", 10.0)])["lifetime_value"].sum() == 0


def test_a_day_without_any_order_is_no_error():
    assert values([customer("A")], [])["lifetime_value"].tolist() == [0]


def test_the_best_customer_comes_first_and_ties_go_by_id():
    orders = [order("1", "C", 5.0), order("2", "A", 5.0), order("3", "B", 9.0)]
    table = values([customer("C"), customer("B"), customer("A")], orders)
    assert table["customer_id"].tolist() == ["B", "A", "C"]


@pytest.mark.parametrize(
    ("registered", "months"),
    [("2026-03-01", 0), ("2026-02-02", 1), ("2026-02-03", 0), ("2025-03-02", 12), ("2024-12-31", 14)],
)
def test_tenure_counts_whole_months(registered, months):
    assert values([customer("A", registered)], [])["tenure_months"].tolist() == [months]


def test_a_renamed_field_is_refused_by_name_with_what_came_instead():
    renamed = order("1", "A", 5.0)
    renamed["amount"] = renamed.pop("total_amount")
    with pytest.raises(ValueError, match=r"orders: no column total_amount; the answer has .*amount"):
        analytics.orders_table({"orders": [renamed]})


def test_an_answer_about_something_else_is_refused():
    with pytest.raises(ValueError, match="no 'customers', only"):
        analytics.customers_table({"detail": "maintenance"})


def test_a_customer_listed_twice_is_refused_because_orders_would_count_twice():
    with pytest.raises(pd.errors.MergeError):
        values([customer("A"), customer("A")], [order("1", "A", 5.0)])


def test_a_table_comes_back_from_its_path_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    table = values([customer("A", country="NA"), customer("B")], [order("1", "A", 5.5)])
    path = analytics.save(table, DAY, "lifetime_value")
    assert path == str(tmp_path / "customer_analytics/2026-03-02/lifetime_value.csv")
    pd.testing.assert_frame_equal(analytics.load(path), table)


def test_a_second_run_of_the_day_replaces_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    analytics.save(values([customer("A"), customer("B")], []), DAY, "values")
    path = analytics.save(values([customer("C")], []), DAY, "values")
    assert analytics.load(path)["customer_id"].tolist() == ["C"]
    assert [file.name for file in Path(path).parent.iterdir()] == ["values.csv"]


def test_the_dashboard_gets_plain_json_with_the_ten_best():
    customers = [customer(f"C{n:02}") for n in range(12)]
    orders = [order(str(n), f"C{n:02}", 1.0 + n) for n in range(11)]
    push = json.loads(json.dumps(analytics.dashboard_refresh(values(customers, orders), DAY)))
    assert push["summary"] == {"customers": 12, "buyers": 11, "revenue": 66.0, "mean_lifetime_value": 5.5}
    assert [row["customer_id"] for row in push["rows"]] == [f"C{n:02}" for n in range(10, 0, -1)]
    assert push["date"] == "2026-03-02"


def test_a_summary_of_nobody_is_all_zeros():
    assert set(analytics.summary(values([], [])).values()) == {0}


def test_the_shops_own_data_goes_through():
    shop = Shop()
    table = values(shop.crm_customers(DAY), shop.orders(None, DAY))
    completed = [o for o in shop.orders(None, DAY) if o["status"] == "completed"]
    assert len(table) == len(shop.crm_customers(DAY))
    assert table["orders"].sum() == len(completed)
    assert table["lifetime_value"].sum() == pytest.approx(sum(o["total_amount"] for o in completed))


def test_the_business_logic_does_not_import_airflow():
    tree = ast.parse(Path(analytics.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith("airflow")]
