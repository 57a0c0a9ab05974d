"""One server for a domain's registrations in a database: the log names it, and a dead one has none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sansip_server.faults import OperatorError
from sansip_server.stores import lock_store
from sansip_server.stores.domain_locks import DomainLocks
from sansip_server.stores.engine import Engine
from tests.missing import missing
from tools.databases import (
    MariadbServer,
    PostgresqlServer,
    mariadb_installed,
    postgresql_programs,
)
from tools.peers import Program, free_port

pytestmark = pytest.mark.interop

Database = PostgresqlServer | MariadbServer

HOLD = """
import sys, time
from sansip_server.stores import lock_store
store, lock = lock_store(sys.argv[1], sys.argv[2:])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "postgresql":
        if postgresql_programs() is None:
            missing("PostgreSQL is not installed (apt install postgresql)")
        with PostgresqlServer(["fsync=off"]) as running:
            yield running
    else:
        if not mariadb_installed():
            missing("MariaDB is not installed (apt install mariadb-server)")
        with MariadbServer() as mariadb:
            yield mariadb


class Clock:
    """Each look is a second after the one before."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    made = Engine(database.url)
    yield made
    made.close()


def lock(engine: Engine, *domains: str) -> DomainLocks:
    return DomainLocks(engine, domains, patience=0.0, clock=Clock())


def held(engine: Engine, *domains: str) -> bool:
    """Whether another server would be refused."""
    other = Engine(str(engine._engine.url.render_as_string(hide_password=False)))
    try:
        lock(other, *domains).close()
    except OperatorError:
        return True
    finally:
        other.close()
    return False


def test_one_server_for_a_domain(database: Database, engine: Engine) -> None:
    """Two would write each user's rows whole; those of other domains are not touched."""
    command = [sys.executable, "-c", HOLD, database.url, "biloxi.test", "Other.Test"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(
        OperatorError, match=r"the registrations of biloxi\.test in .* are those of "
    ) as raised:
        lock(engine, "biloxi.test")
    if isinstance(database, PostgresqlServer):
        assert f"process {process.pid} on {os.uname().nodename} since 20" in str(raised.value)
    with pytest.raises(OperatorError, match=r"registrations of other\.test in "):
        lock_store(database.url, ["atlanta.test", "other.test"])
    lock(engine, "atlanta.test").close()
    # kill -9: the session ends with the process, and somebody who starts now waits for that.
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store, again = lock_store(database.url, ["biloxi.test"])
    again.check()
    again.close()
    store.close()


def test_a_session_that_ended(database: Database, engine: Engine) -> None:
    """The database was restarted: the locks are taken again with the next batch."""
    locks = lock(engine, "biloxi.test")
    assert held(engine, "biloxi.test")
    database.kill()
    database.start()
    locks.check()
    assert held(engine, "biloxi.test")
    locks.check()
    locks.close()
    assert not held(engine, "biloxi.test")


def test_another_server_was_quicker(database: Database, engine: Engine) -> None:
    """After the restart it has them, so nothing is written here any more; until it is gone."""
    locks = lock(engine, "biloxi.test")
    database.kill()
    database.start()
    other = Engine(database.url)
    theirs = lock(other, "biloxi.test")
    for _ in range(2):
        with pytest.raises(OSError, match=r"another server has taken biloxi\.test: "):
            locks.check()
    theirs.close()
    other.close()
    locks.check()
    locks.close()


def test_our_own_former_session(engine: Engine) -> None:
    """The network broke on our side alone: the database takes the old session for alive, until we end it."""
    locks = lock(engine, "biloxi.test")
    abandoned, locks._connection = locks._connection, None
    assert abandoned is not None
    with pytest.raises(OSError, match="has taken biloxi"):
        locks.check()
    for _ in range(50):
        try:
            locks.check()
            break
        except OSError:
            continue
    locks.check()
    abandoned.invalidate()
    abandoned.close()
    locks.close()


def test_served(database: Database, tmp_path: Path) -> None:
    """The second ``sansip serve`` ends with status 2 and one line; with another domain it serves."""
    command = [sys.executable, "-m", "sansip_server", "serve", "--store", database.url, "--control", ""]
    first = [*command, "--listen", f"udp:127.0.0.1:{free_port()}", "--domain", "biloxi.test"]
    with Program(first, tmp_path / "first.log", cwd=tmp_path) as running:
        running.wait_for("^ready$")
        listen = ["--listen", f"udp:127.0.0.1:{free_port()}"]
        second = [*command, *listen, "--domain", "biloxi.test"]
        done = subprocess.run(second, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, done.stderr
        assert "the registrations of biloxi.test" in done.stderr
        assert "Traceback" not in done.stderr
        with Program(
            [*command, *listen, "--domain", "atlanta.test"], tmp_path / "other.log", cwd=tmp_path
        ) as other:
            other.wait_for("^ready$")
