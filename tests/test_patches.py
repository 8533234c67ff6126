"""The changes to Airflow's private API: on its exact version, and only when wanted."""

import json
import subprocess
import sys

import pytest
from airflow.sdk.api.datamodels._generated import API_VERSION

from sandboxes import environment
from windtunnel import patches

PRINT = """
import json
from windtunnel import patches
applied = patches.apply(patches.VERSION)
from airflow.api_fastapi.execution_api.versions import bundle
from airflow.sdk.execution_time.supervisor import WatchedSubprocess
wrapped = hasattr(WatchedSubprocess._service_subprocess, "__wrapped__")
print(json.dumps([applied, wrapped, [version.value for version in bundle.versions]]))
"""


@pytest.mark.parametrize("version", ["3.3.1", "3.3.3", "3.4.0", ""])
def test_another_version_of_airflow_is_left_alone(version):
    assert not patches.apply(version)


@pytest.mark.parametrize(("wanted", "applied"), [("", True), ("off", False)])
def test_they_are_applied_unless_switched_off_and_tasks_keep_their_api_version(tmp_path, wanted, applied):
    values = environment(tmp_path, AIRFLOW_HOME=str(tmp_path), WINDTUNNEL_PATCHES=wanted)
    done = subprocess.run([sys.executable, "-c", PRINT], env=values, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    was_applied, wrapped, versions = json.loads(done.stdout.splitlines()[-1])
    assert (was_applied, wrapped, len(versions) == 1) == (applied, applied, applied)
    assert versions[0] == API_VERSION
