"""What seven reports of one shop compute: the same orders, asked for in seven rhythms.

A report is about days, and which days these are follows from the moment the run is for, never from the clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

Order = Mapping[str, Any]
Days = tuple[date, date]  # from the first day to before the second, as the shop's API takes them

DAY = timedelta(days=1)
LIMIT = 400.0  # euros; an order above it is looked at by a person


def day_so_far(moment: datetime) -> Days:
    """The day that a moment belongs to. Midnight belongs to the day that it ends."""
    day = (moment - timedelta(microseconds=1)).date()
    return day, day + DAY


def day_before(moment: datetime) -> Days:
    """The whole day before the one that a moment lies in."""
    return moment.date() - DAY, moment.date()


def week_before(days: Days) -> Days:
    """The same days a week earlier."""
    return days[0] - 7 * DAY, days[1] - 7 * DAY


def month_before(moment: datetime) -> Days:
    """The whole month before the one that a moment lies in, be it 28 days long or 31."""
    first = moment.date().replace(day=1)
    return (first - DAY).replace(day=1), first


def days_asked_for(conf: Mapping[str, Any] | None, moment: datetime) -> Days:
    """``start`` to before ``end`` of a run's conf (ISO texts); without them, the seven days before ``moment``.

    ValueError when they are no dates, or when there is no day between them.
    """
    conf = conf or {}
    end = date.fromisoformat(conf["end"]) if "end" in conf else moment.date()
    start = date.fromisoformat(conf["start"]) if "start" in conf else end - 7 * DAY
    if start >= end:
        raise ValueError(f"there is no day from {start} to before {end}")
    return start, end


def takings(orders: Iterable[Order]) -> dict[str, Any]:
    """How many orders were completed, and their euros, ready for JSON."""
    amounts = [order["total_amount"] for order in orders if order["status"] == "completed"]
    return {"orders": len(amounts), "revenue": round(sum(amounts), 2)}


def by_status(orders: Iterable[Order]) -> dict[str, int]:
    """How many orders there are of each status, by its name."""
    return dict(sorted(Counter(order["status"] for order in orders).items()))


def by_day(orders: Iterable[Order]) -> dict[str, float]:
    """Euros of completed orders on each day that has some, by date."""
    euros: Counter[str] = Counter()
    for order in orders:
        if order["status"] == "completed":
            euros[order["order_date"]] += order["total_amount"]
    return {day: round(amount, 2) for day, amount in sorted(euros.items())}


def compared(now: Iterable[Order], then: Iterable[Order]) -> dict[str, Any]:
    """The takings of some days beside those of other days; ``change`` in %, None where there were none before."""
    new, old = takings(now), takings(then)
    change = round(100 * (new["revenue"] / old["revenue"] - 1), 1) if old["revenue"] else None
    return {"revenue": new["revenue"], "before": old["revenue"], "change": change}


def suspicious(orders: Iterable[Order], limit: float = LIMIT) -> list[str]:
    """Ids of orders for a person to look at: above ``limit`` euros, or a customer's second of the day and later."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for order in sorted(orders, key=lambda each: each["order_id"]):
        customer = order["customer_id"], order["order_date"]
        if order["total_amount"] > limit or seen[customer]:
            found.append(order["order_id"])
        seen[customer] += 1
    return found
