"""A key kept in a file, so that it is the same after a restart.

Theory of operation: made once from the system's randomness, readable by the server's user alone. Creation is
exclusive, so two servers that start at once use the key of the first one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from errno import EACCES
from pathlib import Path

from sansip_server.disk import sync_folder
from sansip_server.faults import OperatorError, os_reason

__all__ = ["read_secret"]

SIZE = 32
# A shorter key could be guessed (or the file is empty because the disk was full).
LEAST = 16


def read_secret(path: Path) -> bytes:
    """Return the key in ``path``, made now when there is no such file; raise OperatorError."""
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except FileNotFoundError:
        raise OperatorError(f"secret_file {path}: there is no folder {path.parent}; make it first") from None
    except OSError as error:
        fix = "; the user of the server has to be able to write there" if error.errno == EACCES else ""
        raise OperatorError(f"secret_file {path}: {os_reason(error)}{fix}") from None
    if len(key) < LEAST:
        raise OperatorError(
            f"secret_file {path}: holds {len(key)} octets, needs {LEAST}; delete it to have one made"
        )
    # A keyed hash takes 64 octets at most (sansip.entropy).
    return key[:64]


def _make(path: Path) -> None:
    """Make ``path`` with a new key, whole or not at all; a key that another process made first stays."""
    # Under another name until it is on disk: a power failure must not leave half of a key, and a second
    # server that starts now must not read an empty one.
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(SIZE))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path)
