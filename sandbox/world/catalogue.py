"""What the shop sells, what people say about it, and where it has stores.

Like the shop's past (``world.history``), everything is a pure function of what it is about: a product, a day. Reviews
are people's: now and then one is sent twice, and on a bad day a batch of them comes broken.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from world.history import FIRST_DAY, LAST_DAY, draws

Row = dict[str, Any]

_KINDS = {  # price in cents, in the middle
    "tea": ("Assam", "Darjeeling", "Earl Grey", "Jasmine", "Mint", "Rooibos"),
    "coffee": ("Crema", "Decaf", "Espresso", "Filter", "Mocha"),
    "mugs": ("Blue mug", "Clay mug", "Glass mug", "Travel mug"),
    "sweets": ("Biscuits", "Chocolate", "Honey", "Marzipan", "Nougat"),
    "gifts": ("Gift box", "Gift card", "Hamper", "Teapot"),
}
_PRICES = {"tea": 790, "coffee": 1290, "mugs": 1590, "sweets": 590, "gifts": 3490}
_CITIES = "Berlin Hamburg Munich Cologne Leipzig Paris Lyon Madrid Warsaw Milan Stockholm Lisbon".split()  # noqa: SIM905
_PRAISE = ("As good as ever.", "My mother's favourite", "Arrived a day early", "Would buy again; and did")
_BLAME = ("It's stale", "The parcel was open", 'Not what I\'d call "fresh"', "Half of it was missing")
_SO_SO = ("All right", "Smaller than in the picture", "Fine for the price")
BAD_BATCH = 0.03  # of days


@cache
def products() -> tuple[Row, ...]:
    """All products: product_id, name, category, price (euros)."""
    rows = []
    for category, names in _KINDS.items():
        for name in names:
            product_id = f"P{len(rows) + 1:03d}"
            spread = 0.7 + 0.6 * draws(1, "price", product_id)[0]
            price = int(_PRICES[category] * spread) // 10 * 10 + 9
            rows.append({"product_id": product_id, "name": name, "category": category, "price": price / 100})
    return tuple(rows)


@cache
def stores() -> tuple[Row, ...]:
    """All stores: store_id, city, opened (ISO date); one or two open each year."""
    span = (LAST_DAY - FIRST_DAY).days
    return tuple(
        {
            "store_id": f"S{number:02d}",
            "city": city,
            "opened": (FIRST_DAY + timedelta(days=span * number // 16 - 300)).isoformat(),
        }
        for number, city in enumerate(_CITIES, start=1)
    )


def reviews(day: date) -> list[Row]:
    """The reviews written on ``day``: review_id, product_id, customer_id, rating (1 to 5), text, date (ISO).

    About one in forty is sent twice. On three days of a hundred a batch is broken: ratings out of range, texts and
    products missing, at most one row in five.
    """
    if not FIRST_DAY <= day <= LAST_DAY:
        return []
    how_many, bad = draws(2, "reviews", day)
    rows = [_review(day, number) for number in range(int(4 + 14 * how_many))]
    if bad < BAD_BATCH:
        for row in rows[::5]:
            _spoil(row)
    return rows + [dict(row) for row in rows if draws(1, "twice", row["review_id"])[0] < 0.025]


def _review(day: date, number: int) -> Row:
    review_id = f"R-{day:%Y%m%d}-{number:02d}"
    which, who, mood, words = draws(4, "review", review_id)
    product = products()[int(which * len(products()))]
    # A product that people like less gets worse ratings: most have 4 and 5.
    liked = draws(1, "liked", product["product_id"])[0]
    rating = min(5, 1 + int((0.1 + 0.4 * liked + 0.8 * mood) * 4.4))
    texts = _PRAISE if rating > 3 else _SO_SO if rating == 3 else _BLAME
    return {
        "review_id": review_id,
        "product_id": product["product_id"],
        "customer_id": f"C{1 + int(who * 400):04d}",
        "rating": rating,
        "text": texts[int(words * len(texts))],
        "date": day.isoformat(),
    }


def _spoil(row: Row) -> None:
    """Break one field of a review, as a careless system would."""
    what = draws(1, "spoilt", row["review_id"])[0]
    field, value = (("rating", 0), ("rating", 11), ("text", ""), ("product_id", None))[int(what * 4)]
    row[field] = value


def router() -> APIRouter:
    """``GET /products``, ``/stores`` and ``/reviews``."""
    routes = APIRouter()

    @routes.get("/products")
    def all_products(category: str | None = None) -> dict[str, list[Row]]:
        if category is not None and category not in _KINDS:
            raise HTTPException(404, f"category: there is no {category!r}; known: {', '.join(_KINDS)}")
        return {"products": [row for row in products() if category in (None, row["category"])]}

    @routes.get("/stores")
    def stores_open(as_of: date) -> dict[str, list[Row]]:
        return {"stores": [row for row in stores() if row["opened"] < as_of.isoformat()]}

    @routes.get("/reviews")
    def reviews_of(day: Annotated[date, Query(alias="date")]) -> dict[str, list[Row]]:
        return {"reviews": reviews(day)}

    return routes
