"""The file of packed rates: written whole or not at all, and mapped into the memory of each worker.

Theory of operation: behind the table stand its checksum and a digest of what it was made of: the octets of
the file of rates, and the settings that its lines depend on. A table that is not of these is made anew. It is
written beside its place, and renamed: a process that still reads the old one keeps it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any

from sansip.modules.lcr.packed import PackedRates

__all__ = ["LARGEST", "digest_of", "locked", "read_packed", "write_packed"]

# Octets of a file of rates. → refused
LARGEST = 1 << 30
_TAIL = Struct("<I32s")
_BLOCK = 1 << 20


def digest_of(file: Path, facts: Any) -> bytes:
    """Return the digest of ``file`` and ``facts``. Raises ``OSError``; ``ValueError``: it is too large."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    size = 0
    with file.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            if size > LARGEST:
                raise ValueError(f"{file} has more than {LARGEST:,} octets")
    return digest.digest()


def read_packed(place: Path, digest: bytes) -> PackedRates | None:
    """Return the table at ``place``, mapped, where it is whole and was made of what ``digest`` says."""
    try:
        with place.open("rb") as source:
            mapped = mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        return None
    end = len(mapped) - _TAIL.size
    if end < 0:
        return None
    checksum, made_of = _TAIL.unpack_from(mapped, end)
    data = memoryview(mapped)[:end]
    if made_of != digest or zlib.crc32(data) != checksum:
        return None
    try:
        return PackedRates(data)
    except ValueError:
        return None


def write_packed(place: Path, pieces: Sequence[bytes], digest: bytes) -> None:
    """Write a table to ``place``, whole. Raises ``OSError``."""
    checksum = 0
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "wb") as target:
            for piece in pieces:
                checksum = zlib.crc32(piece, checksum)
                target.write(piece)
            target.write(_TAIL.pack(checksum, digest))
            target.flush()
            os.fsync(target.fileno())
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Be the one process that writes ``place``; others wait. Raises ``OSError``."""
    descriptor = os.open(f"{place}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
