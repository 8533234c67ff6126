"""The tills' four tables, read from a database that allows five connections in all.

This file says what runs and what it takes: each extract takes as many slots of ``source_db_pool`` as it opens
connections, and those that take most go first, for small ones would pass them by. How a table is read is in
pipelines/source_db.py.
"""

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, task

from pipelines import source_db

CONNECTIONS = {"orders": 2, "payments": 2, "customers": 1, "deliveries": 1}

with DAG(
    "source_extracts",
    description="The tills' tables, never over more than five connections at once",
    schedule=None,
    tags=["source"],
):

    @task(pool="source_db_pool")
    def extract(table, connections, dag_run=None):
        """How many rows the table has. ``seconds`` in the run's conf: as slow as a larger table."""
        connect, seconds = PostgresHook("source_db").get_conn, (dag_run.conf or {}).get("seconds", 0)
        return source_db.read(connect, f"till.{table}", parts=connections, seconds=seconds)

    for table, connections in CONNECTIONS.items():
        takes = {"pool_slots": connections, "priority_weight": connections}
        extract.override(task_id=f"extract_{table}", **takes)(table, connections)
