"""The criteria of 06-predict-the-runs: each table against what a live Airflow did (solutions/…/reference.ipynb)."""

from collections import Counter

from windtunnel.check import points
from windtunnel.notebook_answers import difference, problem, reference, runs, tables

SLUG = "06-predict-the-runs"
POINT = "In Airflow 3 a cron string means moments: the run is named after its own, and its interval has no length."


def judge(submission, dag_id, why):
    """Assert that nbval finds no difference between the table of a DAG and the reference's; else say what and why.

    ``why`` explains, by what went wrong: a run too many ``before`` all that came, ``after`` them or ``between``
    them; a missing ``first``, ``last`` or ``inner`` one; the name of a column with a wrong value.
    """
    [truth] = tables(reference(SLUG), dag_id)
    shown = tables(submission.outputs(), dag_id)
    assert shown, f'There is no table of {dag_id}: expect("{dag_id}", …) shows one.'
    assert len(shown) == 1, f"There are {len(shown)} tables of {dag_id}; which of them do you mean? Keep one."
    if not difference(shown, [truth]):
        return
    assert not problem(shown[0]), problem(shown[0])
    predicted, came = runs(shown[0]), runs(truth)
    assert predicted is not None, (
        f"The table of {dag_id} has no line yet. Write a line for each run that you expect, or one with `none`."
    )
    asked = list(came[0])
    for run in predicted[:1]:
        assert list(run) == asked, (
            f"The table of {dag_id} has the columns {', '.join(run)}; asked for are {', '.join(asked)}."
        )
    seen, kinds = complaints(predicted, came, key=asked[0])
    assert seen, f"The table of {dag_id} was not made by expect()."
    raise AssertionError(f"{dag_id}: {' '.join(seen)} {' '.join(dict.fromkeys(why[kind] for kind in kinds))}")


def complaints(predicted, came, key):
    """What is wrong, a sentence each, and the kinds of that (see ``judge``). Names predictions, not what is right."""
    mine, real = (Counter(run[key] for run in some) for some in (predicted, came))
    extra, missing = sorted((mine - real).elements()), sorted((real - mine).elements())
    known = sorted(real)
    sentences, kinds = [], []
    if extra:
        more = f", nor did {len(extra) - 1} more of yours" if len(extra) > 1 else ""
        twice = extra[0] in real
        sentences.append(
            f"you predicted {named(key, extra[0])} {'more often than it came' if twice else 'that never came'}{more}."
        )
        kinds.append("before" if extra[0] < known[0] else "after" if extra[0] > known[-1] else "between")
    if missing:
        count = "One run came" if len(missing) == 1 else f"{len(missing)} runs came"
        place = "first" if missing[0] == known[0] else "last" if missing[-1] == known[-1] else "inner"
        where = {"first": ", the first one among them", "last": ", the last one among them", "inner": ""}[
            place
        ]
        sentences.append(
            f"{count} that you did not predict{where if len(missing) > 1 or len(known) > 1 else ''}."
        )
        kinds.append(place)
    if not kinds:  # the right runs: look into them
        for mine_run, real_run in zip(predicted, came, strict=True):
            wrong = [column for column in real_run if mine_run[column] != real_run[column]]
            if wrong:
                sentences.append(
                    f"the {wrong[0]} of {named(key, real_run[key])} is not {mine_run[wrong[0]]}."
                )
                kinds.append(wrong[0])
                break
    return sentences, kinds


def named(key, value):
    """A run, by the first column of its table."""
    if key == "run_after":
        return f"the run after {value} UTC"
    return f"a run with the logical date {value}" if value != "none" else "a run without a logical date"


@points(2)
def test_orders_report(submission):
    """1 orders_report: a cron string"""
    lower = "No run is named after a moment before start_date, 1 March 00:00."
    judge(
        submission,
        "orders_report",
        {
            "before": lower,
            "between": "The string says 06:00, once a day; other moments have no run.",
            "after": "The question ends on 4 March at 12:00.",
            "first": (
                "At noon on 1 March the moment 06:00 of that day has passed, and start_date allows it. "
                "Without catchup Airflow makes up the latest moment that was due."
            ),
            "inner": "The string says every day, and no run failed.",
            "last": "A moment's run comes at that moment: 4 March 06:00 is before 12:00.",
            "logical_date": POINT,
            "interval_start": POINT,
            "interval_end": POINT,
            "ds": POINT,
        },
    )


