"""One server for the registrations of a domain in one database: locks that end with their connection.

Theory of operation: as with a file (``lock``), two servers that register the same users would overwrite each
other's rows. Servers of different domains do not, and may share a database. So a server holds one advisory
lock for each of its domains, in a session of its own. The database releases them when that session ends: with
the process, however it ends, or when the database is restarted. Before a batch, and once a second at most,
the server checks the session. If the session is gone, the server takes the locks anew; if another server has
them by then, it writes nothing any more.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sansip_server.faults import OperatorError
from sansip_server.stores.dialects import Dialect
from sansip_server.stores.engine import Engine, reason

__all__ = ["DomainLocks"]

# Seconds to wait for the session of a process that was killed, and between two attempts.
PATIENCE = 2.0
_PAUSE = 0.1
# Seconds for which a session that was looked at counts as alive.
_FRESH = 1.0
# The first half of the key of an advisory lock in PostgreSQL ("sans").
_SPACE = 0x73616E73


class _Session(Protocol):
    """The statements of one dialect. ``holder`` gives a session's number and its owner, for people."""

    def begin(self, connection: sa.Connection) -> int: ...
    def take(self, connection: sa.Connection, domain: str) -> bool: ...
    def holder(self, connection: sa.Connection, domain: str) -> tuple[int, str] | None: ...
    def end(self, connection: sa.Connection, number: int) -> None: ...


class _Postgresql:
    _HOLDER = sa.text(
        "SELECT a.pid, a.application_name, a.backend_start FROM pg_locks l JOIN pg_stat_activity a"
        " ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND l.classid = CAST(:space AS oid)"
        " AND l.objid = CAST(CAST(hashtext(:domain) AS bigint) & 4294967295 AS oid)"
    )

    def begin(self, connection: sa.Connection) -> int:
        settings = {
            "application_name": f"sansip process {os.getpid()} on {socket.gethostname()}"[:63],
            # A machine that lost its power sends nothing: the database asks it, and releases its locks.
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        }
        for name, value in settings.items():
            statement = sa.text("SELECT set_config(:name, :value, false)")
            connection.execute(statement, {"name": name, "value": value})
        return int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())

    def take(self, connection: sa.Connection, domain: str) -> bool:
        statement = sa.text("SELECT pg_try_advisory_lock(:space, hashtext(:domain))")
        return bool(connection.execute(statement, {"space": _SPACE, "domain": domain}).scalar())

    def holder(self, connection: sa.Connection, domain: str) -> tuple[int, str] | None:
        row = connection.execute(self._HOLDER, {"space": _SPACE, "domain": domain}).first()
        if row is None:
            return None
        since = "" if row[2] is None else f" since {row[2]:%Y-%m-%d %H:%M:%S %Z}"
        return int(row[0]), f"{row[1].removeprefix('sansip ') or 'another session'}{since}"

    def end(self, connection: sa.Connection, number: int) -> None:
        connection.execute(sa.text("SELECT pg_terminate_backend(:number)"), {"number": number})


class _Mysql:
    def begin(self, connection: sa.Connection) -> int:
        return int(connection.execute(sa.text("SELECT CONNECTION_ID()")).scalar_one())

    def take(self, connection: sa.Connection, domain: str) -> bool:
        statement = sa.text("SELECT GET_LOCK(:name, 0)")
        return connection.execute(statement, {"name": self._name(connection, domain)}).scalar() == 1

    def holder(self, connection: sa.Connection, domain: str) -> tuple[int, str] | None:
        name = {"name": self._name(connection, domain)}
        number = connection.execute(sa.text("SELECT IS_USED_LOCK(:name)"), name).scalar()
        if number is None:
            return None
        statement = sa.text("SELECT host FROM information_schema.processlist WHERE id = :number")
        host = connection.execute(statement, {"number": number}).scalar()
        return int(number), f"session {number}" + (f" from {host}" if host else "")

    def end(self, connection: sa.Connection, number: int) -> None:
        connection.exec_driver_sql(f"KILL {int(number)}")

    def _name(self, connection: sa.Connection, domain: str) -> str:
        """Return the name of a lock: they are the whole server's, and have 64 characters."""
        text = f"{connection.engine.url.database} {domain}".encode()
        return f"sansip {blake2b(text, digest_size=20).hexdigest()}"


_SESSIONS: dict[str, _Session] = {"postgresql": _Postgresql(), "mysql": _Mysql()}


class DomainLocks:
    """The locks of ``domains`` in the database of ``engine``, held from here on until ``close``.

    Raises OperatorError, with the holder, if another server has one of them.
    """

    def __init__(
        self,
        engine: Engine,
        domains: Sequence[str],
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._domains = sorted({domain.lower() for domain in domains})
        self._clock = clock
        self._session = _session(engine.dialect)
        self._connection: sa.Connection | None = None
        # The number of the session that has, or had, the locks.
        self._number = 0
        self._looked = float("-inf")
        left = patience
        try:
            while (taken := self._take()) is not None:
                if left <= 0:
                    domain, who = taken
                    raise OperatorError(
                        f"the registrations of {domain} in {engine.name} are those of {who}; two servers"
                        " would overwrite each other's: stop that one, share them by `location`"
                        " (docs/cluster.md), or give this one another database"
                    )
                sleep(_PAUSE)
                left -= _PAUSE
        except DBAPIError as error:
            raise OperatorError(f"store {engine.name}: {reason(error)}") from None

    def check(self) -> None:
        """Raise OSError, or the database's error, unless the locks are held, or could be taken again."""
        if self._clock() - self._looked < _FRESH:
            return
        if self._connection is not None:
            try:
                with self._engine.watching(self._connection):
                    self._connection.execute(sa.text("SELECT 1"))
            except DBAPIError:
                self._drop()
        if self._connection is None:
            taken = self._take()
            if taken is not None:
                raise OSError(errno.EBUSY, f"another server has taken {taken[0]}: {taken[1]}")
        self._looked = self._clock()

    def close(self) -> None:
        """Release the locks."""
        self._drop()

    def _take(self) -> tuple[str, str] | None:
        """Take all locks in a new session; else return a domain that another server has, and its holder."""
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with self._engine.watching(connection):
                number = self._session.begin(connection)
                taken = self._taken(connection)
        except BaseException:
            _discard(connection)
            raise
        if taken is not None:
            _discard(connection)
            return taken
        self._connection, self._number = connection, number
        self._looked = self._clock()
        return None

    def _taken(self, connection: sa.Connection) -> tuple[str, str] | None:
        session = self._session
        for domain in self._domains:
            if session.take(connection, domain):
                continue
            held = session.holder(connection, domain)
            if held is not None and held[0] == self._number:
                # Our own former session, which the database believes to be alive.
                session.end(connection, self._number)
            return domain, "another server" if held is None else held[1]
        return None

    def _drop(self) -> None:
        if self._connection is not None:
            _discard(self._connection)
            self._connection = None


def _session(dialect: Dialect) -> _Session:
    return _SESSIONS[dialect.name]


def _discard(connection: sa.Connection) -> None:
    """End a session: in the pool it would go on holding its locks."""
    with suppress(DBAPIError):
        connection.invalidate()
    connection.close()
