"""A job cluster: work is submitted, runs somewhere else for a while, and is asked after.

What a job computes is the sum of the amounts it was given, so that whoever waits can see that it was done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

MOST_SECONDS = 48 * 3600.0


class Job(BaseModel):
    """What is submitted: a name, how long it takes (seconds), and whether it is to fail in the end."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    seconds: float = Field(default=5, ge=0, le=MOST_SECONDS)
    amounts: list[float] = []
    fails: bool = False


def router(clock: Callable[[], float] = time.time) -> APIRouter:
    """``POST``, ``GET`` and ``DELETE /jobs`` (which forgets all), ``GET`` and ``DELETE /jobs/{id}`` (which cancels)."""
    routes = APIRouter()
    jobs: list[tuple[Job, float]] = []
    cancelled: set[int] = set()

    def described(number: int) -> dict[str, Any]:
        job, begun = jobs[number - 1]
        done = clock() - begun
        state = (
            "cancelled"
            if number in cancelled
            else "running"
            if done < job.seconds
            else "failed"
            if job.fails
            else "succeeded"
        )
        found: dict[str, Any] = {"job_id": number, "name": job.name, "state": state}
        if state == "running":
            found["progress"] = round(done / job.seconds, 2)
        if state == "succeeded":
            found["result"] = round(sum(job.amounts), 2)
        return found

    def known(number: int) -> int:
        if not 1 <= number <= len(jobs):
            raise HTTPException(404, f"job_id: there is no job {number}; there are {len(jobs)}")
        return number

    @routes.post("/jobs", status_code=201)
    def submit(job: Job) -> dict[str, Any]:
        jobs.append((job, clock()))
        return described(len(jobs))

    @routes.get("/jobs")
    def all_jobs() -> dict[str, list[dict[str, Any]]]:
        return {"jobs": [described(number) for number in range(1, len(jobs) + 1)]}

    @routes.delete("/jobs")
    def forget() -> dict[str, list[dict[str, Any]]]:
        jobs.clear()
        cancelled.clear()
        return {"jobs": []}

    @routes.get("/jobs/{job_id}")
    def ask(job_id: int) -> dict[str, Any]:
        return described(known(job_id))

    @routes.delete("/jobs/{job_id}")
    def cancel(job_id: int) -> dict[str, Any]:
        if described(known(job_id))["state"] == "running":
            cancelled.add(job_id)
        return described(job_id)

    return routes
