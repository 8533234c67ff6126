"""The criteria of 02-trigger-rules."""

import json

from windtunnel.check import points
from windtunnel.evidence import Case

DATE = "2026-03-02"  # the run's own date
DAY = "2026-03-01"  # the day it is about
REPORT = f"nightly_load/reports/{DAY}.json"
STAGING = "nightly_load/staging/"
ARROWS = [
    ("load_orders", "choose_size"),
    ("choose_size", "big_day"),
    ("choose_size", "small_day"),
    ("big_day", "publish"),
    ("small_day", "publish"),
    ("publish", "cleanup"),
]
TASKS = ["load_orders", "choose_size", "big_day", "small_day", "publish", "alert", "cleanup"]
COUNTRIES = ["DE", "DE", "FR", "DE", "FR", "DE", "DE", "FR"]  # of customers C1 to C8


def shop(orders):
    """A shop with ``orders`` on DAY, one of them cancelled, and three on each day around it."""
    days = ["2026-02-28"] * 3 + [DAY] * orders + [DATE] * 3
    return {
        "customers": [
            {"customer_id": f"C{n}", "country": country, "registration_date": "2026-01-01"}
            for n, country in enumerate(COUNTRIES, start=1)
        ],
        "orders": [
            {
                "order_id": f"O{n}",
                "customer_id": f"C{1 + n % 8}",
                "order_date": day,
                "status": "cancelled" if n == 4 else "completed",
                "total_amount": 10.5,
            }
            for n, day in enumerate(days)
        ],
    }


SMALL, BIG = shop(7), shop(8)
DOWN = {"endpoint": "orders", "status": 503}
HICCUP = DOWN | {"times": 1}
CRM_DOWN = {"endpoint": "crm/customers", "status": 503}


def night(submission, data, *faults):
    """The run of one night."""
    return submission.runs(Case(DATE, data, faults=faults))[0]


def good_nights(submission):
    """A small day and a big one, both without trouble. NotJudged when one does not even succeed."""
    return [night(submission, data).succeeded() for data in (SMALL, BIG)]


def bad_nights(submission):
    """Two nights on which something stays broken, each with what that is."""
    return [
        (night(submission, SMALL, DOWN), "the shop answered every request for orders with 503"),
        (night(submission, BIG, CRM_DOWN), "the CRM answered every request of a big day with 503"),
    ]


@points(1)
def test_the_tasks(submission):
    """The DAG nightly_load has the seven tasks, and each waits for what it needs"""
    dag = submission.dag
    assert dag.dag_id == "nightly_load", f"The DAG is called {dag.dag_id}; it was to be nightly_load."
    missing = [task_id for task_id in TASKS if task_id not in dag.tasks]
    assert not missing, f"No task {', '.join(missing)}; the DAG has {', '.join(dag.tasks) or 'none'}."
    for first, then in ARROWS:
        assert first in dag.before(then), (
            f"{then} does not wait for {first}. Without an arrow between them, directly or through others, it may "
            "start first."
        )


@points(2)
def test_the_branch(submission):
    """From 8 orders on the big day's task runs, below that the small day's, and the other one is skipped"""
    for run, orders, taken, other in zip(
        good_nights(submission), (7, 8), ("small_day", "big_day"), ("big_day", "small_day"), strict=True
    ):
        seen = [run.tasks.get(task_id) for task_id in (taken, other)]
        assert seen == ["success", "skipped"], (
            f"On a day with {orders} orders, {taken} ended {seen[0]} and {other} {seen[1]}; expected success and "
            "skipped. A big day is one with 8 orders or more, of that day alone."
        )


@points(2)
def test_the_report(submission):
    """The report is published whichever way was taken"""
    expected = [
        {"day": DAY, "size": "small", "orders": 7, "revenue": 63},
        {"day": DAY, "size": "big", "orders": 8, "revenue": 73.5, "countries": {"DE": 5, "FR": 3}},
    ]
    for run, right in zip(good_nights(submission), expected, strict=True):
        state = run.tasks.get("publish")
        assert state == "success", (
            f"On a {right['size']} day publish ended {state}, and the run {run.state}: a green night without a report. "
            "One of the two tasks before it is skipped every night; its trigger rule must allow for that."
        )
        report = run.json(REPORT)
        seen = {key: report.get(key) for key in right} if isinstance(report, dict) else report
        assert seen == right, f"{REPORT} says {json.dumps(seen)}; expected {json.dumps(right)}."


