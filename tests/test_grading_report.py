"""The output folder: what a spreadsheet, a program, a CI server and a teacher find there."""

import csv
import io
import json
from xml.etree import ElementTree

import pytest
from rich.console import Console

from windtunnel.check import Criterion
from windtunnel.grading import report
from windtunnel.grading.grades import ERROR, Grade, Results, graded, in_order
from windtunnel.views import grades as view
from windtunnel.whole import put


def criteria(*met, message="no"):
    texts = ["Order of the tasks", "=The dates", "A second run"]
    return [
        Criterion(f"test_{n}", texts[n], 2 + n, passed, "" if passed else message)
        for n, passed in enumerate(met)
    ]


def grade(student, *met, exercise="01-greet", **kept):
    message = kept.pop("message", "no")
    kept = {"file": f"{student}.py", "source": "one\ntwo", "seconds": 1.0} | kept
    return graded(student, exercise, criteria(*met, message=message), **kept)


def not_graded(student, exercise="01-greet"):
    return Grade(student, exercise, ERROR, reason="The check could not run: no room.")


CLASS = Results(
    "class",
    (
        grade("alice", True, True, True),
        grade("bob", True, False, False, message="saw\n<b>two</b>, expected three"),
        grade("carol", False, False, True),
        not_graded("dave"),
    ),
    ("notes.txt (no .py, .ipynb, folder or archive)",),
)


def rows(results, folder):
    report.write(folder, results)
    return list(csv.DictReader(io.StringIO((folder / "grades.csv").read_bytes().decode("utf-8-sig"))))


# --- numbers


def test_a_class_has_mean_median_distribution_and_what_was_missed_most():
    [exercise] = CLASS.exercises
    assert [round(percent) for percent in exercise.percents] == [100, 22, 44]
    assert (round(exercise.mean), round(exercise.median)) == (56, 44)
    assert exercise.distribution == [0, 0, 1, 0, 1, 0, 0, 0, 0, 1]
    assert [(each.criterion.name, each.missed, each.of) for each in exercise.missed] == [
        ("test_1", 2, 3),
        ("test_0", 1, 3),
        ("test_2", 1, 3),
    ]


def test_an_exercise_nobody_could_be_graded_in_has_no_mean():
    [exercise] = Results("class", (not_graded("a"),)).exercises
    assert (exercise.mean, exercise.median, exercise.missed) == (None, None, [])


# --- CSV


def test_the_csv_has_a_row_for_each_student_and_a_column_for_each_criterion(tmp_path):
    alice, bob, _, dave = rows(CLASS, tmp_path)
    assert list(alice) == [
        *("student", "exercise", "points", "total", "percent", "status"),
        *("Order of the tasks", "'=The dates", "A second run", "reason"),
    ]
    assert list(alice.values()) == ["alice", "01-greet", "9", "9", "100.0", "passed", "2", "3", "4", ""]
    assert bob["reason"] == "saw <b>two</b>, expected three"
    assert [bob["Order of the tasks"], bob["A second run"]] == ["2", "0"]
    assert list(dave.values())[2:9] == ["", "", "", "error", "", "", ""]
    assert (tmp_path / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbfstudent,")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1"])
def test_no_name_or_message_becomes_a_formula(tmp_path, name):
    [row] = rows(Results("class", (grade(name, False, message=f"{name}()"),)), tmp_path)
    assert row["student"] == f"'{name}"
    assert row["reason"].startswith("'")


def test_two_exercises_have_their_criteria_in_columns_of_their_own(tmp_path):
    both = (grade("alice", True), grade("alice", False, exercise="02-part"))
    first, second = rows(Results("class", both), tmp_path)
    assert (first["01-greet: Order of the tasks"], first["02-part: Order of the tasks"]) == ("2", "")
    assert (second["01-greet: Order of the tasks"], second["02-part: Order of the tasks"]) == ("", "0")


def test_a_notebooks_extra_criterion_is_a_column_for_who_has_it(tmp_path):
    extra = Criterion("notebook", "The notebook runs", 1, True)
    bob = graded("bob", "01-greet", [*criteria(True), extra], file="", source="", seconds=1)
    first, second = rows(Results("class", (grade("alice", True), bob)), tmp_path)
    assert (first["The notebook runs"], second["The notebook runs"]) == ("", "1")


# --- JSON and JUnit


def test_json_has_everything_but_the_sources(tmp_path):
    report.write(tmp_path, CLASS, ["json"])
    found = json.loads((tmp_path / "grades.json").read_text(encoding="utf-8"))
    assert [(each["student"], each["points"], each["status"]) for each in found["grades"]] == [
        *(("alice", 9, "passed"), ("bob", 2, "failed"), ("carol", 4, "failed"), ("dave", None, "error")),
    ]
    assert found["grades"][1]["criteria"][1]["message"] == "saw\n<b>two</b>, expected three"
    assert found["exercises"][0]["missed"] == {"test_1": 2, "test_0": 1, "test_2": 1}
    assert found["skipped"] == ["notes.txt (no .py, .ipynb, folder or archive)"]
    assert "source" not in found["grades"][0]
    assert not (tmp_path / "grades.csv").exists()


