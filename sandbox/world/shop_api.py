"""The shop and its CRM over HTTP. Every ``end`` and ``as_of`` is exclusive."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter

from world.shop import Row, Shop

Rows = dict[str, list[Row]]


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
    def orders(end: date, start: date | None = None) -> Rows:
        return {"orders": shop.orders(start, end)}

    @routes.get("/transactions")
    def transactions(end: date, start: date | None = None) -> Rows:
        return {"transactions": shop.transactions(start, end)}

    return routes
