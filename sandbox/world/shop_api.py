"""The shop and its CRM over HTTP. Every ``end`` and ``as_of`` is exclusive.

Orders come in pages to whoever says how many they want at once (``limit``): with them ``total``, the number of all,
and ``next_page``, None on the last.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query

from world.shop import Row, Shop

Rows = dict[str, list[Row]]
Limit = Annotated[int | None, Query(ge=1)]  # rows a page; None: all at once
Page = Annotated[int, Query(ge=1)]


def router(shop: Shop) -> APIRouter:
    """``GET /customers``, ``/crm/customers``, ``/orders`` and ``/transactions``."""
    routes = APIRouter()

    @routes.get("/customers")
    def customers(as_of: date) -> Rows:
        return {"customers": shop.customers(as_of)}

    @routes.get("/crm/customers")
    def crm_customers(as_of: date) -> Rows:
        return {"customers": shop.crm_customers(as_of)}

    @routes.get("/orders")
    def orders(end: date, start: date | None = None, limit: Limit = None, page: Page = 1) -> dict[str, Any]:
        rows = shop.orders(start, end)
        if limit is None:
            return {"orders": rows}
        more = page * limit < len(rows)
        return {
            "orders": rows[(page - 1) * limit : page * limit],
            "total": len(rows),
            "next_page": page + 1 if more else None,
        }

    @routes.get("/transactions")
    def transactions(end: date, start: date | None = None) -> Rows:
        return {"transactions": shop.transactions(start, end)}

    return routes