def test_junit_has_a_suite_for_each_submission_whose_counts_are_right(tmp_path):
    report.write(tmp_path, CLASS, ["junit"])
    root = ElementTree.fromstring((tmp_path / "grades.junit.xml").read_text(encoding="utf-8"))
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == [
        f"{n} · 01-greet" for n in ("alice", "bob", "carol", "dave")
    ]
    for suite in suites:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors")) == len(suite.findall("testcase/error"))
        assert all(case.get("classname") and case.get("name") and case.get("time") for case in cases)
    assert suites[1].find("testcase/failure").text == "saw\n<b>two</b>, expected three"
    assert suites[3].find("testcase/error").get("message") == "The check could not run: no room."


def test_control_characters_leave_the_xml_readable(tmp_path):
    report.write(tmp_path, Results("class", (grade("a", False, message="\x1b[1m\x00"),)), ["junit"])
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring('<a b="\x1b"/>')
    ElementTree.fromstring((tmp_path / "grades.junit.xml").read_text(encoding="utf-8"))


# --- pages


EVIL = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


def pages(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.html")}


def test_nothing_a_student_wrote_is_taken_for_markup(tmp_path):
    evil = graded(
        EVIL,
        "01-greet",
        [Criterion("c", EVIL, 1, False, EVIL)],
        file=EVIL,
        source=EVIL,
        seconds=1,
    )
    report.write(tmp_path, Results(EVIL, (evil, Grade(EVIL, "02-part", ERROR, reason=EVIL)), (EVIL,)))
    assert len(pages(tmp_path)) == 3
    for name, text in pages(tmp_path).items():
        assert "<script>alert" not in text, name
        assert "&lt;script&gt;alert(1)" in text, name
        assert "{{ 7 * 7 }}" in text, name


def test_pages_ask_for_nothing_from_outside_and_forbid_it(tmp_path):
    report.write(tmp_path, CLASS)
    for name, text in pages(tmp_path).items():
        assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in text, name
        assert not [word for word in ("http://", "https://", "src=", "@import", "url(") if word in text], name
        assert ("<script" in text) == (name == "index.html")


def test_every_link_leads_to_a_page_and_no_page_is_left_from_before(tmp_path):
    report.write(tmp_path, Results("class", (*CLASS.grades, grade("zoe", True))))
    assert len(pages(tmp_path)) == 6
    report.write(tmp_path, CLASS)
    links = [part.split('"')[0] for part in pages(tmp_path)["index.html"].split('href="')[1:]]
    assert set(links) == set(pages(tmp_path)) - {"index.html"}
    assert len(set(links)) == 4


def test_names_that_differ_in_case_or_signs_alone_have_pages_of_their_own():
    names = report.page_names([grade(name, True) for name in ("Bo", "bo", "bo!", "../bo", "é", "x" * 300)])
    assert len({name.casefold() for name in names.values()}) == 6
    assert all(len(name) < 120 and "/" not in name for name in names.values())


def test_a_submissions_page_has_points_messages_and_its_lines(tmp_path):
    page = view.submission(grade("bob", True, False, message="failed at line 2 of it"), "class")
    assert "2 of 5" in page
    assert "failed at line 2 of it" in page
    assert '<tr id="L2" class="told"><td data-line="2"></td><td>two</td></tr>' in page
    assert '<tr id="L1"><td data-line="1"></td><td>one</td></tr>' in page


def test_another_format_that_is_there_already_does_not_keep_old_grades(tmp_path):
    report.write(tmp_path, CLASS, ["csv", "json"])
    report.write(tmp_path, Results("class", (grade("zoe", True),)), ["csv"])
    assert [each["student"] for each in json.loads((tmp_path / "grades.json").read_text())["grades"]] == [
        "zoe"
    ]


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path, monkeypatch):
    put(tmp_path / "a", "old")
    monkeypatch.setattr("os.fchmod", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        put(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# --- the terminal


def shown(results):
    console = Console(width=90, record=True, file=io.StringIO())
    console.print(view.terminal(results))
    return console.export_text()


def test_the_terminal_shows_points_bars_and_what_most_missed():
    text = shown(CLASS)
    assert "alice       9/9  ████████████████████ 100 %" in text
    assert "bob         2/9  ████░░░░░░░░░░░░░░░░  22 %" in text
    assert "not graded: The check could not run: no room." in text
    assert "01-greet  mean 56 %, median 44 %" in text
    assert "2 of 3 missed: =The dates" in text
    assert "1 submission could not be graded." in text
    assert "Passed over: notes.txt" in text


def test_a_student_may_be_called_like_markup():
    assert "[bold]bob[/]" in shown(Results("class", (grade("[bold]bob[/]", True),)))


def test_grades_are_in_the_order_of_names():
    names = [each.student for each in in_order([grade(name, True) for name in ("bob", "Alice", "carol")])]
    assert names == ["Alice", "bob", "carol"]
