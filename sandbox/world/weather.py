"""A weather service: what it was like in a city on a day, for at most 60 calls a minute.

Like the shop's past (``world.history``), a day's weather is a pure function of the city and the day. What the
observers write down is people's text: it has apostrophes, quotation marks and semicolons in it now and then.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

CALLS = 60  # allowed in a window
WINDOW = 60.0  # seconds

# The mean temperature of January and of July, in °C.
CITIES = {
    "L'Aquila": (2, 21),
    "Lisbon": (11, 23),
    "London": (5, 19),
    "Nairobi": (20, 17),
    "New York": (1, 25),
    "Oslo": (-4, 18),
    "Reykjavík": (0, 11),
    "São Paulo": (23, 17),
    "St. John's": (-4, 16),
    "Sydney": (23, 13),
    "Tokyo": (5, 26),
    "Val-d'Isère": (-4, 13),
}

# How far the year has come from January's mean (0) to July's (100), at the beginning of each month.
_SEASON = (2, 2, 14, 34, 56, 80, 96, 100, 88, 66, 40, 16)
_SKIES = ("Sunny", "Clear", "Cloudy", "Overcast", "Fog", "Light rain", "Rain", "Showers")
_FROZEN = {"Light rain": "Light snow", "Rain": "Snow", "Showers": "Snow showers"}
_REMARKS = (
    "the airport's sensor is out of order",
    "by the observer's own thermometer",
    "the mayor's parade was moved indoors",
    'reported as "fresh"',
    'the station\'s log says "fresh"',
)


def reading(city: str, day: date) -> dict[str, Any]:
    """The weather in ``city`` on ``day``: city, date (ISO text), temperature_c (one decimal) and description.

    Raises KeyError for a city that is not among ``CITIES``.
    """
    january, july = CITIES[city]
    months = _SEASON[day.month - 1], _SEASON[day.month % 12]
    season = months[0] + (months[1] - months[0]) * (day.day - 1) // 31
    # Two dice instead of one: a day near the mean is more likely than one 6 °C off.
    luck = _roll(61, "warm", city, day) + _roll(61, "warmer", city, day) - 60
    tenths = 10 * january + (july - january) * season // 10 + luck
    sky = _SKIES[_roll(len(_SKIES), "sky", city, day)]
    described = _FROZEN.get(sky, sky) if tenths < 0 else sky
    if _roll(8, "remark", city, day) == 0:
        described += "; " + _REMARKS[_roll(len(_REMARKS), "which remark", city, day)]
    return {"city": city, "date": day.isoformat(), "temperature_c": tenths / 10, "description": described}


def router(clock: Callable[[], float] = time.time) -> APIRouter:
    """``GET /weather``; ``clock`` tells the seconds, for the limit."""
    routes = APIRouter()
    limit = _Limit(clock)

    @routes.get("/weather")
    def weather(city: str, day: Annotated[date, Query(alias="date")]) -> dict[str, Any]:
        wait = limit.call()
        if wait:
            raise HTTPException(
                429,
                f"{CALLS} calls a minute are allowed: try again in {wait} s",
                headers={"Retry-After": str(wait)},
            )
        if city not in CITIES:
            raise HTTPException(404, f"city: there is no station in {city!r}; known: {', '.join(CITIES)}")
        return reading(city, day)

    return routes


class _Limit:
    """``CALLS`` in each window; a window begins with the first call after the one before is over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begin = -math.inf
        self._calls = 0

    def call(self) -> int:
        """Count a call. Returns 0 when it is allowed, else the whole seconds until the window ends."""
        now = self._clock()
        if not 0 <= now - self._begin < WINDOW:  # a clock that was put back begins a window, too
            self._begin, self._calls = now, 0
        if self._calls < CALLS:
            self._calls += 1
            return 0
        return math.ceil(self._begin + WINDOW - now)


def _roll(sides: int, *about: object) -> int:
    """A number from 0 to ``sides`` - 1, a pure function of ``about``."""
    digest = hashlib.sha256("/".join(map(str, about)).encode()).digest()
    return int.from_bytes(digest[:8]) % sides
