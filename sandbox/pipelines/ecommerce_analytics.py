"""A day's sales: fetched, looked at for what cannot be right, and summed up in one row of the warehouse.

Between the steps the sales lie in a file of their day. Numbers are Python's own throughout: what is computed here goes
into JSON and into a database as it is.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

Row = dict[str, Any]

CRITICAL = ("order_id", "customer_id", "order_amount", "order_date")
HIGHEST = 10_000  # euros; nobody buys tea for more
UNKNOWN = "unknown"

TABLE = """
    create table if not exists daily_metrics (
        date date primary key,
        total_orders integer not null,
        total_revenue numeric(12, 2) not null,
        average_order_value numeric(12, 2),
        total_refunded numeric(12, 2) not null,
        unique_customers integer not null,
        top_country text
    )
"""
COLUMNS = (
    "date",
    "total_orders",
    "total_revenue",
    "average_order_value",
    "total_refunded",
    "unique_customers",
    "top_country",
)


class BadSales(ValueError):
    """The sales of a day cannot be right."""


def day_before(moment: datetime) -> date:
    """The day that has ended when a night's run is due."""
    return moment.date() - timedelta(days=1)


def sales(orders: Iterable[Mapping[str, Any]], customers: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The shop's orders with their customers' countries, as they came: what is missing is None, and stays in.

    Rows: order_id, customer_id, country, order_amount (euros), order_date, status.
    """
    country = {customer.get("customer_id"): customer.get("country") for customer in customers}
    return [
        {
            "order_id": order.get("order_id"),
            "customer_id": order.get("customer_id"),
            "country": country.get(order.get("customer_id")),
            "order_amount": order.get("total_amount"),
            "order_date": order.get("order_date"),
            "status": order.get("status"),
        }
        for order in orders
    ]


def issues(rows: Sequence[Row], day: date) -> list[str]:
    """What cannot be right about the sales of ``day``, one sentence for each kind; none for good ones."""
    found = [
        (f"without {column}", sum(row[column] in (None, "") for row in rows))  # none of them may be empty
        for column in CRITICAL
    ]
    given = [row["order_amount"] for row in rows if row["order_amount"] not in (None, "")]
    amounts = [amount for amount in given if isinstance(amount, int | float) and amount == amount]  # no NaN
    found += [
        ("with an order_amount that is no number", len(given) - len(amounts)),
        ("with a negative order_amount", sum(amount < 0 for amount in amounts)),
        (f"with an order_amount above {HIGHEST} EUR", sum(amount > HIGHEST for amount in amounts)),
        (f"of another day than {day}", sum(row["order_date"] not in (None, "", str(day)) for row in rows)),
    ]
    ids = [row["order_id"] for row in rows if row["order_id"]]
    found.append(("with an order_id that was there before", len(ids) - len(set(ids))))
    return [f"{count} of {len(rows)} rows {what}" for what, count in found if count]


def validate(rows: Sequence[Row], day: date) -> int:
    """How many rows there are. Raises BadSales, naming every issue, when there is one. No sales are a quiet day."""
    if found := issues(rows, day):
        raise BadSales(f"{day}: {'; '.join(found)}")
    return len(rows)


def metrics(rows: Sequence[Row], day: date) -> dict[str, Any]:
    """The day in numbers, ready for JSON. Money is in euros; revenue is that of completed orders.

    Where there is nothing to average, ``average_order_value`` is None, and ``top_country`` when there are no orders.
    Of countries with equally many orders, the first by name is on top.
    """
    completed = [row for row in rows if row["status"] == "completed"]
    revenue = _euros(completed)
    countries = Counter(row["country"] or UNKNOWN for row in rows)
    top = min(countries, key=lambda name: (-countries[name], name), default=None)
    return {
        "date": str(day),
        "total_orders": len(rows),
        "total_revenue": revenue,
        "average_order_value": round(revenue / len(completed), 2) if completed else None,
        "total_refunded": _euros(row for row in rows if row["status"] == "refunded"),
        "unique_customers": len({row["customer_id"] for row in rows}),
        "top_country": top,
        "revenue_by_country": {
            name: _euros(row for row in completed if (row["country"] or UNKNOWN) == name)
            for name in sorted(countries)
        },
    }


def upsert(cursor: Any, found: Mapping[str, Any]) -> None:
    """Make ``found`` (see ``metrics``) the one row that the table daily_metrics has of its day."""
    places = ", ".join(["%s"] * len(COLUMNS))
    changes = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS[1:])
    cursor.execute(TABLE)
    cursor.execute(
        f"insert into daily_metrics ({', '.join(COLUMNS)}) values ({places}) "  # noqa: S608
        f"on conflict (date) do update set {changes}",
        [found[column] for column in COLUMNS],
    )


def save(rows: Sequence[Row], day: date) -> None:
    """Write the day's file, whole or not at all."""
    path = file(day)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(list(rows)))
    unfinished.replace(path)


def load(day: date) -> list[Row]:
    """What ``save`` wrote. FileNotFoundError when there is nothing."""
    rows: list[Row] = json.loads(file(day).read_text())
    return rows


def remove(day: date) -> bool:
    """Remove the day's file. Returns whether there was one: a second removal is no error."""
    there = file(day).exists()
    file(day).unlink(missing_ok=True)
    return there


def file(day: date) -> Path:
    """Where the sales of a day are kept between the steps, below ``$WINDTUNNEL_DATA``."""
    return Path(os.environ["WINDTUNNEL_DATA"]) / "ecommerce" / f"raw_sales_{day}.json"


def _euros(rows: Iterable[Row]) -> float:
    return round(float(sum(row["order_amount"] for row in rows)), 2)
