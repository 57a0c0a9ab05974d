"""Users and bindings in a PostgreSQL database, by SQLAlchemy Core.

Theory of operation: the same tables as everywhere, and the same group commit: a
batch is one transaction of two statements, sent to the server in one go. The
server answers in time or is given up (``statement_timeout`` on its side, a
watchdog where it hangs), and a connection that broke is
replaced: what a store does may be done twice, so the batch that noticed is tried
once more, and a restart of the server between two batches is never seen.

PostgreSQL's text holds neither NUL nor octets that are not UTF-8; both are
written with a backslash before them, and so is a backslash.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, ProgrammingError

from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip_server.faults import OperatorError
from sansip_server.stores import schema
from sansip_server.stores.interface import DataRefused, User
from sansip_server.stores.rows import binding_of, binding_row, keys_of, user_of, user_row
from sansip_server.stores.watchdog import Watchdog

__all__ = ["PostgresqlStore"]

_Result = TypeVar("_Result")

# A connection that broke is ours to tell, once.
logging.getLogger("psycopg").setLevel(logging.ERROR)

# Two nodes that start together make the tables once.
_SCHEMA_LOCK = 0x73616E736970
# Rows of bindings fetched at a time when a server starts.
_FETCH = 5_000
# Errors whose cause is the data: numeric value out of range and its like, and
# an index row beyond the limit of size.
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)

_KINDS = {"text": sa.Text, "integer": sa.BigInteger, "real": sa.Double}
_METADATA = sa.MetaData()


def _table(table: schema.Table) -> sa.Table:
    columns: list[sa.Column[Any]] = [
        sa.Column(
            c.name,
            _KINDS[c.kind],
            nullable=not c.required,
            primary_key=c.name in table.key,
            autoincrement=False,
        )
        for c in table.columns
    ]
    return sa.Table(table.name, _METADATA, *columns)


def _upsert(table: sa.Table, source: schema.Table) -> Any:
    statement = insert(table)
    values = {name: statement.excluded[name] for name in source.values}
    return statement.on_conflict_do_update(index_elements=list(source.key), set_=values)


_USERS = _table(schema.USERS)
_BINDINGS = _table(schema.BINDINGS)
_CHANGES = _table(schema.CHANGES)
# A database has no number of its own for the version, as an SQLite file has.
_VERSION = sa.Table("schema_version", _METADATA, sa.Column("version", sa.BigInteger, nullable=False))

_BIND = _upsert(_BINDINGS, schema.BINDINGS)
_PUT = _upsert(_USERS, schema.USERS)
_TRIM = sa.delete(_BINDINGS).where(
    _BINDINGS.c.aor == sa.bindparam("of"), _BINDINGS.c.slot >= sa.bindparam("from")
)
_WANTED = sa.select(_USERS).where(
    sa.tuple_(_USERS.c.realm, _USERS.c.username).in_(sa.bindparam("wanted", expanding=True))
)
_LIVE = sa.select(_BINDINGS).where(
    sa.or_(_BINDINGS.c.expires.is_(None), _BINDINGS.c.expires > sa.bindparam("unix"))
)
_GENERATION = sa.select(_CHANGES.c.number).where(_CHANGES.c.name == "users")
_CHANGED = (
    insert(_CHANGES)
    .values(name="users", number=1)
    .on_conflict_do_update(index_elements=["name"], set_={"number": _CHANGES.c.number + 1})
)


class PostgresqlStore:
    """One database. Its threads share a pool of connections.

    Args:
        url: like ``postgresql+psycopg://user@host/database``; ``postgresql://`` means the same.
        timeout: seconds for one statement, for a connection, and for a silent server.
        password: for a ``url`` without one.

    Raises ``OperatorError`` where the database cannot be used at the start, and
    ``sqlalchemy.exc.DBAPIError`` from the methods.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, password: str | None = None) -> None:
        parsed = _parsed(url)
        self.name = parsed.render_as_string(hide_password=True)
        if password is not None and parsed.password is None:
            parsed = parsed.set(password=password)
        milliseconds = max(int(timeout * 1000), 1)
        self._engine = sa.create_engine(
            parsed,
            pool_size=4,
            max_overflow=0,
            pool_timeout=timeout,
            connect_args={
                "connect_timeout": max(int(timeout), 2),
                # A server that is there no more, and sends nothing to say so.
                "tcp_user_timeout": milliseconds,
                "keepalives_idle": max(int(timeout), 1),
                "application_name": "sansip",
                "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            },
        )
        # A statement's own timeout comes first.
        self._watchdog = Watchdog(timeout + 1.0)
        try:
            self._migrate()
        except DBAPIError as error:
            self._engine.dispose()
            raise OperatorError(f"store {self.name}: {_reason(error)}; {_advice(error)}") from None
        except BaseException:
            self._engine.dispose()
            raise

    def _migrate(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            _VERSION.create(connection, checkfirst=True)
            version = connection.execute(sa.select(_VERSION.c.version)).scalar()
            if version is None:
                _METADATA.create_all(connection)
                connection.execute(sa.insert(_VERSION).values(version=schema.VERSION))
                return
            schema.check_version(version, self.name)
            for number in range(version, schema.VERSION):
                for statement in schema.MIGRATIONS[number]:
                    connection.exec_driver_sql(statement)
            if version != schema.VERSION:
                connection.execute(sa.update(_VERSION).values(version=schema.VERSION))

    def _do(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Do ``work`` in one transaction, again where a connection turned out to be dead."""
        for again in (True, False):
            try:
                # The watch is over before the connection goes back to the pool, or is closed.
                with (
                    self._engine.connect() as connection,
                    self._watchdog.watching(_descriptor(connection)),
                    connection.begin(),
                ):
                    return work(connection)
            except DBAPIError as error:
                if isinstance(error.orig, _REFUSALS):
                    raise DataRefused(_reason(error)) from error
                # SQLAlchemy has thrown the pool's connections away.
                if not (again and error.connection_invalidated):
                    raise
        raise AssertionError("the second attempt returns or raises")

    def close(self) -> None:
        """Close every connection."""
        self._watchdog.close()
        self._engine.dispose()

    # --- users

    def lookup(self, lookups: Sequence[Lookup]) -> list[Mapping[str, str] | None]:
        """Return what is stored of each user."""
        wanted = [(_encode(one.realm), _encode(one.username)) for one in lookups]

        def work(connection: sa.Connection) -> dict[tuple[str, str], Mapping[str, str]]:
            rows = connection.execute(_WANTED, {"wanted": list(dict.fromkeys(wanted))})
            return {(row[0], row[1]): keys_of(row[2:]) for row in rows}

        found = self._do(work)
        return [found.get(key) for key in wanted]

    def generation(self) -> int:
        """Return how often users were changed."""
        return int(self._do(lambda connection: connection.execute(_GENERATION).scalar()) or 0)

    def put_user(self, user: User) -> bool:
        """Add or replace a user; return whether it is new."""
        row = dict(zip(schema.USERS.names, user_row(user, _encode), strict=True))

        def work(connection: sa.Connection) -> bool:
            known = connection.execute(_WANTED, {"wanted": [(row["realm"], row["username"])]}).first()
            connection.execute(_PUT, row)
            connection.execute(_CHANGED)
            return known is None

        return self._do(work)

    def remove_user(self, username: str, realm: str) -> bool:
        """Remove a user; return whether there was one."""
        statement = sa.delete(_USERS).where(
            _USERS.c.realm == _encode(realm), _USERS.c.username == _encode(username)
        )

        def work(connection: sa.Connection) -> bool:
            connection.execute(_CHANGED)
            return connection.execute(statement).rowcount > 0

        return self._do(work)

    def users(self, realm: str | None = None) -> Iterable[User]:
        """Return all users, of one realm or of all, in order."""
        statement = sa.select(_USERS).order_by(_USERS.c.realm, _USERS.c.username)
        if realm is not None:
            statement = statement.where(_USERS.c.realm == _encode(realm))
        rows = self._do(lambda connection: connection.execute(statement).all())
        return [user_of(row, _decode) for row in rows]

    # --- bindings

    def save(self, updates: Sequence[LocationUpdate], offset: float) -> None:
        """Write all updates in one transaction; nothing is written when it fails."""
        # Of several updates of one address-of-record the last holds them all. In
        # order, so that two servers which write the same ones do not lock each other.
        latest = sorted({_encode(update.aor): update for update in updates}.items())
        names = schema.BINDINGS.names
        rows = [
            dict(zip(names, binding_row(binding, slot, offset, _encode), strict=True))
            for _, update in latest
            for slot, binding in enumerate(update.after)
        ]
        counts = [{"of": aor, "from": len(update.after)} for aor, update in latest]

        def work(connection: sa.Connection) -> None:
            if rows:
                connection.execute(_BIND, rows)
            connection.execute(_TRIM, counts)

        self._do(work)

    def bindings(self, unix: float, offset: float) -> Iterable[Binding]:
        """Return what has not expired at ``unix``, with times in the stack's clock."""
        with self._engine.connect() as connection:
            # Reading everything may take longer than any other statement.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            rows = connection.execution_options(yield_per=_FETCH).execute(_LIVE, {"unix": unix})
            for row in rows:
                yield binding_of(row, offset, _decode)

    def forget(self, unix: float) -> int:
        """Delete what had expired by ``unix``; return how many rows that were."""
        statement = sa.delete(_BINDINGS).where(_BINDINGS.c.expires <= unix)
        return self._do(lambda connection: connection.execute(statement).rowcount)


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        # Plain `postgresql://` would ask for a library that nobody installed for us.
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        parsed = None
    if parsed is None or parsed.drivername != "postgresql+psycopg":
        raise OperatorError(
            f"store {re.sub(r'://.*', '://…', url)}: expected a file, or postgresql+psycopg://user@host/database"
        )
    return parsed


def _descriptor(connection: sa.Connection) -> int:
    """Return the socket of a connection. psycopg's own: SQLAlchemy has no name for it."""
    driver: Any = connection.connection.driver_connection
    return int(driver.fileno())


def _reason(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


def _advice(error: DBAPIError) -> str:
    """Return what an operator can do about a database that does not open."""
    text = str(error.orig)
    if "does not exist" in text and "database" in text:
        return "make it with `createdb`"
    if "password" in text or "authentication" in text or "role" in text:
        return "the password comes from store_password_file, PGPASSWORD, ~/.pgpass or the URL"
    if isinstance(error, ProgrammingError):
        return "its user needs the right to create tables: GRANT CREATE ON SCHEMA public TO that user"
    if isinstance(error, OperationalError):
        return "is the database server running, and does it listen there?"
    return "see the database server's log"


# A backslash, NUL, and the lone surrogates that stand for octets that are not UTF-8.
_SPECIAL = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:\\|([0-9a-f]{4}))")


def _encode(value: str) -> str:
    if _SPECIAL.search(value) is None:
        return value
    return _SPECIAL.sub(lambda m: "\\\\" if m[0] == "\\" else f"\\{ord(m[0]):04x}", value)


def _decode(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else "\\", value)
