"""Nonces that prove themselves: no table of what was handed out.

Theory of operation: a nonce is sealed (``sansip.seal``, RFC 7616 3.3): it carries the
time it was made at, which process made it and as the how many-eth, and for which
source address; its seal is good for one realm. Whoever holds the key can
verify it, so any node of a cluster knows a nonce of any other. Keys are rotated by
putting a new one in front: the first makes nonces, all verify them. One that is
taken away still verifies what it made, for as long as a nonce lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sansip.entropy import Entropy
from sansip.seal import Sealer

__all__ = ["Nonce", "Nonces"]

# Octets: Unix time in seconds, the process, its number there, and the source.
_TIME, _LIFE, _NUMBER, _SOURCE = 4, 4, 6, 4
_SIZE = _TIME + _LIFE + _NUMBER + _SOURCE
_SEALED = 40
# Keys that were taken away and still verify; the oldest is forgotten.
_RETIRED = 8


@dataclass(slots=True)
class Nonce:
    """What a nonce of ours says.

    Attributes:
        text: all of it in octets, which stand for the nonce.
        made: the Unix time at which it was made, in seconds.
        life: the process that made it.
        number: how many nonces that process had made by then.
        fits: whether it was made for the source that it came from.
    """

    text: bytes
    made: int
    life: bytes
    number: int
    fits: bool = True

    @classmethod
    def of(cls, text: bytes, fits: bool = True) -> Nonce:
        """Return what ``text`` says, octets that were sealed here."""
        end = _TIME + _LIFE + _NUMBER
        number = int.from_bytes(text[_TIME + _LIFE : end], "big")
        return cls(text, int.from_bytes(text[:_TIME], "big"), text[_TIME : _TIME + _LIFE], number, fits)


class Nonces:
    """Makes and reads nonces, which live for ``lifetime`` seconds.

    ``keys``: secrets of 16 octets or more, the newest first.
    """

    __slots__ = ("_keys", "_made", "_retired", "_sealers", "life", "lifetime")

    def __init__(self, keys: Sequence[bytes], entropy: Entropy, lifetime: float) -> None:
        self._keys = _checked(keys)
        self._sealers = [Sealer(key, b"nonce") for key in self._keys]
        # (key, what verifies with it, Unix time until which it does)
        self._retired: list[tuple[bytes, Sealer, float]] = []
        self._made = 0
        self.life = bytes.fromhex(entropy.keyed_hash("life of nonces"))[:_LIFE]
        self.lifetime = lifetime

    def replace(self, keys: Sequence[bytes], unix: float) -> None:
        """Use ``keys`` from now on; those that are gone verify for ``lifetime`` longer."""
        new = _checked(keys)
        before = zip(self._keys, self._sealers, strict=True)
        gone = [(key, sealer, unix + self.lifetime) for key, sealer in before if key not in new]
        still = [one for one in self._retired if one[2] > unix and one[0] not in new]
        self._keys, self._sealers = new, [Sealer(key, b"nonce") for key in new]
        self._retired = [*gone, *still][:_RETIRED]

    def make(self, realm: str, source: str, unix: float) -> str:
        """Return a fresh nonce for ``realm`` and ``source``, made at Unix time ``unix``."""
        self._made += 1
        sealer = self._sealers[0]
        text = (int(unix) & 0xFFFF_FFFF).to_bytes(_TIME, "big") + self.life
        text += self._made.to_bytes(_NUMBER, "big") + _mark(sealer, source)
        return sealer.seal(text, _octets(realm))

    def read(self, nonce: str, realm: str, source: str | None, unix: float) -> Nonce | None:
        """Return what ``nonce`` says; None when it was not made for ``realm`` with a key of ours.

        ``source``: who answers with it; None where that does not matter.
        """
        if len(nonce) != _SEALED:
            return None
        bound = _octets(realm)
        sealers = self._sealers
        if self._retired:
            sealers = [*sealers, *(sealer for _, sealer, end in self._retired if end > unix)]
        for sealer in sealers:
            opened = sealer.read(nonce)
            if opened is not None and len(opened[1]) == _SIZE and sealer.proves(*opened, bound):
                text = opened[1]
                return Nonce.of(text, source is None or text[-_SOURCE:] == _mark(sealer, source))
        return None


def _mark(sealer: Sealer, source: str) -> bytes:
    return sealer.mac(_octets(source))[:_SOURCE]


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _checked(keys: Sequence[bytes]) -> list[bytes]:
    if not keys or any(len(key) < 16 for key in keys):
        raise ValueError("nonces need at least one key, of 16 octets or more")
    return [key[:64] for key in keys]
