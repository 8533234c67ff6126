"""The reader's hold on the warehouse, the database that pipelines load into."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg2

from windtunnel.errors import WindtunnelError
from windtunnel.session import current
from windtunnel.surroundings import database

if TYPE_CHECKING:
    import pandas as pd


def warehouse(sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame | None:
    """Send ``sql`` to the sandbox's warehouse; its rows come back as a data frame, None if it gives no rows.

    As the role that the connection ``warehouse`` of a task has: it may create, change and drop. What it does is
    one transaction, and undone as a whole when a part of it fails. ``%s`` in ``sql`` takes a parameter. Exact
    decimals become floats, which can be plotted. Raises WindtunnelError with Postgres' own message, and for an
    Airflow elsewhere.
    """
    import pandas as pd  # half a second, which the command line need not wait for

    # With autocommit, Postgres makes everything that is sent at once one transaction.
    connection = database(current().around().connections["warehouse"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, tuple(parameters) or None)  # without parameters, % is a plain character
            if cursor.description is None:
                return None
            columns = [column.name for column in cursor.description]
            rows = [tuple(map(_plain, row)) for row in cursor.fetchall()]
    except psycopg2.Error as error:
        raise WindtunnelError(f"Postgres: {str(error).strip()}", "mend the statement.") from error
    finally:
        connection.close()
    return pd.DataFrame(rows, columns=columns)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
