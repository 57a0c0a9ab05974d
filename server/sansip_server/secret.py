"""A key kept in a file, so that it is the same after a restart.

Theory of operation: made once from the system's randomness, readable by
the server's user alone. Creation is exclusive, so two servers that start at
once agree on the key of whoever was first.
"""

from __future__ import annotations

import os
from pathlib import Path

from sansip_server.faults import OperatorError, os_reason

__all__ = ["read_secret"]

SIZE = 32
# Less would be a guessable key (or an empty file left by a full disk).
LEAST = 16


def read_secret(path: Path) -> bytes:
    """Return the key in ``path``, made now when there is no such file; raise OperatorError."""
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
        else:
            key = os.urandom(SIZE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
    except OSError as error:
        raise OperatorError(f"secret_file {path}: {os_reason(error)}") from None
    if len(key) < LEAST:
        raise OperatorError(
            f"secret_file {path}: holds {len(key)} octets, needs {LEAST}; delete it to have one made"
        )
    # A keyed hash takes 64 octets at most (sansip.entropy).
    return key[:64]
