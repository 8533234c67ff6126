"""When Airflow would run an answer's DAGs: by the clock, and because of updated assets."""

import json
from textwrap import dedent

import pytest

from windtunnel.engine.client import judged

HEAD = """\
import pendulum
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo
from airflow.sdk import *
from airflow.sdk import DeltaDataIntervalTimetable, DeltaTriggerTimetable
from airflow.timetables.events import EventsTimetable as Events

BERLIN = ZoneInfo("Europe/Berlin")

def dag(dag_id, schedule, start=datetime(2026, 1, 1, tzinfo=BERLIN), **more):
    with DAG(dag_id, schedule=schedule, start_date=start, **more):
        @task
        def work(): ...
        work()
"""
CRITERIA = """
import json
from dataclasses import asdict
from windtunnel.evidence import Case, NotJudged

def seen(submission):
    {body}

def test_it(submission):
    \"\"\"What is seen\"\"\"
    raise AssertionError("seen " + json.dumps(seen(submission), default=str))
"""


def asked(folder, answer, body):
    """What a criterion sees: ``body`` is Python, with a ``submission``, that returns JSON. A text says why not."""
    file, criteria = folder / "answer.py", folder / "test_criteria.py"
    file.write_text(HEAD + dedent(answer))
    criteria.write_text(CRITERIA.format(body=dedent(body).strip().replace("\n", "\n    ")))
    order = {"only": None, "time_limit": 120.0, "seconds": 20.0, "jobs": 2}
    found = judged({"answer": str(file), "criteria": str(criteria)} | order)
    assert not found["broken"], found["broken"]
    [criterion] = found["criteria"]
    message = criterion["message"]
    return json.loads(message.removeprefix("seen ")) if message.startswith("seen ") else message


def planned(folder, answer, first="2026-03-27", last="2026-03-31"):
    """The runs of every DAG, as wall-clock times in Berlin."""
    body = f"""
    told = {{}}
    for dag_id in submission.dags:
        try:
            runs = submission.planned(dag_id, {first!r}, {last!r}, zone="Europe/Berlin")
            told[dag_id] = [f"{{run.run_after:%d %H:%M%z}}" for run in runs]
        except NotJudged as reason:
            told[dag_id] = str(reason)
    return told
    """
    return asked(folder, answer, body)


# --- by the clock

AT_SIX = ["27 06:00+0100", "28 06:00+0100", "29 06:00+0200", "30 06:00+0200"]


def test_a_schedule_in_a_zone_keeps_its_wall_clock_however_it_is_spelled(tmp_path):
    found = planned(
        tmp_path,
        """
        dag("cron", "0 6 * * *")
        dag("pendulum", "0 6 * * *", pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"))
        dag("trigger", CronTriggerTimetable("0 6 * * *", timezone="Europe/Berlin"), datetime(2026, 1, 1, tzinfo=UTC))
        dag("without_a_start", CronTriggerTimetable("0 6 * * *", timezone="Europe/Berlin"), None)
        dag("interval", CronDataIntervalTimetable("0 6 * * *", timezone="Europe/Berlin"))
        dag("several", MultipleCronTriggerTimetable("0 6 * * 1-5", "0 6 * * 0,6", timezone="Europe/Berlin"))
        dag("or_assets", AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 6 * * *", timezone="Europe/Berlin"),
                                             assets=[Asset("a")]))
        """,
    )
    assert len(found) == 7
    assert set(map(tuple, found.values())) == {tuple(AT_SIX)}, found


def test_what_only_looks_like_berlin_is_an_hour_off_in_summer(tmp_path):
    found = planned(
        tmp_path,
        """
        from datetime import timezone
        dag("utc", "0 5 * * *", datetime(2026, 1, 1))
        dag("fixed", "0 6 * * *", datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))))
        dag("delta", timedelta(days=1), datetime(1990, 1, 1, 6, tzinfo=BERLIN))
        dag("delta_interval", DeltaDataIntervalTimetable(timedelta(days=1)), datetime(1990, 1, 1, 6, tzinfo=BERLIN))
        """,
    )
    shifted = ["27 06:00+0100", "28 06:00+0100", "29 07:00+0200", "30 07:00+0200"]
    assert found == dict.fromkeys(["delta", "delta_interval", "fixed", "utc"], shifted)


def test_the_hour_that_does_not_exist_and_the_one_that_comes_twice(tmp_path):
    # Airflow's own answer to a famous question; the exercise "DST-safe schedule" is built on it.
    answer = """
        dag("half_past_two", "30 2 * * *")
        dag("hourly", "0 * * * *", datetime(2020, 1, 1, tzinfo=BERLIN))
        dag("at_two_and_three", "0 2,3 * * *")
        """
    spring = planned(tmp_path, answer, "2026-03-29", "2026-03-29T05:00")
    assert spring == {
        "at_two_and_three": ["29 03:00+0200"],
        "half_past_two": ["29 03:30+0200"],
        "hourly": ["29 00:00+0100", "29 01:00+0100", "29 03:00+0200", "29 04:00+0200"],
    }
    autumn = planned(tmp_path, answer, "2026-10-25T01:00", "2026-10-25T04:00")
    assert autumn == {
        "at_two_and_three": ["25 02:00+0100", "25 03:00+0100"],
        "half_past_two": ["25 02:30+0100"],
        "hourly": ["25 01:00+0200", "25 02:00+0200", "25 02:00+0100", "25 03:00+0100"],
    }


