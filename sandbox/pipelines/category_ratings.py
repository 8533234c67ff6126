"""What people said about the shop's products on a day: each category by itself, and then all of them in one summary.

Each category is a file of its day, so that one task can write what another one reads. A second run replaces it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

CATEGORIES = ("tea", "coffee", "mugs", "sweets", "gifts")
RATINGS = range(1, 6)


def day_before(moment: datetime) -> date:
    """The day that has ended when a night's run is due."""
    return moment.date() - timedelta(days=1)


def rated(
    category: str, products: Iterable[Mapping[str, Any]], reviews: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """One category, ready for JSON: its number of ``products`` and ``reviews``, and the mean ``rating`` (1 to 5).

    Of the reviews, those of these products count, each once, and only with a rating that exists. ``rating`` is None
    without reviews.
    """
    ids = {product["product_id"] for product in products}
    ratings = {
        review["review_id"]: review["rating"]
        for review in reviews
        if review["product_id"] in ids and review["rating"] in RATINGS
    }
    return {
        "category": category,
        "products": len(ids),
        "reviews": len(ratings),
        "rating": round(sum(ratings.values()) / len(ratings), 2) if ratings else None,
    }


def summary(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All categories in one: how many ``reviews`` they have, and which is ``best`` (of equals, the first by name).

    ``best`` is None on a day without reviews.
    """
    with_reviews = [part for part in parts if part["reviews"]]
    best = min(with_reviews, key=lambda part: (-part["rating"], part["category"]), default=None)
    return {
        "categories": len(parts),
        "reviews": sum(part["reviews"] for part in parts),
        "best": best["category"] if best else None,
    }


def save(day: date, part: Mapping[str, Any]) -> None:
    """Write one category's file, whole or not at all."""
    path = _path(day, part["category"])
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(part))
    unfinished.replace(path)


def load(day: date, categories: Iterable[str] = CATEGORIES) -> list[dict[str, Any]]:
    """What ``save`` wrote, in the order asked for. FileNotFoundError when a category is missing."""
    return [json.loads(_path(day, category).read_text()) for category in categories]


def _path(day: date, category: str) -> Path:
    return Path(os.environ["WINDTUNNEL_DATA"]) / "category_ratings" / str(day) / f"{category}.json"
