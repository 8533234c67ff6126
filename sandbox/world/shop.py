"""The shop's data, asked for by date. Every "before" is exclusive, as in SQL's ``<``.

``Shop()`` is the invented shop of ``world.history``; ``Shop.from_json`` one written by hand, which may
hold what careful data never does: missing values, duplicates, transactions of nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from world import history

Row = dict[str, Any]

CUSTOMER = ("customer_id", "registration_date", "email")
CRM_CUSTOMER = ("customer_id", "name", "country", "acquisition_channel", "registration_date")


class Shop:
    """Customers, orders and the payments (transactions) made for them, as lists of rows with ISO dates."""

    def __init__(
        self,
        customers: Sequence[Row] | None = None,
        orders: Sequence[Row] | None = None,
        transactions: Sequence[Row] | None = None,
    ) -> None:
        """Without arguments, the invented shop; with any table given, only what is given."""
        if customers is orders is transactions is None:
            customers, orders = history.customers(), history.orders()
            transactions = payments(orders)
        self._customers = list(customers or ())
        self._orders = list(orders or ())
        self._transactions = list(transactions or ())

    @classmethod
    def from_json(cls, path: Path) -> Shop:
        """A shop from a file ``{"customers": [...], "orders": [...], "transactions": [...]}``.

        Each table is optional. Rows are served as written, in the order written.
        Raises ValueError naming the file when it is not that.
        """
        try:
            tables = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        return cls.from_tables(tables, name=str(path))

    @classmethod
    def from_tables(
        cls, tables: Mapping[str, Sequence[Mapping[str, Any]]], *, name: str = "the dataset"
    ) -> Shop:
        """The same from tables in memory. Raises ValueError, starting with ``name``."""
        known = {"customers", "orders", "transactions"}
        if not isinstance(tables, Mapping) or not tables:
            raise ValueError(f"{name} must be an object with one or more of {sorted(known)}")
        for table, rows in tables.items():
            if table not in known:
                raise ValueError(f"{name} has an unknown table {table!r}; known: {sorted(known)}")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ValueError(f"{name}: table {table!r} must be a list of objects")
        return cls(**tables)

    def customers(self, as_of: date) -> list[Row]:
        """Customers registered before ``as_of``: customer_id, registration_date, email."""
        return _columns(_between(self._customers, "registration_date", None, as_of), CUSTOMER)

    def crm_customers(self, as_of: date) -> list[Row]:
        """The same customers as the CRM knows them.

        Rows: customer_id, name, country, acquisition_channel, registration_date.
        """
        return _columns(_between(self._customers, "registration_date", None, as_of), CRM_CUSTOMER)

    def orders(self, start: date | None, end: date) -> list[Row]:
        """Orders placed from ``start`` (None: since ever) to before ``end``, whatever became of them.

        Rows: order_id, customer_id, total_amount (euros), order_date, status.
        """
        return list(_between(self._orders, "order_date", start, end))

    def transactions(self, start: date | None, end: date) -> list[Row]:
        """Payments from ``start`` (None: since ever) to before ``end``.

        Rows: transaction_id, customer_id, amount (euros), transaction_date.
        """
        return list(_between(self._transactions, "transaction_date", start, end))


def payments(orders: Iterable[Row]) -> list[Row]:
    """One transaction for each completed order."""
    return [
        {
            "transaction_id": "T" + order["order_id"][1:],
            "customer_id": order["customer_id"],
            "amount": order["total_amount"],
            "transaction_date": order["order_date"],
        }
        for order in orders
        if order["status"] == "completed"
    ]


def _between(rows: Iterable[Row], column: str, start: date | None, end: date) -> Iterable[Row]:
    """Rows dated in [start, end). A row without a date is always sent: careless systems do that."""
    # ISO dates sort as text, so no row needs parsing.
    first, last = start.isoformat() if start else "", end.isoformat()
    return (row for row in rows if not row.get(column) or first <= row[column] < last)


def _columns(rows: Iterable[Row], columns: Sequence[str]) -> list[Row]:
    """``rows`` cut down to ``columns``; what a row lacks is None."""
    return [{column: row.get(column) for column in columns} for row in rows]
