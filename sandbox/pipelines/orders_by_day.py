"""The shop's orders in the warehouse, a day at a time: a load that may be run as often as anybody likes.

A day is replaced as a whole, in one transaction. Who reads the table sees the day as it was or as it is, and a load
that fails half-way has changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from typing import Any

COLUMNS = ["order_id", "customer_id", "order_date", "status", "total_amount"]

TABLE = """
    create table if not exists orders_by_day (
        order_id text primary key,
        customer_id text not null,
        order_date date not null,
        status text not null,
        total_amount numeric(10, 2) not null
    );
    create index if not exists orders_by_day_date on orders_by_day (order_date)
"""


class SuspiciousAnswer(ValueError):
    """The shop has nothing on a day of which the table has orders."""


def rows(orders: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """The shop's orders with the columns COLUMNS. KeyError when one lacks a column."""
    return [tuple(order[column] for column in COLUMNS) for order in orders]


@contextmanager
def transaction(connection: Any) -> Iterator[Any]:
    """A cursor of ``connection``: what it does takes effect at the end of the block, or not at all after an error.

    The connection is closed then. Works with psycopg2, which leaves it open at the end of a ``with``, and psycopg 3.
    """
    with closing(connection), connection, connection.cursor() as cursor:
        yield cursor


def replace_day(
    cursor: Any, day: date, orders: Sequence[tuple[Any, ...]], *, may_be_empty: bool = False
) -> int:
    """Make ``orders`` (see ``rows``) all that the table has of ``day``. Returns how many rows that were before.

    Raises SuspiciousAnswer, before anything has changed, when there are no orders and the table has some, unless
    ``may_be_empty``.
    """
    # A range of dates, not a function of the column: that way an index on the column can be used, whether it
    # holds dates or moments.
    that_day = "order_date >= %s and order_date < %s", (day, day + timedelta(days=1))
    cursor.execute(f"select count(*) from orders_by_day where {that_day[0]}", that_day[1])  # noqa: S608
    before = int(cursor.fetchone()[0])
    if before and not orders and not may_be_empty:
        raise SuspiciousAnswer(
            f"the shop has no orders for {day}, and the table has {before}: nothing was changed"
        )
    cursor.execute(f"delete from orders_by_day where {that_day[0]}", that_day[1])  # noqa: S608
    places = ", ".join(["%s"] * len(COLUMNS))
    cursor.executemany(f"insert into orders_by_day ({', '.join(COLUMNS)}) values ({places})", orders)  # noqa: S608
    return before
