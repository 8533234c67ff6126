"""The same grades from Airflow: one mapped task for each submission."""

from grading_course import RIGHT
from sandboxes import ROOT, run_to_end, save_dag, task_states
from windtunnel import cli, course

EXERCISE = "01-first-dag"
SOURCE = (ROOT / "sandbox/dags/grade_submissions.py").read_text()
SOLUTION = (ROOT / f"solutions/{EXERCISE}/solution.py").read_text()


def test_the_course_knows_the_dag():
    assert course._sources()["grade_submissions"].name == "grade_submissions.py"


def test_the_dag_gives_the_grades_that_the_command_gives(sandbox, tmp_path):
    handed_in = tmp_path / "class"
    handed_in.mkdir()
    (handed_in / "alice.py").write_text(SOLUTION)
    (handed_in / "bob.py").write_text(RIGHT)
    (handed_in / "carol.zip").write_text("no archive")
    save_dag(sandbox, "grade_submissions", SOURCE)
    conf = {"folder": str(handed_in), "exercise": EXERCISE, "output": str(tmp_path / "by dag")}
    run = sandbox.airflow().trigger("grade_submissions", conf, None)
    state = run_to_end(sandbox, "grade_submissions", run)
    written = tmp_path / "by dag/grades.csv"
    assert state == "success", (
        task_states(sandbox, "grade_submissions", run),
        written.exists() and written.read_text(),
    )
    instances = sandbox.airflow().task_instances("grade_submissions", run)
    assert sorted((each.task_id, each.rendered_map_index) for each in instances if each.map_index >= 0) == [
        ("grade_one", "alice"),
        ("grade_one", "bob"),
        ("grade_one", "carol"),
    ]
    assert {each.task_id for each in instances} == {"find_submissions", "grade_one", "write_report"}
    try:
        cli.app(["grade", str(handed_in), "-e", EXERCISE, "-o", str(tmp_path / "by command")])
    except SystemExit as ended:
        assert ended.code == 0
    by_dag, by_command = (tmp_path / f"by {who}/grades.csv" for who in ("dag", "command"))
    assert by_dag.read_text() == by_command.read_text()
    assert "alice,01-first-dag,10,10,100.0,passed" in by_dag.read_text()
    assert (tmp_path / "by dag/index.html").exists()
