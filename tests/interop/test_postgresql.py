"""The PostgreSQL store against a real server: the contract, two nodes at once, restarts, stubborn data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from sansip.location import LocationUpdate
from sansip_server.faults import OperatorError
from sansip_server.stores import Store, open_store
from tests.missing import missing
from tests.server.store_contract import AOR, FULL, StoreContract
from tools.databases import PostgresqlServer, postgresql_programs

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    if postgresql_programs() is None:
        missing("PostgreSQL is not installed (apt install postgresql)")
    with PostgresqlServer(["fsync=off"]) as running:
        yield running


@pytest.fixture
def url(server: PostgresqlServer) -> str:
    """The URL of an empty database."""
    server.execute("DROP TABLE IF EXISTS users, bindings, changes, clocks, schema_version")
    return server.url


class TestPostgresql(StoreContract):
    @pytest.fixture
    def open_one(self, url: str) -> Callable[[], Store]:
        return lambda: open_store(url)


def test_newer_schema_is_refused(server: PostgresqlServer, url: str) -> None:
    """A database of a newer sansip is not touched, and both versions are named."""
    open_store(url).close()
    server.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(OperatorError, match=r"schema version 99.*knows 3"):
        open_store(url)


def test_two_start_at_once(url: str) -> None:
    """Nodes that find an empty database make the tables once."""
    faults: list[BaseException] = []

    def start() -> None:
        try:
            open_store(url).close()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_restart_between_batches_is_not_seen(server: PostgresqlServer, url: str) -> None:
    """The connection is dead, and the batch goes over another one."""
    store = open_store(url)
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    server.kill()
    server.start()
    store.save([LocationUpdate(AOR, (FULL,), (replace(FULL, cseq=8),))], 0.0)
    assert [one.cseq for one in store.bindings(0.0, 0.0)] == [8]
    store.close()


def test_gone_fails_and_comes_back(server: PostgresqlServer, url: str) -> None:
    """While the server is down a batch fails at once; afterwards another try is enough."""
    store = open_store(url)
    server.kill()
    try:
        with pytest.raises(Exception, match=r"Connection refused|closed the connection"):
            store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    finally:
        server.start()
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    assert list(store.bindings(0.0, 0.0)) == [FULL]
    store.close()


def test_slow_statement_is_given_up(server: PostgresqlServer, url: str) -> None:
    """Another client locks the table: the setting says for how long we wait."""
    store = open_store(url, timeout=0.2)
    with server.connect() as other:
        other.execute("LOCK TABLE bindings")
        with pytest.raises(Exception, match="timeout"):
            store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
        other.rollback()
    store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
    store.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("/postgres", "/nowhere"), 'database "nowhere" does not exist.*createdb'),
        (lambda url: url.replace("sansip@", "nobody:geheim@"), 'role "nobody" does not exist.*PGPASSWORD'),
        (lambda url: "postgresql://sansip:geheim@127.36.0.1:1/x", "refused.*is the database server running"),
    ],
)
def test_faults_name_their_fix(url: str, change: Callable[[str], str], words: str) -> None:
    """One line says what to do, and never shows a password."""
    with pytest.raises(OperatorError, match=words) as raised:
        open_store(change(url))
    assert "geheim" not in str(raised.value)
