"""Airflow's UI behind the Jupyter server of the image, under that server's login; and what the image is run with."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from traitlets.config import Config

from sandboxes import ROOT, environment, open_folder, run_to_end, save_dag, wait_for, windtunnel
from served_jupyter import PREFIX, TOKEN, Server
from windtunnel.behind_jupyter import configure

VISIT = {"Accept": "text/html,*/*;q=0.8"}
SMALL = """
    from airflow.sdk import dag, task
    @dag(schedule=None)
    def small():
        @task
        def one():
            print("from the task")
        one()
    small()
"""


@pytest.fixture(scope="module")
def server():
    with open_folder() as folder:
        started = Server(folder)
        wait_for("the sandbox that comes with it", started.sandbox.is_up)
        yield started
        if started.process.poll() is None:
            started.end()
        wait_for("the sandbox's end", lambda: not started.sandbox.state.is_running())


def test_without_jupyters_login_nothing_of_airflow_is_reached(server):
    login = {"username": "admin", "password": server.sandbox.password}
    for path in (
        "airflow/",
        "airflow/api/v2/monitor/health",
        "airflow/static/pin_32.png",
        "airflow/execution/",
    ):
        answer = server.ask(path, login=False)
        assert answer.status == 302, path
        assert answer.headers["Location"].startswith(f"{PREFIX}/login?next="), path
        assert server.ask(path, login=False, headers={"Authorization": "token wrong"}).status == 302, path
    # Airflow's own password is no way around it.
    assert server.ask("airflow/auth/token", "POST", login=False, json=login).status == 403


def test_with_it_airflow_has_its_own_login_under_the_path(server):
    assert server.ask("airflow").headers["Location"].startswith(f"{PREFIX}/airflow/")
    for page in ("airflow/", "airflow/auth/login"):
        assert f'<base href="{PREFIX}/airflow/" />' in server.ask(page, headers=VISIT).data.decode(), page
    assert server.ask("airflow/api/v2/dags").status == 401
    wrong = server.ask("airflow/auth/token", "POST", json={"username": "admin", "password": TOKEN})
    assert wrong.status == 401
    right = {"username": "admin", "password": server.sandbox.password}
    found = server.ask("airflow/auth/token", "POST", json=right).json()["access_token"]
    entered = server.ask("airflow/api/v2/dags", headers={"Authorization": f"Bearer {found}"})
    assert entered.status == 200
    way = server.ask("airflow/api/v2/auth/login?next=" + f"{PREFIX}/airflow/dags")
    assert (way.status, way.headers["Location"].split("?")[0]) == (307, f"{PREFIX}/airflow/auth/login")


def test_the_launcher_has_a_tile_for_it(server):
    (entry,) = json.loads(server.ask("server-proxy/servers-info").data)["server_processes"]
    assert (entry["name"], entry["launcher_entry"]["title"]) == ("airflow", "Airflow")
    icon = server.ask("server-proxy/icon/airflow")
    assert (icon.status, icon.headers["Content-Type"]) == (200, "image/svg+xml")


def test_all_that_speaks_to_airflow_finds_it_under_the_path(server):
    # Not from the server's environment: who looks on from another terminal finds it too.
    assert server.sandbox.url.endswith(f"{PREFIX}/airflow")
    assert server.sandbox.url in windtunnel(server.folder, "status").stdout
    # … and is told where a browser finds it.
    assert f"{PREFIX}/airflow/  at the address of JupyterLab" in windtunnel(server.folder, "ui").stdout
    save_dag(server.sandbox, "small", SMALL, server.folder / "work/dags")
    assert run_to_end(server.sandbox, "small") == "success"


def test_a_sandbox_started_to_be_reached_elsewhere_is_named_and_not_shown(server):
    windtunnel(server.folder, "down")
    assert windtunnel(server.folder, "up").returncode == 0
    assert server.sandbox.link == server.sandbox.url
    answer = server.ask("airflow/", headers=VISIT)
    said = re.sub(r"\s+", " ", answer.data.decode())
    assert answer.status == 503
    assert f"The sandbox was started to be reached at {server.sandbox.url}" in said


def test_a_visit_starts_a_sandbox_that_is_down_and_an_open_page_does_not(server):
    assert windtunnel(server.folder, "down").returncode == 0
    answer = server.ask("airflow/api/v2/monitor/health")
    assert (answer.status, "windtunnel up" in answer.data.decode()) == (503, True)
    assert not server.sandbox.state.is_running()
    assert server.ask("airflow/", headers=VISIT).status == 200
    assert server.sandbox.is_up()


def test_the_sandbox_ends_with_its_server(server):
    server.ask("airflow/", headers=VISIT)
    server.end()
    wait_for("the sandbox's end", lambda: not server.sandbox.state.is_running())


def test_below_a_path_under_which_nobody_can_log_in_the_ui_says_why():
    with open_folder() as folder:
        server = Server(folder, "/user/zo%C3%AB")
        answer = server.ask("airflow/")
        assert (answer.status, "other characters than letters" in answer.data.decode()) == (503, True)
        server.end()
        wait_for("the sandbox's end", lambda: not server.sandbox.state.is_running())


def test_beside_containers_the_tile_leads_to_their_ui_and_starts_nothing():
    with open_folder() as folder:
        server = Server(folder, "/", WINDTUNNEL_PUBLISHED="http://127.0.0.1:8080")
        answer = server.ask("airflow/", headers=VISIT)
        assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:8080")
        assert server.ask("airflow/", headers=VISIT, login=False).headers["Location"].startswith("/login")
        assert not server.sandbox.state.is_running()
        server.end()


@pytest.mark.parametrize("domain", ["app.github.dev", ""])
def test_in_a_codespace_pages_come_from_the_forwarded_address(monkeypatch, tmp_path, domain):
    for name, value in {
        "WINDTUNNEL_STATE": str(tmp_path / "state"),
        "WINDTUNNEL_WORK": str(tmp_path / "work"),
        "CODESPACE_NAME": "silver-tunnel",
        "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": domain,
    }.items():
        monkeypatch.setenv(name, value)
    config = Config()
    configure(config)
    expected = "https://silver-tunnel-8888.app.github.dev" if domain else None
    assert config.ServerApp.get("allow_origin") == expected
    assert config.ServerApp.root_dir == str(tmp_path / "work")


def test_a_folder_that_cannot_be_used_ends_the_server_with_one_message(tmp_path):
    (tmp_path / "state").write_text("a file in its place")
    values = environment(tmp_path, HOME=str(tmp_path), JUPYTER_CONFIG_PATH=str(ROOT / "sandbox/jupyter"))
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    done = subprocess.run(command, env=values, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode
    assert "Traceback" not in said
    assert "a file is there" in said


# --- what runs the image -----------------------------------------------------------------------------


def dockerfile() -> str:
    return (ROOT / "sandbox/Dockerfile").read_text()


def image() -> tuple[str, str]:
    """Name and tag, as docker-compose.yaml has them."""
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    name, tag = compose["services"]["lab"]["image"].split(":")
    return name, tag


def megabytes(amount: str) -> float:
    """Of a chart's "2G", which counts in 1024."""
    return float(amount[:-1]) * {"M": 2**20, "G": 2**30}[amount[-1]] / 1e6


