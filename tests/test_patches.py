"""The changes to Airflow's private API: on its exact version, and only when wanted."""

import subprocess
import sys

import pytest

from sandboxes import environment
from windtunnel import patches

PRINT = """
from windtunnel import patches
print(patches.apply(patches.VERSION))
from airflow.api_fastapi.execution_api.versions import bundle
print(len(bundle.versions), bundle.versions[0].value)
from airflow.sdk.execution_time.supervisor import WatchedSubprocess
print(hasattr(WatchedSubprocess._service_subprocess, "__wrapped__"))
"""


@pytest.mark.parametrize("version", ["3.3.1", "3.3.3", "3.4.0", ""])
def test_another_version_of_airflow_is_left_alone(version):
    assert not patches.apply(version)


@pytest.mark.parametrize(("wanted", "applied"), [("", True), ("off", False)])
def test_they_are_applied_unless_switched_off_and_tasks_keep_their_api_version(tmp_path, wanted, applied):
    values = environment(tmp_path, AIRFLOW_HOME=str(tmp_path), WINDTUNNEL_PATCHES=wanted)
    done = subprocess.run([sys.executable, "-c", PRINT], env=values, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, versions, wrapped = done.stdout.strip().splitlines()[-3:]
    assert (first, wrapped) == (str(applied), str(applied))
    count, newest = versions.split()
    assert (int(count) == 1) is applied
    from airflow.sdk.api.datamodels._generated import API_VERSION

    assert newest == API_VERSION
