"""Chat, pager and metrics: they take what the real ones take, refuse what those refuse, and show what came."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from world.inboxes import KEPT
from world.service import create_app

HOOK = "/services/T00000000/orders/secret"


@pytest.fixture
def api() -> TestClient:
    return TestClient(create_app())


def test_the_chat_answers_as_slack_does_and_keeps_the_message(api: TestClient) -> None:
    answer = api.post(HOOK, json={"text": "load_orders failed"})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert api.get("/received/chat").json() == {
        "received": [{"text": "load_orders failed", "channel": "orders"}]
    }
    assert api.post(HOOK, json={"channel": "#nights"}).status_code == 400


def test_the_pager_takes_pages_with_a_known_severity(api: TestClient) -> None:
    assert api.post("/pager/pages", json={"summary": "gold is late", "severity": "critical"}).json() == {
        "pages": 1
    }
    refused = api.post("/pager/pages", json={"summary": "gold is late", "severity": "urgent"})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("severity: 'urgent'")
    assert [page["summary"] for page in api.get("/received/pager").json()["received"]] == ["gold is late"]


def test_metrics_are_numbers_with_names(api: TestClient) -> None:
    assert api.post("/metrics", json={"name": "orders", "value": 7, "date": "2026-03-01"}).status_code == 200
    assert api.post("/metrics", json={"name": "orders", "value": "many"}).status_code == 422
    assert [metric["value"] for metric in api.get("/received/metrics").json()["received"]] == [7]


@pytest.mark.parametrize("name", ["chat", "pager", "metrics"])
def test_each_is_emptied_by_itself(api: TestClient, name: str) -> None:
    api.post(HOOK, json={"text": "one"})
    api.post("/pager/pages", json={"summary": "two"})
    api.post("/metrics", json={"name": "three", "value": 3})
    api.delete(f"/received/{name}")
    left = {
        other: len(api.get(f"/received/{other}").json()["received"]) for other in ("chat", "pager", "metrics")
    }
    assert left == {other: int(other != name) for other in left}


def test_an_inbox_that_is_not_there_is_named_with_those_that_are(api: TestClient) -> None:
    refused = api.get("/received/fax")
    assert (refused.status_code, refused.json()["detail"]) == (
        404,
        "there is no inbox 'fax'; known: chat, mail, metrics, pager",
    )


def test_a_chat_that_nobody_empties_does_not_grow_for_ever(api: TestClient) -> None:
    for number in range(KEPT + 5):
        api.post(HOOK, json={"text": str(number)})
    messages = api.get("/received/chat").json()["received"]
    assert (len(messages), messages[0]["text"]) == (KEPT, "5")
