"""The course's seven reports: what they compute, when Airflow would make them, and the calendar that shows it."""

from __future__ import annotations

import ast
import json
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pipelines import business_days, cadences
from windtunnel.course import deploy
from windtunnel.dagcell import Cell, save
from windtunnel.errors import WindtunnelError
from windtunnel.runs import trigger
from windtunnel.sandbox import Sandbox
from windtunnel.session import Session, connect
from windtunnel.views.calendar import COLOURS, Calendar
from windtunnel.would_run import INTERVAL, would_run
from world.shop import Shop

SEVEN = [
    "orders_daily",
    "orders_hourly",
    "orders_15min",
    "process_hourly_data",
    "business_hours_reports",
    "monthly_financial_reports",
    "ad_hoc_analysis",
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def day(text: str) -> date:
    return date.fromisoformat(text)


def order(order_id: str, amount: float = 10.0, **more: Any) -> dict[str, Any]:
    row = {"order_id": order_id, "customer_id": order_id, "total_amount": amount, "order_date": "2026-03-04"}
    return row | {"status": "completed"} | more


# --- which days a report is about ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "first"),
    [
        ("2026-03-04T00:00", "2026-03-03"),
        ("2026-03-04T00:15", "2026-03-04"),
        ("2026-03-04T23:45", "2026-03-04"),
    ],
)
def test_midnight_belongs_to_the_day_that_it_ends(moment: str, first: str) -> None:
    start, end = cadences.day_so_far(at(moment))
    assert (start, (end - start).days) == (day(first), 1)


def test_a_night_reports_the_whole_day_before_it() -> None:
    assert cadences.day_before(at("2026-03-01T02:00")) == (day("2026-02-28"), day("2026-03-01"))


def test_a_week_before_is_the_same_weekday() -> None:
    monday = day("2026-03-02"), day("2026-03-03")
    assert cadences.week_before(monday) == (day("2026-02-23"), day("2026-02-24"))


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        ("2026-03-01T06:00", ("2026-02-01", "2026-03-01")),
        ("2026-01-01T06:00", ("2025-12-01", "2026-01-01")),
        ("2026-03-31T06:00", ("2026-02-01", "2026-03-01")),
    ],
)
def test_a_month_is_whole_however_long_it_is(moment: str, month: tuple[str, str]) -> None:
    assert cadences.month_before(at(moment)) == tuple(map(day, month))


def test_somebody_may_ask_for_days_and_gets_a_week_otherwise() -> None:
    now = at("2026-03-04T10:00")
    asked = {"start": "2026-02-01", "end": "2026-02-03"}
    assert cadences.days_asked_for(asked, now) == (day("2026-02-01"), day("2026-02-03"))
    for nothing in (None, {}):
        assert cadences.days_asked_for(nothing, now) == (day("2026-02-25"), day("2026-03-04"))
    assert cadences.days_asked_for({"end": "2026-02-10"}, now) == (day("2026-02-03"), day("2026-02-10"))


@pytest.mark.parametrize(
    "conf", [{"start": "2026-02-03", "end": "2026-02-03"}, {"start": "2026-03-09"}, {"start": "February"}]
)
def test_days_that_are_none_are_refused(conf: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"no day|isoformat"):
        cadences.days_asked_for(conf, at("2026-03-04T10:00"))


# --- what a report says ------------------------------------------------------------------------------


def test_takings_are_those_of_completed_orders_and_json() -> None:
    orders = [order("1", 10.1), order("2", 20.2), order("3", status="cancelled")]
    assert json.loads(json.dumps(cadences.takings(orders))) == {"orders": 2, "revenue": 30.3}
    assert cadences.takings([]) == {"orders": 0, "revenue": 0}


def test_orders_are_counted_by_status() -> None:
    orders = [order("1", status="returned"), order("2"), order("3")]
    assert list(cadences.by_status(orders).items()) == [("completed", 2), ("returned", 1)]


