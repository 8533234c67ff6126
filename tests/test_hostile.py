"""Answers that attack the engine, or break in ways that engines have died of.

Each loses its points with a reason in one line, and nothing else happens: no process survives, no file is left,
the next answer is judged as ever. Archives, notebooks and folders are attacked in test_grading_submissions.py.
"""

import contextlib
import os
import signal
import socket
import tempfile
import time
from pathlib import Path
from textwrap import dedent, indent

import psutil
import pytest

from answers_on_trial import on_trial
from windtunnel.engine import jail

ROOT = Path(__file__).parents[1]
NOON = {"date": "2026-03-02"}
HONEST = """\
    from airflow.sdk import DAG, task

    with DAG("greet", schedule=None):
        @task
        def hello():
            return "hello"

        hello()
    """
enclosed = pytest.mark.skipif(not jail.namespaces(), reason="this user may have no namespaces here")


def on_import(body):
    """A file that Airflow takes for a DAG's, and that does ``body`` on import."""
    return (
        "import ctypes, os, signal, sys  # airflow looks for the word DAG before it imports a file\n"
        + dedent(body)
    )


def task(body, *, retries=0, head=""):
    """A DAG with one task, ``attack``, that does ``body``; ``head`` is done on import."""
    return (
        dedent("""\
        import ctypes, json, os, signal, socket, sys, threading, time
        from pathlib import Path
        from airflow.sdk import DAG, task

        DATA = Path(os.environ.get("WINDTUNNEL_DATA", "."))
        """)
        + dedent(head)
        + dedent(f"""
        with DAG("d", schedule=None, default_args={{"retries": {retries}}}):
            @task
            def attack(task_instance=None):
        """)
        + indent(dedent(body), " " * 8)
        + "\n    attack()\n"
    )


@pytest.fixture(autouse=True, scope="module")
def warm(tmp_path_factory):
    """What a start of the engine takes is no answer's time."""
    assert judged_as_ever(tmp_path_factory.mktemp("warm"))


@pytest.fixture(autouse=True)
def nothing_is_left(warm):
    """Wait until what a test began is gone, and fail when it stays."""
    processes, files = ours(), folders()
    yield
    left = ours() - processes
    assert until(lambda: not left & ours(), 30), [psutil.Process(pid).cmdline() for pid in left & ours()]
    made = folders() - files
    assert until(lambda: not made & folders(), 30), made


def folders():
    """What checks have made of folders, and answers of files outside of them."""
    return {
        path
        for pattern in ("*/checks/*", "windtunnel-*.mark")
        for path in Path(tempfile.gettempdir()).glob(pattern)
    }


def ours():
    """The ids of processes that work in the folder of a check, or belong to nobody as answers do."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            nobodys = os.getuid() == 0 and jail._THROWAWAY <= process.uids().real < jail._THROWAWAY + 4_000
            mine = process.uids().real == os.getuid()
            if nobodys or (mine and "windtunnel-check-" in process.cwd()):
                found.add(process.pid)
    return found


def until(condition, seconds):
    """Whether ``condition`` comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def refused(folder, text, *words, cases=(NOON,), seconds=5.0, within=60.0, **order):
    """The reason, in one line with all ``words`` in it, why the answer has no points."""
    began = time.monotonic()
    found = on_trial(folder, text, *cases, seconds=seconds, **order)
    took = time.monotonic() - began
    assert took < within, f"took {took:.1f} s: {found}"
    if not isinstance(found, str):
        [run] = found
        assert run["state"] == "failed", run
        found = run["errors"]["attack"]
    assert "\n" not in found, found
    assert "Traceback" not in found, found
    for word in words:
        assert word in found, found
    return found


def told(folder, text, **order):
    """What the task ``attack`` handed on."""
    [run] = on_trial(folder, text, NOON, **({"seconds": 10.0} | order))
    assert run["state"] == "success", (run["errors"], run["logs"])
    [xcom] = run["xcoms"]
    return xcom["value"]


def judged_as_ever(folder):
    """Whether an honest answer is."""
    [run] = on_trial(folder / "honest", HONEST, NOON)
    return run["state"] == "success" and [xcom["value"] for xcom in run["xcoms"]] == ["hello"]


# --- it never ends


def test_an_endless_loop_on_import_is_stopped(tmp_path):
    refused(tmp_path, on_import("while True: pass"), "importing your file took more than 2 s", seconds=2)
    assert judged_as_ever(tmp_path)


def test_an_endless_loop_in_a_task_is_stopped_and_named(tmp_path):
    refused(tmp_path, task("while True: pass"), "took too long", "attack", seconds=2)
    assert judged_as_ever(tmp_path)


