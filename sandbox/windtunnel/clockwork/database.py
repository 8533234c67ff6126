"""Virtual time in Postgres: a ``now()`` that is found before Postgres' own.

Its schema stands on the search path after ``public``, where new tables go, and before ``pg_catalog``. The key
words ``current_timestamp`` and ``current_date`` are no functions and keep showing real time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

# A signed 64-bit number, lowest byte first, as ``hands`` writes it.
_NOW = """
create schema vclock;
create function vclock.offset_ns() returns bigint language sql volatile security definer as $$
  select ('x' || string_agg(lpad(to_hex(get_byte(file, place)), 2, '0'), '' order by place desc))::bit(64)::bigint
  from pg_catalog.pg_read_binary_file({file}) as file, generate_series(0, 7) as place
$$;
create function vclock.now() returns timestamptz language sql stable as $$
  select pg_catalog.now() + vclock.offset_ns() / 1000 * interval '1 microsecond'
$$;
grant usage on schema vclock to public;
"""


def install(connection: Any, database: str, hands: Path) -> None:
    """Give ``database``, to which ``connection`` (a superuser's) leads, the clock of the file ``hands``."""
    with connection.cursor() as cursor:
        path = "'" + str(hands).replace("'", "''") + "'"
        cursor.execute(_NOW.format(file=path))
        cursor.execute(f"alter database \"{database}\" set search_path = 'public', 'vclock', 'pg_catalog'")
