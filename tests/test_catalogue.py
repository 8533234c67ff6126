"""What the shop sells and what people say about it: the same on every machine, and careless now and then."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from fastapi.testclient import TestClient

from world import catalogue
from world.service import create_app

YEAR = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]


@pytest.fixture
def api() -> TestClient:
    return TestClient(create_app())


def broken(row: catalogue.Row) -> bool:
    return not (1 <= row["rating"] <= 5 and row["text"] and row["product_id"])


def test_a_days_reviews_are_the_same_each_time_and_another_days_are_others() -> None:
    day = date(2026, 3, 1)
    assert catalogue.reviews(day) == catalogue.reviews(day)
    assert catalogue.reviews(day) != catalogue.reviews(day + timedelta(days=1))
    assert {row["date"] for row in catalogue.reviews(day)} == {"2026-03-01"}
    # Known values: a change of the invention changes every page that shows them.
    assert catalogue.reviews(day)[0]["review_id"] == "R-20260301-00"
    assert len(catalogue.reviews(day)) == 10


def test_most_reviews_are_kind_some_are_not_and_all_products_get_some() -> None:
    rows = [row for day in YEAR for row in catalogue.reviews(day) if not broken(row)]
    share = {stars: sum(row["rating"] == stars for row in rows) / len(rows) for stars in range(1, 6)}
    assert share[4] + share[5] > 0.5
    assert min(share.values()) > 0.01
    assert {row["product_id"] for row in rows} == {row["product_id"] for row in catalogue.products()}


def test_some_reviews_come_twice_and_on_few_days_a_batch_is_broken() -> None:
    ids = [row["review_id"] for day in YEAR for row in catalogue.reviews(day)]
    assert 0.01 < 1 - len(set(ids)) / len(ids) < 0.05
    bad = {day: sum(map(broken, catalogue.reviews(day))) for day in YEAR}
    assert 3 <= sum(map(bool, bad.values())) <= 25
    assert max(count / len(catalogue.reviews(day)) for day, count in bad.items()) <= 0.35


def test_texts_hold_what_breaks_careless_sql() -> None:
    texts = {row["text"] for day in YEAR for row in catalogue.reviews(day)}
    assert all(any(mark in text for text in texts) for mark in ("'", '"', ";"))


@pytest.mark.parametrize("day", ["2023-12-31", "2027-01-01", "0001-01-01", "9999-12-31"])
def test_a_day_outside_the_shops_life_has_none(api: TestClient, day: str) -> None:
    assert api.get("/reviews", params={"date": day}).json() == {"reviews": []}


def test_the_shop_answers_for_products_stores_and_reviews(api: TestClient) -> None:
    assert len(api.get("/products").json()["products"]) == 24
    tea = api.get("/products", params={"category": "tea"}).json()["products"]
    assert {row["category"] for row in tea} == {"tea"}
    counts = [
        len(api.get("/stores", params={"as_of": day}).json()["stores"])
        for day in ("2024-01-01", "2025-06-01", "2027-01-01")
    ]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[2]
    assert api.get("/reviews", params={"date": "2026-03-01"}).json()["reviews"] == catalogue.reviews(
        date(2026, 3, 1)
    )


@pytest.mark.parametrize(
    ("path", "parameters", "problem"),
    [
        ("/reviews", {}, "date: missing"),
        ("/reviews", {"date": "2026-02-30"}, "date: '2026-02-30'"),
        ("/stores", {"as_of": "soon"}, "as_of: 'soon'"),
        ("/products", {"category": "tee"}, "category: there is no 'tee'; known: .*tea"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_the_field(
    api: TestClient, path: str, parameters: dict[str, str], problem: str
) -> None:
    answer = api.get(path, params=parameters)
    assert answer.status_code in (404, 422)
    assert re.match(problem, answer.json()["detail"])