def test_a_task_that_no_signal_ends_is_ended(tmp_path):
    text = task("""\
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
        """)
    refused(tmp_path, text, "took too long", seconds=2)


def test_a_task_that_is_stopped_in_the_middle_is_ended(tmp_path):
    refused(tmp_path, task("os.kill(os.getpid(), signal.SIGSTOP)"), "took too long", seconds=2)


def test_a_sensor_that_never_sees_anything_is_stopped(tmp_path):
    text = """\
        from airflow.sdk import DAG, task

        with DAG("d", schedule=None):
            @task.sensor(poke_interval=1, timeout=1e9, mode="reschedule")
            def attack():
                return False

            attack()
        """
    refused(tmp_path, text, "took", seconds=2)


def test_a_task_that_defers_for_ever_is_stopped(tmp_path):
    text = task(
        """\
        from datetime import timedelta
        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
        from airflow.sdk.exceptions import TaskDeferred
        raise TaskDeferred(trigger=TimeDeltaTrigger(timedelta(minutes=100)), method_name="execute")
        """
    )
    refused(tmp_path, text, "waiting in attack took more than 2 s", seconds=2)


def test_what_hung_once_is_not_given_the_time_again(tmp_path):
    cases = [{"date": f"2026-03-{day:02}"} for day in range(1, 6)]
    refused(tmp_path, task("time.sleep(600)"), "took too long", cases=cases, seconds=2, within=10)


# --- it takes everything


def test_a_fork_bomb_runs_out_of_processes(tmp_path):
    text = task("""\
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.01)
        """)
    refused(tmp_path, text, seconds=1.5)


def test_a_fork_bomb_on_import_runs_out_of_processes(tmp_path):
    bomb = on_import("while True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n")
    refused(tmp_path, bomb, "importing your file", seconds=2)
    assert judged_as_ever(tmp_path)


def test_threads_without_end_run_out(tmp_path):
    text = task("""\
        while True:
            threading.Thread(target=time.sleep, args=(60,)).start()
        """)
    refused(tmp_path, text, "RuntimeError: can't start new thread")


def test_ten_gigabytes_of_memory_are_a_memory_error(tmp_path):
    refused(tmp_path, task("held = bytearray(10 << 30)"), "MemoryError")


def test_ten_gigabytes_of_memory_on_import_are_a_memory_error(tmp_path):
    refused(tmp_path, on_import("held = bytearray(10 << 30)"), "MemoryError")


@enclosed
def test_memory_is_limited_over_all_processes_of_an_answer_together(tmp_path):
    text = task("""\
        for _ in range(8):
            if os.fork() == 0:
                held = bytearray(1 << 30)
                for at in range(0, len(held), 4096):
                    held[at] = 1
                time.sleep(60)
        time.sleep(60)
        """)
    refused(tmp_path, text, "GB of memory", seconds=20)
    assert judged_as_ever(tmp_path)


def test_memory_without_an_owner_cannot_be_had(tmp_path):
    text = task("""\
        found = {}
        try:
            os.memfd_create("hidden")
            found["memfd"] = "made"
        except OSError as error:
            found["memfd"] = error.strerror
        libc = ctypes.CDLL(None, use_errno=True)
        found["shm"] = libc.shmget(0, 1 << 30, 0o1600)
        return found
        """)
    assert told(tmp_path, text) == {"memfd": "Operation not permitted", "shm": -1}


def test_a_file_of_ten_gigabytes_is_too_large(tmp_path):
    text = task("""\
        with (DATA / "big").open("wb") as file:
            for _ in range(10 << 10):
                file.write(bytes(1 << 20))
        """)
    refused(tmp_path, text, "OSError: [Errno 27] File too large")


@enclosed
def test_many_large_files_fill_a_small_disk_of_their_own(tmp_path):
    text = task("""\
        for number in range(40):
            (DATA / f"{number}").write_bytes(bytes(100 << 20))
        """)
    refused(tmp_path, text, "OSError: [Errno 28] No space left on device", seconds=20)
    assert judged_as_ever(tmp_path)


@enclosed
def test_files_without_number_run_out(tmp_path):
    text = task("""\
        for number in range(1_000_000):
            os.close(os.open(DATA / str(number), os.O_CREAT))
        """)
    refused(tmp_path, text, "No space left on device", seconds=30, within=60)


def test_descriptors_run_out_for_the_task_alone(tmp_path):
    refused(tmp_path, task("held = [os.open('/dev/null', 0) for _ in range(9999)]"), "Too many open files")


def test_a_gigabyte_of_print_stops_the_task(tmp_path):
    refused(tmp_path, task("while True: print('x' * 9999)"), "printed more than 10 MB", seconds=20)


