"""XCom values as Python has them: Airflow stores what JSON lacks under the name of its class."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any


def decoded(value: Any) -> Any:
    """``value`` with tuples, sets, dates, times and decimals restored; other objects stay as stored."""
    if isinstance(value, list):
        return [decoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    data = value.get("__data__")
    match value.get("__classname__"):
        case "builtins.tuple":
            return tuple(decoded(data))
        case "builtins.set":
            return set(decoded(data))
        case "builtins.frozenset":
            return frozenset(decoded(data))
        case "datetime.datetime" | "pendulum.datetime.DateTime" if isinstance(data, dict):
            return datetime.fromtimestamp(data["timestamp"], UTC)
        case "datetime.date":
            return date.fromisoformat(str(data))
        case "datetime.timedelta":
            return timedelta(seconds=float(str(data)))
        case "decimal.Decimal":
            return Decimal(str(data))
    return {key: decoded(each) for key, each in value.items()}
