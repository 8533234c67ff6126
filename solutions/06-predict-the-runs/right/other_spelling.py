"""The same runs, written as another reader would: latest first, other columns first, zones, the tables of Markdown."""

from windtunnel.run_table import expect

expect(
    "restock",
    """
ds|logical_date
2026-03-01|2026-03-01T06:00
-|-
    """,
)
expect("month_close", "run_after | ds\n2026-04-01 | 2026-04-01")
expect(
    "berlin_close",
    """
    | ds         | run_after                 |
    |------------|---------------------------|
    | 2026-03-27 | 2026-03-28T00:30+01:00    |
    | 2026-03-28 | 2026-03-29T00:30+01:00    |
    | 2026-03-29 | 2026-03-30T00:30+02:00    |
    | 2026-03-30 | 2026-03-31T00:30+02:00    |
    """,
)
expect(
    "price_scan",
    """
    logical_date         | run_after
    2026-03-02T03:00Z    | 2026-03-02T03:00Z
    2026-03-01T03:00Z    | 2026-03-01T03:00Z
    2026-02-28T03:00Z    | 2026-02-28T03:00Z
    2026-02-27T03:00Z    | 2026-02-27T03:00Z
    """,
)
expect(
    "stock_check",
    """
    run_after  | ds
    # switched on at 09:00: that night's is made up
    2026-03-04 | 2026-03-04
    2026-03-05 | 2026-03-05
    2026-03-06 | 2026-03-06
    """,
)
expect(
    "revenue_archive",
    """
    run_after        | ds
    2026-03-02       | 2026-03-02
    2026-03-01       | 2026-03-01
    2026-02-28       | 2026-02-28
    2026-02-27       | 2026-02-27
    2026-02-26       | 2026-02-26
    """,
)
expect(
    "orders_by_interval",
    """
    ds         | interval_start      | interval_end        | run_after           | logical_date
    2026-03-01 | 2026-03-01 06:00:00 | 2026-03-02 06:00:00 | 2026-03-02 06:00:00 | 2026-03-01 06:00:00
    2026-03-02 | 2026-03-02 06:00:00 | 2026-03-03 06:00:00 | 2026-03-03 06:00:00 | 2026-03-02 06:00:00
    2026-03-03 | 2026-03-03 06:00:00 | 2026-03-04 06:00:00 | 2026-03-04 06:00:00 | 2026-03-03 06:00:00
    """,
)
print("and the same string as moments:")
expect(
    "orders_report",
    "run_after|logical_date|interval_start|interval_end|ds\n"
    + "\n".join(f"2026-03-0{day}T06:00|" * 4 + f"2026-03-0{day}" for day in range(1, 5)),
)
