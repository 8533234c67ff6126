import itertools
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import date, timedelta

import pytest
from starlette.testclient import TestClient

from world import history
from world.service import create_app
from world.shop import Shop

END = date(2027, 1, 1)
DAY = {"start": "2026-03-01", "end": "2026-03-02"}


@pytest.fixture(scope="module")
def shop():
    return Shop()


@pytest.fixture
def api(shop):
    return TestClient(create_app(shop))


class Clock:
    """Seconds that pass when a test says so."""

    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def ticking(shop):
    """A world that lives by the second thing given."""
    clock = Clock()
    return TestClient(create_app(shop, clock=clock)), clock


# --- the data


def test_the_shop_is_the_same_on_every_machine():
    # These lines are what another machine, another Python and another numpy must produce as well.
    assert history.customers()[0] == {
        "customer_id": "C0001",
        "name": "Chen Sato",
        "email": "chen.sato.1@example.com",
        "country": "PL",
        "acquisition_channel": "search",
        "registration_date": "2024-01-02",
    }
    assert (len(history.customers()), len(history.orders())) == (400, 4554)
    assert sum(round(100 * order["total_amount"]) for order in history.orders()) == 42_498_314


def test_customers_keep_registering_and_each_year_more_of_them():
    years = Counter(row["registration_date"][:4] for row in history.customers())
    assert years["2024"] < years["2025"] < years["2026"]


def test_there_are_vips_single_purchases_lapsed_customers_and_some_who_never_bought():
    orders = Counter(order["customer_id"] for order in history.orders())
    last = {order["customer_id"]: order["order_date"] for order in history.orders()}
    frequent = [c for c, n in orders.items() if n >= 40]
    assert len(frequent) >= 10
    assert sum(n == 1 for n in orders.values()) >= 40
    assert len(history.customers()) - len(orders) >= 20
    assert sum(n > 3 and last[c] < "2026-07-01" for c, n in orders.items()) >= 30


def test_december_outsells_february_and_saturday_outsells_tuesday():
    days = [date.fromisoformat(order["order_date"]) for order in history.orders()]
    months, weekdays = Counter((d.year, d.month) for d in days), Counter(d.weekday() for d in days)
    for year in (2024, 2025, 2026):
        assert months[year, 12] > 1.5 * months[year, 2]
    assert weekdays[5] > 1.5 * weekdays[1]


def test_nobody_orders_before_registering_or_after_the_last_day():
    registered = {row["customer_id"]: row["registration_date"] for row in history.customers()}
    for order in history.orders():
        assert registered[order["customer_id"]] <= order["order_date"] <= history.LAST_DAY.isoformat()
        assert order["total_amount"] > 0


def test_ids_are_unique(shop):
    for rows, key in (
        (shop.customers(END), "customer_id"),
        (shop.customers(END), "email"),
        (shop.orders(None, END), "order_id"),
        (shop.transactions(None, END), "transaction_id"),
    ):
        assert len({row[key] for row in rows}) == len(rows)


def test_asking_for_days_one_by_one_gives_what_asking_for_the_week_gives(shop):
    monday = date(2026, 3, 2)
    days = [monday + timedelta(days=n) for n in range(8)]
    one_by_one = [row for a, b in itertools.pairwise(days) for row in shop.orders(a, b)]
    assert one_by_one == shop.orders(days[0], days[-1])
    assert one_by_one


def test_a_transaction_is_the_payment_of_a_completed_order(shop):
    completed = [row for row in shop.orders(None, END) if row["status"] == "completed"]
    transactions = shop.transactions(None, END)
    assert len(transactions) == len(completed) < len(shop.orders(None, END))
    assert [row["amount"] for row in transactions] == [row["total_amount"] for row in completed]


def test_a_shop_written_by_hand_is_served_with_all_its_defects(tmp_path):
    rows = [
        {"transaction_id": "T1", "customer_id": None, "amount": None, "transaction_date": None},
        {"transaction_id": "T1", "customer_id": "nobody", "amount": -1, "transaction_date": "2026-01-01"},
    ]
    file = tmp_path / "shop.json"
    file.write_text(json.dumps({"transactions": rows}))
    shop = Shop.from_json(file)
    assert shop.transactions(None, END) == rows
    assert shop.customers(END) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "not JSON"),
        ("[]", "must be an object"),
        ('{"clients": []}', "clients"),
        ('{"orders": {}}', "list"),
    ],
)
def test_a_file_that_is_no_shop_is_refused_by_name(tmp_path, text, words):
    file = tmp_path / "broken.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"broken.json.*{words}"):
        Shop.from_json(file)