def test_the_image_has_every_jupyter_server_read_the_courses_settings():
    assert "JUPYTER_CONFIG_PATH=/opt/windtunnel/sandbox/jupyter" in dockerfile()


def test_binder_builds_the_same_image():
    # A copy: BuildKit follows no link that leads out of the Dockerfile's folder.
    assert (ROOT / ".binder/Dockerfile").read_text() == dockerfile(), "cp sandbox/Dockerfile .binder/"


def test_the_development_container_is_made_of_what_is_there():
    folder = ROOT / ".devcontainer"
    text = (folder / "devcontainer.json").read_text()
    made = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert (folder / made["build"]["dockerfile"]).resolve() == ROOT / "sandbox/Dockerfile"
    assert (folder / made["build"]["context"]).resolve() == ROOT
    assert made["remoteUser"] in re.findall(r"^USER (\w+)$", dockerfile(), re.MULTILINE)
    (mount,) = made["mounts"]
    assert f"WINDTUNNEL_WORK={mount['target']}" in dockerfile()
    interpreter, script = made["postAttachCommand"].split()
    assert subprocess.run([interpreter, "-n", ROOT / script], check=True).returncode == 0
    assert [f"--port={port}" in (ROOT / script).read_text() for port in made["forwardPorts"]] == [True]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ".devcontainer" not in ignored


def test_a_class_gets_the_image_and_more_memory_than_was_measured():
    values = yaml.safe_load((ROOT / "sandbox/jupyterhub/values.yaml").read_text())["singleuser"]
    assert (values["image"]["name"], values["image"]["tag"]) == image()
    assert f"WINDTUNNEL_WORK={values['storage']['homeMountPath']}" in dockerfile()
    sides = json.loads((ROOT / "benchmarks/results/learner.json").read_text())["sides"]
    measured = {side: row["max"] for side, row in sides.items()}
    idle = measured.pop("idle")
    assert all(idle < chapter for chapter in measured.values())
    assert 0 < idle < measured["while chapter 02 runs"] <= megabytes(values["memory"]["guarantee"])
    assert max(measured.values()) * 1.25 <= megabytes(values["memory"]["limit"])


@pytest.mark.parametrize("file", sorted((ROOT / ".github/workflows").iterdir()), ids=lambda path: path.stem)
def test_a_workflow_may_only_read_runs_pinned_actions_and_ends(file):
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        actions = [step["uses"] for step in job["steps"] if "uses" in step]
        assert actions
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in actions), actions
        for name in re.findall(r"(?<!\S)((?:sandbox|tests|\.ci)/\S+)", commands(job)):
            assert os.access(ROOT / name, os.X_OK) or name.endswith(".py"), name
            assert (ROOT / name).is_file(), name


def commands(job: dict) -> str:
    """What a job types, a step a line."""
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def test_the_containers_are_tried_with_the_official_images_under_both_executors():
    (job,) = yaml.safe_load((ROOT / ".github/workflows/containers.yaml").read_text())["jobs"].values()
    typed = commands(job).splitlines()
    order = [
        "python3 sandbox/containers.py env",
        "docker compose build",
        "docker compose up --wait",
        "tests/compose/smoke",
    ]
    places = [next(number for number, line in enumerate(typed) if each in line) for each in order]
    assert places == sorted(places)
    assert {(each["executor"], each["profiles"]) for each in job["strategy"]["matrix"]["include"]} == {
        ("LocalExecutor", ""),
        ("CeleryExecutor", "celery"),
    }
    last = {step["run"].split(" &&")[0]: step["if"] for step in job["steps"] if "if" in step}
    assert last == {"docker compose ps --all": "failure()", "docker compose down --volumes": "always()"}
