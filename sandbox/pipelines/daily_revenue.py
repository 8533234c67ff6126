"""A day's revenue: three raw tables cleaned (silver), and a report made of them (gold).

A table is a CSV file in the folder of its layer and its day, below ``$WINDTUNNEL_DATA``. A second run of a day
replaces its files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

SILVER = {
    "orders": ["order_id", "customer_id", "total_amount", "order_date"],
    "customers": ["customer_id", "country"],
    "payments": ["transaction_id", "customer_id", "amount", "transaction_date"],
}


def day_before(moment: datetime) -> date:
    """The day that has ended when a night's run is due."""
    return moment.date() - timedelta(days=1)


def silver(name: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of one source, cleaned: the columns of ``SILVER[name]``, every key once, completed orders only.

    ValueError when a column is missing. No rows are a quiet day, and fine.
    """
    rows, columns = list(rows), SILVER[name]
    missing = sorted({column for row in rows for column in columns if column not in row})
    if missing:
        raise ValueError(f"{name}: no column {', '.join(missing)}; the answer has {', '.join(rows[0])}")
    kept = [row for row in rows if row.get("status", "completed") == "completed"]
    return pd.DataFrame(kept, columns=columns).drop_duplicates(columns[0], ignore_index=True)


def gold(orders: pd.DataFrame, customers: pd.DataFrame, payments: pd.DataFrame) -> pd.DataFrame:
    """``country``, ``orders`` (number) and ``revenue`` (euros paid), one row for each country, by name.

    What somebody unknown ordered or paid is under the country "unknown", so that nothing is lost.
    """
    country = customers.set_index("customer_id")["country"]

    def by_country(table: pd.DataFrame) -> Any:
        return table.groupby(table["customer_id"].map(country).astype(object).fillna("unknown"))

    found = pd.DataFrame(
        {"orders": by_country(orders).size(), "revenue": by_country(payments)["amount"].sum().round(2)}
    )
    # An outer join: a country may have orders without payments.
    return found.fillna(0).astype({"orders": int}).rename_axis("country").sort_index().reset_index()


def totals(table: pd.DataFrame) -> dict[str, Any]:
    """A gold table in one line, ready for JSON: ``{"orders": 12, "revenue": 345.6}``."""
    # Python's numbers: numpy's are not JSON.
    return {"orders": int(table["orders"].sum()), "revenue": round(float(table["revenue"].sum()), 2)}


def report(day: str) -> dict[str, Any]:
    """Make the gold table of a day from its three silver ones, and return its totals.

    FileNotFoundError when a silver table is missing.
    """
    table = gold(
        load("silver", "orders", day), load("silver", "customers", day), load("silver", "payments", day)
    )
    save("gold", "daily_revenue", day, table)
    return totals(table)


def newest(name: str) -> str:
    """The last day of which there is a silver table. ValueError when there is none."""
    return max(path.stem for path in _path("silver", name, "").parent.glob("*.csv"))


def missing(day: str) -> list[str]:
    """The silver tables that the day does not have yet."""
    return [name for name in SILVER if not _path("silver", name, day).exists()]


def days_named(
    extras: Iterable[Mapping[str, Any] | None], conf: Mapping[str, Any] | None = None
) -> list[str]:
    """The days a run is about, in order: what the updates that started it say, or ``conf`` of a run by hand.

    ValueError when nothing names a day.
    """
    days = {extra["day"] for extra in [*extras, conf] if extra and "day" in extra}
    if not days:
        raise ValueError('nothing names a day: start it by hand with the conf {"day": "2026-03-01"}')
    return sorted(days)


def save(layer: str, name: str, day: str, table: pd.DataFrame) -> int:
    """Write a table, whole or not at all. Returns how many rows it has."""
    path = _path(layer, name, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    table.to_csv(unfinished, index=False)
    unfinished.replace(path)
    return len(table)


def load(layer: str, name: str, day: str) -> pd.DataFrame:
    """The table that ``save`` wrote. FileNotFoundError when there is none."""
    # Namibia's country code is NA: only an empty field is a missing value.
    return pd.read_csv(_path(layer, name, day), keep_default_na=False, na_values=[""])


def _path(layer: str, name: str, day: str) -> Path:
    return Path(os.environ["WINDTUNNEL_DATA"]) / layer / name / f"{day}.csv"
