"""Every night: yesterday's orders, loaded, summed up and published; and what happens when that goes wrong.

What the tasks compute is here. What is asked is when each of them runs, and what the run says in the end.
"""

import json
import os
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task

BIG_DAY = 8  # orders, from which on a day is a big one


# --- what the tasks compute


def day_of(dag_run):
    """The day a run is about: the one before its date."""
    return (dag_run.logical_date or dag_run.run_after).date() - timedelta(days=1)


def path_of(*parts):
    """A path below nightly_load, in the folder that WINDTUNNEL_DATA names."""
    return Path(os.environ["WINDTUNNEL_DATA"]).joinpath("nightly_load", *map(str, parts))


def save(content, path):
    """Write `content` as JSON; a file that is already there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def load(path):
    """What `save` wrote."""
    return json.loads(path.read_text())


def ask(endpoint, **parameters):
    """The answer at the connection shop_api. Raises when that is an error."""
    return HttpHook(method="GET", http_conn_id="shop_api").run(endpoint, data=parameters).json()


def totals(orders):
    """How many orders, and what the completed ones brought, in euros."""
    revenue = sum(order["total_amount"] for order in orders if order["status"] == "completed")
    return {"orders": len(orders), "revenue": round(revenue, 2)}


def by_country(orders, customers):
    """How many orders came from each country."""
    country = {customer["customer_id"]: customer["country"] for customer in customers}
    return dict(Counter(country[order["customer_id"]] for order in orders))


# --- what runs, after what, and in spite of what

with DAG(
    "nightly_load",
    description="Yesterday's orders, published or complained about",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
):

    @task
    def load_orders(dag_run=None):
        """Yesterday's orders -> orders.json in the staging folder."""
        day = day_of(dag_run)
        orders = ask("orders", start=f"{day}", end=f"{day + timedelta(days=1)}")["orders"]
        save(orders, path_of("staging", day, "orders.json"))

    @task.branch
    def choose_size(dag_run=None):
        """Was it a big day, or a small one?"""
        raise NotImplementedError("TODO: return the id of the task that is to run; the other one is skipped")

    @task
    def small_day(dag_run=None):
        """The totals -> summary.json in the staging folder."""
        staging = path_of("staging", day_of(dag_run))
        save({"size": "small"} | totals(load(staging / "orders.json")), staging / "summary.json")

    @task
    def big_day(dag_run=None):
        """The totals, and how many orders came from where -> summary.json in the staging folder."""
        day = day_of(dag_run)
        staging = path_of("staging", day)
        orders = load(staging / "orders.json")
        customers = ask("crm/customers", as_of=f"{day + timedelta(days=1)}")["customers"]
        countries = {"countries": by_country(orders, customers)}
        save({"size": "big"} | totals(orders) | countries, staging / "summary.json")

    @task(
        # TODO: one of the two before it is always skipped: which rule lets it run?
    )
    def publish(dag_run=None):
        """The summary -> reports/<day>.json."""
        day = day_of(dag_run)
        summary = load(path_of("staging", day, "summary.json"))
        save({"day": f"{day}"} | summary, path_of("reports", f"{day}.json"))

    @task(
        # TODO: which rule lets it run when something failed, and only then?
    )
    def alert(dag_run=None):
        """Tell whoever is on call."""
        raise NotImplementedError("TODO: POST dashboard/refresh, for the dashboard `on-call`")

    @task(
        # TODO: which rule lets it run whatever happened, but not too early?
    )
    def cleanup(dag_run=None):
        """Remove the staging folder, if there is one."""
        shutil.rmtree(path_of("staging", day_of(dag_run)), ignore_errors=True)

    chosen = choose_size()
    load_orders() >> chosen
    # TODO: draw the other arrows, and see to it that a night without a report ends failed