@points(2)
def test_orders_by_interval(submission):
    """2 orders_by_interval: the same string, as intervals"""
    start = "A run is named after the beginning of its interval: that is its logical_date, and ds is the day of it."
    length = (
        "An interval reaches from one moment of the string to the next, and its run comes when it is over."
    )
    judge(
        submission,
        "orders_by_interval",
        {
            "before": f"{length} Your run's interval would have begun before start_date, 1 March 00:00.",
            "between": f"{length} Those moments are at 06:00.",
            "after": f"{length} The one that begins on 4 March is not over at 12:00 that day.",
            "first": f"{length} The first whole one after start_date begins on 1 March at 06:00.",
            "inner": length,
            "last": f"{length} The one that ends on 4 March at 06:00 is over before 12:00.",
            "logical_date": start,
            "interval_start": length,
            "interval_end": length,
            "ds": start,
        },
    )


@points(1)
def test_revenue_archive(submission):
    """3 revenue_archive: catchup, and where it begins and ends"""
    judge(
        submission,
        "revenue_archive",
        {
            "before": "No run is named after a moment before start_date, 26 February 00:00.",
            "between": "@daily is midnight, and each has one run.",
            "after": "The question ends on 2 March at 12:00: no later midnight has come by then.",
            "first": (
                "start_date is 26 February 00:00, a moment of @daily, and a bound includes its end: "
                "catchup makes up that one, too."
            ),
            "inner": "catchup=True makes up every moment since start_date, not only the latest.",
            "last": "A moment's run comes at that moment: the midnight of 2 March is long past at 12:00.",
            "ds": POINT,
        },
    )


@points(1)
def test_stock_check(submission):
    """4 stock_check: switched on late, and nothing said about catchup"""
    latest = "At 09:00 on 4 March its midnight is the latest that was due: Airflow makes up that one, and only that."
    judge(
        submission,
        "stock_check",
        {
            "before": f"catchup is False unless somebody says otherwise: nights before are not made up. {latest}",
            "between": "@daily is midnight, and each has one run. When it was switched on is none of its moments.",
            "after": "The question ends on 6 March at 12:00.",
            "first": f"No catchup does not mean that all of the past is left out. {latest}",
            "inner": "@daily means every night, and no run failed.",
            "last": "A moment's run comes at that moment: the midnight of 6 March is long past at 12:00.",
            "ds": POINT,
        },
    )


@points(1)
def test_price_scan(submission):
    """5 price_scan: a timedelta"""
    steps = "A timedelta is counted from start_date, 27 February 03:00, and the moments are its steps, not midnights."
    judge(
        submission,
        "price_scan",
        {
            "before": steps,
            "between": steps,
            "after": f"{steps} The question ends on 2 March at 12:00.",
            "first": (
                "In Airflow 3 a timedelta, too, means moments. The first is start_date itself: there is no interval "
                "to wait for."
            ),
            "inner": "catchup=True makes up every moment since start_date, not only the latest.",
            "last": f"{steps} The last of them before 2 March 12:00 has its run.",
            "logical_date": "In Airflow 3 a timedelta, too, means moments: a run is named after its own.",
        },
    )


@points(1)
def test_berlin_close(submission):
    """6 berlin_close: half past midnight in Berlin, across the change of clocks"""
    zone = (
        "The string is read in the zone of start_date, so 00:30 is Berlin's. Berlin is one hour ahead of UTC in winter "
        "and two in summer, which begins there on 29 March at 01:00 UTC."
    )
    judge(
        submission,
        "berlin_close",
        {
            "before": f"{zone} start_date, midnight in Berlin, is 27 March 23:00 UTC.",
            "between": zone,
            "after": f"{zone} The question ends on 31 March at 12:00 UTC.",
            "first": f"{zone} The first 00:30 after start_date is on 28 March in Berlin.",
            "inner": f"{zone} The night of the change has a 00:30, too.",
            "last": f"{zone} The last one in question is 00:30 on 31 March in Berlin.",
            "ds": (
                "ds is the day of the logical date in UTC, and half an hour after midnight in Berlin UTC is still on "
                "the day before. A task that wants Berlin's day must ask for it."
            ),
        },
    )


@points(1)
def test_month_close(submission):
    """7 month_close: a month's end, and a start date that is no moment"""
    first = (
        "start_date is a bound, not a run: the first run is at the first moment of @monthly on or after it."
    )
    judge(
        submission,
        "month_close",
        {
            "before": first,
            "between": first,
            "after": "The question ends on 1 April at 12:00.",
            "first": f"@monthly is midnight on the first of each month. {first}",
            "inner": first,
            "last": f"@monthly is midnight on the first of each month. {first}",
            "ds": f"{POINT} The month that it should report on is another one: that must be computed.",
        },
    )


@points(1)
def test_restock(submission):
    """8 restock: two runs by hand"""
    nothing = (
        "A run by hand has the logical date that it is given, and none when it is given none. "
        "Without a logical date there is no ds either; run_after is always there."
    )
    judge(
        submission,
        "restock",
        dict.fromkeys(["before", "between", "after", "first", "inner", "last", "ds"], nothing),
    )