def test_other_timetables_are_asked_too_and_start_and_end_hold(tmp_path):
    found = planned(
        tmp_path,
        """
        dag("events", Events([pendulum.datetime(2026, 3, 29, 6, tz="Europe/Berlin")]))
        dag("once", "@once", datetime(2026, 3, 28, 6, tzinfo=BERLIN))
        dag("never", None)
        dag("day_and_a_half", DeltaTriggerTimetable(timedelta(hours=36)), datetime(2025, 12, 1, 6, tzinfo=BERLIN))
        dag("begins", "0 6 * * *", datetime(2026, 3, 29, 6, 30, tzinfo=BERLIN))
        dag("ends", "0 6 * * *", end_date=datetime(2026, 3, 28, 6, tzinfo=BERLIN))
        """,
    )
    assert found == {
        "begins": AT_SIX[3:],
        "day_and_a_half": ["28 06:00+0100", "29 19:00+0200"],
        "ends": AT_SIX[:2],
        "events": AT_SIX[2:3],
        "never": [],
        "once": AT_SIX[1:2],
    }


def test_a_planned_run_has_its_dates(tmp_path):
    seen = asked(
        tmp_path,
        'dag("d", CronDataIntervalTimetable("0 6 * * 1-5", timezone="Europe/Berlin"))',
        """
        [monday] = submission.planned("d", "2026-03-29", "2026-03-31")
        return {name: str(moment) for name, moment in vars(monday).items()}
        """,
    )
    friday = "2026-03-27 05:00:00+00:00"
    monday = "2026-03-30 04:00:00+00:00"
    assert seen == {"run_after": monday, "logical_date": friday, "start": friday, "end": monday}


def test_the_first_moment_belongs_to_a_window_and_the_last_does_not(tmp_path):
    found = planned(tmp_path, 'dag("d", "0 0 * * *")', "2026-03-27", "2026-03-28")
    assert found == {"d": ["27 00:00+0100"]}


def test_what_runs_without_end_is_refused_and_takes_no_other_dag_with_it(tmp_path):
    found = planned(
        tmp_path,
        """
        dag("all_the_time", "* * * * *")
        dag("even_more_so", timedelta(microseconds=1))
        dag("never_ever", "0 0 30 2 *")
        dag("yearly", "0 6 1 1 *")
        """,
        "2026-01-01",
        "2027-01-01",
    )
    assert found["all_the_time"].startswith(
        "all_the_time runs too often: Airflow's timetable named 10,000 runs"
    )
    assert "even_more_so runs too often" in found["even_more_so"]
    assert "Airflow cannot tell when never_ever runs: CroniterBadDateError" in found["never_ever"]
    assert found["yearly"] == ["01 06:00+0100"]


def test_a_timetable_of_the_answers_own_is_refused_as_airflow_refuses_it(tmp_path):
    mine = """
        from airflow.timetables.base import Timetable
        class Mine(Timetable):
            pass
        dag("d", Mine())
        """
    assert "is not registered" in planned(tmp_path, mine)


def test_a_timetable_patched_on_import_is_not_the_one_that_is_asked(tmp_path):
    patched = """
        from airflow.timetables.base import DagRunInfo
        from airflow.timetables.trigger import CronTriggerTimetable as Core
        Core.next_dagrun_info = Core.next_dagrun_info_v2 = lambda *_, **__: None
        dag("d", "0 5 * * *", datetime(2026, 1, 1, tzinfo=UTC))
        """
    assert planned(tmp_path, patched) == {
        "d": ["27 06:00+0100", "28 06:00+0100", "29 07:00+0200", "30 07:00+0200"]
    }


def test_a_dag_that_is_not_there_is_named_with_those_that_are(tmp_path):
    seen = asked(
        tmp_path,
        'dag("a", None)\ndag("b", None)',
        'return submission.planned("c", "2026-01-01", "2026-01-02")',
    )
    assert seen == "There is no DAG c; your file has a, b."


# --- because of assets

