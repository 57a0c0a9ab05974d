"""Nonces that prove themselves: no table of what was handed out.

Theory of operation: a nonce carries its time, a unique part, and a keyed MAC over
both and the realm (RFC 7616 3.3 recommends just that). Whoever holds the key can
verify it, so any node of a cluster accepts a nonce of any other, and a restart
forgets nothing. Keys are rotated by putting a new one in front: the first makes
nonces, all verify them. One that is taken away still verifies what it made, for
as long as a nonce lives.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import blake2b

from sansip.entropy import Entropy

__all__ = ["Nonces"]

# Hexadecimal digits of the time, the unique part and the MAC.
_TIME, _UNIQUE, _MAC = 8, 16, 32
# Keys that were taken away and still verify; the oldest is forgotten.
_RETIRED = 8


class Nonces:
    """Makes and verifies nonces for ``lifetime`` seconds.

    ``keys``: secrets of 16 octets or more, the newest first.
    """

    __slots__ = ("_entropy", "_keys", "_retired", "lifetime")

    def __init__(self, keys: Sequence[bytes], entropy: Entropy, lifetime: float) -> None:
        self._keys = _checked(keys)
        # (key, Unix time until which it verifies)
        self._retired: list[tuple[bytes, float]] = []
        self._entropy = entropy
        self.lifetime = lifetime

    def replace(self, keys: Sequence[bytes], unix: float) -> None:
        """Use ``keys`` from now on; those that are gone verify for ``lifetime`` longer."""
        new = _checked(keys)
        gone = [(key, unix + self.lifetime) for key in self._keys if key not in new]
        still = [(key, end) for key, end in self._retired if end > unix and key not in new]
        self._keys, self._retired = new, [*gone, *still][:_RETIRED]

    def make(self, realm: str, unix: float) -> str:
        """Return a fresh nonce for ``realm`` at Unix time ``unix``."""
        begin = f"{int(unix) & 0xFFFFFFFF:08x}{self._entropy.token()}"
        return begin + self._mac(self._keys[0], begin, realm)

    def age(self, nonce: str, realm: str, unix: float) -> float | None:
        """Return how many seconds old ``nonce`` is; None when it was not made here for ``realm``."""
        if len(nonce) != _TIME + _UNIQUE + _MAC or not nonce.isascii():
            return None
        begin, mac = nonce[: _TIME + _UNIQUE], nonce[_TIME + _UNIQUE :]
        keys = self._keys
        if self._retired:
            keys = [*keys, *(key for key, end in self._retired if end > unix)]
        # compare_digest, so that a forger learns nothing from the time it takes.
        if not any(hmac.compare_digest(mac, self._mac(key, begin, realm)) for key in keys):
            return None
        # Nodes' clocks differ a little: a nonce from the near future is new.
        return max(0.0, unix - int(begin[:_TIME], 16))

    def is_fresh(self, age: float) -> bool:
        """Whether a nonce of this ``age`` may still be used."""
        return age <= self.lifetime

    @staticmethod
    def _mac(key: bytes, begin: str, realm: str) -> str:
        text = f"{begin}:{realm}".encode("utf-8", "surrogateescape")
        return blake2b(text, key=key, digest_size=_MAC // 2, person=b"sansip-nonce").hexdigest()


def _checked(keys: Sequence[bytes]) -> list[bytes]:
    if not keys or any(len(key) < 16 for key in keys):
        raise ValueError("nonces need at least one key, of 16 octets or more")
    return [key[:64] for key in keys]