def test_a_gigabyte_in_one_line_stops_the_task(tmp_path):
    refused(tmp_path, task("while True: os.write(1, bytes(65536))"), "printed more than 10 MB", seconds=20)


def test_a_gigabyte_of_log_without_an_end_of_line_stops_the_task(tmp_path):
    refused(tmp_path, task("while True: os.write(3, bytes(65536))"), "printed more than 10 MB", seconds=20)


def test_a_gigabyte_printed_on_import_goes_nowhere_until_a_task_prints_it(tmp_path):
    text = task("return 1", head="for _ in range(16384): os.write(1, bytes(65536))")
    refused(tmp_path, text, "printed more than 10 MB", seconds=20)


def test_a_giant_value_handed_on_is_refused_with_what_to_do_instead(tmp_path):
    text = task("""task_instance.xcom_push("giant", "x" * (64 << 20))""")
    refused(tmp_path, text, "handed 64 MB to Airflow", "hand on where the data are instead", seconds=20)
    refused(tmp_path, task("return 'x' * (64 << 20)"), "a value that is returned is printed, too", seconds=20)
    assert judged_as_ever(tmp_path)


def test_ten_thousand_tasks_are_a_reason_or_a_run_but_no_breakdown(tmp_path):
    text = """\
        from airflow.sdk import DAG
        from airflow.providers.standard.operators.empty import EmptyOperator

        with DAG("d", schedule=None):
            [EmptyOperator(task_id=f"t{number}") for number in range(10_000)]
        """
    found = on_trial(tmp_path, text, NOON, seconds=4)
    assert "took" in found if isinstance(found, str) else len(found[0]["tasks"]) == 10_000


# --- it ends what runs it


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os._exit(0)", ["exit code 0"]),
        ("sys.exit(0)", []),
        ("raise SystemExit", []),
        ("raise KeyboardInterrupt", []),
        ("os.abort()", ["SIGABRT"]),
        ("os.kill(os.getpid(), 9)", ["SIGKILL"]),
        ("ctypes.string_at(0)", ["importing your file"]),
    ],
)
def test_ending_python_on_import_is_no_way_out(tmp_path, end, words):
    refused(tmp_path, on_import(end), *words, seconds=2)


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ("os._exit(0)", "exit code 0"),
        ("os.abort()", "SIGABRT"),
        ("os.execv('/bin/true', ['true'])", "exit code 0"),
    ],
)
def test_ending_python_in_a_task_is_no_success(tmp_path, end, word):
    refused(tmp_path, task(end), word)


def test_an_alarm_set_by_one_task_does_not_end_the_next(tmp_path):
    text = """\
        import os, signal, time
        from airflow.sdk import DAG, task

        with DAG("d", schedule=None):
            @task
            def set():
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.umask(0o777)

            @task
            def attack():
                time.sleep(0.6)
                return [signal.getsignal(signal.SIGTERM) == signal.SIG_IGN, os.umask(0)]

            set() >> attack()
        """
    assert told(tmp_path, text) == [False, 0o022]


def test_the_processes_that_watch_cannot_be_ended(tmp_path):
    text = task("""\
        for pid in (os.getppid(), 1, -1, -os.getppid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        return "and went on"
        """)
    assert told(tmp_path, text) == "and went on"
    assert judged_as_ever(tmp_path)


def test_killing_everything_on_import_ends_the_answer_alone(tmp_path):
    text = on_import("for pid in range(1, 99999):\n    try: os.kill(pid, 9)\n    except OSError: pass\n")
    victim = os.fork()
    if victim == 0:
        time.sleep(60)
        os._exit(0)
    try:
        refused(tmp_path, text)
        assert os.waitpid(victim, os.WNOHANG) == (0, 0)
    finally:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    assert judged_as_ever(tmp_path)


def test_daemons_and_threads_left_behind_end_with_the_check(tmp_path):
    text = task("""\
        threading.Thread(target=time.sleep, args=(600,)).start()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
                (DATA / "daemon").write_text(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
        while not (DATA / "daemon").exists():
            time.sleep(0.01)
        """)
    on_trial(tmp_path, text, NOON, seconds=5)  # whatever the verdict: see ``nothing_is_left``


# --- it wants another verdict


