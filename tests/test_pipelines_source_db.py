"""Reading over several connections, on a real Postgres that allows five of them."""

from contextlib import closing

import psycopg2
import pytest

from pipelines import source_db
from windtunnel import airflow_env, warehouse
from windtunnel.postgres import Postgres
from windtunnel.session import connect

OPEN = "select count(*) as open from pg_stat_activity where usename = 'source'"


@pytest.fixture(scope="module")
def postgres(sandbox):
    connect()
    warehouse("""
        create table till as select id from generate_series(1, 100) as id;
        create table secret as select 1 as id;
        grant select on till to source
    """)
    return Postgres(sandbox.state, sandbox.state.ports().postgres)


@pytest.fixture
def source(postgres):
    """Makes connections as tasks do that use source_db."""

    def connection():
        return postgres.connect(postgres.state.database("warehouse"), "source")

    return connection


def test_the_connection_of_tasks_is_that_role_on_the_warehouse(sandbox):
    found = airflow_env.connections(sandbox.state, sandbox.state.ports())["source_db"]
    assert (found["login"], found["schema"]) == ("source", "warehouse")


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_every_row_is_read_once_however_many_parts_there_are(source, parts):
    assert source_db.read(source, "till", parts=parts) == 100


def test_the_sixth_connection_is_refused_and_the_other_five_are_given_back(source):
    with pytest.raises(psycopg2.OperationalError, match='too many connections for role "source"'):
        source_db.read(source, "till", parts=6)
    assert source_db.read(source, "till", parts=5) == 100


def test_the_connections_are_held_while_it_reads(source):
    seen = []

    def counted():
        made = source()
        seen.append(int(warehouse(OPEN)["open"][0]))
        return made

    source_db.read(counted, "till", parts=3)
    assert seen == [1, 2, 3]


def test_it_may_read_what_it_was_granted_and_write_nothing(source):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        source_db.read(source, "secret")
    connection = source()
    with closing(connection), connection.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
        cursor.execute("insert into till values (101)")
    assert refused.type in (psycopg2.errors.ReadOnlySqlTransaction, psycopg2.errors.InsufficientPrivilege)
