import re
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from statistics import mean

import pytest
from starlette.testclient import TestClient

from world import weather
from world.service import create_app

YEAR = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
DAY = {"city": "Oslo", "date": "2026-03-03"}


class Clock:
    """A clock that stands still until told."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def api():
    return TestClient(create_app())


@pytest.fixture
def limited():
    """A world whose minute passes when we say so, and its clock."""
    clock = Clock()
    return TestClient(create_app(clock=clock)), clock


def statuses(api, calls):
    return [api.get("/weather", params=DAY).status_code for _ in range(calls)]


# --- the weather


def test_the_weather_is_the_same_on_every_machine():
    # These lines are what another machine and another Python must produce as well.
    assert weather.reading("Oslo", date(2026, 3, 3)) == {
        "city": "Oslo",
        "date": "2026-03-03",
        "temperature_c": 2.9,
        "description": "Light rain; the mayor's parade was moved indoors",
    }
    readings = [weather.reading(city, day) for city in sorted(weather.CITIES) for day in YEAR]
    assert sum(round(10 * reading["temperature_c"]) for reading in readings) == 537_260


@pytest.mark.parametrize("city", ["Oslo", "New York", "Tokyo", "L'Aquila"])
def test_july_is_warmer_than_january_in_the_north(city):
    assert month(city, 7) > month(city, 1) + 12


@pytest.mark.parametrize("city", ["Sydney", "São Paulo"])
def test_january_is_warmer_than_july_in_the_south(city):
    assert month(city, 1) > month(city, 7) + 4


def month(city, number):
    """The mean temperature of a month."""
    return mean(weather.reading(city, day)["temperature_c"] for day in YEAR if day.month == number)


def test_no_day_is_far_from_the_one_before():
    for city in weather.CITIES:
        temperatures = [weather.reading(city, day)["temperature_c"] for day in YEAR]
        assert max(abs(b - a) for a, b in pairwise(temperatures)) < 13


def test_it_rains_above_zero_and_snows_below():
    for city in ("Oslo", "Val-d'Isère", "St. John's"):
        for day in YEAR:
            reading = weather.reading(city, day)
            if "now" in reading["description"]:
                assert reading["temperature_c"] < 0
            if reading["description"].startswith(("Rain", "Showers", "Light rain")):
                assert reading["temperature_c"] >= 0


def test_descriptions_are_text_that_breaks_careless_sql_now_and_then():
    said = [weather.reading(city, day)["description"] for city in weather.CITIES for day in YEAR]
    signs = Counter(sign for text in said for sign in {"'", '"', ";"} & set(text))
    assert all(len(said) / 40 < signs[sign] < len(said) / 6 for sign in ("'", '"', ";"))
    assert any("'" in text and '"' in text for text in said)


def test_some_cities_have_an_apostrophe():
    assert {"L'Aquila", "St. John's", "Val-d'Isère"} < set(weather.CITIES)


# --- over HTTP


def test_a_day_in_a_city_is_answered(api):
    for city in weather.CITIES:
        answer = api.get("/weather", params={"city": city, "date": "2026-07-14"})
        assert answer.json() == weather.reading(city, date(2026, 7, 14))


def test_an_unknown_city_is_not_found_and_the_known_ones_are_named(api):
    answer = api.get("/weather", params=DAY | {"city": "Atlantis"})
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(
        "city: there is no station in 'Atlantis'; known: L'Aquila, Lisbon"
    )


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"city": "Oslo"}, "date: missing"),
        ({"date": "2026-03-03"}, "city: missing"),
        (DAY | {"date": "yesterday"}, "date: 'yesterday': .*date"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_the_field(api, parameters, problem):
    answer = api.get("/weather", params=parameters)
    assert answer.status_code == 422
    assert re.match(problem, answer.json()["detail"])


# --- the limit


def test_the_sixty_first_call_within_a_minute_is_refused_and_told_how_long_to_wait(limited):
    api, clock = limited
    assert statuses(api, 60) == [200] * 60
    clock.now += 22.5
    refused = api.get("/weather", params=DAY)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "38"
    assert refused.json() == {"detail": "60 calls a minute are allowed: try again in 38 s"}


def test_who_waits_as_told_is_answered_and_not_a_moment_earlier(limited):
    api, clock = limited
    statuses(api, 60)
    clock.now += 59
    refused = api.get("/weather", params=DAY)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    clock.now += 1
    assert statuses(api, 61) == [200] * 60 + [429]


def test_a_refused_call_does_not_make_the_wait_longer(limited):
    api, clock = limited
    assert statuses(api, 100)[60:] == [429] * 40
    clock.now += 60
    assert statuses(api, 1) == [200]


def test_the_minute_begins_with_the_first_call(limited):
    api, clock = limited
    assert statuses(api, 1) == [200]
    clock.now += 50
    assert statuses(api, 60) == [200] * 59 + [429]
    clock.now += 10
    assert statuses(api, 1) == [200]


def test_a_clock_that_is_put_back_locks_nobody_out(limited):
    api, clock = limited
    statuses(api, 60)
    clock.now -= 86_400
    assert statuses(api, 1) == [200]


def test_a_call_for_an_unknown_city_counts(limited):
    api, _ = limited
    asked = [api.get("/weather", params=DAY | {"city": "Atlantis"}).status_code for _ in range(61)]
    assert asked == [404] * 60 + [429]


def test_each_world_counts_its_own_calls(api):
    assert statuses(api, 61)[-1] == 429
    assert statuses(TestClient(create_app()), 1) == [200]


def test_the_endpoint_can_be_broken_on_purpose(api):
    api.post("/faults", json={"endpoint": "weather", "status": 429, "times": 2})
    assert statuses(api, 3) == [429, 429, 200]