def test_what_is_patched_on_import_changes_neither_the_engine_nor_pytest(tmp_path):
    text = task(
        "raise ValueError('as bad as before')",
        head="""\
        import builtins, pytest, _pytest.runner, windtunnel.check, windtunnel.evidence, windtunnel._criteria
        import windtunnel.engine.judge, windtunnel.engine.learner, windtunnel.engine.collect
        pytest.main = lambda *_, **__: 0
        _pytest.runner.runtestprotocol = lambda *_, **__: True
        windtunnel.evidence.Run.succeeded = lambda self: self
        windtunnel.evidence.Submission.run = lambda *_, **__: None
        windtunnel._criteria.Plugin.pytest_runtest_makereport = lambda *_: None
        windtunnel.engine.judge.judge = lambda *_: {"criteria": [], "broken": None}
        windtunnel.engine.collect.collected = lambda folder: {"files": {"a": "forged"}, "tables": {}}
        os.environ["PYTEST_ADDOPTS"] = "--collect-only"
        builtins.AssertionError = type("AssertionError", (BaseException,), {})
        """,
    )
    refused(tmp_path, text, "ValueError: as bad as before")
    assert judged_as_ever(tmp_path)


def test_a_result_written_anywhere_is_not_believed(tmp_path):
    """A report to whatever is open cannot say more than the answer's own DAG could."""
    text = on_import("""\
        import json
        for number in range(3, 200):
            for report in ({"done": {"criteria": []}}, {"returned": "all is well"}):
                try:
                    os.write(number, json.dumps(report).encode() + b"\\n")
                except OSError:
                    pass
        os._exit(0)
        """)
    refused(tmp_path, text)
    assert judged_as_ever(tmp_path)


@pytest.mark.parametrize(
    "report",
    [
        b"{",
        b"[]",
        b'{"returned": []}',
        b'{"returned": {"dags": [{"dag": 1}], "error": ""}}',
        b'{"raised": [1], "line": {}}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"returned": {"dags": [], "error": "\\ud800\\u001b[2J"}}',
    ],
)
def test_a_report_of_any_form_is_no_breakdown(tmp_path, report):
    text = on_import(f"""\
        for number in range(3, 99):
            try:
                os.write(number, {report!r})
            except OSError:
                pass
        os._exit(0)
        """)
    message = refused(tmp_path, text)
    message.encode()
    assert message.isprintable()


def test_a_forged_structure_has_the_scheduler_read_no_other_file(tmp_path):
    for place in ("/dev/zero", "/etc/passwd"):
        text = dedent(f"""\
            from airflow.serialization.serialized_objects import DagSerialization
            upstream = DagSerialization.to_dict
            def forged(dag):
                data = upstream(dag)
                data["dag"]["fileloc"] = {place!r}
                data["dag"]["relative_fileloc"] = "../../../etc/passwd"
                return data
            DagSerialization.to_dict = forged
            """) + dedent(HONEST)
        [run] = on_trial(tmp_path, text, NOON, seconds=5)
        assert run["state"] == "success", run["errors"]


def test_a_task_that_reports_success_and_dies_has_failed(tmp_path):
    text = task("""\
        from airflow.sdk.execution_time.comms import SucceedTask
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS
        from datetime import datetime, UTC
        SUPERVISOR_COMMS.send(SucceedTask(end_date=datetime.now(UTC), task_outlets=[], outlet_events=[]))
        os._exit(7)
        """)
    found = on_trial(tmp_path, text, NOON, seconds=5)
    assert [run["state"] for run in found] in (["success"], ["failed"]), found
    assert judged_as_ever(tmp_path)


@pytest.mark.parametrize(
    "garbage",
    [
        "b'GET / HTTP/1.1'",
        "bytes(4)",
        "b'\\xff\\xff\\xff\\xff' + bytes(1 << 20)",
        "(1 << 20).to_bytes(4) + bytes(1 << 20)",
        "(9).to_bytes(4) + b'\\x93\\x01\\x81\\xa4type\\xa1'",
    ],
)
def test_garbage_to_the_supervisor_costs_the_task_alone(tmp_path, garbage):
    text = task(f"""\
        from airflow.sdk.execution_time import task_runner
        task_runner.SUPERVISOR_COMMS.socket.sendall({garbage})
        time.sleep(60)
        """)
    refused(tmp_path, text, seconds=1.5)


@pytest.mark.parametrize("line", ["[]", '{"level": "info", "timestamp": "x"}', "\\xff{"])
def test_garbage_in_the_log_costs_the_log_alone(tmp_path, line):
    text = task(f"""\
        os.write(3, {line!r}.encode("latin-1") + b"\\n")
        raise ValueError("as bad as before")
        """)
    refused(tmp_path, text)


def test_questions_whose_answers_nobody_reads_do_not_stop_the_supervisor(tmp_path):
    text = task("""\
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import GetXCom, SetXCom, _RequestFrame
        comms = task_runner.SUPERVISOR_COMMS
        task_instance.xcom_push("big", "x" * 1_000_000)
        ask = GetXCom(dag_id="d", run_id=task_instance.run_id, task_id="attack", key="big", map_index=-1)
        for number in range(1000):
            comms.socket.sendall(_RequestFrame(id=number, body=ask.model_dump()).as_bytes())
        time.sleep(60)
        """)
    refused(tmp_path, text, seconds=2, within=15)


