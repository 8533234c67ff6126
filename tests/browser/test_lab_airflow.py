"""Airflow's UI in a browser, behind the Jupyter server of the image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from sandboxes import open_folder, run_to_end, save_dag, wait_for
from served_jupyter import TOKEN, Server

DAG = """
    from airflow.sdk import dag, task
    @dag(schedule=None)
    def looked_at():
        @task
        def one():
            # What is printed may come late, and stand within a part of the log that the page has folded.
            return "a line of the task's log"
        one()
    looked_at()
"""


@pytest.fixture(scope="module")
def server(browser: Any) -> Iterator[Server]:
    """(`browser` first: it may skip.)"""
    with open_folder() as folder:
        started = Server(folder)
        wait_for("the sandbox that comes with it", started.sandbox.is_up)
        yield started
        started.end()
        wait_for("the sandbox's end", lambda: not started.sandbox.state.is_running())


def test_the_tile_opens_airflow_which_shows_a_dag_and_a_tasks_log_after_its_login(
    browser: Any, server: Server
) -> None:
    save_dag(server.sandbox, "looked_at", DAG, server.folder / "work/dags")
    run = server.sandbox.airflow().trigger("looked_at", None, None)
    assert run_to_end(server.sandbox, "looked_at", run) == "success"

    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(f"{server.url}lab?token={TOKEN}")
    with page.expect_popup() as opened:
        page.locator(".jp-LauncherCard", has_text="Airflow").click(timeout=60_000)
    airflow = opened.value
    airflow.fill('input[name="username"]', "admin", timeout=60_000)
    airflow.fill('input[name="password"]', server.sandbox.password)
    failed: list[str] = []
    airflow.keyboard.press("Enter")
    airflow.wait_for_selector("text=Welcome", timeout=60_000)
    airflow.on("response", lambda r: failed.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    airflow.goto(f"{server.url}airflow/dags/looked_at")
    airflow.wait_for_selector("text=Latest Run", timeout=60_000)
    airflow.goto(f"{server.url}airflow/dags/looked_at/runs/{quote(run, safe='')}/tasks/one")
    airflow.wait_for_selector("text=a line of the task's log", timeout=60_000)
    assert failed == []
    page.context.close()
