"""What docker-compose.yaml and its image promise, as far as reading tells; `tests/compose/smoke` tries the rest."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
LONG_LIVED = sorted(set(SERVICES) - {"init"})
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("windtunnel:"))


@pytest.mark.parametrize("name", LONG_LIVED)
def test_a_service_is_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid"} & service.keys()
    assert not any("docker.sock" in volume for volume in service.get("volumes") or [])


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) >= 2
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_image_has_a_tag_that_names_a_version() -> None:
    base = re.findall(r"^FROM (\S+)", (ROOT / "sandbox/Dockerfile").read_text(), re.MULTILINE)
    for image in [service["image"] for service in SERVICES.values()] + base:
        assert re.search(r":v?\d+\.?\d*", image), image


@pytest.mark.parametrize("name", OURS)
def test_airflow_runs_as_the_reader_and_not_as_root(name: str) -> None:
    assert SERVICES[name]["user"] == "${AIRFLOW_UID:-50000}:0"


def test_no_secret_is_written_down() -> None:
    found = {
        (name, key): str(value)
        for name, service in SERVICES.items()
        for key, value in (service.get("environment") or {}).items()
        if re.search(r"PASSWORD$|SECRET|TOKEN|KEY$|_CONN(_|$)", key)
    }
    assert len(found) > 40
    for (name, key), value in found.items():
        named = re.findall(r'"password": "([^$][^"]*)|//[^:]*:([^$@]+)@', value)
        assert value.startswith(("${", "{", "postgresql+psycopg2://airflow:${")), (name, key)
        assert set(filter(None, sum(named, ()))) <= {"is-asked-for"}, (
            name,
            key,
        )  # the storage asks for no key


def test_the_image_takes_in_no_secret_and_nobody_s_work() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".env*", "work", ".git", ".venv"} <= set(ignored)


def test_every_connection_of_the_sandbox_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from windtunnel.airflow_env import connections
    from windtunnel.state import Ports, State

    monkeypatch.setattr(
        State, "secrets", lambda _: dict.fromkeys(("warehouse", "source", "valkey", "reader"), "x")
    )
    wanted = connections(State(tmp_path), Ports(1, 2, 3, 4, 5, 6))
    environment = SERVICES["lab"]["environment"]
    given = {
        name.removeprefix("AIRFLOW_CONN_").lower() for name in environment if name.startswith("AIRFLOW_CONN_")
    }
    assert given == set(wanted) - {"valkey"}  # the cache is Celery's broker there


def test_a_component_without_a_heartbeat_is_not_healthy() -> None:
    """Nothing answers here, so every check has to say no, with a reason, and without a traceback."""
    script = ROOT / "sandbox/image/healthy.py"
    names = [
        key.value
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    ]
    checked = {
        service["healthcheck"]["test"][-1]
        for name, service in SERVICES.items()
        if name in OURS and name != "init"
    }
    assert checked <= set(names)
    nowhere = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://a:b@127.0.0.1:9/a",
        "AIRFLOW__CELERY__BROKER_URL": "redis://127.0.0.1:9/0",
    }
    for name in ("scheduler", "worker"):
        done = subprocess.run(
            [sys.executable, script, name],
            capture_output=True,
            text=True,
            env=os.environ | nowhere,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout.startswith(f"{name}: ")
        assert "Traceback" not in done.stdout + done.stderr
