"""The reader's hold on the outside world, on a real one; and the connections by which pipelines find it."""

import json
import threading
import time

import pytest

from windtunnel import airflow_env
from windtunnel.errors import WindtunnelError
from windtunnel.outside import ENDPOINTS, World
from windtunnel.state import SECRETS, Ports, State
from world.service import address, create_app, listen, server_for

OSLO = {"city": "Oslo", "date": "2026-03-03"}


@pytest.fixture
def world(monkeypatch):
    """The reader's `world`, in front of one that is served for this test."""
    listening = listen(0)
    server = server_for(create_app())
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    serving.start()
    while not server.started:
        time.sleep(0.01)
    monkeypatch.setattr(World, "url", address(listening))
    yield World()
    server.should_exit = True
    serving.join()


def test_every_system_has_a_name_that_can_be_broken_and_mended(world):
    for name, path in ENDPOINTS.items():
        endpoint = getattr(world, name)
        assert endpoint.path == path
        endpoint.fails(503)
        with pytest.raises(WindtunnelError, match=f"/{path} answered 503"):
            endpoint.get()
    world.mend()
    assert world.orders.get(start="2026-03-01", end="2026-03-02")["orders"]


def test_an_endpoint_leaves_out_rows_until_it_is_mended(world):
    def orders():
        return world.orders.get(start="2026-03-01", end="2026-03-02")["orders"]

    healthy = orders()
    world.orders.leaves_out(2)
    assert orders() == healthy[:-2]
    world.orders.leaves_out()
    assert orders() == []
    world.mend()
    assert orders() == healthy


def test_the_weather_refuses_as_often_as_it_is_told(world):
    world.weather.fails(429, times=1)
    with pytest.raises(WindtunnelError, match="/weather answered 429"):
        world.weather.get(**OSLO)
    assert world.weather.get(**OSLO)["city"] == "Oslo"


def test_the_shop_and_the_weather_have_connections_to_the_world(tmp_path):
    (tmp_path / "secrets.json").write_text(json.dumps(dict.fromkeys(SECRETS, "x")))
    found = airflow_env.connections(State(tmp_path), Ports(api=1, postgres=2, valkey=3, world=8090))
    assert {name for name, value in found.items() if value["host"] == "http://127.0.0.1:8090"} == {
        *("shop_api", "weather_api")
    }


def test_an_unknown_system_is_refused_with_the_known_ones(world):
    with pytest.raises(WindtunnelError, match=r"no 'order'. Did you mean world.orders\?") as caught:
        world.order  # noqa: B018
    assert "crm" in caught.value.next_step
    assert "pager" in caught.value.next_step


def test_it_is_down_for_a_while_limits_calls_and_garbles(world):
    world.weather.down(for_="0.5s")
    with pytest.raises(WindtunnelError, match="answered 503"):
        world.weather.get(**OSLO)
    time.sleep(0.6)
    assert world.weather.get(**OSLO)
    world.weather.rate_limit(1)
    world.weather.get(**OSLO)
    with pytest.raises(WindtunnelError, match="answered 429"):
        world.weather.get(**OSLO)
    world.reviews.empty(times=1)
    assert world.reviews.get(date="2026-03-01") == {"reviews": []}
    world.reviews.malformed()
    with pytest.raises(WindtunnelError, match="is not JSON"):
        world.reviews.get(date="2026-03-01")


@pytest.mark.parametrize("how_long", ["soon", "10 parsecs", "", "0min"])
def test_a_length_of_time_that_is_none_is_refused(world, how_long):
    with pytest.raises(WindtunnelError, match="no length of time"):
        world.orders.down(for_=how_long)


def test_inboxes_show_what_came_and_a_reset_empties_them(world):
    world.ask("POST", "services/T0/orders/secret", json={"text": "late"})
    world.ask("POST", "pager/pages", json={"summary": "wake up"})
    assert [message["text"] for message in world.chat.messages] == ["late"]
    assert [page["summary"] for page in world.pager.messages] == ["wake up"]
    world.reset()
    assert (world.chat.messages, world.pager.messages, world.metrics.messages) == ([], [], [])
