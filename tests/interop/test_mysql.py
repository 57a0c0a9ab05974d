"""MariaDB as the store of users and registrations: the contract, and the parts that only MySQL has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from sansip_server.faults import OperatorError
from sansip_server.stores import Store, User, open_store
from tests.missing import missing
from tests.server.store_contract import StoreContract
from tools.databases import MariadbServer, mariadb_installed

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def server() -> Iterator[MariadbServer]:
    if not mariadb_installed():
        missing("MariaDB is not installed (apt install mariadb-server)")
    with MariadbServer(["innodb-flush-log-at-trx-commit=0"]) as running:
        yield running


@pytest.fixture
def url(server: MariadbServer) -> str:
    """The URL of an empty database."""
    server.execute("DROP TABLE IF EXISTS users, bindings, changes, clocks, schema_version")
    return server.url


class TestMariadb(StoreContract):
    @pytest.fixture
    def open_one(self, url: str) -> Callable[[], Store]:
        return lambda: open_store(url)


def test_newer_schema_is_refused(server: MariadbServer, url: str) -> None:
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
        thread.join(40)
    assert not faults


def test_names_are_compared_octet_by_octet(url: str) -> None:
    """MySQL's own collations take ``ALICE``, ``alice `` and ``älice`` for one another; users are not."""
    store = open_store(url)
    try:
        for number, name in enumerate(("alice", "ALICE", "alice ", "älice")):
            assert store.put_user(User(name, "example.com", {"MD5": f"{number:032x}"}))
        assert [user.keys["MD5"][-1] for user in store.users() if user.username == "ALICE"] == ["1"]
        assert len(list(store.users())) == 4
    finally:
        store.close()


@pytest.mark.parametrize(
    ("old", "new", "fix"),
    [
        ("/sansip", "/nowhere", "CREATE DATABASE"),
        ("root@", "root:wrong@", "password"),
        (":{port}", ":1", "running"),
    ],
)
def test_what_cannot_be_opened_names_the_fix(
    server: MariadbServer, url: str, old: str, new: str, fix: str
) -> None:
    """An operator reads what to do, on one line."""
    wrong = url.replace(old.format(port=server.port), new)
    with pytest.raises(OperatorError, match=fix) as caught:
        open_store(wrong, timeout=2.0)
    assert "\n" not in str(caught.value)
