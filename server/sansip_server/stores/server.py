"""Users and bindings in a database server, by SQLAlchemy Core: PostgreSQL, MariaDB, MySQL.

Theory of operation: the same tables as everywhere, and the same group commit: a
batch is one transaction of two statements, sent to the server in one go.
``Engine`` has the connections, ``Dialect`` the statements in which databases differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip_server.stores import schema
from sansip_server.stores.clocks import Clocks, Reading, spent
from sansip_server.stores.dialects import Dialect, decode_text, encode_text
from sansip_server.stores.engine import Engine
from sansip_server.stores.interface import DataRefused, User
from sansip_server.stores.rows import binding_of, binding_row, keys_of, user_of, user_row

__all__ = ["ServerStore"]

# Rows of bindings fetched at a time when a server starts.
_FETCH = 5_000
# Servers that may notice a step of the same clock at once.
_ATTEMPTS = 8


class _Statements:
    """The tables and statements in one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.metadata = sa.MetaData()
        self.users = self._table(schema.USERS, dialect)
        self.bindings = self._table(schema.BINDINGS, dialect)
        self.changes = self._table(schema.CHANGES, dialect)
        self.clocks = self._table(schema.CLOCKS, dialect)
        # A database has no number of its own for the version, as an SQLite file has.
        self.version = sa.Table(
            "schema_version", self.metadata, sa.Column("version", sa.BigInteger, nullable=False)
        )
        self.bind = dialect.upsert(self.bindings, schema.BINDINGS.key)
        self.put = dialect.upsert(self.users, schema.USERS.key)
        bindings, users = self.bindings.c, self.users.c
        self.trim = sa.delete(self.bindings).where(
            bindings.aor == sa.bindparam("of"), bindings.slot >= sa.bindparam("from")
        )
        self.wanted = sa.select(self.users).where(
            sa.tuple_(users.realm, users.username).in_(sa.bindparam("wanted", expanding=True))
        )
        self.every = sa.select(self.bindings)
        self.readings = sa.select(self.clocks).order_by(self.clocks.c.id)
        changes = self.changes.c
        self.generation = sa.select(changes.number).where(changes.name == "users")
        count = dialect.upsert(self.changes, schema.CHANGES.key, {"number": changes.number + 1})
        self.changed = count.values(name="users", number=1)

    def _table(self, table: schema.Table, dialect: Dialect) -> sa.Table:
        keys = sum(column.kind == "text" for column in table.columns if column.name in table.key)
        columns: list[sa.Column[Any]] = [
            sa.Column(
                c.name,
                dialect.column(c.kind, keys=keys if c.name in table.key else 0),
                nullable=not c.required,
                primary_key=c.name in table.key,
                autoincrement=False,
            )
            for c in table.columns
        ]
        return sa.Table(table.name, self.metadata, *columns)


