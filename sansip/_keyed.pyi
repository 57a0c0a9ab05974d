"""Keyed hashes of short texts (``_keyed.c``), compiled at the installation where there is a compiler."""

from collections.abc import Callable

# BLAKE2b: ``size`` octets of hash, as hexadecimal digits, of octets, or of texts with a line end between two;
# ``sansip.keyed``.
def keyed(key: bytes, size: int, person: bytes, /) -> Callable[..., str]: ...