# --- the service


def test_health(api):
    assert api.get("/health").json() == {"status": "ok"}


def test_customers_are_those_registered_before_the_day(api):
    first = history.customers()[0]["registration_date"]
    after = (date.fromisoformat(first) + timedelta(days=1)).isoformat()
    assert api.get("/customers", params={"as_of": first}).json() == {"customers": []}
    [row] = api.get("/customers", params={"as_of": after}).json()["customers"]
    assert list(row) == ["customer_id", "registration_date", "email"]
    [row] = api.get("/crm/customers", params={"as_of": after}).json()["customers"]
    assert list(row) == ["customer_id", "name", "country", "acquisition_channel", "registration_date"]


@pytest.mark.parametrize(("path", "column"), [("orders", "order_date"), ("transactions", "transaction_date")])
def test_start_is_inclusive_and_end_exclusive(api, path, column):
    rows = api.get(f"/{path}", params={"start": "2026-03-02", "end": "2026-03-04"}).json()[path]
    assert {row[column] for row in rows} == {"2026-03-02", "2026-03-03"}


def test_start_may_be_left_out(api, shop):
    rows = api.get("/transactions", params={"end": "2026-03-02"}).json()["transactions"]
    assert rows == shop.transactions(None, date(2026, 3, 2))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/orders?start=2026-02-30&end=2026-03-01", "start: '2026-02-30'"),
        ("/orders?start=2026-02-01", "end: missing"),
        ("/customers?as_of=yesterday", "as_of: 'yesterday'"),
        ("/customers?as_of=None", "as_of: 'None'"),
    ],
)
def test_a_bad_date_is_422_and_says_which(api, url, words):
    answer = api.get(url)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_the_dashboard_remembers_what_it_was_sent_newest_last(api):
    for day in ("2026-03-01", "2026-03-02"):
        push = {"dashboard": "customers", "date": day, "rows": [{"customer_id": "C0001", "clv": 1.5}]}
        assert api.post("/dashboard/refresh", json=push).status_code == 200
    seen = api.get("/dashboard/refreshes").json()["refreshes"]
    assert [refresh["date"] for refresh in seen] == ["2026-03-01", "2026-03-02"]
    assert seen[0]["rows"] == [{"customer_id": "C0001", "clv": 1.5}]


@pytest.mark.parametrize(
    ("push", "words"),
    [
        ({"date": "2026-03-01"}, "dashboard: missing"),
        ({"dashboard": "customers", "date": "soon"}, "date: 'soon'"),
        ({"dashboard": "customers", "date": "2026-03-01", "colour": "red"}, "colour: 'red'"),
    ],
)
def test_a_malformed_refresh_is_422_and_says_why(api, push, words):
    answer = api.post("/dashboard/refresh", json=push)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert api.get("/dashboard/refreshes").json() == {"refreshes": []}


# --- faults

ORDERS = "/orders?start=2026-03-02&end=2026-03-03"


def test_an_endpoint_refuses_so_many_times_and_then_recovers(api):
    api.post("/faults", json={"endpoint": "orders", "status": 503, "times": 2})
    assert [api.get(ORDERS).status_code for _ in range(3)] == [503, 503, 200]
    assert api.get("/faults").json() == {"faults": []}


def test_other_endpoints_stay_well(api):
    api.post("/faults", json={"endpoint": "crm/customers", "status": 500})
    assert api.get("/crm/customers?as_of=2026-01-01").status_code == 500
    assert api.get("/customers?as_of=2026-01-01").status_code == 200


def test_a_field_changes_its_name(api):
    healthy = api.get(ORDERS).json()["orders"]
    api.post("/faults", json={"endpoint": "orders", "rename": {"total_amount": "amount"}})
    renamed = api.get(ORDERS).json()["orders"]
    assert [row["amount"] for row in renamed] == [row["total_amount"] for row in healthy]
    assert "total_amount" not in renamed[0]


