"""How long a DAG that is saved in JupyterLab takes to be live: run within `lab`."""

import statistics
import time

from windtunnel import dagcell, session

SOURCE = """from airflow.sdk import DAG, task
with DAG("saved", schedule=None):
    @task
    def step{number}(): ...
    step{number}()
"""
here = session.connect()
taken = []
for number in range(5):
    start = time.monotonic()
    picture = dagcell.save(here, dagcell.Cell(SOURCE.format(number=number)), "saved")
    taken.append(time.monotonic() - start)
    assert f"step{number}" in repr(picture), picture
middle, least, most = statistics.median(taken), min(taken), max(taken)
print(f"a saved DAG was live after {middle:.2f} s ({least:.2f} to {most:.2f}, n={len(taken)})")
