"""Long work on the job cluster: started once, asked after, its result fetched.

The cluster knows nothing of runs and tries. A job's name says which day it is for, and that is how a second try finds
the job that the first one has started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

HOURS = 12  # what the job takes
TABLE = "create table if not exists lifetime_value (day date primary key, euros numeric(12, 2) not null)"


class JobFailed(RuntimeError):
    """The cluster has given up on a job: asking again will not help."""


def name_of(day: date) -> str:
    """What the job for a day is called."""
    return f"lifetime value of {day}"


def under_way(jobs: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """The number of the newest job of this name that runs or has succeeded; None when there is none."""
    found = [
        job["job_id"] for job in jobs if job["name"] == name and job["state"] in ("running", "succeeded")
    ]
    return max(found, default=None)


def description(day: date, orders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The job to submit for a day: the cluster is to add up the completed orders."""
    amounts = [order["total_amount"] for order in orders if order["status"] == "completed"]
    return {"name": name_of(day), "seconds": HOURS * 3600, "amounts": amounts}


def result(job: Mapping[str, Any]) -> float | None:
    """What a job has computed; None while it runs.

    Raises JobFailed, with the job's number and state, for one that failed, was cancelled, or is in a state that nobody
    has heard of: waiting for such a job would have no end.
    """
    if job["state"] == "running":
        return None
    if job["state"] != "succeeded":
        raise JobFailed(f"job {job['job_id']} ({job['name']}): {job['state']}")
    return float(job["result"])
