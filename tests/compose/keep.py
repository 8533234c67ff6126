"""Something in every place that keeps data; with the argument `again`, whether it is still there. Run within `lab`."""

import sys

from windtunnel import dagcell, data_file, metadata, session, trigger, warehouse

SOURCE = """from airflow.sdk import DAG, task
with DAG("kept", schedule=None):
    @task
    def one():
        return 1
    one()
"""
if sys.argv[1:] != ["again"]:
    dagcell.save(session.connect(), dagcell.Cell(SOURCE), "kept")
    run = trigger("kept", unpause=True)
    run.watch()
    assert run.state == "success", run.states()
    warehouse("create table if not exists kept as select 41 + 1 as answer")
    data_file("kept.txt").write_text("kept")
found = [
    metadata("select state from dag_run where dag_id = 'kept'").rows[0][0],
    int(warehouse("select answer from kept").answer[0]),
    data_file("kept.txt").read_text(),
    session.connect().airflow.dag("kept").dag_id,
]
assert found == ["success", 42, "kept", "kept"], found
print("the run, the table, the file and the DAG are there")
