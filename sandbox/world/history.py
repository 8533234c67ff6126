"""The shop's invented past: who registered when, who bought what.

Every number is drawn from a hash of *what it is about* (this customer, this day), never from a stream
or a clock. So a day's orders are the same on every machine, in every Python, and whether or not other
days were asked for. Only integers and correctly rounded float operations: libm's last bit varies.
"""

# ruff: noqa: SIM905 (word lists are read as words)

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

FIRST_DAY = date(2024, 1, 1)
LAST_DAY = date(2026, 12, 31)
CUSTOMERS = 400

Row = dict[str, Any]

# Relative demand. December sells nearly twice what February does; Saturday twice what Tuesday does.
MONTH = (0.85, 0.80, 0.90, 0.95, 1.00, 0.95, 0.85, 0.85, 1.00, 1.05, 1.30, 1.50)
WEEKDAY = (0.85, 0.75, 0.80, 0.95, 1.15, 1.50, 1.00)
YEARLY_GROWTH = 0.20  # of each customer's buying rate, linear over the three years

_FIRST_NAMES = """
    Amara Anton Beatriz Chen Dagny Elif Farid Grace Hana Ibrahim Ines Jonas Kavya Lars Leila Mateo
    Mina Nadia Noah Olga Pedro Priya Quinn Rosa Samir Sofia Tariq Uma Viktor Wanjiru Yuki Zoe
""".split()
_LAST_NAMES = """
    Abe Andersen Bauer Costa Dubois Eriksen Ferrari Garcia Haddad Ivanova Jensen Kowalski Laurent Mensah
    Novak Okafor Patel Rossi Sato Silva Tanaka Torres Ueda Varga Weber Yilmaz Zhang
""".split()
# A value said twice is met twice as often.
_COUNTRIES = "DE DE DE DE DE FR FR FR FR ES ES ES PL PL PL IT IT SE SE PT".split()
_CHANNELS = "search search search search social social social referral referral newsletter".split()
_STATUSES = ["completed"] * 93 + ["cancelled"] * 4 + ["refunded"] * 3


@dataclass(frozen=True)
class Habit:
    """How a kind of customer buys: days between orders, and the typical order in cents."""

    days_between: float
    basket: int


VIP = Habit(12, 14_000)
REGULAR = Habit(38, 6_200)
OCCASIONAL = Habit(130, 4_800)
ONCE = Habit(0, 5_500)
NEVER = Habit(0, 0)

# Percent of customers, in this order. The rest are REGULAR.
_KINDS = ((6, VIP), (22, OCCASIONAL), (14, ONCE), (10, NEVER))


def draws(count: int, *about: object) -> list[float]:
    """``count`` numbers in [0, 1), a pure function of ``about``."""
    digest = hashlib.shake_256("/".join(map(str, about)).encode()).digest(4 * count)
    return [int.from_bytes(digest[i : i + 4], "big") / 2**32 for i in range(0, 4 * count, 4)]


def _kind(share: float) -> Habit:
    """The habit at ``share`` of the way through the customers."""
    percent = share * 100
    for width, habit in _KINDS:
        if percent < width:
            return habit
        percent -= width
    return REGULAR


def _registration_days() -> list[date]:
    """One day per customer, oldest first; more customers join each year than the year before."""
    span = (LAST_DAY - FIRST_DAY).days + 1
    places = [(i + luck) / CUSTOMERS for i, luck in enumerate(draws(CUSTOMERS, "registrations"))]
    return [FIRST_DAY + timedelta(days=int(span * p * (1.4 - 0.4 * p))) for p in places]


@cache
def customers() -> tuple[Row, ...]:
    """All customers, oldest first.

    Each row has customer_id, name, email, country, acquisition_channel and registration_date (ISO text).
    """
    rows = []
    for number, day in enumerate(_registration_days(), start=1):
        customer_id = f"C{number:04d}"
        first, last, country, channel = draws(4, "person", customer_id)
        name = (_FIRST_NAMES[int(first * len(_FIRST_NAMES))], _LAST_NAMES[int(last * len(_LAST_NAMES))])
        rows.append(
            {
                "customer_id": customer_id,
                "name": " ".join(name),
                "email": f"{'.'.join(name).lower()}.{number}@example.com",
                "country": _COUNTRIES[int(country * len(_COUNTRIES))],
                "acquisition_channel": _CHANNELS[int(channel * len(_CHANNELS))],
                "registration_date": day.isoformat(),
            }
        )
    return tuple(rows)


def _demand(day: date) -> float:
    """Demand on ``day`` relative to an average day of the first year."""
    growth = 1 + YEARLY_GROWTH * (day - FIRST_DAY).days / 365
    return MONTH[day.month - 1] * WEEKDAY[day.weekday()] * growth


def _buying_days(customer_id: str, registered: date) -> Iterator[date]:
    """The days on which this customer orders, oldest first; at most one order a day."""
    kind, lapses, lapse_after, first, wait = draws(5, "habit", customer_id)
    habit = _kind(kind)
    if habit is NEVER:
        return
    if habit is ONCE:
        day = registered + timedelta(days=int(wait * wait * 30))
        if day <= LAST_DAY:
            yield day
        return
    # One buyer in three stops coming, between two months and a bit over a year after registering.
    gone = registered + timedelta(days=60 + int(lapse_after * 340)) if lapses < 0.35 else LAST_DAY
    if first < 0.7:  # most people register because they are about to buy
        yield registered
    days = (min(gone, LAST_DAY) - registered).days
    for offset, luck in enumerate(draws(days, "buys", customer_id), start=1):
        day = registered + timedelta(days=offset)
        if luck * habit.days_between < _demand(day):
            yield day


def _amount(customer_id: str, day: date) -> float:
    """What this customer's order of ``day`` costs: euros with two decimals, mostly small, at times large."""
    basket = _kind(draws(1, "habit", customer_id)[0]).basket
    a, b, c = draws(3, "amount", customer_id, day)
    spread = 0.35 + 0.5 * (a + b) + 1.2 * c * c * c  # mean 1.15, from 0.35 to 2.55
    return int(basket * spread) / 100


@cache
def orders() -> tuple[Row, ...]:
    """All orders, oldest first: order_id, customer_id, total_amount, order_date (ISO text) and status.

    Status is ``completed``, ``cancelled`` or ``refunded``.
    """
    placed = sorted(
        (day, customer["customer_id"])
        for customer in customers()
        for day in _buying_days(customer["customer_id"], date.fromisoformat(customer["registration_date"]))
    )
    rows = []
    for day, customer_id in placed:
        status = draws(1, "status", customer_id, day)[0]
        rows.append(
            {
                # The id says whose and when, so it never depends on which other orders exist.
                "order_id": f"O-{day:%Y%m%d}-{customer_id[1:]}",
                "customer_id": customer_id,
                "total_amount": _amount(customer_id, day),
                "order_date": day.isoformat(),
                "status": _STATUSES[int(status * len(_STATUSES))],
            }
        )
    return tuple(rows)