@points(2)
def test_nothing_is_published_after_a_failure(submission):
    """When anything before it failed, publish does not even start"""
    for run in good_nights(submission):
        run.text(REPORT)
    for run, what in bad_nights(submission):
        state = run.tasks.get("publish")
        assert state not in ("success", "failed"), (
            f"On a night on which {what}, publish was started and ended {state}. It must not start: what it would "
            "publish is nothing, or half, or somebody else's."
        )
        assert REPORT not in run.files, f"On a night on which {what}, there is a report: {run.files[REPORT]}"


@points(3)
def test_the_cleanup(submission):
    """The staging folder is removed every night, whatever happened, and not before the report is written"""
    # Where one task runs at a time, a cleanup that may start at once still waits for its turn.
    [wide] = submission.runs(Case(DATE, SMALL, parallel=2))
    nights = [(wide, "nothing went wrong")]
    nights += [(night(submission, BIG), "nothing went wrong"), *bad_nights(submission)]
    for run, what in nights:
        order = list(dict.fromkeys(run.order))  # a task that is tried again is in it again
        late = order[order.index("cleanup") + 1 :] if "cleanup" in order else []
        late = [task_id for task_id in late if task_id in TASKS and task_id != "alert"]
        assert not late, (
            f"On a night on which {what}, cleanup was started before {', '.join(late)}. Who cleans up too early "
            "throws away what others need, or cleans up nothing."
        )
    good_nights(submission)
    for run, what in nights:
        state = run.tasks.get("cleanup")
        assert state == "success", (
            f"On a night on which {what}, cleanup ended {state}. It has to run whatever happened before it."
        )
        left = [path for path in run.files if path.startswith(STAGING)]
        assert not left, f"On a night on which {what}, cleanup ran and left {', '.join(left)}."


@points(3)
def test_the_alert(submission):
    """Whoever is on call is told once when something failed for good, and never on another night"""
    quiet = [(run, "nothing went wrong") for run in good_nights(submission)]
    shaky = night(submission, SMALL, HICCUP)
    assert shaky.state == "success", (
        f"The shop answered one request with 503 and would have answered the next, but {shaky.outcome}. "
        "Each task is to be tried again once."
    )
    quiet.append((shaky, "load_orders failed at first and succeeded when tried again"))
    for run, what in quiet:
        assert not told(run), (
            f"On a night on which {what}, whoever is on call was told {told(run)[0].body}. Who is woken for nothing "
            "stops listening."
        )
    for run, what in bad_nights(submission):
        refused = [request for request in told(run) if request.status >= 400]
        assert not refused, (
            f"The dashboard refused the alert with {refused[0].status}. It was sent {refused[0].body}; it takes "
            "dashboard, date, and a summary that is an object."
        )
        count = len(told(run))
        assert count == 1, (
            f"On a night on which {what}, whoever is on call was told {count} times, expected once. alert ended "
            f"{run.tasks.get('alert')} (tries: {run.tries.get('alert', 0)}); directly before it "
            f"{before_alert(submission)}; the dashboard received {refreshes(run) or 'nothing'}."
        )
        [request] = told(run)
        assert request.body.get("date") == DAY, (
            f"The alert says date {request.body.get('date')}; the run for {DATE} is about {DAY}."
        )


@points(3)
def test_a_failed_night_is_a_failed_run(submission):
    """The run ends failed when anything up to the report failed, and success otherwise"""
    good_nights(submission)
    for run, what in bad_nights(submission):
        seen = {task_id: run.tasks.get(task_id) for task_id in leaves(submission)}
        ended = ", ".join(f"{task_id} ({state})" for task_id, state in seen.items())
        assert run.state == "failed", (
            f"On a night on which {what}, the run ended {run.state}. A run takes its state from the tasks that nothing "
            f"comes after, here {ended}: if none of these failed, the night is green and nobody will look."
        )


def told(run):
    """The requests that told whoever is on call."""
    return [
        request
        for request in run.received
        if (request.method, request.path) == ("POST", "dashboard/refresh")
        and (not isinstance(request.body, dict) or request.body.get("dashboard") == "on-call")
    ]


def refreshes(run):
    """What any dashboard was sent, in words."""
    sent = [json.dumps(request.body) for request in run.received if request.path == "dashboard/refresh"]
    return " and ".join(sent)


def before_alert(submission):
    """The tasks directly before alert, in words."""
    task = submission.dag.tasks.get("alert")
    return f"is {', '.join(sorted(task.upstream))}" if task and task.upstream else "is nothing"


def leaves(submission):
    """The tasks that nothing comes after."""
    tasks = submission.dag.tasks
    return sorted(set(tasks).difference(*(task.upstream for task in tasks.values())))
