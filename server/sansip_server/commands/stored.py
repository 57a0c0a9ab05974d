"""The store as a command opens it: the option that names it, and its faults in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip_server.stores import Store

__all__ = ["STORE", "opened"]

STORE = click.option(
    "--store",
    "path",
    metavar="FILE|URL",
    default="sansip.db",
    show_default=True,
    help="The server's store.",
)


@contextmanager
def opened(target: str, *, made: bool = False) -> Iterator[Store]:
    """Open the store for a command; a failing one is one line that names the fix.

    A missing file is made for a command that puts something into it (``made``).
    """
    from sansip_server.stores import open_store
    from sansip_server.targets import is_url

    if not made and not is_url(target) and not Path(target).exists():
        raise OperatorError(
            f"store {target}: there is no such file; `sansip user add` makes it, or name another with --store"
        )
    store = open_store(target)
    try:
        yield store
    except Exception as error:
        # sqlite3.Error, or SQLAlchemy's error; SQLAlchemy is imported only if it is needed.
        if not type(error).__module__.startswith(("sqlite3", "sqlalchemy", "sansip_server.stores")):
            raise
        reason = str(error).strip().splitlines()[0]
        raise OperatorError(
            f"store {store.name}: {reason}; is it writable, and has the disk space left?"
        ) from None
    finally:
        store.close()