class ServerStore:
    """One database. Its threads share a pool of connections.

    Args:
        url: like ``postgresql+psycopg://user@host/database`` or ``mysql+pymysql://user@host/database``.
        timeout: seconds for one statement, for a connection, and for a silent server.
        password: for a ``url`` without one.

    Raises ``OperatorError`` if the database cannot be used at the start, and
    ``sqlalchemy.exc.DBAPIError`` from the methods.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, password: str | None = None) -> None:
        self.engine = Engine(url, timeout=timeout, password=password)
        self.name = self.engine.name
        self._do = self.engine.do
        self._statements = _Statements(self.engine.dialect)
        self._migrate()

    def _migrate(self) -> None:
        statements = self._statements
        with self.engine.opening() as connection:
            statements.version.create(connection, checkfirst=True)
            version = connection.execute(sa.select(statements.version.c.version)).scalar()
            if version is None:
                statements.metadata.create_all(connection)
                connection.execute(sa.insert(statements.version).values(version=schema.VERSION))
                return
            schema.check_version(version, self.name)
            for number in range(version, schema.VERSION):
                for statement in schema.MIGRATIONS[number]:
                    connection.exec_driver_sql(statement)
            statements.metadata.create_all(connection)
            if version != schema.VERSION:
                connection.execute(sa.update(statements.version).values(version=schema.VERSION))

    def close(self) -> None:
        """Close every connection."""
        self.engine.close()

    # --- users

    def lookup(self, lookups: Sequence[Lookup]) -> list[Mapping[str, str] | None]:
        """Return the stored keys of each user."""
        wanted = [(encode_text(one.realm), encode_text(one.username)) for one in lookups]

        def work(connection: sa.Connection) -> dict[tuple[str, str], Mapping[str, str]]:
            rows = connection.execute(self._statements.wanted, {"wanted": list(dict.fromkeys(wanted))})
            return {(row[0], row[1]): keys_of(row[2:]) for row in rows}

        found = self._do(work)
        return [found.get(key) for key in wanted]

    def generation(self) -> int:
        """Return the number of changes of users."""
        return int(self._do(lambda connection: connection.execute(self._statements.generation).scalar()) or 0)

    def put_user(self, user: User) -> bool:
        """Add or replace a user; return whether it is new."""
        row = dict(zip(schema.USERS.names, user_row(user, encode_text), strict=True))

        def work(connection: sa.Connection) -> bool:
            known = connection.execute(
                self._statements.wanted, {"wanted": [(row["realm"], row["username"])]}
            ).first()
            connection.execute(self._statements.put, row)
            connection.execute(self._statements.changed)
            return known is None

        return self._do(work)

    def remove_user(self, username: str, realm: str) -> bool:
        """Remove a user; return whether there was one."""
        statement = sa.delete(self._statements.users).where(
            self._statements.users.c.realm == encode_text(realm),
            self._statements.users.c.username == encode_text(username),
        )

        def work(connection: sa.Connection) -> bool:
            connection.execute(self._statements.changed)
            return connection.execute(statement).rowcount > 0

        return self._do(work)

    def users(self, realm: str | None = None) -> Iterable[User]:
        """Return all users, of one realm or of all, in order."""
        statement = sa.select(self._statements.users).order_by(
            self._statements.users.c.realm, self._statements.users.c.username
        )
        if realm is not None:
            statement = statement.where(self._statements.users.c.realm == encode_text(realm))
        rows = self._do(lambda connection: connection.execute(statement).all())
        return [user_of(row, decode_text) for row in rows]

    # --- bindings

    def readings(self) -> list[Reading]:
        """Return every reading of the clock, in order."""
        rows = self._do(lambda connection: connection.execute(self._statements.readings).all())
        return [Reading(*row) for row in rows]

    def note_reading(self, boot: str, zero: float) -> Reading:
        """Keep a new reading of the clock."""
        clocks = self._statements.clocks

        def work(connection: sa.Connection) -> Reading:
            last = connection.execute(sa.select(sa.func.max(clocks.c.id))).scalar() or 0
            reading = Reading(int(last) + 1, boot, zero)
            connection.execute(sa.insert(clocks).values(reading._asdict()))
            return reading

        for _ in range(_ATTEMPTS):
            try:
                return self._do(work)
            except DataRefused:
                # Another server took the number at the same time.
                continue
        return self._do(work)

    def save(self, updates: Sequence[LocationUpdate], offset: float, clock: int | None = None) -> None:
        """Write all updates in one transaction; nothing is written when it fails."""
        # Of several updates of one address-of-record the last holds them all. In
        # order, so that two servers which write the same ones do not lock each other.
        latest = sorted({encode_text(update.aor): update for update in updates}.items())
        names = schema.BINDINGS.names
        rows = [
            dict(zip(names, binding_row(binding, slot, offset, encode_text, clock), strict=True))
            for _, update in latest
            for slot, binding in enumerate(update.after)
        ]
        counts = [{"of": aor, "from": len(update.after)} for aor, update in latest]

        def work(connection: sa.Connection) -> None:
            if rows:
                connection.execute(self._statements.bind, rows)
            connection.execute(self._statements.trim, counts)

        self._do(work)

    def bindings(self, unix: float, offset: float, boot: str = "") -> Iterable[Binding]:
        """Return the bindings that have not expired at ``unix``, with times in the stack's clock."""
        clocks = Clocks(self.readings(), boot, offset)
        with self.engine.connect() as connection:
            self.engine.dialect.unbound(connection)
            rows = connection.execution_options(yield_per=_FETCH).execute(self._statements.every)
            for row in rows:
                binding = binding_of(row, clocks, decode_text)
                if binding.expires_at > unix - offset:
                    yield binding

    def count(self) -> int:
        """Return how many bindings are stored."""
        statement = sa.select(sa.func.count()).select_from(self._statements.bindings)
        return int(self._do(lambda connection: connection.execute(statement).scalar()) or 0)

    def forget(self, unix: float, offset: float = 0.0, boot: str = "") -> int:
        """Delete the bindings that had expired by ``unix``; return their number."""
        readings = self.readings()
        clocks = Clocks(readings, boot, offset)
        bindings = self._statements.bindings

        def work(connection: sa.Connection) -> int:
            used = [clock for (clock,) in connection.execute(sa.select(bindings.c.clock).distinct())]
            gone = 0
            for clock in used:
                due = unix - offset + clocks.shifts(clock)[0]
                statement = sa.delete(bindings).where(bindings.c.clock == clock, bindings.c.expires <= due)
                gone += connection.execute(statement).rowcount
            old = spent(readings, used, boot)
            if old:
                connection.execute(
                    sa.delete(self._statements.clocks).where(self._statements.clocks.c.id.in_(old))
                )
            return gone

        return self._do(work)
