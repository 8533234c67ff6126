"""The sandbox as it should be: complete, private, one for each folder, on every machine."""

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path

import psutil
import psycopg2
import pytest
import urllib3

from sandboxes import (
    COMMAND,
    alive,
    belonging,
    environment,
    knows,
    run_to_end,
    save_dag,
    task_states,
    wait_for,
    windtunnel,
)
from windtunnel import processes
from windtunnel.outside import world
from windtunnel.sandbox import Sandbox, Status
from windtunnel.session import connect

HTTP = urllib3.PoolManager(retries=False)

GREETING = """
    from airflow.sdk import dag, task

    @dag(schedule=None)
    def {name}():
        @task
        def greet():
            return "{name}"
        greet()

    {name}()
"""

# A task that keeps a worker busy while another waits in the triggerer.
BUSY = """
    from datetime import timedelta
    from pathlib import Path
    import os, time
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.providers.standard.sensors.time_delta import WaitSensor
    from airflow.sdk import dag, task

    @dag(schedule=None)
    def busy():
        @task
        def working():
            hook = PostgresHook("warehouse")
            hook.run("create table seen (what text)")
            hook.run("insert into seen values ('a row')")
            Path(os.environ["WINDTUNNEL_DATA"], "report.csv").write_text("a,b")
            time.sleep(3)
        working()
        WaitSensor(task_id="waiting", time_to_wait=timedelta(seconds=3), deferrable=True)

    busy()
"""

# What a pipeline tells the outside world, and waits for, by the connections that every sandbox has.
OUTSIDE = """
    from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
    from airflow.providers.http.operators.http import HttpOperator
    from airflow.providers.smtp.operators.smtp import EmailOperator
    from airflow.sdk import DAG

    with DAG("outside", schedule=None):
        S3KeySensor(task_id="waits", bucket_key="s3://landing/orders.csv", poke_interval=1, timeout=60)
        EmailOperator(task_id="mails", to="night@shop.example", subject="late", html_content="<b>late</b>")
        HttpOperator(
            task_id="posts", http_conn_id="chat", endpoint="services/T0/orders/x", data='{"text": "late"}',
            headers={"Content-Type": "application/json"},
        )
        HttpOperator(
            task_id="pages", http_conn_id="pager", endpoint="pager/pages", data='{"summary": "late"}',
            headers={"Content-Type": "application/json"},
        )
"""


def login(sandbox: Sandbox, username: str, password: str) -> int:
    """HTTP status of an attempt to get a token."""
    body = {"username": username, "password": password}
    return HTTP.request("POST", f"{sandbox.url}/auth/token", json=body).status


# --- what runs -------------------------------------------------------------------------------------


def test_a_fresh_start_brings_up_every_process_and_all_are_healthy(sandbox):
    status = sandbox.status()
    assert status.phase == "running"
    assert status.healthy
    assert set(status.components) == {
        *("api-server", "scheduler", "dag-processor", "triggerer"),
        *("postgres", "valkey", "world"),
    }
    assert all(psutil.pid_exists(component["pid"]) for component in status.components.values())
    assert all(component["restarts"] == 0 for component in status.components.values())


def test_a_sandbox_with_a_process_missing_is_not_healthy():
    whole = {name: "healthy" for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")}
    place = {"state": Path("/x"), "phase": "running", "url": "", "launcher": 1}
    assert Status(**place, components={"world": {"pid": 7}}, health=whole).healthy
    assert not Status(**place, components={"world": {"pid": 0}}, health=whole).healthy
    assert not Status(**place, components={}, health=whole | {"scheduler": "unhealthy"}).healthy


def test_postgres_and_valkey_and_the_world_are_the_real_things(sandbox):
    values = sandbox.environ()
    connection = psycopg2.connect(values["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", ""))
    with connection.cursor() as cursor:
        cursor.execute("select version()")
        assert cursor.fetchone()[0].startswith("PostgreSQL 18")
    connection.close()
    ports = sandbox.state.ports()
    with socket.create_connection(("127.0.0.1", ports.valkey)) as valkey:
        valkey.sendall(f"AUTH {sandbox.state.secrets()['valkey']}\r\nPING\r\n".encode())
        assert wait_for("PONG", lambda: valkey.recv(100).endswith(b"+PONG\r\n"))
    assert HTTP.request("GET", f"http://127.0.0.1:{ports.world}/health").json() == {"status": "ok"}


def test_pipelines_reach_the_mail_server_the_object_storage_the_chat_and_the_pager(sandbox):
    connect()
    save_dag(sandbox, "outside", OUTSIDE)
    run = sandbox.airflow().trigger("outside", None, None)
    told = ("mails", "posts", "pages")
    wait_for(
        "what was told",
        lambda: {task_states(sandbox, "outside", run).get(task) for task in told} == {"success"},
    )
    assert task_states(sandbox, "outside", run)["waits"] == "running"
    world.s3.put("orders.csv", "order_id")
    assert run_to_end(sandbox, "outside", run) == "success"
    (letter,) = world.mail.messages
    assert (letter["from"], letter["to"], letter["subject"], letter["text"]) == (
        *("airflow@shop.example", ["night@shop.example"]),
        *("late", "<b>late</b>"),
    )
    assert [message["text"] for message in world.chat.messages] == ["late"]
    assert [page["summary"] for page in world.pager.messages] == ["late"]


# --- nobody else gets in ---------------------------------------------------------------------------


def test_nothing_listens_beyond_loopback_while_a_task_and_a_trigger_run(sandbox):
    save_dag(sandbox, "busy", BUSY)
    run = sandbox.airflow().trigger("busy", None, None)
    seen, addresses = set(), set()

    def look() -> bool:
        states = task_states(sandbox, "busy", run)
        seen.add((states.get("working"), states.get("waiting")))
        for process in belonging(sandbox):
            with contextlib.suppress(psutil.Error):
                listening = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
                addresses.update(c.laddr.ip for c in listening)
                addresses.update(
                    c.laddr.ip for c in process.net_connections("udp") if c.laddr and not c.raddr
                )
        return {*states.values()} == {"success"}

    wait_for("the run of busy", look)
    assert ("running", "deferred") in seen, "the two were to run side by side"
    assert addresses == {"127.0.0.1"}


def test_a_file_with_a_credential_can_be_read_by_its_owner_alone(sandbox):
    credentials = [secret.encode() for secret in sandbox.state.secrets().values()]
    folder = sandbox.state.path
    holding = {
        path
        for path in folder.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in credentials)
    }
    names = {path.name for path in holding}
    assert {"secrets.json", "passwords.json", "valkey.conf", "pg_service.conf"} <= names
    assert [str(path) for path in holding if path.stat().st_mode & 0o077] == []
    assert folder.stat().st_mode & 0o066 == 0
    open_to_others = [path for path in folder.iterdir() if path.is_dir() and path.stat().st_mode & 0o077]
    assert [path.name for path in open_to_others if path.name != "postgres-binaries"] == []


