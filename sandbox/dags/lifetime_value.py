"""Every evening: a job of twelve hours on the cluster, and nobody here who sits next to it.

This file says what runs, when, and after what. How jobs are named, found and read is in pipelines/cluster_jobs.py.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, PokeReturnValue, task
from airflow.sdk.exceptions import AirflowFailException

from pipelines import cluster_jobs


def ask(who, path, **parameters):
    """What an endpoint of the shop or the cluster answers; ``who`` is its connection."""
    return HttpHook(method="GET", http_conn_id=who).run(path, data=parameters).json()


def day_of(dag_run):
    """The day before the run's own."""
    return (dag_run.logical_date or dag_run.run_after).date() - timedelta(days=1)


with DAG(
    "lifetime_value",
    description="Twelve hours of work elsewhere: submitted, waited for, stored",
    schedule="0 18 * * *",
    start_date=datetime(2026, 3, 6, tzinfo=UTC),
    end_date=datetime(2026, 3, 31, 23, tzinfo=UTC),  # the course looks at one spring
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["cluster", "warehouse"],
):

    @task
    def submit(dag_run=None):
        """A try that was cut off may have submitted the job already: look before you start another."""
        day = day_of(dag_run)
        job = cluster_jobs.under_way(ask("job_cluster", "jobs")["jobs"], cluster_jobs.name_of(day))
        if job is None:
            orders = ask("shop_api", "orders", start=f"{day}", end=f"{day + timedelta(days=1)}")["orders"]
            cluster = HttpHook(method="POST", http_conn_id="job_cluster")
            job = cluster.run("jobs", json=cluster_jobs.description(day, orders)).json()["job_id"]
        return job

    @task.sensor(mode="reschedule", poke_interval=timedelta(hours=1), timeout=timedelta(hours=16))
    def wait(job):
        """Asks once an hour, and holds no worker in between. A cluster that does not answer is asked again."""
        try:
            result = cluster_jobs.result(ask("job_cluster", f"jobs/{job}"))
        except cluster_jobs.JobFailed as error:
            raise AirflowFailException(str(error)) from error
        return PokeReturnValue(result is not None, result)

    @task
    def store(euros, dag_run=None):
        """A day has one row, however often it is stored."""
        warehouse = PostgresHook("warehouse")
        warehouse.run(cluster_jobs.TABLE)
        row = (day_of(dag_run), euros)
        warehouse.insert_rows("lifetime_value", [row], ["day", "euros"], replace=True, replace_index="day")

    store(wait(submit()))
