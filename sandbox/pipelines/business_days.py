"""The days on which a shop in Berlin does business: no weekend, no public holiday."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")

# Berlin's public holidays in 2026. Whoever keeps such a list keeps it up to date.
HOLIDAYS = frozenset(
    date.fromisoformat(day)
    for day in (
        "2026-01-01",
        "2026-03-08",
        "2026-04-03",  # Good Friday
        "2026-04-06",  # Easter Monday
        "2026-05-01",
        "2026-05-14",
        "2026-05-25",
        "2026-10-03",
        "2026-12-25",
        "2026-12-26",
    )
)


def is_business_day(day: date, holidays: Collection[date] = HOLIDAYS) -> bool:
    """Whether it is a day from Monday to Friday, and no holiday."""
    return day.weekday() < 5 and day not in holidays


def business_days(first: date, last: date, holidays: Collection[date] = HOLIDAYS) -> list[date]:
    """All business days from ``first`` to ``last``, both included, by date."""
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in days if is_business_day(day, holidays)]


def next_business_moment(after: datetime, at: time) -> datetime:
    """The first moment, not before ``after``, at which the clocks of Berlin show ``at`` on a business day."""
    day = after.astimezone(BERLIN).date()
    while (moment := datetime.combine(day, at, BERLIN)) < after or not is_business_day(day):
        day += timedelta(days=1)
    return moment