def test_takings_by_day_are_in_order_and_leave_out_what_was_not_completed() -> None:
    orders = [
        order("1", 1.1, order_date="2026-03-05"),
        order("2", 2.2),
        order("3", 3.3),
        order("4", 9, status="cancelled"),
    ]
    assert list(cadences.by_day(orders).items()) == [("2026-03-04", 5.5), ("2026-03-05", 1.1)]


def test_a_comparison_with_nothing_has_no_percentage() -> None:
    assert cadences.compared([order("1", 15)], [order("2", 10)])["change"] == 50.0
    assert cadences.compared([], [order("2", 10)])["change"] == -100.0
    assert cadences.compared([order("1")], []) == {"revenue": 10.0, "before": 0, "change": None}


def test_a_person_looks_at_large_orders_and_at_a_customers_second_of_a_day() -> None:
    orders = [
        order("4", customer_id="B", order_date="2026-03-05"),
        order("3", customer_id="A"),
        order("1", customer_id="A"),
        order("2", 400.01, customer_id="B"),
        order("5", 400.0, customer_id="C"),
    ]
    assert cadences.suspicious(orders) == ["2", "3"]


def test_the_list_of_holidays_knows_easter_and_no_weekend_is_a_business_day() -> None:
    found = business_days.business_days(day("2026-04-01"), day("2026-04-08"))
    assert [each.day for each in found] == [1, 2, 7, 8]
    assert not business_days.is_business_day(day("2026-04-04"))
    assert business_days.is_business_day(day("2026-04-03"), holidays=())
    assert business_days.business_days(day("2026-04-08"), day("2026-04-07")) == []


@pytest.mark.parametrize(
    ("after", "moment"),
    [
        ("2026-03-27T06:00", "2026-03-27T07:00"),  # winter: 08:00 in Berlin is 07:00 in UTC
        ("2026-03-27T07:00", "2026-03-27T07:00"),
        ("2026-03-27T07:00:01", "2026-03-30T06:00"),  # a weekend on, it is summer
        ("2026-04-02T12:00", "2026-04-07T06:00"),  # Easter
        ("2026-04-07T22:30", "2026-04-08T06:00"),  # it is past midnight in Berlin
    ],
)
def test_the_next_business_moment_is_by_the_clocks_of_berlin(after: str, moment: str) -> None:
    assert business_days.next_business_moment(at(after), time(8)) == at(moment)


