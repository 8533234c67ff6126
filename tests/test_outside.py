"""The reader's hold on the outside world, on a real one; and the connections by which pipelines find it."""

import json
import threading
import time

import boto3
import pytest

from windtunnel import airflow_env
from windtunnel.errors import WindtunnelError
from windtunnel.outside import ENDPOINTS, Objects, World
from windtunnel.state import SECRETS, Ports, State
from world import objects
from world.service import address, create_app, listen, server_for

OSLO = {"city": "Oslo", "date": "2026-03-03"}


def client(url):
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )


@pytest.fixture
def world(monkeypatch):
    """The reader's `world`, in front of one that is served for this test."""
    http, s3 = listen(0), listen(0)
    server = server_for(create_app())
    objects.serve(s3)
    serving = threading.Thread(target=server.run, kwargs={"sockets": [http]}, daemon=True)
    serving.start()
    while not server.started:
        time.sleep(0.01)
    monkeypatch.setattr(World, "url", address(http))
    monkeypatch.setattr(Objects, "_client", staticmethod(lambda: client(address(s3))))
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


def test_every_system_has_a_connection(tmp_path):
    (tmp_path / "secrets.json").write_text(json.dumps(dict.fromkeys(SECRETS, "x")))
    ports = Ports(api=1, postgres=2, valkey=3, world=8090, smtp=4, s3=5)
    found = airflow_env.connections(State(tmp_path), ports)
    assert {name for name, value in found.items() if value.get("host") == "http://127.0.0.1:8090"} == {
        *("shop_api", "weather_api", "job_cluster", "dashboard", "chat", "pager", "metrics")
    }
    assert found["smtp_default"]["port"] == 4
    assert found["aws_default"]["extra"]["endpoint_url"] == "http://127.0.0.1:5"


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


def test_an_inbox_shows_what_came_also_while_it_refuses(world):
    world.chat.fails(500, times=1)
    with pytest.raises(WindtunnelError, match="answered 500"):
        world.ask("POST", "services/T0/orders/secret", json={"text": "lost"})
    world.ask("POST", "services/T0/orders/secret", json={"text": "kept"})
    assert [message["text"] for message in world.chat.messages] == ["kept"]
    assert repr(world.chat) == "world.chat: 1 received"
    world.mail.fails(451)
    with pytest.raises(WindtunnelError, match="mail can refuse"):
        world.mail.malformed()


def test_objects_are_stored_found_and_forgotten(world):
    world.s3.put("orders/2026-03-01.csv", "order_id\n")
    world.s3.put("orders/2026-03-02.csv", b"order_id\n", bucket="archive")
    assert (world.s3.keys(), world.s3.keys(bucket="archive")) == (
        ["orders/2026-03-01.csv"],
        ["orders/2026-03-02.csv"],
    )
    assert world.s3.get("orders/2026-03-01.csv") == "order_id\n"
    assert world.s3.keys("customers/") == world.s3.keys(bucket="nowhere") == []
    with pytest.raises(WindtunnelError, match=r"no 'orders/late.csv' in the bucket 'landing'"):
        world.s3.get("orders/late.csv")
    with pytest.raises(WindtunnelError, match="Invalid bucket name"):
        world.s3.put("orders/late.csv", "", bucket="No Bucket")
    world.s3.delete("orders/2026-03-01.csv")
    assert world.s3.keys() == []
    world.reset()
    assert world.s3.keys(bucket="archive") == []
    world.s3.put("again", "", bucket="landing")


def test_orders_come_in_pages_to_whoever_asks_for_them(world):
    days = {"start": "2026-03-01", "end": "2026-03-03"}
    everything = world.orders.get(**days)["orders"]
    pages, page = [], 1
    while page:
        found = world.orders.get(**days, limit="7", page=str(page))
        assert found["total"] == len(everything)
        pages.append(found["orders"])
        page = found["next_page"]
    assert [len(rows) for rows in pages[:-1]] == [7] * (len(pages) - 1)
    assert [row for rows in pages for row in rows] == everything
    with pytest.raises(WindtunnelError, match="422: limit: '0'"):
        world.orders.get(**days, limit="0")
    with pytest.raises(WindtunnelError, match="422: start: 'yesterday'"):
        world.orders.get(start="yesterday", end="2026-03-03")


def test_an_object_storage_that_is_gone_is_one_message(world, monkeypatch):
    gone = listen(0)
    url = address(gone)
    gone.close()
    monkeypatch.setattr(Objects, "_client", staticmethod(lambda: client(url)))
    with pytest.raises(WindtunnelError, match="could not do that: Could not connect"):
        world.s3.keys()
