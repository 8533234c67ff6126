"""``windtunnel prove``, as it is typed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import proof_course
from proof_course import WRONG
from sandboxes import ROOT
from windtunnel import cli


@pytest.fixture
def prove(tmp_path, monkeypatch, capsys):
    """Runs the command in this process on a course that is judged by its words."""

    def prove(*arguments, **instead):
        proof_course.make(tmp_path, monkeypatch, **instead)
        monkeypatch.setattr(sys, "argv", ["windtunnel", "prove", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return prove


def test_a_proof_ends_in_a_table_and_a_line_for_each_claim_came_before(prove):
    code, out, err = prove("01", "--jobs", "1")
    assert code == 0
    assert "2/2" in out
    assert "All 5 claims hold." in out
    assert [line.split("]")[0] for line in err.splitlines()] == [f"[{n}/5" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("instead", "code", "said"),
    [
        ({"wrong": WRONG.replace("no form", "no shape")}, 1, "1 of 5 claims do not hold."),
        ({"starter": "broken"}, 2, "1 of 5 claims do not hold; 1 of them could not be judged."),
    ],
)
def test_the_exit_code_tells_what_kind_of_doubt_is_left(prove, instead, code, said):
    found, out, err = prove(**instead)
    assert found == code
    assert said in out
    assert "DOES NOT HOLD" in err


def test_an_unknown_exercise_is_one_message(prove):
    code, _, err = prove("07")
    assert (code, "There is no exercise '07'" in err) == (2, True)


def test_ctrl_c_stops_at_once_and_leaves_no_process(tmp_path):
    env = os.environ | {"TMPDIR": str(tmp_path), "WINDTUNNEL_STATE": os.environ.get("WINDTUNNEL_STATE", "")}
    env = {name: value for name, value in env.items() if value}
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("windtunnel")), "prove", "01", "--jobs", "1"],
        cwd=ROOT,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("[ 1/")  # the second is being judged
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(30) == 130
    assert time.monotonic() - began < 5
    assert "Stopped" in rest
    assert "Traceback" not in rest
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("windtunnel-proof-")]
    assert not psutil.pid_exists(process.pid)
