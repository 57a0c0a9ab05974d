"""Rows in real databases: PostgreSQL, MariaDB, Redis and a Redis cluster, by one contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sansip.rows import Scan
from sansip_server.config.redis import RedisSettings, parse_redis
from sansip_server.rows import RowStore
from sansip_server.rows.redis import RedisRows
from sansip_server.rows.sql import SqlRows
from sansip_server.stores.engine import Engine
from sansip_server.stores.redis_client import RedisClient
from tests.missing import missing
from tests.rows.contract import NEWER, RowContract
from tools.databases import MariadbServer, PostgresqlServer, mariadb_installed, postgresql_programs
from tools.peers import free_port
from tools.redises import HOST, cli, cluster, redis_server

pytestmark = pytest.mark.interop
TABLES = "silo, silo_new, marks, inbox, inbox_new, inbox_old, row_tables"


class _Sql(RowContract):
    @pytest.fixture
    def open_rows(self, server: Any) -> Iterator[Callable[[], RowStore]]:
        server.execute(f"DROP TABLE IF EXISTS {TABLES}")
        engines: list[Engine] = []

        def opens() -> RowStore:
            engines.append(Engine(server.url))
            return SqlRows(engines[-1])

        yield opens
        for engine in engines:
            engine.close()

    def test_a_migration_that_was_killed(self, open_rows: Callable[[], RowStore], server: Any) -> None:
        """The leftovers of a killed migration do not disturb the next one."""
        self._older(open_rows)
        server.execute("CREATE TABLE inbox_new (x INTEGER)")
        self.test_older_rows_are_migrated(open_rows)

    def test_a_migration_that_was_killed_at_its_end(
        self, open_rows: Callable[[], RowStore], server: Any
    ) -> None:
        """The table is the new one and the version the old one: rows are not migrated twice."""
        self.test_older_rows_are_migrated(open_rows)
        if isinstance(server, MariadbServer):
            server.execute("UPDATE row_tables SET version = 1 WHERE name = 'inbox'")
        newer = open_rows()
        newer.prepare([NEWER])
        assert NEWER.row_of(newer.scan(Scan(NEWER))[0]).when == 1.5
        newer.close()


class TestPostgresql(_Sql):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[PostgresqlServer]:
        if postgresql_programs() is None:
            missing("PostgreSQL is not installed (apt install postgresql)")
        with PostgresqlServer(["fsync=off"]) as running:
            yield running


class TestMariadb(_Sql):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[MariadbServer]:
        if not mariadb_installed():
            missing("MariaDB is not installed (apt install mariadb-server)")
        with MariadbServer(["innodb-flush-log-at-trx-commit=0"]) as running:
            yield running


class _Redis(RowContract):
    @pytest.fixture
    def open_rows(self, url: str) -> Iterator[Callable[[], RowStore]]:
        clients: list[RedisClient] = []

        def opens() -> RowStore:
            clients.append(RedisClient(parse_redis(url), RedisSettings(), None))
            return RedisRows(clients[-1], "test")

        yield opens
        for client in clients:
            client.close()


@pytest.mark.needs("redis-server", "redis-cli")
class TestRedis(_Redis):
    @pytest.fixture(scope="class")
    @classmethod
    def port(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
        number = free_port()
        with redis_server(tmp_path_factory.mktemp("redis"), number):
            yield number

    @pytest.fixture
    def url(self, port: int) -> str:
        cli(port, "flushall")
        return f"redis://{HOST}:{port}/0"


@pytest.mark.needs("redis-server", "redis-cli")
class TestRedisCluster(_Redis):
    @pytest.fixture(scope="class")
    @classmethod
    def ports(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
        with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
            yield [port for port, _ in nodes]

    @pytest.fixture
    def url(self, ports: list[int]) -> str:
        for port in ports:
            cli(port, "flushall")
        return f"redis+cluster://{','.join(f'{HOST}:{port}' for port in ports)}"