def test_no_credential_stands_in_a_command_line_or_in_the_environment_of_another_account(sandbox):
    credentials = sandbox.state.secrets().values()
    for process in belonging(sandbox):
        with contextlib.suppress(psutil.NoSuchProcess):
            shown = " ".join(process.cmdline())
            if process.uids().real != os.getuid():
                shown += str(process.environ())
            assert not [secret for secret in credentials if secret in shown]


@pytest.mark.parametrize("path", ["/api/v2/dags", "/api/v2/connections", "/ui/dags", "/api/v2/config"])
def test_the_api_answers_401_without_a_token(sandbox, path):
    assert HTTP.request("GET", sandbox.url + path).status == 401
    forged = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."}
    assert HTTP.request("GET", sandbox.url + path, headers=forged).status in (401, 403)


def test_tasks_own_api_refuses_strangers(sandbox):
    task = "01890000-0000-7000-8000-000000000000"
    answer = HTTP.request("PATCH", f"{sandbox.url}/execution/task-instances/{task}/run", json={})
    assert answer.status in (401, 403)


def test_only_the_generated_password_gets_a_token(sandbox):
    assert login(sandbox, "admin", sandbox.password) == 201
    for password in ("admin", "airflow", sandbox.password + "x"):
        assert login(sandbox, "admin", password) == 401
    assert login(sandbox, "airflow", "airflow") == 401


def test_the_database_and_the_cache_want_their_passwords(sandbox):
    ports = sandbox.state.ports()
    for user in ("windtunnel", "warehouse", "reader", "source", "postgres"):
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            psycopg2.connect(
                host="127.0.0.1", port=ports.postgres, user=user, password=user, dbname="airflow"
            )
    with socket.create_connection(("127.0.0.1", ports.valkey)) as valkey:
        valkey.sendall(b"PING\r\n")
        assert valkey.recv(100).startswith(b"-NOAUTH")


# --- reset -----------------------------------------------------------------------------------------


def test_reset_gives_no_runs_an_empty_warehouse_and_keeps_the_dag_files(sandbox):
    save_dag(sandbox, "kept", GREETING.format(name="kept"))
    assert run_to_end(sandbox, "kept") == "success"
    url, password = sandbox.url, sandbox.password
    sandbox.reset()
    assert (sandbox.url, sandbox.password) == (url, password)
    wait_for("the DAG after the reset", lambda: knows(sandbox, "kept"))
    assert sandbox.airflow().runs("kept") == []
    assert sandbox.airflow().dag("kept").is_paused
    assert list(sandbox.state.data.iterdir()) == []
    secrets = sandbox.state.secrets()
    connection = psycopg2.connect(
        host="127.0.0.1",
        port=sandbox.state.ports().postgres,
        user="warehouse",
        password=secrets["warehouse"],
        dbname="warehouse",
    )
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_tables where schemaname = 'public'")
        assert cursor.fetchone() == (0,)
    connection.close()
    sandbox.airflow().pause("kept", False)
    assert run_to_end(sandbox, "kept") == "success"


# --- one for each folder, on every machine ---------------------------------------------------------


