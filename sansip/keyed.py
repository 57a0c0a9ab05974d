"""Keyed hashes of short texts: what only the holder of a key can compute.

Theory of operation: BLAKE2b (RFC 7693) of a text under one key, again and again. The C module keeps the state
behind the key and makes no object but the digits; without it hashlib does the same, with the same digits.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from importlib import import_module
from typing import Any, Final, TypeAlias

__all__ = ["Keyed", "keyed", "python_keyed"]

# Takes texts, between two of which it puts a line end, or octets; returns the hash as hexadecimal digits.
Keyed: TypeAlias = Callable[..., str]


def python_keyed(key: bytes, size: int, person: bytes = b"") -> Keyed:
    """Return what hashes texts under ``key``, to ``size`` octets; ``person`` tells one use from another."""
    # Copied for each hash: cheaper than to begin with the key again.
    begun = blake2b(key=key, digest_size=size, person=person)

    def hashed(*given: Any) -> str:
        one = begun.copy()
        if type(given[0]) is bytes:
            (octets,) = given
        else:
            octets = "\n".join(given).encode("utf-8", "surrogateescape")
        one.update(octets)
        return one.hexdigest()

    return hashed


def _in_c() -> Any:
    """Return the function of the C module, None without it."""
    try:
        # By its name: import-linter knows no module in C, and takes it for its package.
        return import_module("sansip._keyed").keyed
    except ImportError:
        return None


_C: Final[Any] = _in_c()


def keyed(key: bytes, size: int, person: bytes = b"") -> Keyed:
    """Return what ``python_keyed`` returns, from the C module if there is one."""
    made: Keyed = python_keyed(key, size, person) if _C is None else _C(key, size, person)
    return made
