"""Connections to a database server, by SQLAlchemy: PostgreSQL, MariaDB, MySQL.

Theory of operation: work is a function of a connection, done in one transaction. A database
server that does not answer in time is given up: by its own limit for statements if it has one, by
a watchdog or the driver's limit if it hangs. A connection that broke is replaced. Rows may be
written twice, so the batch that met the broken connection is tried once more, and the stack never
sees a restart of the database server between two batches.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)

from sansip_server.faults import OperatorError
from sansip_server.stores.dialects import MYSQL, POSTGRESQL, Dialect
from sansip_server.stores.interface import DataRefused
from sansip_server.stores.watchdog import Watchdog

__all__ = ["Engine", "reason"]

_Result = TypeVar("_Result")

# This file reports a broken connection itself, once.
logging.getLogger("psycopg").setLevel(logging.ERROR)

_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "postgresql", POSTGRESQL),
    "postgres": ("postgresql+psycopg", "postgresql", POSTGRESQL),
    "postgresql+psycopg": ("postgresql+psycopg", "postgresql", POSTGRESQL),
    "mysql": ("mysql+pymysql", "mysql", MYSQL),
    "mysql+pymysql": ("mysql+pymysql", "mysql", MYSQL),
    "mariadb": ("mariadb+pymysql", "mysql", MYSQL),
    "mariadb+pymysql": ("mariadb+pymysql", "mysql", MYSQL),
}
# MySQL's numbers for data that it cannot hold: too long, out of range, a key beyond its limit.
_REFUSED = frozenset((1069, 1071, 1153, 1264, 1366, 1406, 1690, 1713, 3780))


class Engine:
    """One database. Its threads share a pool of connections.

    Args:
        url: like ``postgresql+psycopg://user@host/database`` or ``mysql+pymysql://…``, also
            without the driver.
        timeout: seconds for one statement, for a connection, and for a silent server.
        password: for a ``url`` without one.

    Raises ``OperatorError`` for a URL of an unsupported database, or if its driver is not installed.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, password: str | None = None) -> None:
        parsed, self.dialect = _parsed(url)
        self.name = parsed.render_as_string(hide_password=True)
        if password is not None and parsed.password is None:
            parsed = parsed.set(password=password)
        self._engine = sa.create_engine(
            parsed,
            # Readers, the writer, and the session that holds the locks.
            pool_size=5,
            max_overflow=0,
            pool_timeout=timeout,
            connect_args=_connect_args(self.dialect, timeout),
        )
        # A statement's own timeout comes first.
        self._watchdog = Watchdog(timeout + 1.0)

    def do(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Do ``work`` in one transaction; do it again if the connection turned out to be dead.

        Raises ``DataRefused`` for data that the database cannot hold, and ``sqlalchemy.exc.DBAPIError``.
        """
        for again in (True, False):
            try:
                # The watch ends before the connection goes back to the pool, or is closed.
                with (
                    self._engine.connect() as connection,
                    self.watching(connection),
                    connection.begin(),
                ):
                    return work(connection)
            except DBAPIError as error:
                if _refused(error):
                    raise DataRefused(reason(error)) from error
                # SQLAlchemy has thrown the pool's connections away.
                if not (again and error.connection_invalidated):
                    raise
        raise AssertionError("the second attempt returns or raises")

    def watching(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Break ``connection`` if the block takes too long, because a server that hangs sends no error."""
        return self._watchdog.watching(_descriptor(connection))

    def connect(self) -> sa.Connection:
        """Return a connection without a time limit, for reading everything."""
        return self._engine.connect()

    @contextlib.contextmanager
    def opening(self) -> Iterator[sa.Connection]:
        """Give a connection for making tables; no other server makes any meanwhile.

        If the dialect is transactional, an exception leaves the database as it was. If the database cannot be
        used, this closes the engine and raises ``OperatorError`` with the remedy.
        """
        try:
            with self._engine.connect() as connection, connection.begin():
                # An older database may need longer than any statement later on.
                self.dialect.unbound(connection)
                self.dialect.lock(connection)
                try:
                    yield connection
                finally:
                    self.dialect.unlock(connection)
        except DBAPIError as error:
            self.close()
            raise OperatorError(
                f"store {self.name}: {reason(error)}; {_advice(error, self.dialect)}"
            ) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._watchdog.close()
        self._engine.dispose()


def _connect_args(dialect: Dialect, timeout: float) -> dict[str, Any]:
    milliseconds = max(int(timeout * 1000), 1)
    if dialect is MYSQL:
        # PyMySQL bounds each wait for the server itself.
        seconds = max(int(timeout), 2)
        return {
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "write_timeout": seconds,
            "program_name": "sansip",
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {max(int(timeout), 1)},"
            " sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES'",
            "charset": "utf8mb4",
        }
    return {
        "connect_timeout": max(int(timeout), 2),
        # For a server that is gone, and sends nothing to say so.
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": max(int(timeout), 1),
        "application_name": "sansip",
        "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
    }


def _parsed(url: str) -> tuple[sa.URL, Dialect]:
    try:
        parsed = sa.make_url(url)
        driver, extra, dialect = _DRIVERS[parsed.drivername]
        # Plain `postgresql://` would make SQLAlchemy import a library that our extra does not install.
        parsed = parsed.set(drivername=driver)
        parsed.get_dialect()
    except (ArgumentError, KeyError, NoSuchModuleError, ValueError):
        raise OperatorError(
            f"store {re.sub(r'://.*', '://…', url)}: expected a file, postgresql+psycopg://user@host/database"
            " or mysql+pymysql://user@host/database"
        ) from None
    try:
        import_module(driver.partition("+")[2])
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"store {parsed.render_as_string(hide_password=True)}: {error.name} is not installed;"
            f" pip install 'sansip[{extra}]'"
        ) from None
    return parsed, dialect


def _descriptor(connection: sa.Connection) -> int:
    """Return the socket of a connection: the drivers' own, SQLAlchemy has no name for it."""
    driver: Any = connection.connection.driver_connection
    return int(driver.fileno() if hasattr(driver, "fileno") else driver._sock.fileno())


def _refused(error: DBAPIError) -> bool:
    """Whether the data is at fault: out of range, or beyond a limit of size."""
    if isinstance(error, DataError | IntegrityError):
        return True
    number = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return type(error.orig).__name__ == "ProgramLimitExceeded" or number in _REFUSED


def reason(error: DBAPIError) -> str:
    """Return the database's message, on one line."""
    return " ".join(str(error.orig).split())


def _advice(error: DBAPIError, dialect: Dialect) -> str:
    """Return the remedy for a database that does not open."""
    text = str(error.orig)
    if ("does not exist" in text and "database" in text) or "Unknown database" in text:
        return "make it with `createdb`" if dialect is POSTGRESQL else "make it with `CREATE DATABASE`"
    if "password" in text or "authentication" in text or "role" in text or "Access denied" in text:
        elsewhere = "PGPASSWORD, ~/.pgpass or the URL" if dialect is POSTGRESQL else "or the URL"
        return f"the password comes from store_password_file, {elsewhere}"
    if isinstance(error, ProgrammingError):
        where = "SCHEMA public" if dialect is POSTGRESQL else "its database"
        return f"its user needs the right to create tables: GRANT CREATE ON {where} TO that user"
    if isinstance(error, OperationalError):
        return "is the database server running, and does it listen there?"
    return "see the database server's log"
