"""Look into Airflow's own database, reading only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg2

from windtunnel.errors import WindtunnelError
from windtunnel.session import current
from windtunnel.surroundings import database
from windtunnel.views.table import Table


def metadata(sql: str, parameters: Sequence[Any] = ()) -> Table:
    """Rows of the sandbox's metadata database as a table; ``%s`` in ``sql`` takes a parameter.

    Read-only: the role behind it may change nothing. Raises WindtunnelError with Postgres' own message, and
    for an Airflow elsewhere.
    """
    connection = database(current().around().metadata)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, tuple(parameters) or None)  # without parameters, % is a plain character
            if cursor.description is None:
                raise WindtunnelError("That statement gives no rows.", "ask with `select …`.")
            columns = [column.name for column in cursor.description]
            rows = [["" if value is None else str(value) for value in row] for row in cursor.fetchall()]
    except psycopg2.Error as error:
        raise WindtunnelError(f"Postgres: {str(error).strip()}", "mend the query.") from error
    finally:
        connection.close()
    return Table(f"{len(rows)} {'row' if len(rows) == 1 else 'rows'}", columns, rows)