def test_the_supervisor_is_not_asked_out_of_its_descriptors(tmp_path):
    text = task("""\
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import ResendLoggingFD, _RequestFrame
        for number in range(2000):
            frame = _RequestFrame(id=number, body=ResendLoggingFD().model_dump())
            task_runner.SUPERVISOR_COMMS.socket.sendall(frame.as_bytes())
            task_runner.SUPERVISOR_COMMS.socket.recv(1 << 16)
        raise ValueError("as bad as before")
        """)
    refused(tmp_path, text)


def test_a_value_nested_without_end_is_refused(tmp_path):
    text = task("""\
        value = []
        for _ in range(900):
            value = [value]
        return value
        """)
    found = on_trial(tmp_path, text, NOON, seconds=5)
    assert isinstance(found, str) or found[0]["state"] in ("success", "failed")
    assert judged_as_ever(tmp_path)


def test_values_that_are_no_json_are_values_or_reasons(tmp_path):
    values = [
        "float('nan')",
        "float('inf')",
        "object()",
        "{1, 2}",
        "'\\ud800'",
        "b'\\xff'",
        "{(1, 2): 3}",
        "10**5000",
    ]
    tasks = [
        f"    @task\n    def t{number}(): return {value}\n    t{number}()"
        for number, value in enumerate(values)
    ]
    head = "from airflow.sdk import DAG, task\nwith DAG('d', schedule=None):\n"
    [run] = on_trial(tmp_path, head + "\n".join(tasks), NOON, seconds=20)
    assert len(run["tasks"]) == len(values)
    assert set(run["tasks"].values()) <= {"success", "failed"}
    assert all(message.isprintable() for message in run["errors"].values())


def test_a_pickle_is_not_opened_by_the_engine(tmp_path):
    text = task("""\
        import pickle
        class Bomb:
            def __reduce__(self):
                return os.system, ("touch /tmp/windtunnel-bomb.mark",)
        (DATA / "a.pickle").write_bytes(pickle.dumps(Bomb()))
        task_instance.xcom_push("bomb", {"__classname__": "os.system", "__version__": 1, "__data__": "true"})
        return {"__type": "airflow_exc_ser", "__var": {"exc_cls_name": "os.system", "args": ["true"], "kwargs": {}}}
        """)
    [run] = on_trial(tmp_path, text, NOON, seconds=5)
    assert not Path("/tmp/windtunnel-bomb.mark").exists()
    assert run["state"] in ("success", "failed")


def test_a_cycle_is_told_as_one(tmp_path):
    text = """\
        from airflow.sdk import DAG, task

        with DAG("d", schedule=None):
            @task
            def a(): ...

            @task
            def b(): ...

            one, two = a(), b()
            one >> two >> one
        """
    refused(tmp_path, text, "Cycle")


def test_a_timetable_that_never_ends_is_told_as_unknown(tmp_path):
    text = """\
        from airflow.sdk import DAG
        from airflow.timetables.base import Timetable

        class Endless(Timetable):
            def serialize(self):
                return self.serialize()

        with DAG("d", schedule=Endless()): ...
        """
    refused(tmp_path, text)


def test_a_cycle_among_defaults_is_a_reason(tmp_path):
    text = """\
        from airflow.sdk import DAG
        from airflow.providers.standard.operators.python import PythonOperator

        a = []
        a.append(a)
        with DAG("d", schedule=None):
            PythonOperator(task_id="attack", python_callable=print, op_args=a)
        """
    refused(tmp_path, text)


# --- it looks around


