"""The runs computed instead of typed: rows of moments, named the way the timetable names them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from windtunnel.run_table import expect

DAY = timedelta(days=1)


def march(day, hour=0):
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def moments(first, last, step=DAY):
    while first <= last:
        yield first
        first += step


def point(moment):
    return {
        "run_after": moment,
        "logical_date": moment,
        "interval_start": moment,
        "interval_end": moment,
        "ds": moment.astimezone(UTC).date(),
    }


def only(columns, rows):
    return [{column: row[column] for column in columns} for row in rows]


expect("orders_report", [point(moment) for moment in moments(march(1, 6), march(4, 6))])
expect(
    "orders_by_interval",
    [
        point(start) | {"run_after": start + DAY, "interval_end": start + DAY}
        for start in moments(march(1, 6), march(3, 6))
    ],
)
expect("revenue_archive", only(["run_after", "ds"], map(point, moments(march(1) - 3 * DAY, march(2)))))
expect("stock_check", only(["run_after", "ds"], map(point, moments(march(4), march(6)))))
expect(
    "price_scan",
    only(["run_after", "logical_date"], map(point, moments(march(1, 3) - 2 * DAY, march(2, 3)))),
)
berlin = ZoneInfo("Europe/Berlin")
nights = [datetime(2026, 3, day, 0, 30, tzinfo=berlin) for day in range(28, 32)]
expect("berlin_close", only(["run_after", "ds"], map(point, nights)))
expect("month_close", only(["run_after", "ds"], [point(datetime(2026, 4, 1, tzinfo=UTC))]))
expect("restock", [{"logical_date": march(1, 6), "ds": date(2026, 3, 1)}, {"logical_date": None, "ds": None}])
