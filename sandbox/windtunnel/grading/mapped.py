"""The steps of ``windtunnel grade`` for a DAG: each takes and returns JSON, and files are in the output folder.

The machines that run the tasks must see the folder of submissions and the output folder under the same paths.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from windtunnel.errors import WindtunnelError
from windtunnel.grading import report, submissions
from windtunnel.grading.batch import TIMEOUT, Grader
from windtunnel.grading.command import output_folder
from windtunnel.grading.grades import ERROR, Grade, Results, in_order
from windtunnel.grading.submissions import Found, Submission
from windtunnel.whole import put

RESULTS = "results"
FOUND = "found.json"


def find_submissions(folder: str, exercise: str = "", output: str = "") -> list[dict[str, str]]:
    """What is to be graded, each as the argument of `grade_one`. Raises WindtunnelError when there is nothing."""
    target = _target(folder, output)
    found = submissions.find(Path(folder), exercise, without=target)
    (target / RESULTS).mkdir(parents=True, exist_ok=True)
    for old in (target / RESULTS).glob("*.json"):
        old.unlink()
    put(target / FOUND, json.dumps(asdict(found)))
    return [asdict(submission) for submission in found.submissions]


def grade_one(submission: dict[str, str], folder: str, output: str = "", timeout: float = TIMEOUT) -> str:
    """Grade one submission; returns the path of its grade, as JSON.

    Raises WindtunnelError when the check could not run, so that the task is tried again, perhaps elsewhere. A
    submission that is not at fault for a check, such as one handed in twice, is not tried again.
    """
    chosen, grader = Submission(**submission), Grader(timeout)
    told = bool(chosen.problem or not chosen.exercise)
    grade = grader.grade(chosen, grader.open(chosen)) if not told else _untold(chosen)
    if grade.status == ERROR and not told:
        raise WindtunnelError(f"{chosen.student}, {chosen.exercise}: {grade.reason}")
    place = _target(folder, output) / RESULTS / _name(chosen)
    put(place, json.dumps(grade.to_dict()))
    return str(place)


def write_report(folder: str, output: str = "") -> dict[str, Any]:
    """Write the report on everything found; returns its path, and how many are graded and not.

    A submission without a grade has the status error: its task failed, and its log says why.
    """
    target = _target(folder, output)
    kept = json.loads((target / FOUND).read_text())
    found = Found(tuple(Submission(**each) for each in kept["submissions"]), tuple(kept["skipped"]))
    results = Results(
        Path(folder).resolve().name,
        tuple(in_order(_grade(target, submission) for submission in found.submissions)),
        found.skipped,
    )
    first, *_ = report.write(target, results)
    errors = len(results.errors)
    return {"report": str(first), "graded": len(results.grades) - errors, "not_graded": errors}


def _grade(target: Path, submission: Submission) -> Grade:
    try:
        return Grade.from_dict(json.loads((target / RESULTS / _name(submission)).read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        why = submission.problem or "Its task failed: see the log of grade_one."
        return _untold(submission, why)


def _untold(submission: Submission, why: str = "") -> Grade:
    return Grade(
        submission.student,
        submission.exercise,
        ERROR,
        reason=why or submission.problem,
        file=submission.file,
    )


def _name(submission: Submission) -> str:
    who = (submission.student, submission.exercise)
    return report.page_names([Grade(*who, ERROR)])[who].replace(".html", ".json")


def _target(folder: str, output: str) -> Path:
    return output_folder(Path(folder), Path(output) if output else None)
