"""Which runs will there be? One table for each DAG, one line for each run; `none` where there is none.

Moments are in UTC. All DAGs are deployed and switched on on Sunday 1 March 2026 at 12:00, unless their question
says otherwise. The columns of a table are what is asked for.
"""

from windtunnel.run_table import expect

# 1. DAG("orders_report", schedule="0 6 * * *", start_date=datetime(2026, 3, 1))
#    Its runs until Wednesday 4 March, 12:00.
expect(
    "orders_report",
    """
    run_after        | logical_date     | interval_start   | interval_end     | ds
    # BEGIN SOLUTION a line for each run
    2026-03-01 06:00 | 2026-03-01 06:00 | 2026-03-01 06:00 | 2026-03-01 06:00 | 2026-03-01
    2026-03-02 06:00 | 2026-03-02 06:00 | 2026-03-02 06:00 | 2026-03-02 06:00 | 2026-03-02
    2026-03-03 06:00 | 2026-03-03 06:00 | 2026-03-03 06:00 | 2026-03-03 06:00 | 2026-03-03
    2026-03-04 06:00 | 2026-03-04 06:00 | 2026-03-04 06:00 | 2026-03-04 06:00 | 2026-03-04
    # END SOLUTION
    """,
)

# 2. DAG("orders_by_interval", schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
#        start_date=datetime(2026, 3, 1))
#    Its runs until Wednesday 4 March, 12:00.
expect(
    "orders_by_interval",
    """
    run_after        | logical_date     | interval_start   | interval_end     | ds
    # BEGIN SOLUTION a line for each run
    2026-03-02 06:00 | 2026-03-01 06:00 | 2026-03-01 06:00 | 2026-03-02 06:00 | 2026-03-01
    2026-03-03 06:00 | 2026-03-02 06:00 | 2026-03-02 06:00 | 2026-03-03 06:00 | 2026-03-02
    2026-03-04 06:00 | 2026-03-03 06:00 | 2026-03-03 06:00 | 2026-03-04 06:00 | 2026-03-03
    # END SOLUTION
    """,
)

# 3. DAG("revenue_archive", schedule="@daily", start_date=datetime(2026, 2, 26), catchup=True)
#    Its runs until Monday 2 March, 12:00.
expect(
    "revenue_archive",
    """
    run_after        | ds
    # BEGIN SOLUTION a line for each run
    2026-02-26 00:00 | 2026-02-26
    2026-02-27 00:00 | 2026-02-27
    2026-02-28 00:00 | 2026-02-28
    2026-03-01 00:00 | 2026-03-01
    2026-03-02 00:00 | 2026-03-02
    # END SOLUTION
    """,
)

# 4. DAG("stock_check", schedule="@daily", start_date=datetime(2026, 1, 1))
#    Deployed with the others, but forgotten: somebody switches it on on Wednesday 4 March at 09:00.
#    Its runs until Friday 6 March, 12:00.
expect(
    "stock_check",
    """
    run_after        | ds
    # BEGIN SOLUTION a line for each run
    2026-03-04 00:00 | 2026-03-04
    2026-03-05 00:00 | 2026-03-05
    2026-03-06 00:00 | 2026-03-06
    # END SOLUTION
    """,
)

# 5. DAG("price_scan", schedule=timedelta(days=1), start_date=datetime(2026, 2, 27, 3), catchup=True)
#    Its runs until Monday 2 March, 12:00.
expect(
    "price_scan",
    """
    run_after        | logical_date
    # BEGIN SOLUTION a line for each run
    2026-02-27 03:00 | 2026-02-27 03:00
    2026-02-28 03:00 | 2026-02-28 03:00
    2026-03-01 03:00 | 2026-03-01 03:00
    2026-03-02 03:00 | 2026-03-02 03:00
    # END SOLUTION
    """,
)

# 6. DAG("berlin_close", schedule="30 0 * * *", start_date=pendulum.datetime(2026, 3, 28, tz="Europe/Berlin"))
#    In the night before Sunday 29 March, clocks in Berlin go from 02:00 to 03:00 (01:00 UTC).
#    Its runs until Tuesday 31 March, 12:00.
expect(
    "berlin_close",
    """
    run_after        | ds
    # BEGIN SOLUTION a line for each run
    2026-03-27 23:30 | 2026-03-27
    2026-03-28 23:30 | 2026-03-28
    2026-03-29 22:30 | 2026-03-29
    2026-03-30 22:30 | 2026-03-30
    # END SOLUTION
    """,
)

# 7. DAG("month_close", schedule="@monthly", start_date=datetime(2026, 3, 2))
#    Its runs until Wednesday 1 April, 12:00.
expect(
    "month_close",
    """
    run_after        | ds
    # BEGIN SOLUTION a line for each run
    2026-04-01 00:00 | 2026-04-01
    # END SOLUTION
    """,
)

# 8. DAG("restock", schedule=None, start_date=datetime(2026, 3, 1))
#    Triggered twice on Monday 2 March at 12:00: trigger("restock")
#    and trigger("restock", logical_date="2026-03-01T06:00").
expect(
    "restock",
    """
    logical_date     | ds
    # BEGIN SOLUTION a line for each run; what a run does not have is `none`
    none             | none
    2026-03-01 06:00 | 2026-03-01
    # END SOLUTION
    """,
)
