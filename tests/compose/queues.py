"""A task for each of Celery's workers: run within `lab`."""

from windtunnel import dagcell, metadata, session, trigger

SOURCE = """from airflow.sdk import DAG, task
with DAG("queues", schedule=None):
    @task
    def collect(): ...
    @task(queue="finance_priority")
    def close(): ...
    collect() >> close()
"""
dagcell.save(session.connect(), dagcell.Cell(SOURCE), "queues")
run = trigger("queues", unpause=True)
run.watch()
assert run.state == "success", run.states()
rows = metadata(
    "select task_id, split_part(hostname, '.', 1) from task_instance "
    "where dag_id = 'queues' and run_id = %s order by start_date",
    [run.run_id],
).rows
print("; ".join(f"{task}: {worker}" for task, worker in rows))