def test_an_answer_reads_neither_solutions_nor_tests_nor_the_engines_memory(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret")
    text = task(f"""\
        found = {{}}
        def probe(name, look):
            try:
                found[name] = look()
            except BaseException as error:
                found[name] = "refused"
        def read(path):
            return lambda: len(Path(path).read_bytes()) and "read"
        probe("solutions", lambda: os.listdir({str(ROOT / "solutions")!r}) and "read")
        probe("exercises", lambda: os.listdir({str(ROOT / "exercises")!r}) and "read")
        probe("tests", read({str(Path(__file__))!r}))
        probe("secret", read({str(secret)!r}))
        for root in ("/proc/1/root", "/proc/self/root", "/proc/self/cwd/../../../.."):
            probe(root, lambda root=root: os.listdir(root + {str(ROOT)!r} + "/solutions") and "read")
        probe("through the parent's cwd", lambda: os.listdir(f"/proc/{{os.getppid()}}/cwd") and "read")
        for what in ("environ", "mem", "maps", "root", "fd", "stack"):
            for pid in (1, os.getppid()):
                def look(path=f"/proc/{{pid}}/{{what}}"):
                    if what in ("root", "fd"):
                        return os.listdir(path) and "read"
                    with open(path, "rb") as file:
                        if what == "mem":
                            file.seek(0x400000)
                        return file.read(1) and "read"
                if pid != os.getpid():
                    probe(f"/proc/{{'first' if pid == 1 else 'parent'}}/{{what}}", look)
        def ptrace():
            if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) != 0:
                raise PermissionError
            return "attached"
        probe("ptrace", ptrace)
        probe("climbing", lambda: [os.chroot("sub"), os.chdir("../" * 20)] and "climbed")
        probe("kernel memory", read("/proc/kcore"))
        probe("database", lambda: list(Path(os.environ["HOME"]).parent.parent.glob("private/*")) and "read")
        return {{name: outcome for name, outcome in found.items() if outcome != "refused" and outcome}}
        """)
    assert told(tmp_path, text) == {}


def test_an_answer_writes_nothing_outside_its_folder(tmp_path):
    places = [
        tmp_path,
        Path.home(),
        ROOT,
        ROOT / "sandbox",
        Path("/var/tmp"),
        Path("/etc"),
        Path("/dev/shm"),
        Path("/"),
    ]
    text = task(f"""\
        found = []
        for place in {[str(place) for place in places]}:
            for name in ("forged.py", "conftest.py"):
                try:
                    Path(place, "windtunnel-" + name).write_text("forged")
                    found.append(place)
                except OSError:
                    pass
        for path in (__file__, json.__file__, "/proc/sys/kernel/hostname", "/proc/1/oom_score_adj", "/sys/power/state"):
            try:
                with open(path, "a") as file:
                    file.write("")
                found.append(path)
            except OSError:
                pass
        Path("/tmp/windtunnel-note.mark").write_text("its own")
        return found
        """)
    try:
        assert told(tmp_path, text) == []
        assert not Path("/tmp/windtunnel-note.mark").exists()
        for place in places:
            assert not (place / "windtunnel-forged.py").exists()
    finally:
        for place in [*places, Path("/tmp")]:
            for name in ("forged.py", "conftest.py", "note.mark"):
                (place / f"windtunnel-{name}").unlink(missing_ok=True)


def test_rights_are_not_to_be_had_back(tmp_path):
    text = task("""\
        import resource
        libc = ctypes.CDLL(None, use_errno=True)
        found = {}
        def probe(name, attempt):
            try:
                found[name] = bool(attempt())
            except BaseException:
                found[name] = False
        probe("clock", lambda: time.clock_settime(time.CLOCK_REALTIME, 0) is None)
        probe("root", lambda: os.setresuid(0, 0, 0) is None and os.getuid() == 0 and os.listdir("/root") is not None)
        probe("limits", lambda: resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999)) is None)
        probe("memory", lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)) is None)
        probe("user namespace", lambda: libc.unshare(0x10000000) == 0)
        probe("mounts", lambda: libc.unshare(0x00020000) == 0)
        probe("mount", lambda: libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) == 0)
        probe("remount", lambda: libc.mount(None, b"/usr", None, 32 | 4096, None) == 0)
        probe("host name", lambda: libc.sethostname(b"mine", 4) == 0)
        probe("device", lambda: os.mknod(DATA / "disk", 0o60600, os.makedev(8, 0)) is None)
        probe("module", lambda: libc.syscall(175, b"", 0, b"") == 0)
        probe("keys", lambda: libc.syscall(248, b"user", b"a", b"b", 1, -3) > 0)
        probe("nice", lambda: os.nice(-15) < 0)
        probe("core", lambda: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)) is None)
        return [name for name, had in found.items() if had]
        """)
    assert told(tmp_path, text) == []


def test_no_network_but_the_sandboxs(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        engines = [*Path(tempfile.gettempdir()).glob("windtunnel-engine-*/*.sock")]
        if os.environ.get("XDG_RUNTIME_DIR"):
            engines += Path(os.environ["XDG_RUNTIME_DIR"]).glob("windtunnel/*.sock")
        text = task(f"""\
            found = []
            for address in [("127.0.0.1", {server.getsockname()[1]}), ("192.0.2.1", 53), ("127.0.0.1", 22)]:
                try:
                    socket.create_connection(address, timeout=1)
                    found.append(address)
                except OSError:
                    pass
            for path in {[str(path) for path in engines]}:
                try:
                    socket.socket(socket.AF_UNIX).connect(path)
                    found.append(path)
                except OSError:
                    pass
            try:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                    udp.sendto(b"x", ("192.0.2.1", 53))
                found.append("UDP")
            except OSError:
                pass
            for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW)):
                try:
                    socket.socket(family, kind).close()
                    found.append(str(family))
                except OSError:
                    pass
            return found
            """)
        assert engines, "the engine's socket is somewhere else"
        assert told(tmp_path, text) == []


# --- what it leaves is not what it seems


def test_what_is_left_in_the_data_folder_is_read_with_care(tmp_path):
    text = task("""\
        (DATA / "passwd").symlink_to("/etc/passwd")
        (DATA / "up").symlink_to("../../..")
        (DATA / "loop").symlink_to("loop")
        os.mkfifo(DATA / "fifo")
        socket.socket(socket.AF_UNIX).bind(str(DATA / "s"))
        with (DATA / "sparse").open("wb") as file:
            file.truncate(200 << 20)
        (DATA / "a\\nb").write_text("line")
        Path(os.fsdecode(bytes(DATA) + b"/\\xff\\xfe")).write_bytes(b"\\xff")
        (DATA / "shut").mkdir()
        (DATA / "shut" / "in").write_text("seen")
        (DATA / "shut").chmod(0)
        os.chdir(DATA)
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")
        """)
    [run] = on_trial(tmp_path, text, NOON, seconds=5)
    assert run["state"] == "success", run["errors"]
    assert not {"passwd", "loop", "fifo", "s"} & set(run["files"])
    assert run["files"]["sparse"].strip("\0") == ""
    json_names = [name.encode(errors="replace") for name in run["files"]]
    assert b"a\nb" in json_names or b"a?b" in json_names
    assert judged_as_ever(tmp_path)


def test_a_hundred_thousand_files_are_cut_short(tmp_path):
    text = task("""\
        for number in range(30_000):
            os.close(os.open(DATA / str(number), os.O_CREAT))
        """)
    [run] = on_trial(tmp_path, text, NOON, seconds=20)
    assert run["state"] == "success"
    assert len(run["files"]) == 2_000


def test_a_database_that_is_larger_than_it_looks_is_cut_short(tmp_path):
    text = task("""\
        import sqlite3
        with sqlite3.connect(DATA / "bomb.db") as base:
            base.execute("CREATE TABLE bomb (a, b GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL)")
            base.executemany("INSERT INTO bomb (a) VALUES (?)", [(n,) for n in range(1000)])
            base.execute("CREATE TABLE many (a, b GENERATED ALWAYS AS (zeroblob(900000)) VIRTUAL)")
            base.executemany("INSERT INTO many (a) VALUES (?)", [(n,) for n in range(9000)])
            base.execute("CREATE TABLE 'a\\"; DROP TABLE bomb; --' (a)")
            base.execute("CREATE VIEW v AS SELECT load_extension('/tmp/x.so')")
            base.execute("CREATE TABLE plain (a)")
            base.execute("INSERT INTO plain VALUES (7)")
        with sqlite3.connect(DATA / "..%2f..%2fprivate%3fx.db") as base:
            base.execute("CREATE TABLE odd (a)")
        """)
    [run] = on_trial(tmp_path, text, NOON, seconds=10)
    assert run["state"] == "success", run["errors"]
    assert "..%2f..%2fprivate%3fx.db" in run["tables"]
    assert run["tables"]["..%2f..%2fprivate%3fx.db"] == {"odd": []}
    assert judged_as_ever(tmp_path)


def test_a_folder_that_was_deleted_is_no_breakdown(tmp_path):
    text = task("""\
        import shutil
        for name in ("DATA", "HOME", "TMPDIR", "DAGS"):
            shutil.rmtree(os.environ.get({"DATA": "WINDTUNNEL_DATA"}.get(name, name), "/nowhere"), ignore_errors=True)
        shutil.rmtree(Path(__file__).parent, ignore_errors=True)
        raise ValueError("all gone")
        """)
    refused(tmp_path, text, "ValueError: all gone")
    assert judged_as_ever(tmp_path)


def test_a_data_folder_made_a_link_is_not_followed(tmp_path):
    text = task("""\
        import shutil
        shutil.rmtree(DATA, ignore_errors=True)
        try:
            DATA.symlink_to("/etc")
        except OSError:
            (DATA / "link").symlink_to("/etc")
        """)
    found = on_trial(tmp_path, text, NOON, seconds=5)
    assert "passwd" not in str(found)
    assert judged_as_ever(tmp_path)


@pytest.mark.parametrize(("said", "shown"), [(r"a\x1b[2J\rb\nc", "ValueError: a [2J b c"), (r"\ud800", "")])
def test_what_is_said_is_one_printable_line(tmp_path, said, shown):
    message = refused(tmp_path, task(f"raise ValueError('{said}')"), shown)
    message.encode()
    assert message.isprintable()


def test_output_that_is_no_text_is_shown_as_well_as_may_be(tmp_path):
    [run] = on_trial(tmp_path, task(r"os.write(1, b'\xff\xfe Gr\xfc\xdfe\n')"), NOON)
    assert any("Gr" in line for line in run["logs"]["attack"])


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("x = 'Grüße'\n".encode("latin-1"), "not text in UTF-8"),
        (b"\x00", "null bytes"),
        (b"", "no DAG"),
        (b"x = 1\x00\n", "null bytes"),
        (b"(" * 5000, "nested"),
        (b"-" * 200_000 + b"1", ""),
        (b"# coding: no-such-code\n# airflow, DAG\n", "no-such-code"),
    ],
)
def test_what_is_no_python_is_told_as_such(tmp_path, source, word):
    refused(tmp_path, source, word)


