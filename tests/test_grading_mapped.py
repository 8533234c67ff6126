"""The steps of the grading DAG as functions: what one machine leaves, another finds."""

import json

import pytest

from grading_course import GREET, by_words, put
from windtunnel.errors import WindtunnelError
from windtunnel.grading import batch, mapped

pytest_plugins = "grading_fixtures"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(batch, "check", by_words)


def test_what_is_handed_on_is_small_and_json(folder):
    put(folder, alice="name " * 10000)
    found = mapped.find_submissions(str(folder), GREET)
    assert len(json.dumps(found)) < 500
    place = mapped.grade_one(found[0], str(folder))
    assert json.loads(json.dumps(place)) == str(
        folder.with_name("class-grades") / "results" / place.split("/")[-1]
    )


def test_a_check_that_cannot_run_fails_its_task_so_that_it_is_tried_again(folder):
    put(folder, alice="broken")
    [submission] = mapped.find_submissions(str(folder), GREET)
    with pytest.raises(
        WindtunnelError, match="alice, 01-greet: The check could not run: no room on the bench"
    ):
        mapped.grade_one(submission, str(folder))


def test_a_submission_whose_task_failed_is_told_in_the_report_beside_the_others_grades(folder):
    put(folder, alice="name run", bob="broken")
    (folder / "carol.py").write_text("name")
    (folder / "carol").mkdir()
    found = mapped.find_submissions(str(folder), GREET)
    for submission in found:
        if submission["student"] != "bob":
            mapped.grade_one(submission, str(folder))
    assert mapped.write_report(str(folder)) | {"report": ""} == {"report": "", "graded": 1, "not_graded": 2}
    text = (folder.with_name("class-grades") / "grades.csv").read_text(encoding="utf-8-sig")
    assert "alice,01-greet,5,5,100.0,passed" in text
    assert "bob,01-greet,,,,error,,,Its task failed: see the log of grade_one." in text
    assert 'carol,01-greet,,,,error,,,"handed in more than once: carol, carol.py' in text


def test_a_second_run_keeps_no_grade_of_the_first(folder):
    put(folder, alice="name run")
    [submission] = mapped.find_submissions(str(folder), GREET)
    mapped.grade_one(submission, str(folder))
    mapped.find_submissions(str(folder), GREET)
    assert mapped.write_report(str(folder))["not_graded"] == 1