def test_two_starts_at_once_with_the_usual_port_taken_give_one_sandbox_on_another_port(own):
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # taken already: as good
            somebody.bind(("127.0.0.1", 8080))
            somebody.listen()
        # Neither the reader's settings for other servers nor a home that is not there yet may disturb.
        foreign = {
            "HOME": str(own / "no-home-yet"),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "PGSSLMODE": "require",
            "PGPORT": "1",
            "http_proxy": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }
        options = {"env": environment(own, **foreign), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        starts = [subprocess.Popen([COMMAND, "up"], text=True, **options) for _ in range(2)]
        said = [start.communicate(timeout=300) for start in starts]
    assert [start.returncode for start in starts] == [0, 0], said
    started = Sandbox(own / "state")
    assert all(started.url in out for out, _err in said)
    assert sum("already up" in out for out, _err in said) == 1
    assert started.state.ports().api in range(8081, 8100)
    identity = started.state.config()["id"]
    launchers = [p for p in processes.marked(identity) if "windtunnel.launcher" in p.cmdline()]
    assert len({p.pid for p in launchers if p.ppid() not in {q.pid for q in launchers}}) == 1
    assert not (own / "no-home-yet").exists()


def test_another_up_finds_the_running_sandbox(own):
    before = Sandbox(own / "state").status().launcher
    done = windtunnel(own, "up")
    assert done.returncode == 0
    assert "already up" in done.stdout
    assert Sandbox(own / "state").status().launcher == before


def test_status_names_address_and_processes_and_says_zero_when_all_is_well(own):
    done = windtunnel(own, "status")
    assert done.returncode == 0, done.stdout
    for expected in (Sandbox(own / "state").url, "api-server", "postgres", "valkey", "world", "healthy"):
        assert expected in done.stdout


def test_doctor_says_that_the_port_is_this_sandboxs_own(own):
    done = windtunnel(own, "doctor")
    port = Sandbox(own / "state").state.ports().api
    assert f"{port}, in use by this sandbox" in done.stdout
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout


def test_ui_prints_the_address_and_the_password_that_works(own):
    done = windtunnel(own, "ui", "--print")
    address, _user, password = done.stdout.split("\n")[:3]
    started = Sandbox(own / "state")
    assert address == started.url
    assert login(started, "admin", password.split()[-1]) == 201


def test_two_sandboxes_side_by_side_know_only_their_own_dags(sandbox, own):
    other = Sandbox(own / "state")
    save_dag(other, "over_there", GREETING.format(name="over_there"), own / "work/dags")
    save_dag(sandbox, "over_here", GREETING.format(name="over_here"))
    assert not knows(other, "over_here")
    assert not knows(sandbox, "over_there")
    there = other.airflow().trigger("over_there", None, None)
    assert run_to_end(sandbox, "over_here") == "success"
    assert run_to_end(other, "over_there", there) == "success"


def test_down_leaves_no_process_and_says_so_and_a_second_down_has_nothing_to_do(own):
    before = belonging(Sandbox(own / "state"))
    assert len(before) >= 10
    assert windtunnel(own, "down").stdout.startswith("The sandbox is down")
    assert alive(before) == set()
    assert "No sandbox was running" in windtunnel(own, "down").stdout
    status = windtunnel(own, "status")
    assert status.returncode == 1
    assert "windtunnel up" in status.stdout


def test_it_works_without_the_patches_and_keeps_what_it_held(own):
    done = windtunnel(own, "up", WINDTUNNEL_PATCHES="off")
    assert done.returncode == 0, done.stderr
    started = Sandbox(own / "state")
    (earlier,) = started.airflow().runs("over_there")
    assert earlier.state.value == "success"
    assert run_to_end(started, "over_there") == "success"
    save_dag(started, "later", GREETING.format(name="later"), own / "work/dags")


def test_a_sandbox_that_was_never_made_is_not_an_error_to_stop(tmp_path):
    assert "No sandbox was running" in windtunnel(tmp_path, "down").stdout
    assert list(tmp_path.iterdir()) == []
    status = windtunnel(tmp_path, "status")
    assert status.returncode == 2
    assert "windtunnel up" in status.stderr


def test_a_plain_user_without_a_home_folder_has_a_sandbox(plain_user):
    home = plain_user.folder / "home" / "not" / "there"
    values = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "WINDTUNNEL_WORK": str(plain_user.folder / "work"),
    }
    up = plain_user.run([COMMAND, "up"], **values)
    assert up.returncode == 0, up.stderr
    try:
        (state,) = (home / ".local/state/windtunnel").iterdir()
        started = Sandbox(state)
        assert started.status().healthy
        owner = plain_user.folder.stat().st_uid
        assert {process.uids().real for process in belonging(started)} == {owner}
        save_dag(started, "theirs", GREETING.format(name="theirs"), plain_user.folder / "work/dags")
        assert run_to_end(started, "theirs") == "success"
        assert json.loads((state / "sandbox.json").read_text())["layout"] == 1
    finally:
        down = plain_user.run([COMMAND, "down"], **values)
    assert down.returncode == 0, down.stderr
    assert alive(belonging(started)) == set()
