"""Every morning: what was ordered yesterday, and what was paid, once the payment provider has closed the day.

What is asked and computed is written. What is asked of you is how the DAG waits, for how long, and what then happens.
"""

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import DAG, task


def period_of(dag_run):
    """The day before the run's own: from then, to before then."""
    date = (dag_run.logical_date or dag_run.run_after).date()
    return {"start": f"{date - timedelta(days=1)}", "end": f"{date}"}


def path_of(dag_run, name):
    """Where the file `name` of a day belongs: paid/<day> under WINDTUNNEL_DATA."""
    folder = Path(os.environ["WINDTUNNEL_DATA"]) / "paid" / period_of(dag_run)["start"]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def rows(table, dag_run):
    """What there is of the day. Raises an error unless the answer is 200."""
    shop = HttpHook(method="GET", http_conn_id="shop_api")
    return shop.run(table, data=period_of(dag_run)).json()[table]


def is_closed(dag_run):
    """Whether the payment provider has closed the day: until then it answers 404. Raises an error for any other."""
    provider = HttpHook(method="GET", http_conn_id="shop_api")
    answer = provider.run("transactions", data=period_of(dag_run), extra_options={"check_response": False})
    if answer.status_code == 404:
        return False
    provider.check_response(answer)
    return True


def add_up_payments(dag_run):
    """Write paid.json: what was paid that day."""
    paid = sum(payment["amount"] for payment in rows("transactions", dag_run))
    path_of(dag_run, "paid.json").write_text(json.dumps(round(paid, 2)))


def write_report(dag_run):
    """Write report.json: what was ordered and, if it is known, what was paid."""
    ordered = sum(order["total_amount"] for order in rows("orders", dag_run))
    file = path_of(dag_run, "paid.json")
    paid = json.loads(file.read_text()) if file.exists() else None
    found = {"day": period_of(dag_run)["start"], "ordered": round(ordered, 2), "paid": paid}
    path_of(dag_run, "report.json").write_text(json.dumps(found, indent=2))


with DAG("paid_yesterday", description="What was ordered, and what was paid", schedule="0 4 * * *"):
    @task
    def wait(dag_run=None):
        import time

        while not is_closed(dag_run):
            time.sleep(3600)

    @task
    def reconcile(dag_run=None):
        add_up_payments(dag_run)

    @task
    def report(dag_run=None):
        write_report(dag_run)

    wait() >> reconcile() >> report()
