"""Whenever all three silver tables have been updated: the revenue of the days that the updates are about.

This file says what runs and after which data. What it computes is in pipelines/daily_revenue.py.
"""

from airflow.sdk import DAG, Asset, task

from pipelines import daily_revenue

SILVER = [Asset("silver_orders"), Asset("silver_customers"), Asset("silver_payments")]

with DAG(
    "gold_daily_revenue",
    description="Orders and revenue by country",
    schedule=SILVER,
    tags=["gold", "revenue"],
):

    @task
    def build_gold_revenue(triggering_asset_events=None, dag_run=None):
        """The days are in the updates: a run that assets start has no date of its own."""
        extras = [event.extra for events in triggering_asset_events.values() for event in events]
        reports = {}
        for day in daily_revenue.days_named(extras, dag_run.conf):
            # Three updates need not be about the same day.
            if missing := daily_revenue.missing(day):
                print(f"{day}: no {' and no '.join(missing)} yet")
            else:
                reports[day] = daily_revenue.report(day)
        return reports

    build_gold_revenue()
