"""Ratings by category, without Airflow."""

from __future__ import annotations

import ast
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines import category_ratings
from world import catalogue

DAY = date(2026, 3, 1)
TEA = [{"product_id": "P1", "category": "tea"}, {"product_id": "P2", "category": "tea"}]


def review(review_id: str, rating: Any = 4, product: str | None = "P1") -> dict[str, Any]:
    return {"review_id": review_id, "product_id": product, "rating": rating}


def part(category: str, reviews: int, rating: float | None) -> dict[str, Any]:
    return {"category": category, "products": 1, "reviews": reviews, "rating": rating}


def test_a_night_is_about_the_day_before_it() -> None:
    assert category_ratings.day_before(datetime(2026, 3, 1, 4, tzinfo=UTC)) == date(2026, 2, 28)


def test_the_categories_are_the_shops() -> None:
    assert set(category_ratings.CATEGORIES) == {product["category"] for product in catalogue.products()}


def test_only_reviews_of_the_categorys_products_count_each_once_and_with_a_rating_that_exists() -> None:
    reviews = [
        review("1", 5),
        review("1", 5),
        review("2", 2, "P2"),
        review("3", 1, "P9"),
        review("4", 11),
        review("5", 0),
        review("6", None),
        review("7", 3, None),
    ]
    assert category_ratings.rated("tea", TEA, reviews) == {
        "category": "tea",
        "products": 2,
        "reviews": 2,
        "rating": 3.5,
    }


def test_a_category_without_reviews_has_no_rating() -> None:
    assert category_ratings.rated("tea", TEA, [])["rating"] is None


def test_the_best_has_the_highest_rating_and_the_first_name() -> None:
    parts = [part("tea", 2, 4.0), part("mugs", 1, 4.5), part("gifts", 3, 4.5), part("sweets", 0, None)]
    assert category_ratings.summary(parts) == {"categories": 4, "reviews": 6, "best": "gifts"}
    assert category_ratings.summary([part("tea", 0, None)])["best"] is None


def test_every_review_of_the_shops_day_is_in_one_category() -> None:
    reviews = catalogue.reviews(DAY)
    parts = [
        category_ratings.rated(
            category, [one for one in catalogue.products() if one["category"] == category], reviews
        )
        for category in category_ratings.CATEGORIES
    ]
    found = category_ratings.summary(parts)
    assert found["reviews"] == len({one["review_id"] for one in reviews}) > 0
    assert json.loads(json.dumps(parts, allow_nan=False)) == parts


def test_a_category_is_a_file_of_its_day_and_a_missing_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    for category in category_ratings.CATEGORIES[1:]:
        category_ratings.save(DAY, part(category, 1, 3.0))
    with pytest.raises(FileNotFoundError, match=r"2026-03-01/tea\.json"):
        category_ratings.load(DAY)
    category_ratings.save(DAY, part("tea", 1, 1.0))
    category_ratings.save(DAY, part("tea", 1, 2.0))
    found = category_ratings.load(DAY)
    assert [one["category"] for one in found] == list(category_ratings.CATEGORIES)
    assert found[0]["rating"] == 2.0
    assert len(list(tmp_path.rglob("*.*"))) == len(category_ratings.CATEGORIES)


def test_the_business_logic_does_not_import_airflow() -> None:
    tree = ast.parse(Path(category_ratings.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith("airflow")]