def test_a_core_dump_is_not_left(tmp_path):
    refused(tmp_path, task("os.abort()"), "SIGABRT")
    assert not list(Path.cwd().glob("core*"))


def test_a_task_is_ended_while_it_holds_a_database(tmp_path):
    text = task("""\
        import sqlite3
        base = sqlite3.connect(DATA / "held.db")
        base.execute("CREATE TABLE t (a)")
        base.execute("BEGIN EXCLUSIVE")
        time.sleep(60)
        """)
    refused(tmp_path, text, "took too long", seconds=2)


def test_the_outside_world_keeps_little_of_what_it_is_sent(tmp_path):
    text = task("""\
        import requests
        url = json.loads(os.environ["AIRFLOW_CONN_SHOP_API"])["host"]
        for _ in range(150):
            requests.post(url + "/customers", json="x" * 1_000_000)
        return "sent"
        """)
    assert told(tmp_path, text, seconds=30) == "sent"


# --- where there are no namespaces


SHUT_IN = """\
    found = {}
    def probe(name, attempt):
        try:
            attempt()
            found[name] = "done"
        except (OSError, MemoryError):
            found[name] = "refused"
    probe("read a solution", lambda: os.listdir(SOLUTIONS))
    probe("read a file of mine", lambda: SECRET.read_text())
    probe("write outside", lambda: SECRET.with_name("forged").write_text("forged"))
    probe("write over Python", lambda: open(json.__file__, "a").close())
    probe("signal the bench", lambda: os.kill(os.getppid(), 0))
    probe("read its environment", lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes())
    probe("TCP", lambda: socket.create_connection(("127.0.0.1", PORT), timeout=1).close())
    probe("UDP", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close())
    probe("a service's socket", lambda: socket.socket(socket.AF_UNIX).close())
    probe("set the clock", lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
    probe("ten gigabytes", lambda: bytearray(10 << 30))
    probe("a large file", lambda: os.truncate(os.open(DATA / "large", os.O_CREAT | os.O_WRONLY), 1 << 30))
    probe("an owned task's socket", lambda: socket.socketpair()[0].close())
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    return sorted(name for name, outcome in found.items() if outcome == "done")
"""


