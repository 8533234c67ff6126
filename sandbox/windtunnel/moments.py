"""Points in time as a reader writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from windtunnel.errors import WindtunnelError

When = str | date | datetime


def moment(when: When) -> datetime:
    """A point in time from a datetime, a date or ISO text; UTC where no zone is given.

    Raises WindtunnelError for anything else.
    """
    how = 'write it as "2026-03-01" or "2026-03-01T06:00+01:00".'
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise WindtunnelError(f"{when!r} is not a date.", how) from None
    elif not isinstance(when, date):
        raise WindtunnelError(f"{when!r} is not a date.", how)
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def names_a_day(when: When) -> bool:
    """Whether ``when`` names a whole day rather than an instant of it."""
    return len(when) == len("2026-03-01") if isinstance(when, str) else not isinstance(when, datetime)


def text(when: datetime) -> str:
    """``2026-03-01 06:00``, in UTC, with seconds only where there are any."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
