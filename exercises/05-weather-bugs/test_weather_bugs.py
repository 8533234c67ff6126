"""The criteria of 05-weather-bugs."""

from collections import Counter
from datetime import date
from itertools import pairwise

from windtunnel.check import points
from windtunnel.evidence import Case
from world import weather

CITIES = ["New York", "London", "Tokyo"]
COLUMNS = {"city", "date", "temperature_f", "description"}
# On these days nothing in the three cities' descriptions would break an SQL string.
DAY, DAY_LATER, DAY_BY_HAND = "2026-03-21", "2026-03-22", "2026-03-24"
# On this day the observer in L'Aquila writes: Clear; the station's log says "fresh"
DAY_QUOTED, QUOTED = "2026-01-31", ["L'Aquila", "Val-d'Isère"]


def stored(run):
    """The rows of the table, once it is known that they can be judged."""
    rows = run.succeeded().table("weather.db", "weather")
    missing = sorted(COLUMNS - set(rows[0])) if rows else []
    assert not missing, f"The table weather has no column {', '.join(missing)}; it has {', '.join(rows[0])}."
    return rows


def listed(pairs):
    """Cities and dates, for a message."""
    return ", ".join(f"{city} on {day}" for city, day in pairs) or "none"


def one_row_each(rows, wanted, why):
    """Assert that there is one row for each wanted (city, date), and no other."""
    seen = Counter((row["city"], row["date"]) for row in rows)
    lost = [pair for pair in wanted if pair not in seen]
    assert not lost, f"The table has no row for {listed(lost)}; it has {listed(seen)}. {why}"
    twice = [pair for pair, count in seen.items() if count > 1]
    assert not twice, f"The table has more than one row for {listed(twice)}. {why}"
    more = [pair for pair in seen if pair not in wanted]
    assert not more, f"The table has rows nobody asked for: {listed(more)}. {why}"


def true_weather(rows, why):
    """Assert that each row says what the service says about that city on that date, in °F."""
    for row in rows:
        city, day = row["city"], row["date"]
        try:
            known = weather.reading(city, date.fromisoformat(day))
        except (KeyError, TypeError, ValueError):
            problem = f"The table has a row for {city!r} on {day!r}. The service knows no such city or date."
            raise AssertionError(problem) from None
        fahrenheit, words = known["temperature_c"] * 1.8 + 32, known["description"]
        seen = row["temperature_f"]
        assert isinstance(seen, float | int) and abs(seen - fahrenheit) < 0.06, (
            f"{city} on {day} has {seen!r} °F, {row['description']}; it was {fahrenheit:.1f} °F "
            f"({known['temperature_c']} °C), {words}. {why}"
        )
        assert row["description"] == words, (
            f"{city} on {day} is described as {row['description']!r}; the service says {words!r}. {why}"
        )


@points(1)
def test_four_tasks_in_order(submission):
    """The DAG has the four tasks, one after the other"""
    dag = submission.dag
    assert dag.dag_id == "weather_data_pipeline", (
        f"The DAG is called {dag.dag_id}; others look for it as weather_data_pipeline."
    )
    tasks = ["create_table", "extract_weather", "transform_weather", "load_weather"]
    missing = [task_id for task_id in tasks if task_id not in dag.tasks]
    assert not missing, f"No task {', '.join(missing)}; the DAG has {', '.join(dag.tasks) or 'none'}."
    for first, then in [*pairwise(tasks[1:]), (tasks[0], tasks[3])]:
        assert first in dag.before(then), (
            f"{then} does not wait for {first}. Without that edge it may start first, and find nothing."
        )


@points(3)
def test_a_row_for_each_city(submission):
    """A run leaves a row for each of its three cities, in °F"""
    rows = stored(submission.run(DAY))
    seen = sorted(row["city"] for row in rows)
    assert seen == sorted(CITIES), (
        f"After a run the table has rows for {', '.join(seen) or 'no city'}; expected {', '.join(sorted(CITIES))}."
    )
    true_weather(rows, "A row holds what the service says about that city on the row's date: °C · 9/5 + 32.")


@points(3)
def test_the_weather_of_the_run_date(submission):
    """A run is about its own date, whenever it is made"""
    rows = stored(submission.run(DAY))
    why = f"The run was for {DAY}. Made again next year, it must be about {DAY} still."
    one_row_each(rows, [(city, DAY) for city in CITIES], why)
    true_weather(rows, why)


@points(2)
def test_a_run_without_a_logical_date(submission):
    """A run that somebody triggers by hand is about the day it was triggered"""
    rows = stored(submission.run(DAY_BY_HAND, manual=True))
    why = f"The run was triggered by hand on {DAY_BY_HAND} and has no logical date, only a run_after."
    one_row_each(rows, [(city, DAY_BY_HAND) for city in CITIES], why)


@points(3)
def test_words_with_apostrophes(submission):
    """A city or a description may have any characters, and is stored as it is"""
    [run] = submission.runs(Case(DAY_QUOTED, conf={"cities": QUOTED}))
    rows = stored(run)
    why = f"This run was triggered with the cities {' and '.join(QUOTED)}. What is in a value is no SQL."
    one_row_each(rows, [(city, DAY_QUOTED) for city in QUOTED], why)
    true_weather(rows, why)


@points(3)
def test_a_second_run_changes_nothing(submission):
    """A city has one row for a date, however often the run was made, and other dates keep theirs"""
    first, other, again = submission.runs(Case(DAY), Case(DAY_LATER), Case(DAY))
    stored(first)
    both = [(city, day) for day in (DAY, DAY_LATER) for city in CITIES]
    one_row_each(stored(other), both, f"The run for {DAY_LATER} came after the one for {DAY}.")
    again_for = f"The run for {DAY} was made once more, as after any failure or correction"
    assert again.state == "success", f"{again_for}; {again.outcome}."
    one_row_each(stored(again), both, f"{again_for}: the second must replace the first's rows and no others.")


@points(3)
def test_a_refusal_is_no_weather(submission):
    """When the service refuses, the run tries again or fails: what is stored is true"""
    [run] = submission.runs(Case(DAY, faults=({"endpoint": "weather", "status": 429, "times": 2},)))
    refused = "The service answered 429 Too Many Requests, twice, and would have answered the third call."
    assert run.state == "success", (
        f"{refused} But {run.outcome}. Too many calls now are not too many in a minute."
    )
    rows = stored(run)
    true_weather(rows, f"{refused} Whatever stands in for an answer is invented, and green.")
    seen = sorted(row["city"] for row in rows)
    assert seen == sorted(CITIES), (
        f"{refused} The table has rows for {', '.join(seen) or 'no city'}; expected {', '.join(sorted(CITIES))}. "
        "A city that is left out is missed by nobody, until somebody needs it."
    )
    [run] = submission.runs(Case(DAY, conf={"cities": ["London", "Atlantis"]}))
    assert run.state == "failed", (
        f"The run was triggered with the cities London and Atlantis. The service answered 404 for Atlantis, and "
        f"{run.outcome}. Trying again does not help here: somebody has to be told, and only a red run does that."
    )
