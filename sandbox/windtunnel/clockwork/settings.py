"""Airflow's settings in a dated sandbox: thresholds that would take a turn of the clock for an outage.

The lifetimes of tokens and the ages of heartbeats are measured in virtual time. What a lost scheduler or a
zombie task looks like is therefore taught on real time.
"""

from __future__ import annotations

from datetime import UTC, datetime

YEARS = 30
_LONG = str(YEARS * 366 * 86_400)

#: Dates a sandbox may start at. A token lives for thirty years, and a browser believes in the real date.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)

DATED = {
    "API_AUTH__JWT_EXPIRATION_TIME": _LONG,
    "API_AUTH__JWT_CLI_EXPIRATION_TIME": _LONG,
    "EXECUTION_API__JWT_EXPIRATION_TIME": _LONG,
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": _LONG,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": _LONG,
    "SCHEDULER__TASK_QUEUED_TIMEOUT": _LONG,
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",  # [15 s], of real time
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": _LONG,
    "TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD": _LONG,
    "DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": _LONG,
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": _LONG,
    # Files are parsed again when they change, and when the clock comes to rest (``component``).
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": _LONG,
    "DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": "0",
}