SILVER = """
ORDERS, PAYMENTS = Asset("silver_orders"), Asset(name="silver_payments", uri="s3://silver/payments")

for name, asset in {"orders": ORDERS, "payments": PAYMENTS}.items():
    with DAG(name, schedule="0 2 * * *"):
        @task(outlets=[asset], retries=0)
        def load(dag_run=None, outlet_events=None, *, asset=asset):
            if dag_run.conf.get("fail"):
                raise ValueError("nothing to load")
            outlet_events[asset].extra = {"day": f"{dag_run.logical_date:%Y-%m-%d}"}

        load()

with DAG("both", schedule=[ORDERS, PAYMENTS], is_paused_upon_creation=True):
    @task
    def tell(triggering_asset_events=None, dag_run=None):
        extras = {asset.name: [event.extra for event in events] for asset, events in triggering_asset_events.items()}
        return {"extras": extras, "logical_date": str(dag_run.logical_date), "type": dag_run.run_type}

    tell()

dag("either", ORDERS | PAYMENTS)
dag("by_name", [Asset.ref(name="silver_orders")])
"""


def test_the_shape_says_what_tasks_update_and_what_a_dag_waits_for(tmp_path):
    seen = asked(
        tmp_path,
        SILVER,
        """
        dags = submission.dags
        names = [each["asset"]["name"] for each in dags["both"].assets["all"]]
        return [dags["payments"].tasks["load"].outlets, names, list(dags["either"].assets), dags["orders"].assets]
        """,
    )
    outlet = {"name": "silver_payments", "uri": "s3://silver/payments"}
    assert seen == [[outlet], ["silver_orders", "silver_payments"], ["any"], None]


@pytest.mark.parametrize(
    ("updates", "would_run"),
    [
        (["silver_orders"], ["by_name", "either"]),
        (["s3://silver/payments"], ["either"]),
        (["silver_orders", "silver_payments"], ["both", "by_name", "either"]),
        (["silver_order"], []),
        ([], []),
    ],
)
def test_whether_a_dag_would_run_on_some_updates(tmp_path, updates, would_run):
    body = f"return [dag_id for dag_id in submission.dags if submission.runs_on(dag_id, *{updates!r})]"
    assert asked(tmp_path, SILVER, body) == would_run


def runs(folder, *cases):
    """What runs update, and which DAGs are due after each; of the last, its XComs."""
    body = f"""
    made = submission.runs(*(Case("2026-03-02", **case) for case in {list(cases)!r}))
    told = [{{"updated": [asdict(update) for update in run.updated], "due": run.due}} for run in made]
    return [told, [xcom.value for xcom in made[-1].xcoms], [run.state for run in made]]
    """
    return asked(folder, SILVER, body)


def test_a_run_updates_assets_and_airflow_says_what_is_due(tmp_path):
    [orders, payments], _, states = runs(tmp_path, {"dag": "orders"}, {"dag": "payments"})
    assert states == ["success", "success"]
    assert [update["asset"] for update in orders["updated"]] == ["silver_orders"]
    assert payments["updated"] == [
        {
            "asset": "silver_payments",
            "uri": "s3://silver/payments",
            "task_id": "load",
            "extra": {"day": "2026-03-02"},
        }
    ]
    assert orders["due"] == ["by_name", "either"]
    assert payments["due"] == ["both", "by_name", "either"]


def test_a_task_that_fails_updates_nothing(tmp_path):
    [run], _, states = runs(tmp_path, {"dag": "orders", "conf": {"fail": True}})
    assert (run, states) == ({"updated": [], "due": []}, ["failed"])


def test_a_run_that_assets_start_is_given_their_events_and_no_logical_date(tmp_path):
    silver = "silver_orders", "silver_payments"
    [*_, both], [told], _ = runs(tmp_path, {"dag": "orders"}, {"dag": "both", "assets": silver})
    assert told == {
        "extras": {"silver_orders": [{"day": "2026-03-02"}], "silver_payments": [{}]},
        "logical_date": "None",
        "type": "asset_triggered",
    }
    assert both["due"] == ["by_name", "either"], "its own part of the queue is empty"


def test_what_was_asked_of_several_dags_is_run_ahead_the_next_time_and_is_the_same(tmp_path):
    first = runs(tmp_path, {"dag": "orders"}, {"dag": "payments"})
    assert runs(tmp_path, {"dag": "orders"}, {"dag": "payments"}) == first
    # The plan of other answers is no trouble to one that lacks the DAG.
    body = 'return submission.runs(Case("2026-03-02", dag="orders"), Case("2026-03-02", dag="payments"))'
    assert "no DAG orders" in asked(tmp_path, 'dag("mine", None)', body)


def test_a_condition_nested_beyond_reason_is_no_breakdown(tmp_path):
    # Airflow reads the structure where it was found, at another depth of its own than where it is asked.
    for depth, words in ((100, None), (280, "recursion depth"), (800, "recursion depth")):
        deep = f"""
            condition = Asset("a0")
            for number in range(1, {depth + 1}):
                both = number % 2
                condition = condition & Asset(f"a{{number}}") if both else condition | Asset(f"a{{number}}")
            dag("deep", condition)
            """
        seen = asked(tmp_path, deep, f'return submission.runs_on("deep", "a{depth}")')
        assert seen is True if words is None else words in seen
