"""The job cluster: work that runs elsewhere, for as long as it says."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from world.service import create_app


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(clock: Clock) -> TestClient:
    return TestClient(create_app(clock=clock))


def submit(api: TestClient, **job: Any) -> int:
    answer = api.post("/jobs", json={"name": "ltv", "seconds": 60, "amounts": [1.25, 2.5]} | job)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["job_id"]
    return number


def test_a_job_runs_for_its_time_and_then_has_a_result(api: TestClient, clock: Clock) -> None:
    number = submit(api)
    clock.now += 45
    assert api.get(f"/jobs/{number}").json() == {
        "job_id": number,
        "name": "ltv",
        "state": "running",
        "progress": 0.75,
    }
    clock.now += 15
    assert api.get(f"/jobs/{number}").json() == {
        "job_id": number,
        "name": "ltv",
        "state": "succeeded",
        "result": 3.75,
    }


def test_a_job_may_fail_in_the_end_or_be_cancelled_on_the_way(api: TestClient, clock: Clock) -> None:
    fails, stops = submit(api, fails=True), submit(api)
    clock.now += 30
    assert api.delete(f"/jobs/{stops}").json()["state"] == "cancelled"
    clock.now += 30
    assert [job["state"] for job in api.get("/jobs").json()["jobs"]] == ["failed", "cancelled"]
    assert api.delete(f"/jobs/{fails}").json()["state"] == "failed"


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ({"seconds": -1}, "seconds"),
        ({"name": ""}, "name"),
        ({"hours": 2}, "hours"),
        ({"seconds": 1e9}, "seconds"),
    ],
)
def test_an_impossible_job_is_refused_with_the_field(
    api: TestClient, job: dict[str, Any], field: str
) -> None:
    answer = api.post("/jobs", json={"name": "ltv"} | job)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{field}: ")


def test_a_job_that_does_not_exist_is_named(api: TestClient) -> None:
    submit(api)
    answer = api.get("/jobs/7")
    assert (answer.status_code, answer.json()["detail"]) == (404, "job_id: there is no job 7; there are 1")