def test_an_answer_lacks_its_last_rows_or_all_and_is_still_200(api):
    healthy = api.get(ORDERS).json()["orders"]
    api.post("/faults", json={"endpoint": "orders", "leave_out": 2})
    assert api.get(ORDERS).json() == {"orders": healthy[:-2]}
    api.post(
        "/faults", json={"endpoint": "orders", "leave_out": len(healthy) + 1, "rename": {"orders": "rows"}}
    )
    answer = api.get(ORDERS)
    assert answer.status_code == 200
    assert answer.json() == {"rows": []}


def test_an_endpoint_answers_late(api):
    api.post("/faults", json={"endpoint": "orders", "slow": 0.3})
    before = time.monotonic()
    assert api.get(ORDERS).status_code == 200
    assert time.monotonic() - before >= 0.3


def test_an_answer_breaks_off_in_the_middle(api):
    whole = api.get("/orders", params=DAY).text
    api.post("/faults", json={"endpoint": "orders", "malformed": True, "times": 1})
    broken = api.get("/orders", params=DAY)
    assert (broken.status_code, broken.text) == (200, whole[: len(whole.encode()) // 2])
    assert api.get("/orders", params=DAY).text == whole


def test_calls_above_the_limit_are_told_how_long_to_wait(ticking):
    api, clock = ticking
    api.post("/faults", json={"endpoint": "orders", "limit": 2})
    assert [api.get("/orders", params=DAY).status_code for _ in range(3)] == [200, 200, 429]
    clock.now += 20
    refused = api.get("/orders", params=DAY)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
    clock.now += 40
    assert api.get("/orders", params=DAY).status_code == 200


def test_a_fault_may_last_a_while_and_end_by_itself(ticking):
    api, clock = ticking
    api.post("/faults", json={"endpoint": "orders", "status": 503, "seconds": 600})
    clock.now += 599
    assert api.get("/orders", params=DAY).status_code == 503
    clock.now += 1
    assert api.get("/orders", params=DAY).status_code == 200
    assert api.get("/faults").json() == {"faults": []}


def test_a_fault_holds_for_what_lies_below_its_endpoint(api):
    api.post("/jobs", json={"name": "ltv"})
    api.post("/faults", json={"endpoint": "jobs", "status": 503})
    assert api.get("/jobs/1").status_code == 503
    assert api.get("/orders", params=DAY).status_code == 200


def test_faults_end_when_cleared(api):
    api.post("/faults", json={"endpoint": "dashboard/refresh", "status": 503})
    api.delete("/faults")
    assert api.post("/dashboard/refresh", json={"dashboard": "d", "date": "2026-01-01"}).status_code == 200


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"endpoint": "order", "status": 503}, "there is no 'order'; known: crm/customers, customers"),
        ({"endpoint": "orders"}, "say what breaks"),
        ({"endpoint": "orders", "status": 200}, "status: 200"),
    ],
)
def test_a_fault_that_makes_no_sense_is_422(api, fault, words):
    answer = api.post("/faults", json=fault)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


# --- the process


def serve(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "world.service", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": "sandbox"},
    )


def customers(address):
    with urllib.request.urlopen(f"{address}/customers?as_of=2027-01-01", timeout=5) as answer:
        return json.load(answer)["customers"]


def test_the_process_is_quiet_prints_its_address_and_leaves_on_sigterm():
    process = serve("--port", "0")
    address = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    assert len(customers(address)) == 400
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_process_serves_a_shop_written_by_hand(tmp_path):
    row = {"customer_id": "me", "registration_date": "2026-01-01", "email": "me@example.com"}
    (tmp_path / "shop.json").write_text(json.dumps({"customers": [row]}))
    process = serve("--port", "0", "--data", str(tmp_path / "shop.json"))
    try:
        assert customers(process.stdout.readline().strip()) == [row]
    finally:
        process.terminate()
        process.communicate(timeout=5)


def test_a_missing_data_file_is_named(tmp_path):
    process = serve("--port", "0", "--data", str(tmp_path / "absent.json"))
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "absent.json" in err
    assert "Traceback" not in err


def test_a_busy_port_is_refused_not_shared():
    first = serve("--port", "0")
    try:
        port = first.stdout.readline().strip().rpartition(":")[2]
        second = serve("--port", port)
        _, err = second.communicate(timeout=10)
        assert second.returncode == 2
        assert f"port {port}" in err
    finally:
        first.terminate()
        first.communicate(timeout=5)
