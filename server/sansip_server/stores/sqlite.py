"""Users and bindings in one SQLite file, the embedded default.

Theory of operation: write-ahead logging, so that looking up a user never waits
for a registration being written. A batch of registrations is one transaction:
its cost is one flush to disk, however many phones wait for it (group commit).
With ``full`` synchronisation a 200 survives a power failure, with ``normal``
the death of the process alone. An address-of-record is written whole, for it has
few bindings. The schema's version is in the file; a newer one is refused.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip_server.faults import OperatorError
from sansip_server.stores.interface import User

__all__ = ["SCHEMA_VERSION", "SqliteStore", "open_store"]

SCHEMA_VERSION = 1
# Seconds to wait for another process (a `sansip user` command) to finish writing.
BUSY = 5.0
# Hash names, in the order of their columns.
_HASHES = ("MD5", "SHA-256", "SHA-512-256")

# One script for each version, from the one before.
_MIGRATIONS = (
    """
    CREATE TABLE users (
        realm TEXT NOT NULL, username TEXT NOT NULL,
        md5 TEXT, sha256 TEXT, sha512_256 TEXT,
        PRIMARY KEY (realm, username)
    ) WITHOUT ROWID;
    CREATE TABLE bindings (
        aor TEXT NOT NULL, contact TEXT NOT NULL, expires REAL,
        call_id TEXT NOT NULL, cseq INTEGER NOT NULL,
        q INTEGER, registered REAL NOT NULL, refreshed REAL NOT NULL,
        path TEXT, instance TEXT, reg_id INTEGER,
        params TEXT NOT NULL, received TEXT, user_agent TEXT
    );
    CREATE INDEX bindings_aor ON bindings (aor);
    CREATE INDEX bindings_expires ON bindings (expires);
    """,
)


class SqliteStore:
    """One file. Every thread that uses it gets a connection of its own.

    Raises ``sqlite3.Error`` from the methods; ``open_store`` turns what an
    operator can mend into an ``OperatorError``.
    """

    def __init__(self, path: Path, *, synchronous: str = "full") -> None:
        self.path = path
        self._synchronous = synchronous
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path, timeout=BUSY, isolation_level=None, check_same_thread=False
            )
            self._connections.append(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._local.connection = connection
        return connection

    def _migrate(self) -> None:
        connection = self._connection()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise OperatorError(
                f"{self.path} has schema version {version}, and this sansip knows {SCHEMA_VERSION}:"
                " use the newer sansip that wrote it, or another file"
            )
        for number in range(version, SCHEMA_VERSION):
            script = f"BEGIN IMMEDIATE;{_MIGRATIONS[number]};PRAGMA user_version = {number + 1};COMMIT;"
            connection.executescript(script)

    def close(self) -> None:
        """Close every connection; the threads have ended before."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._local = threading.local()

    # --- users

    def lookup(self, lookups: Sequence[Lookup]) -> list[Mapping[str, str] | None]:
        """Return what is stored of each user."""
        connection = self._connection()
        found: list[Mapping[str, str] | None] = []
        for one in lookups:
            row = connection.execute(
                "SELECT md5, sha256, sha512_256 FROM users WHERE realm = ? AND username = ?",
                (_text(one.realm), _text(one.username)),
            ).fetchone()
            found.append(None if row is None else _keys(row))
        return found

    def put_user(self, user: User) -> bool:
        """Add or replace a user; return whether it is new."""
        new = self.lookup([Lookup(user.username, user.realm)])[0] is None
        columns = [user.keys.get(name) for name in _HASHES]
        self._connection().execute(
            "INSERT OR REPLACE INTO users (realm, username, md5, sha256, sha512_256) VALUES (?, ?, ?, ?, ?)",
            (user.realm, user.username, *columns),
        )
        return new

    def remove_user(self, username: str, realm: str) -> bool:
        """Remove a user; return whether there was one."""
        done = self._connection().execute(
            "DELETE FROM users WHERE realm = ? AND username = ?", (realm, username)
        )
        return done.rowcount > 0

    def users(self, realm: str | None = None) -> Iterable[User]:
        """Return all users, of one realm or of all, in order."""
        rows = self._connection().execute(
            "SELECT realm, username, md5, sha256, sha512_256 FROM users"
            " WHERE ? IS NULL OR realm = ? ORDER BY realm, username",
            (realm, realm),
        )
        for found, username, *columns in rows:
            yield User(username, found, _keys(columns))

    # --- bindings

    def save(self, updates: Sequence[LocationUpdate], offset: float) -> None:
        """Write all updates in one transaction; nothing is written when it fails."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Of several updates of one address-of-record the last holds them all.
            for aor, update in {update.aor: update for update in updates}.items():
                connection.execute("DELETE FROM bindings WHERE aor = ?", (_text(aor),))
                connection.executemany(
                    "INSERT INTO bindings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_row(binding, offset) for binding in update.after],
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def bindings(self, unix: float, offset: float) -> Iterable[Binding]:
        """Forget what has expired at ``unix``; return the rest, with times in the stack's clock."""
        connection = self._connection()
        connection.execute("DELETE FROM bindings WHERE expires <= ?", (unix,))
        for row in connection.execute("SELECT * FROM bindings"):
            yield _binding(row, offset)


def open_store(path: Path, *, synchronous: str = "full") -> SqliteStore:
    """Open ``path``, made now when it does not exist. Raises ``OperatorError`` that names the fix."""
    if not path.parent.is_dir():
        raise OperatorError(f"store {path}: there is no folder {path.parent}; make it, or name another file")
    try:
        return SqliteStore(path, synchronous=synchronous)
    except sqlite3.OperationalError as error:
        raise OperatorError(f"store {path}: {error}; check its permissions and the free space") from None
    except sqlite3.DatabaseError as error:
        raise OperatorError(
            f"store {path}: {error}; it is no sansip database: name another file, or restore a backup"
        ) from None


def _text(value: str) -> str | bytes:
    # Octets that are not UTF-8 (lone surrogates inside) are bound as a blob,
    # which equals no text: such a user or address does not exist.
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")
    return value


def _keys(columns: Sequence[str | None]) -> dict[str, str]:
    return {name: key for name, key in zip(_HASHES, columns, strict=True) if key is not None}


def _row(binding: Binding, offset: float) -> tuple[object, ...]:
    return (
        _text(binding.aor),
        _text(binding.contact),
        None if binding.expires_at == math.inf else binding.expires_at + offset,
        _text(binding.call_id),
        binding.cseq,
        binding.q,
        binding.registered_at + offset,
        binding.refreshed_at + offset,
        json.dumps(binding.path) if binding.path else None,
        None if binding.instance is None else _text(binding.instance),
        binding.reg_id,
        _text(binding.params),
        binding.received,
        None if binding.user_agent is None else _text(binding.user_agent),
    )


def _plain(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _binding(row: Sequence[Any], offset: float) -> Binding:
    aor, contact, expires, call_id, cseq, q, registered, refreshed, path, instance, reg_id, *rest = row
    params, received, agent = rest
    return Binding(
        _plain(aor),
        _plain(contact),
        math.inf if expires is None else float(expires) - offset,
        _plain(call_id),
        int(cseq),
        q,
        float(registered) - offset,
        float(refreshed) - offset,
        () if path is None else tuple(json.loads(path)),
        None if instance is None else _plain(instance),
        reg_id,
        _plain(params),
        None,
        received,
        None if agent is None else _plain(agent),
    )
