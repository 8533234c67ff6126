"""The first run of a warm process: a small DAG, with all its tasks in here, so that forks find everything made."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from windtunnel.engine import learner, scheduler
from windtunnel.engine.bench import Ground, environment, sweep
from windtunnel.engine.jail import Jail, python_paths
from world.service import create_app
from world.shop import Shop

DAG = """
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator

with DAG("warming", schedule="0 6 * * *", catchup=False):

    @task
    def first(dag_run=None):
        return [1, 2]

    @task
    def second(number):
        return number

    second.expand(number=first()) >> PythonOperator(task_id="third", python_callable=len, op_args=["{{ ds }}"])
"""


def run(ground: Ground) -> None:
    """Run it on a bench, then once more with Airflow's ``dag.test``, which runs tasks in this process."""
    import airflow.sdk.execution_time.supervisor as supervisor
    from airflow.dag_processing.dagbag import BundleDagBag

    folder = Path(tempfile.mkdtemp(prefix="windtunnel-warming-"))
    create_app(Shop())  # which remembers the shop it has invented
    loaded, template = ground.loaded, ground.loaded.database
    before = dict(os.environ)
    try:
        for name in ("dags", "data", "tmp", "home"):
            (folder / name).mkdir()
        file = folder / "dags" / "warming.py"
        file.write_text(DAG)
        shutil.copy(template, folder / "airflow.db")
        loaded.use(folder / "airflow.db", file.parent)
        cell = Jail(folder, python_paths())
        place = scheduler.Place(file, folder / "data", cell, environment(folder))
        found = scheduler.parse(place)
        assert list(found["dags"]) == ["warming"], found
        api = loaded.client()
        workers = scheduler.Workers(cell)
        made = scheduler.run(place, api, "warming", {"date": "2026-03-02"}, workers)
        assert made["state"] == "success", made
        learner.parsed(file)
        supervisor.InProcessTestSupervisor._api_client = staticmethod(lambda dag=None: api)  # type: ignore[method-assign]
        bag = BundleDagBag(dag_folder=str(file.parent), bundle_path=file.parent, bundle_name="dags-folder")
        bag.dags["warming"].test()
    finally:
        sweep(set())
        loaded.close()
        os.environ.clear()
        os.environ.update(before)
        loaded.use(Path(template), folder)
        shutil.rmtree(folder, ignore_errors=True)
