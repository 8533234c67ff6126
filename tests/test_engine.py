"""What the engine sees of an answer's runs. Its defences are in test_hostile.py."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from answers_on_trial import on_trial
from windtunnel.engine import client, fingerprint, server
from windtunnel.errors import WindtunnelError

HELLO = """\
    from airflow.sdk import DAG, task

    with DAG("greet", schedule=None):
        @task
        def hello():
            return "hello"

        hello()
    """


def tasks(body: str) -> str:
    """A DAG whose tasks are in ``body``."""
    head = """\
        import json, os, time
        from pathlib import Path
        from airflow.providers.http.hooks.http import HttpHook
        from airflow.sdk import DAG, task

        DATA = Path(os.environ.get("WINDTUNNEL_DATA", "."))

        with DAG("d", schedule="@daily", catchup=False, default_args={"retries": 2}):
        """
    return dedent(head) + "    " + dedent(body).replace("\n", "\n    ")


# --- what cannot be imported


def test_an_import_error_names_the_answers_own_line(tmp_path):
    message = on_trial(tmp_path, "from airflow.sdk import DAG\n\nDAG('a', schedul='@daily')\n")
    assert message.startswith("Airflow cannot import your file: answer.py, line 3: TypeError")
    assert "schedul" in message
    assert "Traceback" not in message


def test_a_file_without_a_dag_is_told_what_makes_one(tmp_path):
    assert "Airflow finds no DAG" in on_trial(tmp_path, "from airflow.sdk import dag\n\n@dag\ndef a(): ...\n")


def test_two_dags_where_one_was_asked_for_are_named(tmp_path):
    two = "from airflow.sdk import DAG\nwith DAG('a'): ...\nwith DAG('b'): ...\n"
    assert "your file has 2: a, b" in on_trial(tmp_path, two)


# --- runs


def test_a_run_is_data(tmp_path):
    text = tasks("""\
        @task
        def write(dag_run=None):
            (DATA / "deep").mkdir()
            (DATA / "deep" / "day.txt").write_text(f"{dag_run.logical_date or dag_run.run_after:%Y-%m-%d}")
            return "x" * 5000

        @task(retries=1)
        def fail(text):
            print("about to fail")
            raise KeyError("no such [thing]")

        fail(write())
        """)
    [run] = on_trial(tmp_path, text)
    assert (run["state"], run["tasks"]) == ("failed", {"write": "success", "fail": "failed"})
    assert run["files"] == {"deep/day.txt": "2026-03-02"}
    [xcom] = run["xcoms"]
    assert (xcom["task_id"], xcom["key"], xcom["size"]) == ("write", "return_value", 5002)
    assert len(xcom["value"]) < 500
    line = text.splitlines().index('        raise KeyError("no such [thing]")') + 1
    assert run["errors"] == {"fail": f"KeyError: 'no such [thing]' (line {line} of answer.py)"}
    assert "about to fail" in run["logs"]["fail"]
    assert run["tries"] == {"write": 1, "fail": 2}
    assert run["order"] == ["write", "fail", "fail"]


def test_a_manual_run_has_no_logical_date_and_carries_its_conf(tmp_path):
    text = tasks("""\
        @task
        def tell(dag_run=None):
            return {"logical": str(dag_run.logical_date), "after": str(dag_run.run_after), "conf": dag_run.conf}

        tell()
        """)
    [run] = on_trial(tmp_path, text, {"date": "2026-03-09", "manual": True, "conf": {"a": 1}})
    [xcom] = run["xcoms"]
    assert xcom["value"]["logical"] == "None"
    assert xcom["value"]["after"].startswith("2026-03-09 06:00:00")
    assert xcom["value"]["conf"] == {"a": 1}


def test_xcoms_of_any_kind_come_through_and_none_is_one_of_them(tmp_path):
    text = tasks("""\
        @task
        def give(ti=None):
            for key, value in {"none": None, "list": [1, {"a": None}], "text": "ü'\\"", "with/slash": 1.5}.items():
                ti.xcom_push(key=key, value=value)

        @task
        def take(ti=None):
            return [ti.xcom_pull(task_ids="give", key=key) for key in ("none", "list", "text", "with/slash", "absent")]

        give() >> take()
        """)
    [run] = on_trial(tmp_path, text)
    taken = next(xcom["value"] for xcom in run["xcoms"] if xcom["task_id"] == "take")
    assert taken == [None, [1, {"a": None}], "ü'\"", 1.5, None], run["errors"]


def test_a_value_that_is_no_json_fails_its_task_with_the_reason(tmp_path):
    text = tasks("""\
        @task(retries=0)
        def give():
            return float("nan")

        give()
        """)
    [run] = on_trial(tmp_path, text)
    assert run["tasks"] == {"give": "failed"}
    assert "JSON" in run["errors"]["give"] or "float" in run["errors"]["give"], run["errors"]


def test_a_case_may_name_its_data_interval(tmp_path):
    text = tasks("""\
        @task
        def tell(data_interval_start=None, data_interval_end=None):
            return f"{data_interval_start:%m-%d} {data_interval_end:%m-%d}"

        tell()
        """)
    case = {"date": "2026-03-09", "interval": ["2026-02-01T00:00:00", "2026-03-01T00:00:00"]}
    [run] = on_trial(tmp_path, text, case)
    assert run["xcoms"][0]["value"] == "02-01 03-01"


def test_the_shape_of_a_dag_is_what_the_scheduler_reads(tmp_path):
    text = tasks("""\
        @task
        def one(): ...

        @task(trigger_rule="all_done", pool="narrow", pool_slots=2)
        def two(): ...

        one() >> two()
        """)
    dag = on_trial(tmp_path, text, shape=True)
    assert (dag["dag_id"], dag["schedule"], dag["catchup"]) == ("d", "0 0 * * *", False)
    two = dag["tasks"]["two"]
    assert two["upstream"] == ["one"]
    assert (two["trigger_rule"], two["pool"], two["pool_slots"], two["retries"]) == (
        "all_done",
        "narrow",
        2,
        2,
    )


def test_what_a_task_keeps_in_a_module_is_not_there_for_the_next_as_in_a_live_airflow(tmp_path):
    text = tasks("""\
        shared = {}

        @task
        def put():
            shared["rows"] = 5

        @task(retries=0)
        def get():
            return shared["rows"]

        put() >> get()
        """)
    [run] = on_trial(tmp_path, text)
    assert run["tasks"] == {"put": "success", "get": "failed"}
    assert run["errors"]["get"].startswith("KeyError: 'rows'")


def test_what_a_task_does_to_its_process_does_not_reach_the_next(tmp_path):
    text = tasks("""\
        @task
        def spoil():
            import sys, threading
            os.environ["SPOILT"] = "yes"
            os.chdir("/")
            sys.stdout = None
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

        @task(retries=0)
        def look():
            import threading
            print("still heard")
            return [os.environ.get("SPOILT"), os.getcwd() != "/", threading.active_count()]

        spoil() >> look()
        """)
    [run] = on_trial(tmp_path, text)
    assert run["xcoms"][0]["value"] == [None, True, 1], run["errors"]
    assert "still heard" in run["logs"]["look"]


def test_a_fault_outside_is_there_from_the_start_and_a_retry_gets_over_it(tmp_path):
    text = tasks("""\
        @task
        def ask():
            HttpHook(method="GET", http_conn_id="shop_api").run("customers", data={"as_of": "2026-03-02"})

        ask()
        """)
    data = {"customers": [], "transactions": []}
    faults = [{"endpoint": "customers", "status": 503, "times": 2}]
    [run] = on_trial(tmp_path, text, {"date": "2026-03-02", "data": data, "faults": faults})
    assert (run["state"], run["tries"]) == ("success", {"ask": 3})
    assert [(r["method"], r["path"], r["query"], r["status"]) for r in run["received"]] == [
        ("GET", "customers", {"as_of": "2026-03-02"}, status) for status in (503, 503, 200)
    ]


def test_an_answer_cannot_mend_what_it_is_to_cope_with(tmp_path):
    text = tasks("""\
        @task
        def mend():
            import requests
            url = json.loads(os.environ["AIRFLOW_CONN_SHOP_API"])["host"]
            return requests.delete(url + "/faults").status_code

        mend()
        """)
    [run] = on_trial(tmp_path, text)
    assert run["xcoms"][0]["value"] == 404


def test_branches_mapped_tasks_and_trigger_rules_are_airflows_own(tmp_path):
    text = tasks("""\
        @task
        def numbers():
            return [1, 2, 3]

        @task
        def double(number):
            return number * 2

        @task.branch
        def choose(total):
            return "large" if total > 10 else "small"

        @task
        def total(values):
            return sum(values)

        @task
        def large(): ...

        @task
        def small(): ...

        @task(trigger_rule="none_failed_min_one_success")
        def join(): ...

        chosen = choose(total(double.expand(number=numbers())))
        chosen >> [large(), small()] >> join()
        """)
    [run] = on_trial(tmp_path, text)
    assert run["state"] == "success"
    assert run["tasks"]["double[2]"] == "success"
    assert (run["tasks"]["large"], run["tasks"]["small"], run["tasks"]["join"]) == (
        "success",
        "skipped",
        "success",
    )


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_sensor_waits_without_anybody_waiting(tmp_path, mode):
    text = tasks(f"""\
        from airflow.sdk import PokeReturnValue

        @task.sensor(poke_interval={0.1 if mode == "poke" else 3600}, timeout=7200, mode="{mode}")
        def ready():
            seen = DATA / "looks"
            seen.write_text((seen.read_text() if seen.exists() else "") + "x")
            return PokeReturnValue(is_done=len(seen.read_text()) == 3)

        ready()
        """)
    [run] = on_trial(tmp_path, text)
    assert (run["state"], run["files"]) == ("success", {"looks": "xxx"})


def test_a_deferred_task_comes_back_with_its_event(tmp_path):
    text = tasks("""\
        from datetime import timedelta
        from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor

        TimeDeltaSensor(task_id="wait", delta=timedelta(seconds=1), deferrable=True)
        """)
    [run] = on_trial(tmp_path, text)
    assert run["tasks"] == {"wait": "success"}, run["errors"]


WAITING = {
    "reschedule": """
        @task.sensor(poke_interval=3600, timeout=4 * 3600, mode="reschedule", soft_fail={soft})
        def wait():
            return False

        wait()
        """,
    "poke": """
        @task.sensor(poke_interval=3600, timeout=4 * 3600, soft_fail={soft})
        def wait():
            return False

        wait()
        """,
    "deferrable": """
        from airflow.providers.standard.sensors.filesystem import FileSensor

        os.environ["AIRFLOW_CONN_FS_DEFAULT"] = "fs://"
        FileSensor(
            task_id="wait",
            filepath="/nowhere",
            poke_interval=3600,
            timeout=4 * 3600,
            deferrable=True,
            soft_fail={soft},
        )
        """,
}


@pytest.mark.parametrize("how", WAITING)
def test_a_wait_of_hours_ends_at_its_timeout_and_tells_what_it_held(tmp_path, how):
    for soft, state in ((True, "skipped"), (False, "failed")):
        folder = tmp_path / state
        folder.mkdir()
        [run] = on_trial(folder, tasks(WAITING[how].format(soft=soft)))
        slept = sum(span["slept"] for span in run["spans"])
        waits = run["waits"].get("wait", [])
        assert (run["tasks"]["wait"], run["tries"]["wait"]) == (state, 1), run["errors"]
        assert len(waits) in ((0,) if how == "poke" else (4, 5))
        assert 4 * 3600 <= sum(waits) + slept <= 5 * 3600
        assert bool(slept) is (how == "poke")


@pytest.mark.parametrize(("how", "state"), [("reschedule", "up_for_reschedule"), ("deferrable", "deferred")])
def test_a_sensor_without_an_end_is_told_as_waiting(tmp_path, how, state):
    text = WAITING[how].format(soft=False).replace("4 * 3600", "7 * 86400")
    [run] = on_trial(tmp_path, tasks(text))
    assert (run["state"], run["tasks"]) == ("running", {"wait": state})
    assert run["waits"]["wait"] == [3600.0] * 40


def test_a_task_that_sleeps_for_ever_ends(tmp_path):
    text = tasks("""\
        @task(retries=0)
        def wait():
            while True:
                time.sleep(3600)

        wait()
        """)
    [run] = on_trial(tmp_path, text)
    assert run["state"] == "failed"
    assert "slept for more than 8 days" in run["errors"]["wait"]


def test_side_by_side_tasks_hold_the_slots_of_their_pool_and_no_more(tmp_path):
    text = tasks("""\
        @task(pool_slots=64)
        def work(number):
            time.sleep(0.3)

        work.expand(number=[1, 2, 3, 4])
        """)
    [run] = on_trial(tmp_path, text, {"date": "2026-03-02", "parallel": 4})
    spans = run["spans"]
    together = [sum(s["slots"] for s in spans if s["start"] <= span["start"] < s["end"]) for span in spans]
    assert max(together) == 128  # of default_pool's 128: two at a time
    assert run["state"] == "success"


def test_a_case_brings_pools_that_the_next_one_does_not_have(tmp_path):
    text = tasks("@task(pool='lane', pool_slots=2)\ndef work(): ...\n\nwork()\n")
    lane = {"date": "2026-03-02", "pools": {"lane": 2}}
    found = on_trial(tmp_path, text, lane, {"date": "2026-03-03"}, lane | {"date": "2026-03-04"})
    assert [run["state"] for run in found] == ["success", "running", "success"]
    assert [(span["pool"], span["slots"]) for span in found[0]["spans"]] == [("lane", 2)]


def test_a_task_in_a_pool_that_does_not_exist_never_starts_and_the_run_is_told_as_running(tmp_path):
    [run] = on_trial(tmp_path, tasks("@task(pool='nowhere')\ndef wait(): ...\n\nwait()\n"))
    assert (run["state"], run["tasks"]) == ("running", {"wait": "scheduled"})


def test_a_second_run_of_a_date_finds_what_the_first_left(tmp_path):
    text = tasks("""\
        @task
        def add():
            file = DATA / "all.txt"
            file.write_text((file.read_text() if file.exists() else "") + "row ")

        add()
        """)
    first, second = on_trial(tmp_path, text, {"date": "2026-03-02"}, {"date": "2026-03-02"})
    assert (first["files"]["all.txt"], second["files"]["all.txt"]) == ("row ", "row row ")


def test_a_sqlite_file_is_told_as_its_tables(tmp_path):
    text = tasks("""\
        @task
        def store():
            import sqlite3
            with sqlite3.connect(DATA / "a.db") as base:
                base.execute("PRAGMA journal_mode=WAL")
                base.execute("CREATE TABLE t (city TEXT, degrees REAL)")
                base.execute("INSERT INTO t VALUES ('Oslo', 1.5)")

        store()
        """)
    [run] = on_trial(tmp_path, text)
    assert run["tables"] == {"a.db": {"t": [{"city": "Oslo", "degrees": 1.5}]}}


def test_an_answer_sees_nothing_of_the_readers_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET", "s3cret")
    text = tasks("""\
        @task
        def tell():
            return [os.environ.get("A_SECRET"), os.environ["HOME"]]

        tell()
        """)
    [run] = on_trial(tmp_path, text)
    secret, home = run["xcoms"][0]["value"]
    assert secret is None
    assert home != os.environ["HOME"]


# --- warm and cold


def test_the_cold_engine_gives_the_same_evidence_as_the_warm_one(tmp_path, monkeypatch):
    [warm] = on_trial(tmp_path, HELLO)
    monkeypatch.setenv("WINDTUNNEL_WARM", "off")
    [cold] = on_trial(tmp_path, HELLO)
    for run in (warm, cold):
        del run["spans"], run["logs"]  # times, and the folder of the check
    assert cold == warm


def test_the_second_check_finds_the_engine_warm(tmp_path):
    on_trial(tmp_path, HELLO)
    began = time.monotonic()
    seen = []
    on_trial(tmp_path, HELLO, time_limit=30)
    monotonic = time.monotonic() - began
    with client._connection(seen.append):
        assert seen == [], f"it had to be started again (the check took {monotonic:.1f} s)"


def test_the_warm_process_leaves_when_it_is_told_to_and_takes_its_folders_along(tmp_path):
    code = f"""if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from answers_on_trial import on_trial
        on_trial(Path({str(tmp_path)!r}), {HELLO!r})
        """
    state, temporary = tmp_path / "state", tmp_path / "temporary"
    temporary.mkdir()
    names = {"WINDTUNNEL_STATE": str(state), "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", code], env=os.environ | names, check=True)

    def homes():
        sockets = f"windtunnel-engine-{os.getuid()}"
        return [path for path in temporary.glob("windtunnel-engine-*") if path.name != sockets]

    [warm] = engine(state)
    assert homes()
    warm.terminate()
    assert psutil.wait_procs([warm], timeout=20)[1] == []
    assert homes() == []


def test_a_client_that_leaves_ends_its_check(tmp_path):
    text = tasks("""\
        @task
        def hang():
            time.sleep(120)

        hang()
        """)
    code = f"""if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from answers_on_trial import on_trial
        on_trial(Path({str(tmp_path)!r}), {text!r}, seconds=90)
        """
    # A state folder of its own means an engine of its own: other tests' checks are not seen.
    state = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"WINDTUNNEL_STATE": str(state)}
    )
    try:
        assert until(lambda: len(below(engine(state))) >= 5, 60), "it never began"
        process.kill()
        process.wait()
        assert until(lambda: below(engine(state)) == [], 20), "processes of the check are left"
    finally:
        process.kill()
        process.wait()
        for each in engine(state):
            each.terminate()


def engine(state):
    """The warm process that was started with this state folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "windtunnel.engine.server" in words and any(str(state) in word for word in words):
            with contextlib.suppress(psutil.Error):
                if process.parent() is None or "windtunnel.engine.server" not in process.parent().cmdline():
                    found.append(process)
    return found


def below(processes):
    """What descends from these."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found += [p for p in process.children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    return found


def until(condition, seconds):
    """Whether ``condition`` comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


# --- the warm process


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        yield listener


def test_the_warm_process_leaves_when_it_has_had_no_work_for_a_while(listener, monkeypatch):
    monkeypatch.setattr(server, "IDLE", 0.3)
    monkeypatch.setattr(server, "LOOK", 0.05)
    began = time.monotonic()
    server.serve(None, listener, fingerprint.of_code())
    assert 0.3 <= time.monotonic() - began < 5


def test_the_warm_process_leaves_when_it_was_started_from_other_code(listener, monkeypatch):
    monkeypatch.setattr(server, "LOOK", 0.05)
    server.serve(None, listener, "other code")  # returns


def test_an_edit_of_the_package_and_a_new_lock_are_other_code(tmp_path, monkeypatch):
    package = tmp_path / "sandbox" / "windtunnel" / "engine"
    package.mkdir(parents=True)
    monkeypatch.setattr(fingerprint, "__file__", str(package / "fingerprint.py"))
    marks = [fingerprint.of_code()]
    (package / "new.py").write_text("")
    marks.append(fingerprint.of_code())
    (tmp_path / "requirements.lock").write_text("a==1")
    marks.append(fingerprint.of_code())
    assert len(set(marks)) == 3


def test_the_sockets_are_in_a_folder_that_only_their_user_may_enter(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = client._folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(WindtunnelError, match="nobody else may enter"):
        client._folder()
