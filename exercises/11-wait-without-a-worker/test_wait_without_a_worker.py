"""The criteria of 11-wait-without-a-worker."""

from windtunnel.check import points
from windtunnel.evidence import Case

DATE, DAY = "2026-03-02", "2026-03-01"
REPORT = f"paid/{DAY}/report.json"
TASKS = ("wait", "reconcile", "report")
ARROWS = [("wait", "reconcile"), ("reconcile", "report")]
HOUR = 3600.0
SHOP = {
    "orders": [
        {
            "order_id": "O1",
            "customer_id": "C1",
            "total_amount": 30.0,
            "order_date": DAY,
            "status": "completed",
        },
        {
            "order_id": "O2",
            "customer_id": "C2",
            "total_amount": 12.5,
            "order_date": DAY,
            "status": "completed",
        },
        {
            "order_id": "O3",
            "customer_id": "C3",
            "total_amount": 99.0,
            "order_date": DAY,
            "status": "cancelled",
        },
        {
            "order_id": "O4",
            "customer_id": "C3",
            "total_amount": 20.1,
            "order_date": DAY,
            "status": "completed",
        },
    ],
    "transactions": [
        {"transaction_id": "T1", "customer_id": "C1", "amount": 30.0, "transaction_date": DAY},
        {"transaction_id": "T2", "customer_id": "C3", "amount": 20.1, "transaction_date": DAY},
        {"transaction_id": "T3", "customer_id": "C2", "amount": 7.25, "transaction_date": DAY},
    ],
}
WHOLE = {"day": DAY, "ordered": 161.6, "paid": 57.35}
NOT_YET, BROKEN = 404, 500


def morning(submission, status, times=None):
    """A run on a morning on which the provider answers so, to so many questions or to all."""
    fault = {"endpoint": "transactions", "status": status} | ({"times": times} if times else {})
    return submission.runs(Case(DATE, SHOP, faults=(fault,)))[0]


def patience(run):
    """For how many seconds `wait` waited in all, with a worker or without."""
    return sum(run.waits.get("wait", [])) + run.slept("wait")


def length(seconds):
    """A number of seconds, for a message."""
    return f"{seconds / HOUR:.1f} h" if seconds >= HOUR else f"{seconds / 60:.0f} min"


@points(1)
def test_the_tasks(submission):
    """The DAG runs each day at 04:00 UTC, and report comes after reconcile, which comes after wait"""
    dag = submission.dag
    moments = [f"{run.run_after:%H:%M}" for run in submission.planned(dag.dag_id, "2026-03-02", "2026-03-04")]
    assert dag.dag_id == "paid_yesterday" and moments == ["04:00", "04:00"], (
        f"On two days {dag.dag_id} runs at {', '.join(moments) or 'no time'}; it is paid_yesterday at 04:00."
    )
    missing = [task for task in TASKS if task not in dag.tasks]
    assert not missing, f"No task {', '.join(missing)}; the DAG has {', '.join(dag.tasks) or 'none'}."
    for first, then in ARROWS:
        assert first in dag.before(then), f"{then} does not wait for {first}."


@points(2)
def test_it_waits(submission):
    """When the day is closed after three hours, wait has seen it in one try, and the report has the payments"""
    run = morning(submission, NOT_YET, times=3)
    state = run.tasks.get("wait")
    assert state == "success", (
        f"The provider answered 404 three times and then closed the day; wait ended {state}"
        f"{' with ' + run.errors['wait'] if 'wait' in run.errors else ''}. A 404 says: not yet."
    )
    tries = run.tries["wait"]
    assert tries == 1, (
        f"wait was tried {tries} times on a morning without any error: it fails in order to wait. Each of these "
        "failures is red, may wake somebody, and is missing when there is an error. A sensor that sees nothing has "
        "not failed."
    )
    report = run.succeeded().json(REPORT)
    assert report == WHOLE, (
        f"The day was closed after three hours, and the report is {report}; expected {WHOLE}."
    )


@points(4)
def test_it_holds_no_worker(submission):
    """While it waits, wait holds no worker"""
    run = morning(submission, NOT_YET, times=3)
    held = run.slept("wait")
    assert not held, (
        f"The day was closed after three hours, and wait slept for {length(held)} in the middle of its work: "
        "its worker could do nothing else. A sensor in mode poke does the same. It should leave, and be started again "
        "for the next look."
    )
    assert run.waits.get("wait"), "wait did not wait between its looks, so nothing is known about its worker."


@points(1)
def test_once_an_hour(submission):
    """wait asks once an hour"""
    run = morning(submission, NOT_YET, times=3)
    pauses = run.waits.get("wait") or [run.slept("wait") / 3]
    wrong = [length(pause) for pause in pauses if not 0.9 * HOUR < pause < 1.1 * HOUR]
    assert not wrong, (
        f"Between two questions wait let pass {wrong[0]}; the provider wants to be asked once an hour. "
        "poke_interval is in seconds, or a timedelta."
    )


@points(5)
def test_it_gives_up(submission):
    """When the day is not closed within five hours, wait gives up, nothing is red, and the report has no payments"""
    run = morning(submission, NOT_YET)
    state, waited = run.tasks.get("wait"), length(patience(run))
    waiting = state in ("up_for_reschedule", "deferred", "running")
    assert not waiting, (
        f"After {waited} wait was still waiting. timeout says how long a sensor waits, 7 days unless you say so; "
        "execution_timeout is for a single look."
    )
    assert state != "failed", (
        f"After {waited} wait failed ({run.errors.get('wait', 'no reason')}). That the day is not closed is no "
        "failure: it is to give up softly, and what can be done without payments is done."
    )
    assert 4.5 * HOUR < patience(run) < 6.5 * HOUR, (
        f"wait gave up after {waited} instead of five hours. timeout is in seconds, or a timedelta."
    )
    ran = run.tasks["reconcile"]
    assert ran == "skipped", (
        f"There were no payments to add up, and reconcile ended {ran} instead of skipped."
    )
    written = run.tasks["report"]
    assert written == "success", (
        f"wait gave up after {waited}, and report ended {written}: a skip goes on to what comes after it, unless "
        "a trigger rule says otherwise. What was ordered is known without the provider."
    )
    report, expected = run.json(REPORT), WHOLE | {"paid": None}
    assert run.state == "success" and report == expected, (
        f"The run ended {run.state} with the report {report}; expected success, and {expected}."
    )


@points(4)
def test_an_error_is_something_else(submission):
    """An error of the provider is tried again; when it stays, wait and the run fail, and there is no report"""
    run = morning(submission, BROKEN, times=1)
    assert run.state == "success" and run.tries["wait"] == 2, (
        f"The provider answered 500 once and was well again. wait ended {run.tasks.get('wait')} at try "
        f"{run.tries['wait']}, and the run {run.state}; with retries it would have asked again, and succeeded."
    )
    run = morning(submission, BROKEN)
    state = run.tasks.get("wait")
    assert state == "failed" and not patience(run), (
        f"The provider answered each question with 500. After {length(patience(run))} of waiting wait is {state}; it "
        "should have failed at once. An error does not say that the day is open, and whoever takes it for that never "
        "learns of it."
    )
    assert REPORT not in run.files, (
        f"The provider was broken and wait failed, and a report without payments was written all the same: report "
        f"ended {run.tasks['report']}, and the run {run.state}. Its rule was to run after a skip, not after a failure."
    )
    assert run.state == "failed", f"wait failed, and the run ended {run.state}: nobody will look."
