"""Opens the store that a setting means; an error names the remedy.

Theory of operation: text with ``://`` in it is the URL of a database server, any other text names
an SQLite file. A mistake is one line that names the fix.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sansip_server.faults import OperatorError, os_reason
from sansip_server.stores.interface import Lock, Store
from sansip_server.stores.lock import StoreLock
from sansip_server.stores.sqlite import SqliteStore
from sansip_server.targets import is_url, shown

__all__ = ["lock_store", "open_store"]


def open_store(
    target: str | Path, *, synchronous: str = "full", timeout: float = 5.0, password: str | None = None
) -> Store:
    """Open ``target``, made now when it does not exist. Raises ``OperatorError`` that names the fix.

    Args:
        target: a file, or a URL like ``postgresql+psycopg://user@host/database`` or
            ``mysql+pymysql://user@host/database``.
        synchronous: ``full`` or ``normal``, for files.
        timeout: seconds that one statement may take, and one attempt to connect.
        password: for a URL without one; else PostgreSQL's looks in PGPASSWORD and ~/.pgpass.
    """
    if isinstance(target, str) and target.startswith("sqlite:"):
        file = target.removeprefix("sqlite:///") if target.startswith("sqlite:///") else "sansip.db"
        raise OperatorError(f"store {target}: an SQLite store is named by its file alone: {file}")
    if isinstance(target, str) and is_url(target):
        return _open_server(target, timeout, password)
    path = Path(target)
    if not path.parent.is_dir():
        raise OperatorError(f"store {path}: there is no folder {path.parent}; make it, or name another file")
    try:
        return SqliteStore(path, synchronous=synchronous, timeout=timeout)
    except sqlite3.OperationalError as error:
        raise OperatorError(f"store {path}: {error}; check its permissions and the free space") from None
    except sqlite3.DatabaseError as error:
        raise OperatorError(
            f"store {path}: {error}; it is no sansip database: name another file, or restore a backup"
        ) from None
    except OSError as error:
        raise OperatorError(f"store {path}: {os_reason(error)}") from None


def lock_store(target: str, domains: Iterable[str], **options: Any) -> tuple[Store, Lock]:
    """Open ``target`` for the one server that has the registrations of ``domains`` in it.

    Raises ``OperatorError`` as ``open_store`` does, and if another server has them. ``options`` are
    those of ``open_store``. Close the store first, then the lock.
    """
    if not is_url(target):
        # Lock it before it is opened: a second server, perhaps of another version, must not migrate it.
        lock = StoreLock(Path(target))
        try:
            return open_store(target, **options), lock
        except BaseException:
            lock.close()
            raise
    store = open_store(target, **options)
    from sansip_server.stores.domain_locks import DomainLocks
    from sansip_server.stores.server import ServerStore

    assert isinstance(store, ServerStore)
    try:
        return store, DomainLocks(store.engine, list(domains))
    except BaseException:
        store.close()
        raise


def _open_server(url: str, timeout: float, password: str | None) -> Store:
    try:
        from sansip_server.stores.server import ServerStore
    except ModuleNotFoundError as error:
        extra = "mysql" if url.startswith(("mysql", "mariadb")) else "postgresql"
        raise OperatorError(
            f"store {shown(url)}: {error.name} is not installed; pip install 'sansip[{extra}]'"
        ) from None
    return ServerStore(url, timeout=timeout, password=password)
