"""Airflow's own command line on the sandbox: in a terminal, in a notebook, and by the sandbox's clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from sandboxes import windtunnel
from windtunnel import dagcell
from windtunnel.errors import WindtunnelError
from windtunnel.magics import register
from windtunnel.moments import moment
from windtunnel.sandbox import Sandbox, temporary
from windtunnel.session import connect

DAYS = """\
from datetime import UTC, datetime
from airflow.sdk import DAG

with DAG("days", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    pass
"""


def test_arguments_and_exit_codes_are_airflows(up: Sandbox, own: Path) -> None:
    helped = windtunnel(own, "airflow", "backfill", "create", "--help")
    assert (helped.returncode, "--run-backwards" in helped.stdout) == (0, True), helped.stderr
    refused = windtunnel(own, "airflow", "webserver")
    assert refused.returncode != 0, refused.stdout
    assert "api-server" in refused.stdout + refused.stderr


def test_it_is_the_sandbox_that_it_works_on(up: Sandbox, own: Path) -> None:
    shown = windtunnel(own, "airflow", "config", "get-value", "database", "sql_alchemy_conn")
    assert f":{up.state.ports().postgres}/" in shown.stdout, shown.stderr


def test_settings_before_the_command_are_for_it_alone(up: Sandbox, own: Path) -> None:
    asked = ["config", "get-value", "core", "xcom_backend"]
    other = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
    set_once = windtunnel(own, "airflow", f"AIRFLOW__CORE__XCOM_BACKEND={other}", *asked)
    assert set_once.stdout.strip() == other, set_once.stderr
    assert "BaseXCom" in windtunnel(own, "airflow", *asked).stdout


def test_a_sandbox_that_is_down_says_so(up: Sandbox, own: Path) -> None:
    windtunnel(own, "down")
    done = windtunnel(own, "airflow", "version")
    assert done.returncode == 2
    assert "The sandbox is down." in done.stderr
    assert "3.3.2" not in done.stdout


@pytest.fixture(scope="module")
def airflow() -> Iterator[Any]:
    """The magic, on a sandbox whose clock began on 15 February."""
    with temporary(clock=moment("2026-02-15")):
        dagcell.save(connect(), dagcell.Cell(DAYS))
        shell = InteractiveShell.instance(colors="nocolor")
        register(shell)
        yield lambda line: shell.run_line_magic("airflow", line)
        InteractiveShell.clear_instance()


def test_in_a_notebook_it_lives_by_the_sandboxes_clock(
    airflow: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    airflow("backfill create --dag-id days --from-date 2026-02-13 --to-date 2026-02-17 --dry-run")
    printed = capsys.readouterr().out
    found = [day for day in range(13, 18) if f"| 2026-02-{day} 00:00:00+00:00 |" in printed]
    assert found == [13, 14, 15], printed  # and none of the days to come


def test_a_command_without_a_word_is_named_without_its_settings(
    airflow: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    airflow("AIRFLOW__CORE__PARALLELISM=3 db drop-archived --yes")
    assert capsys.readouterr().out.strip() == "airflow db drop-archived: done"


def test_what_airflow_says_last_is_the_error(airflow: Any) -> None:
    with pytest.raises(WindtunnelError, match=r"exit code 1: .*nothing"):
        airflow("backfill create --dag-id nothing --from-date 2026-02-13 --to-date 2026-02-14")
    with pytest.raises(WindtunnelError, match="No closing quotation"):
        airflow("dags list 'x")
