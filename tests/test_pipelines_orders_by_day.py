"""The load that may be run twice, on a real Postgres, over both drivers that a hook may give."""

import ast
from datetime import date
from pathlib import Path

import psycopg
import psycopg2
import pytest

from pipelines import orders_by_day
from windtunnel.postgres import Postgres
from world.shop import Shop

DAY, NEXT = date(2026, 3, 4), date(2026, 3, 5)
SHOP = Shop()


def sold(day, until):
    return orders_by_day.rows(SHOP.orders(day, until))


ORDERS = sold(DAY, NEXT)
LATER = sold(NEXT, date(2026, 3, 6))


@pytest.fixture(params=[psycopg2, psycopg], ids=lambda driver: driver.__name__)
def connect(request, sandbox):
    """Makes connections to a warehouse in which the table is new and empty."""
    postgres = Postgres(sandbox.state, sandbox.state.ports().postgres)
    url = postgres.url(sandbox.state.database("warehouse"), "warehouse", scheme="postgresql")

    def connection():
        return request.param.connect(url)

    with orders_by_day.transaction(connection()) as cursor:
        cursor.execute("drop table if exists orders_by_day")
        cursor.execute(orders_by_day.TABLE)
    return connection


def load(connect, day, orders, **options):
    with orders_by_day.transaction(connect()) as cursor:
        return orders_by_day.replace_day(cursor, day, orders, **options)


def loaded(connect):
    with orders_by_day.transaction(connect()) as cursor:
        cursor.execute(f"select {', '.join(orders_by_day.COLUMNS)} from orders_by_day order by order_id")
        return [(*row[:2], str(row[2]), row[3], float(row[4])) for row in cursor.fetchall()]


def test_a_day_that_is_loaded_twice_counts_once(connect):
    assert load(connect, DAY, ORDERS) == 0
    assert load(connect, DAY, ORDERS) == len(ORDERS)
    assert loaded(connect) == ORDERS


def test_other_days_stay_and_a_withdrawn_order_goes(connect):
    load(connect, NEXT, LATER)
    load(connect, DAY, ORDERS)
    load(connect, DAY, ORDERS[1:])
    assert loaded(connect) == ORDERS[1:] + LATER


def test_a_load_that_fails_half_way_has_changed_nothing(connect):
    load(connect, DAY, ORDERS)
    without_amount = (*ORDERS[-1][:-1], None)
    with pytest.raises((psycopg2.IntegrityError, psycopg.IntegrityError)):
        load(connect, DAY, [*ORDERS[1:-1], without_amount])
    assert loaded(connect) == ORDERS


def test_a_day_disappears_only_when_somebody_says_so(connect):
    load(connect, DAY, ORDERS)
    with pytest.raises(
        orders_by_day.SuspiciousAnswer, match=f"for 2026-03-04, and the table has {len(ORDERS)}"
    ):
        load(connect, DAY, [])
    assert loaded(connect) == ORDERS
    load(connect, DAY, [], may_be_empty=True)
    assert loaded(connect) == []


def test_a_quiet_day_is_no_suspicious_one(connect):
    assert load(connect, DAY, []) == 0
    assert loaded(connect) == []


def test_a_connection_is_closed_after_its_transaction(connect):
    connection = connect()
    with orders_by_day.transaction(connection):
        pass
    assert connection.closed


def test_an_order_without_a_column_is_refused():
    order = {"order_id": "O1", "customer_id": "C1", "order_date": "2026-03-04", "status": "completed"}
    with pytest.raises(KeyError, match="total_amount"):
        orders_by_day.rows([order])


def test_the_business_logic_does_not_import_airflow():
    tree = ast.parse(Path(orders_by_day.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith("airflow")]
