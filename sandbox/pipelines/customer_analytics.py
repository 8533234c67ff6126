"""Customer lifetime value, from what the CRM and the shop answer to what the dashboard shows.

Tables travel between the steps as CSV files, one folder for each day. A second run of a day replaces
its files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

CUSTOMERS = ["customer_id", "name", "country", "acquisition_channel", "registration_date"]
ORDERS = ["order_id", "customer_id", "total_amount", "order_date", "status"]
DASHBOARD = "customer_analytics"
TOP_CUSTOMERS = 10


def customers_table(payload: Mapping[str, Any]) -> pd.DataFrame:
    """The CRM's answer as a table with the columns CUSTOMERS. ValueError when one is missing."""
    return _table(payload, "customers", CUSTOMERS)


def orders_table(payload: Mapping[str, Any]) -> pd.DataFrame:
    """The shop's answer as a table with the columns ORDERS. ValueError when one is missing."""
    return _table(payload, "orders", ORDERS)


def join(customers: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    """One row for each order, with its customer.

    A customer without orders has one row, with empty order columns.

    ValueError when a customer is listed twice, because every order of theirs would then count twice.
    """
    return customers.merge(orders, on="customer_id", how="left", validate="one_to_many")


def lifetime_value(joined: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """One row for each customer of ``joined``, the most valuable first (ties: by customer_id).

    Columns added to the customer's own:

    - ``orders``: completed orders so far. Cancelled and refunded ones earned nothing and do not count.
    - ``lifetime_value``: their total, in euros.
    - ``average_order_value``: lifetime_value / orders, in euros; 0 without orders.
    - ``tenure_months``: whole months from registration to ``as_of``.
    """
    earned = joined.assign(total_amount=joined["total_amount"].where(joined["status"] == "completed"))
    table = earned.groupby(CUSTOMERS, as_index=False, dropna=False).agg(
        orders=("total_amount", "count"), lifetime_value=("total_amount", "sum")
    )
    table["lifetime_value"] = table["lifetime_value"].round(2)
    average = table["lifetime_value"] / table["orders"].where(table["orders"] > 0)
    table["average_order_value"] = average.fillna(0).round(2)
    table["tenure_months"] = [
        _whole_months(date.fromisoformat(day), as_of) for day in table["registration_date"]
    ]
    return table.sort_values(["lifetime_value", "customer_id"], ascending=[False, True], ignore_index=True)


def summary(values: pd.DataFrame) -> dict[str, float]:
    """The dashboard's headline: customers, those who bought, revenue and its mean per customer (euros)."""
    revenue = float(values["lifetime_value"].sum())
    customers = len(values)
    return {
        "customers": customers,
        "buyers": int((values["orders"] > 0).sum()),
        "revenue": round(revenue, 2),
        "mean_lifetime_value": round(revenue / customers, 2) if customers else 0.0,
    }


def dashboard_refresh(values: pd.DataFrame, as_of: date) -> dict[str, Any]:
    """What the dashboard is sent, ready for JSON: name, day, headline and the ten best customers."""
    best = values.head(TOP_CUSTOMERS)[["customer_id", "name", "orders", "lifetime_value"]]
    return {
        "dashboard": DASHBOARD,
        "date": as_of.isoformat(),
        "summary": summary(values),
        # to_dict gives Python numbers: numpy's are not JSON.
        "rows": best.to_dict("records"),
    }


def save(table: pd.DataFrame, as_of: date, name: str) -> str:
    """Write ``table`` to the day's folder under ``$WINDTUNNEL_DATA``. Returns the path, to be passed on."""
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "customer_analytics" / as_of.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    unfinished = path.with_suffix(".part")
    table.to_csv(unfinished, index=False)
    unfinished.replace(path)  # a reader sees the old file or the new one, never half of one
    return str(path)


def load(path: str) -> pd.DataFrame:
    """The table that ``save`` wrote. Ids and dates stay text."""
    # Namibia's country code is NA: only an empty field is a missing value.
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _table(payload: Mapping[str, Any], name: str, columns: list[str]) -> pd.DataFrame:
    """``payload[name]``, a list of rows, with exactly ``columns``."""
    if name not in payload:
        raise ValueError(f"the answer has no {name!r}, only {sorted(payload)}")
    rows = payload[name]
    # An empty list is a quiet day, not a changed format.
    missing = [column for column in columns if rows and any(column not in row for row in rows)]
    if missing:
        raise ValueError(f"{name}: no column {', '.join(missing)}; the answer has {', '.join(rows[0])}")
    return pd.DataFrame(rows, columns=columns)


def _whole_months(start: date, end: date) -> int:
    months = (end.year - start.year) * 12 + end.month - start.month
    return months - (end.day < start.day)