@pytest.mark.parametrize("logic", [cadences, business_days])
def test_the_business_logic_does_not_import_airflow(logic: Any) -> None:
    tree = ast.parse(Path(logic.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in modules if name.startswith("airflow")]


# --- the calendar --------------------------------------------------------------------------------------

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
WEEK = Calendar(
    ["early", "late<"],
    [
        ("early", at("2026-02-27T00:00")),
        ("early", at("2026-03-01T06:30")),
        ("late<", at("2026-02-28T23:45")),
    ],
    day("2026-02-27"),
    day("2026-03-01"),
)
YEAR = Calendar(
    ["the_31st"],
    [("the_31st", at(f"2025-{month}-31")) for month in ("01", "03", "12")],
    day("2025-01-01"),
    day("2025-12-31"),
)


def circles(calendar: Calendar) -> list[ElementTree.Element]:
    """The dots of runs; those of the legend have no title."""
    found = ElementTree.fromstring(calendar._repr_html_()).iter("circle")
    return [each for each in found if each.find("title") is not None]


def test_a_calendar_of_days_counts_the_runs_of_each() -> None:
    assert repr(WEEK) == (
        "2026-02-27 to 2026-03-01, UTC: 3 runs\n"
        "DAG    Fri 27  Sat 28  Sun 1  runs\n"
        "-----  ------  ------  -----  ----\n"
        "early  1       0       1      2\n"
        "late<  0       1       0      1"
    )
    assert WEEK.of("early") == [at("2026-02-27T00:00"), at("2026-03-01T06:30")]
    assert len(WEEK) == 3


def test_a_longer_calendar_counts_months() -> None:
    head, _, row = repr(YEAR).splitlines()[1:]
    assert head.split() == ["DAG", *MONTHS, "runs"]
    assert row.split() == ["the_31st", *"101000000001", "3"]


def test_a_dot_stands_at_its_hour_in_the_row_of_its_day_and_the_lane_of_its_dag() -> None:
    first, second, third = circles(WEEK)
    x, y = [[float(dot.get(name) or 0) for dot in (first, second, third)] for name in ("cx", "cy")]
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(6.5 / 23.75, abs=0.001)
    assert y[0] < y[2] < y[1]
    assert (y[1] - y[0]) / 2 != y[2] - y[0]  # another DAG, another lane
    assert [dot.get("fill") for dot in (first, second, third)] == [COLOURS[0], COLOURS[0], COLOURS[1]]
    assert (second.findtext("title") or "") == "early: Sun 2026-03-01 06:30"


def test_in_a_calendar_of_months_dots_of_one_date_stand_below_each_other() -> None:
    x = {dot.get("cx") for dot in circles(YEAR)}
    y = [float(dot.get("cy") or 0) for dot in circles(YEAR)]
    assert len(x) == 1
    assert y[1] - y[0] == pytest.approx((y[2] - y[0]) * 2 / 11)


def test_a_month_is_shaded_where_it_has_no_day() -> None:
    february = Calendar(["a"], [], day("2025-02-01"), day("2025-02-28"))
    absent = [
        r
        for r in ElementTree.fromstring(february._repr_html_()).iter("rect")
        if r.get("fill-opacity") == "0.22"
    ]
    assert [float(each.get("width") or 0) for each in absent] == [3 * 22]


def test_an_empty_calendar_still_has_its_days() -> None:
    empty = Calendar(["a"], [], day("2026-03-02"), day("2026-03-02"))
    assert repr(empty).splitlines()[0] == "2026-03-02, UTC: 0 runs"
    assert not circles(empty)


# --- on a sandbox ----------------------------------------------------------------------------------------

CELL = """
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

for name, schedule, start in [
    ("every_other_hour", timedelta(hours=2), None),
    ("from_march_on", "@daily", datetime(2026, 3, 3, tzinfo=UTC)),
    ("berlin_at_nine", "0 9 * * *", datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))),
]:
    with DAG(name, schedule=schedule, start_date=start, end_date=datetime(2026, 4, 5, tzinfo=UTC)):
        EmptyOperator(task_id="nothing")
"""


@pytest.fixture(scope="module")
def session(sandbox: Sandbox) -> Session:
    connected = connect()
    save(connected, Cell(CELL), "some", many=True)
    for dag_id in SEVEN:
        deploy(dag_id)
    return connected


def test_the_seven_have_the_runs_that_their_names_promise(session: Session) -> None:
    week = would_run(SEVEN, "2026-02-23", "2026-03-01")
    assert {name: len(week.of(name)) for name in SEVEN} == {
        "orders_daily": 7,
        "orders_hourly": 168,
        "orders_15min": 672,
        "process_hourly_data": 168,
        "business_hours_reports": 45,
        "monthly_financial_reports": 1,
        "ad_hoc_analysis": 0,
    }
    assert week.of("monthly_financial_reports") == [at("2026-03-01T06:00")]
    assert {moment.hour for moment in week.of("business_hours_reports")} == set(range(9, 18))


def test_each_of_the_seven_reports_from_the_shop(session: Session) -> None:
    shop, when = Shop(), "2026-03-04T10:00"
    today = shop.orders(day("2026-03-04"), day("2026-03-05"))
    yesterday = shop.orders(day("2026-03-03"), day("2026-03-04"))
    last_week = shop.orders(day("2026-02-25"), day("2026-02-26"))
    february = shop.orders(day("2026-02-01"), day("2026-03-01"))
    expected = {
        "orders_daily": ("report_takings", cadences.takings(yesterday)),
        "orders_hourly": ("refresh_takings", cadences.takings(today)),
        "orders_15min": ("find_suspicious", cadences.suspicious(today)),
        "process_hourly_data": ("count_by_status", cadences.by_status(today)),
        "business_hours_reports": ("compare_with_last_week", cadences.compared(today, last_week)),
        "monthly_financial_reports": ("report_month", {"month": "2026-02"} | cadences.takings(february)),
    }
    runs = {name: trigger(name, logical_date=when, unpause=True) for name in expected}
    asked = {"start": "2026-03-03", "end": "2026-03-05"}
    by_hand = trigger("ad_hoc_analysis", conf=asked, unpause=True)
    for name, (task, value) in expected.items():
        runs[name].watch()
        assert runs[name].xcom(task) == value, name
    by_hand.watch()
    assert by_hand.xcom("add_up_days") == cadences.by_day([*yesterday, *today])


def test_a_calendar_keeps_the_dags_dates_and_shows_the_clocks_of_a_place(session: Session) -> None:
    names = ["from_march_on", "berlin_at_nine"]
    calendar = would_run(names, "2026-03-01", "2026-04-10", zone="Europe/Berlin")
    assert [calendar.of("from_march_on")[n].date() for n in (0, -1)] == [day("2026-03-03"), day("2026-04-05")]
    assert {moment.hour for moment in calendar.of("berlin_at_nine")} == {9}


def test_what_cannot_be_answered_is_refused_with_the_reason(session: Session) -> None:
    for ask, words in {
        ("every_other_hour", "2026-03-01", "2026-03-02"): "runs every 2:00:00; at what times",
        ("from_march_on", "2026-03-02", "2026-03-01"): "would end .* before it starts",
        ("from_march_on", "2026-03-01", "2199-01-01"): "for the past only, and 2199-01-02 00:00 UTC",
        ("nobody", "2026-03-01", "2026-03-02"): "no DAG 'nobody'",
    }.items():
        with pytest.raises(WindtunnelError, match=words):
            would_run(*ask)
    with pytest.raises(WindtunnelError, match="no zone 'Berlin'"):
        would_run("from_march_on", "2026-03-01", "2026-03-02", zone="Berlin")


SETTLEMENT = """
import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, EventsTimetable as FromTheSdk
from airflow.timetables.base import Timetable
from airflow.timetables.events import EventsTimetable

MOMENTS = [pendulum.datetime(2026, 3, day, 8, tz="Europe/Berlin") for day in (27, 30)]

class BusinessDays(Timetable):
    pass

with DAG("settlement", schedule={schedule}):
    EmptyOperator(task_id="settle")
"""


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("BusinessDays()", r"BusinessDays' is not registered"),
        # A bug of 3.3.2, apache/airflow#69401: the chapter says so, and has to be changed once this is.
        ("FromTheSdk(MOMENTS)", r"Failed to serialize DAG 'settlement': '_summary'"),
    ],
)
def test_airflow_refuses_timetables_that_it_cannot_store(session: Session, schedule: str, words: str) -> None:
    with pytest.raises(WindtunnelError, match=words):
        save(session, Cell(SETTLEMENT.format(schedule=schedule)))


def test_a_list_of_moments_is_a_schedule(session: Session) -> None:
    save(session, Cell(SETTLEMENT.format(schedule="EventsTimetable(MOMENTS)")))
    found = would_run("settlement", "2026-03-01", "2026-03-31", zone="Europe/Berlin").of("settlement")
    assert [f"{moment:%d %H:%M}" for moment in found] == ["27 08:00", "30 08:00"]


def test_an_interval_is_known_by_how_airflow_writes_it() -> None:
    for text in ("2:00:00", "1 day, 0:00:00", "7 days, 0:00:00", "0:00:30", "relativedelta(months=+1)"):
        assert INTERVAL.fullmatch(text), text
    for text in ("0 2 * * *", "@once", "None", "9 events", "Berlin business days, 08:00"):
        assert not INTERVAL.fullmatch(text), text