@pytest.mark.parametrize("isolation", ["landlock", "none"])
def test_what_is_not_enforced_is_said(tmp_path, monkeypatch, isolation):
    """The machine's own means are enough to try what it is like with fewer."""
    monkeypatch.setenv("WINDTUNNEL_WARM", "off")
    monkeypatch.setenv(jail.ISOLATION, isolation)
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret")
    jail.namespaces.cache_clear()
    try:
        gaps = "; ".join(jail.missing())
        with socket.create_server(("127.0.0.1", 0)) as server:
            known = {"SOLUTIONS": str(ROOT / "solutions"), "SECRET": secret, "PORT": server.getsockname()[1]}
            head = "\n".join(f"{name} = {value!r}" for name, value in known.items())
            head = head.replace("PosixPath", "Path")
            done = set(told(tmp_path, task(SHUT_IN, head=head), seconds=20))
    finally:
        jail.namespaces.cache_clear()
    assert "processes may outlive a check that is killed" in gaps
    done.discard("an owned task's socket")
    said = {
        "read a solution": "read what you can read",
        "read a file of mine": "read what you can read",
        "write outside": "write it",
        "write over Python": "write it",
        "signal the bench": "send signals",
        "TCP": "reach the network",
        "UDP": "UDP",
        "a service's socket": "local services",
    }
    assert done <= set(said)
    assert [what for what in done if said[what] not in gaps] == []
    (tmp_path / "forged").unlink(missing_ok=True)


def test_the_isolation_that_was_not_asked_to_be_weaker_is_complete_or_says_why():
    assert jail.missing() == [] or not jail.namespaces()
