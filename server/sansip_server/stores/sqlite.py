"""Users and bindings in one SQLite file, the embedded default.

Theory of operation: write-ahead logging, so that looking up a user never waits
for a registration being written. A batch of registrations is one transaction:
its cost is one flush to disk, however many phones wait for it (group commit). Rows of modules that wait at
the same time are in it, too (``save``).
With ``full`` synchronisation a 200 survives a power failure, with ``normal`` only the death of
the process. An address-of-record is written as a whole, because it has few bindings.

SQLite continues to write into a file that was deleted or replaced, and keeps its old view of a file that was
restored in place. So before each batch the server compares the name with the open file, and after a failure
it opens everything anew: the operator repairs the file, and the server goes on.

The store calls ``sqlite3`` directly: through SQLAlchemy a lone registration would cost 75 µs
more, and one of a batch of sixteen 15 µs more (docs/stores.md).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip_server.stores.clocks import Clocks, Reading, spent
from sansip_server.stores.interface import DataRefused, Replaced, User
from sansip_server.stores.rows import binding_of, binding_row, keys_of, user_of, user_row
from sansip_server.stores.schema import (
    BINDINGS,
    CHANGES,
    MIGRATIONS,
    TABLES,
    USERS,
    VERSION,
    Table,
    check_version,
)

__all__ = ["REFUSALS", "SqliteStore", "decode", "encode", "is_busy", "transaction"]

# The beginning of an SQLite file.
_MAGIC = b"SQLite format 3\0"
# The errors for data that a database cannot hold; any other error is a fault of the database.
REFUSALS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
)


def _create(table: Table) -> str:
    columns = [f"{c.name} {c.kind.upper()}{' NOT NULL' if c.required else ''}" for c in table.columns]
    # Rows lie in the order of their key, so there is no index beside them to write.
    columns.append(f"PRIMARY KEY ({', '.join(table.key)})")
    return f"CREATE TABLE {table.name} ({', '.join(columns)}) WITHOUT ROWID"


def _upsert(table: Table) -> str:
    places = ", ".join("?" * len(table.columns))
    values = ", ".join(f"{name} = excluded.{name}" for name in table.values)
    return (
        f"INSERT INTO {table.name} VALUES ({places})"
        f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {values}"
    )


_BIND = _upsert(BINDINGS)
_PUT = _upsert(USERS)
_TRIM = "DELETE FROM bindings WHERE aor = ? AND slot >= ?"
_CHANGED = (
    f"INSERT INTO {CHANGES.name} VALUES ('users', 1) ON CONFLICT (name) DO UPDATE SET number = number + 1"
)


class SqliteStore:
    """One file. Every thread that reads it gets a connection of its own; all threads write over one.

    ``timeout``: seconds to wait while another process writes. Raises
    ``sqlite3.Error`` and ``OSError`` from the methods.
    """

    def __init__(self, path: Path, *, synchronous: str = "full", timeout: float = 5.0) -> None:
        self.path = path
        self.name = str(path)
        self._synchronous = synchronous
        self._timeout = timeout
        self._local = threading.local()
        # One writes at a time. Of several connections each would read the pages again that another wrote.
        self._writer = _Held()
        self._writing = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        # Device and inode of the file that is open; None until it is known.
        self._file: tuple[int, int] | None = None
        # Counts up when all connections are to be opened anew.
        self._life = 0
        self._changing = threading.Lock()
        # Whether another file was taken, and the caller does not know it yet.
        self._replaced = False
        # The inode of its log, once there is one.
        self._log: int | None = None
        with suppress(OSError):
            # A key (HA1) is as good as the password, so only its owner may read a new file, and SQLite
            # gives the files beside it the same mode. SQLite will report other errors.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            self._migrate()
            self._file = self._found()
            self._note_log()
        except BaseException:
            self.close()
            raise

    def _found(self) -> tuple[int, int]:
        status = os.stat(self.name)
        return status.st_dev, status.st_ino

    def _connection(self, held: Any = None) -> sqlite3.Connection:
        """Return the connection that is ``held``; by default the one of this thread."""
        local = self._local if held is None else held
        connection: sqlite3.Connection | None = getattr(local, "connection", None)
        if connection is not None:
            if local.life == self._life:
                return connection
            self._drop(local)
        connection = sqlite3.connect(
            self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        self._connections.append(connection)
        local.connection, local.life = connection, self._life
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return connection

    def _drop(self, held: Any) -> None:
        """Close the connection that is ``held``."""
        connection: sqlite3.Connection | None = getattr(held, "connection", None)
        held.connection = None
        if connection is not None:
            self._connections.remove(connection)
            connection.close()

    @contextmanager
    def guarded(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; if the block fails because of the file, the next connection is new."""
        try:
            if self._found() != self._file:
                self._take_file()
            yield self._connection()
        except (DataRefused, *REFUSALS):
            raise
        except (sqlite3.Error, OSError):
            # A file that was restored in place is read anew.
            self._drop(self._local)
            raise

    def write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Have ``work(connection)`` done as one transaction: all of it is durable, or nothing is written."""
        with self._writing:
            try:
                if self._found() != self._file:
                    self._take_file()
                connection = self._connection(self._writer)
                connection.execute("BEGIN IMMEDIATE")
                try:
                    work(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except (DataRefused, *REFUSALS):
                raise
            except (sqlite3.Error, OSError):
                self._drop(self._writer)
                raise

    def _take_file(self) -> None:
        """Open the file that now bears the name, if it is a store."""
        with self._changing:
            found = self._found()
            if found == self._file:
                return
            # A file that is still being copied, or was made by mistake, is left alone.
            with self.path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise OSError(errno.EINVAL, "another file is in its place, which is no store", self.name)
            self._life += 1
            self._remove_old_log()
            self._migrate()
            self._file = found
            self._replaced = True

    def _note_log(self) -> None:
        if self._log is None:
            self._log = _inode(f"{self.path}-wal")

    def _remove_old_log(self) -> None:
        """Remove the log of the file that was open: SQLite would play it into the new one."""
        if self._log is not None and _inode(f"{self.path}-wal") == self._log:
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self.path}{suffix}")
        self._log = None

    def _migrate(self) -> None:
        connection = self._connection()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        check_version(version, self.name)
        if version == VERSION:
            return
        with transaction(connection):
            # Another process may have migrated it first.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            # A new file has nothing to bring up to date.
            steps = [MIGRATIONS[number] for number in range(version, VERSION)] if version else []
            for step in steps:
                for statement in step:
                    connection.execute(statement)
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            for table in TABLES:
                if table.name not in found:
                    connection.execute(_create(table))
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def damage(self) -> list[str]:
        """Return the faults that SQLite finds in the file; reads all of it."""
        with self.guarded() as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close every connection; the threads have ended before."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._local = threading.local()
        self._writer = _Held()

    # --- users

    def lookup(self, lookups: Sequence[Lookup]) -> list[Mapping[str, str] | None]:
        """Return the stored keys of each user."""
        found: list[Mapping[str, str] | None] = []
        with self.guarded() as connection:
            for one in lookups:
                row = connection.execute(
                    "SELECT md5, sha256, sha512_256 FROM users WHERE realm = ? AND username = ?",
                    (encode(one.realm), encode(one.username)),
                ).fetchone()
                found.append(None if row is None else keys_of(row))
        return found

    def generation(self) -> int:
        """Return the number of changes of users."""
        with self.guarded() as connection:
            row = connection.execute("SELECT number FROM changes WHERE name = 'users'").fetchone()
        return 0 if row is None else int(row[0])

    def put_user(self, user: User) -> bool:
        """Add or replace a user; return whether it is new."""
        with self.guarded() as connection, transaction(connection):
            new = self.lookup([Lookup(user.username, user.realm)])[0] is None
            connection.execute(_PUT, user_row(user, encode))
            connection.execute(_CHANGED)
        return new

    def remove_user(self, username: str, realm: str) -> bool:
        """Remove a user; return whether there was one."""
        with self.guarded() as connection, transaction(connection):
            done = connection.execute(
                "DELETE FROM users WHERE realm = ? AND username = ?", (encode(realm), encode(username))
            )
            connection.execute(_CHANGED)
        return done.rowcount > 0

    def users(self, realm: str | None = None) -> Iterable[User]:
        """Return all users, of one realm or of all, in order."""
        with self.guarded() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(USERS.names)} FROM users"
                " WHERE :realm IS NULL OR realm = :realm ORDER BY realm, username",
                {"realm": realm},
            )
            for row in rows:
                yield user_of(row, decode)

    # --- bindings

    def readings(self) -> list[Reading]:
        """Return every reading of the clock, in order."""
        with self.guarded() as connection:
            return [
                Reading(*row) for row in connection.execute("SELECT id, boot, zero FROM clocks ORDER BY id")
            ]

    def note_reading(self, boot: str, zero: float) -> Reading:
        """Keep a new reading of the clock."""
        with self.guarded() as connection, transaction(connection):
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM clocks").fetchone()
            reading = Reading(last + 1, boot, zero)
            connection.execute("INSERT INTO clocks VALUES (?, ?, ?)", reading)
        return reading

    def save(
        self,
        updates: Sequence[LocationUpdate],
        offset: float,
        clock: int | None = None,
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """Write all updates in one transaction, with what ``also`` writes; nothing is written if it fails."""
        # Of several updates of one address-of-record the last holds them all.
        latest = {update.aor: update for update in updates}.values()

        def work(connection: sqlite3.Connection) -> None:
            if self._replaced:
                self._replaced = False
                raise Replaced(self.name)
            try:
                _put(connection, latest, offset, clock, str)
            except UnicodeEncodeError:
                # A look at each text costs as much as its writing, and nearly all are UTF-8. Rows before this
                # one are put once more.
                _put(connection, latest, offset, clock, encode)
            if also is not None:
                also(connection)

        try:
            self.write(work)
        except REFUSALS as error:
            raise DataRefused(str(error)) from error
        if self._log is None:
            self._note_log()

    def bindings(self, unix: float, offset: float, boot: str = "") -> Iterable[Binding]:
        """Return the bindings that have not expired at ``unix``, with times in the stack's clock."""
        clocks = Clocks(self.readings(), boot, offset)
        with self.guarded() as connection:
            for row in connection.execute(f"SELECT {', '.join(BINDINGS.names)} FROM bindings"):
                binding = binding_of(row, clocks, decode)
                if binding.expires_at > unix - offset:
                    yield binding

    def count(self) -> int:
        """Return how many bindings are stored."""
        with self.guarded() as connection:
            return int(connection.execute("SELECT count(*) FROM bindings").fetchone()[0])

    def forget(self, unix: float, offset: float = 0.0, boot: str = "") -> int:
        """Delete the bindings that had expired by ``unix``; return their number."""
        readings = self.readings()
        clocks = Clocks(readings, boot, offset)
        gone = 0
        with self.guarded() as connection, transaction(connection):
            used = [clock for (clock,) in connection.execute("SELECT DISTINCT clock FROM bindings")]
            for clock in used:
                done = connection.execute(
                    "DELETE FROM bindings WHERE clock IS ? AND expires <= ?",
                    (clock, unix - offset + clocks.shifts(clock)[0]),
                )
                gone += done.rowcount
            old = [(number,) for number in spent(readings, used, boot)]
            connection.executemany("DELETE FROM clocks WHERE id = ?", old)
        return gone


class _Held:
    """Where a connection is kept that several threads use, in turn."""

    connection: sqlite3.Connection | None = None
    life = 0


def _put(
    connection: sqlite3.Connection,
    updates: Iterable[LocationUpdate],
    offset: float,
    clock: int | None,
    encode: Callable[[str], Any],
) -> None:
    """Put the bindings of each user, and delete those that are more."""
    rows = [
        binding_row(one, slot, offset, encode, clock)
        for update in updates
        for slot, one in enumerate(update.after)
    ]
    connection.executemany(_BIND, rows)
    connection.executemany(_TRIM, [(encode(update.aor), len(update.after)) for update in updates])


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def is_busy(error: Exception) -> bool:
    """Whether another process kept the file locked for longer than the time-out."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def encode(value: str) -> str | bytes:
    # Octets that are not UTF-8 (lone surrogates inside) are bound as a blob,
    # which equals no text: such a user or address does not exist.
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")
    return value


def decode(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
