"""Nonces that prove themselves: the server keeps no table of those that it gave out.

Theory of operation: a nonce carries the time it was made at, which process made it, when by that process's
own clock, for which source address, and a keyed MAC over all that and the realm (RFC 7616 3.3 recommends
such). The holder of the key can verify it, so any node of a cluster knows a nonce of any other. The process's
own clock begins anywhere and is never set: of two nonces of one process it says which is newer, whatever
happens to the time of day. Keys are rotated by putting a new one in front: the first makes nonces, all verify
them. A key that is taken away still verifies its nonces, for as long as a nonce lives.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from sansip.entropy import Entropy

__all__ = ["Nonce", "Nonces"]

# Octets: Unix time in seconds, the process, its microseconds, what makes it unique, the source; the MAC.
_TIME, _LIFE, _TICK, _UNIQUE, _SOURCE, _MAC = 4, 4, 6, 4, 4, 14
_SIZE = _TIME + _LIFE + _TICK + _UNIQUE + _SOURCE
# Characters: no bit is left over, so that one nonce has one spelling.
_LENGTH = (_SIZE + _MAC) * 4 // 3
# Keys that were taken away and still verify; the oldest is forgotten.
_RETIRED = 8


@dataclass(slots=True, init=False)
class Nonce:
    """The content of a nonce of ours.

    Attributes:
        text: all of it in octets, which stand for the nonce.
        made: the Unix time at which it was made, in seconds.
        life: the process that made it.
        tick: when, in microseconds of that process.
        fits: whether it was made for the source that it came from.
    """

    text: bytes
    made: int
    life: bytes
    tick: int
    fits: bool = True

    # Written out, as in ``sansip.actions``.
    def __init__(self, text: bytes, made: int, life: bytes, tick: int, fits: bool = True) -> None:
        self.text = text
        self.made = made
        self.life = life
        self.tick = tick
        self.fits = fits

    @classmethod
    def of(cls, text: bytes, fits: bool = True) -> Nonce:
        """Return what ``text`` says, octets that were made with a key of ours."""
        tick = int.from_bytes(text[_TIME + _LIFE : _TIME + _LIFE + _TICK], "big")
        return cls(text, int.from_bytes(text[:_TIME], "big"), text[_TIME : _TIME + _LIFE], tick, fits)


class Nonces:
    """Makes and reads nonces, which live for ``lifetime`` seconds.

    ``keys``: secrets of 16 octets or more, the newest first.
    """

    __slots__ = ("_begin", "_entropy", "_keys", "_retired", "life", "lifetime")

    def __init__(self, keys: Sequence[bytes], entropy: Entropy, lifetime: float) -> None:
        self._keys = _checked(keys)
        # (key, Unix time until which it verifies)
        self._retired: list[tuple[bytes, float]] = []
        self._entropy = entropy
        life = bytes.fromhex(entropy.keyed_hash("life of nonces"))
        self.life = life[:_LIFE]
        # A client must not learn how long the machine has been running.
        self._begin = int.from_bytes(life[_LIFE:], "big")
        self.lifetime = lifetime

    def replace(self, keys: Sequence[bytes], unix: float) -> None:
        """Use ``keys`` from now on; those that are gone verify for ``lifetime`` longer."""
        new = _checked(keys)
        gone = [(key, unix + self.lifetime) for key in self._keys if key not in new]
        still = [(key, end) for key, end in self._retired if end > unix and key not in new]
        self._keys, self._retired = new, [*gone, *still][:_RETIRED]

    def make(self, realm: str, source: str, unix: float, now: float) -> str:
        """Return a fresh nonce for ``realm`` and ``source``; ``now`` is the time of this process."""
        key = self._keys[0]
        tick = self._begin + int(now * 1e6)
        text = (int(unix) & 0xFFFF_FFFF).to_bytes(_TIME, "big") + self.life
        text += (tick & 0xFFFF_FFFF_FFFF).to_bytes(_TICK, "big")
        text += bytes.fromhex(self._entropy.token()[: 2 * _UNIQUE]) + _mark(key, source)
        return b2a_base64(text + _mac(key, text, realm), newline=False).decode("ascii")

    def read(self, nonce: str, realm: str, source: str | None, unix: float) -> Nonce | None:
        """Return what ``nonce`` says; None when it was not made for ``realm`` with a key of ours.

        ``source``: the address that answers with it; None where that does not matter.
        """
        if len(nonce) != _LENGTH:
            return None
        try:
            data = a2b_base64(nonce, strict_mode=True)
        except (Error, ValueError):
            return None
        text, mac = data[:_SIZE], data[_SIZE:]
        keys = self._keys
        if self._retired:
            keys = [*keys, *(key for key, end in self._retired if end > unix)]
        for key in keys:
            # compare_digest, so that a forger learns nothing from the time it takes.
            if compare_digest(mac, _mac(key, text, realm)):
                return Nonce.of(text, source is None or text[-_SOURCE:] == _mark(key, source))
        return None


def _mac(key: bytes, text: bytes, realm: str) -> bytes:
    data = text + realm.encode("utf-8", "surrogateescape")
    return blake2b(data, key=key, digest_size=_MAC, person=b"sansip-nonce").digest()


def _mark(key: bytes, source: str) -> bytes:
    """Return the mark of ``source``; without the key nobody can search for another with the same mark."""
    return blake2b(source.encode(), key=key, digest_size=_SOURCE, person=b"sansip-source").digest()


def _checked(keys: Sequence[bytes]) -> list[bytes]:
    if not keys or any(len(key) < 16 for key in keys):
        raise ValueError("nonces need at least one key, of 16 octets or more")
    return [key[:64] for key in keys]
