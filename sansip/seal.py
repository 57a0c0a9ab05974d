"""Seals: octets that go out into the world and come back, unread and unchanged.

Theory of operation: instead of storing a value, a server can hand it out, if nobody else can read or write
it. The cipher is a synthetic-IV one (the construction of RFC 5297, on keyed BLAKE2b in place of AES, for the
core has no cryptographic library but ``hashlib``): a MAC of the text is made first, and seeds the key stream.
There is no nonce to keep or to repeat, and equal seals mean equal texts and nothing else. To open a seal, the
code deciphers it, makes the MAC again, and compares all of it.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from hashlib import blake2b
from hmac import compare_digest

__all__ = ["MAC_SIZE", "Sealer"]

# Octets. RFC 5626 5.2 and RFC 5627 A.2 have 80 bits in their examples; these are
# guessed at over the network only.
MAC_SIZE = 12
_BLOCK = 64
# RFC 4648 5: what stands in URIs in place of the last two letters.
_WRITTEN = bytes.maketrans(b"+/", b"-_")
_READ = bytes.maketrans(b"-_", b"+/")


class Sealer:
    """Seals and opens texts of at most 1 KiB for one ``purpose`` (11 octets or fewer) under ``key``."""

    __slots__ = ("_cipher_key", "_mac_key")

    def __init__(self, key: bytes, purpose: bytes) -> None:
        self._mac_key = blake2b(key, digest_size=32, person=purpose + b"-mac").digest()
        self._cipher_key = blake2b(key, digest_size=32, person=purpose + b"-enc").digest()

    def seal(self, text: bytes, bound: bytes = b"") -> str:
        """Return ``text`` sealed, in base64 without padding (RFC 4648 5); ``bound`` is needed to open it."""
        mac = self._mac(text, bound)
        return _written(mac + self._cipher(mac, text))

    def mac(self, text: bytes) -> bytes:
        """Return 8 octets that stand for ``text``, and that nobody without the key can compute."""
        return blake2b(text, key=self._mac_key, digest_size=8, person=b"sansip-handle").digest()

    def read(self, sealed: str) -> tuple[bytes, bytes] | None:
        """Return the MAC and the text of a possible seal of ours; use the text only after ``proves``."""
        try:
            data = a2b_base64(sealed.encode("ascii").translate(_READ) + b"=" * (-len(sealed) % 4))
        except ValueError:
            return None
        # The decoder ignores characters that are not base64, so compare: one seal has one spelling.
        if not MAC_SIZE < len(data) <= MAC_SIZE + 16 * _BLOCK or _written(data) != sealed:
            return None
        mac = data[:MAC_SIZE]
        return mac, self._cipher(mac, data[MAC_SIZE:])

    def proves(self, mac: bytes, text: bytes, bound: bytes = b"") -> bool:
        """Whether ``text`` was sealed here with ``bound``."""
        return compare_digest(self._mac(text, bound), mac)

    def _mac(self, text: bytes, bound: bytes) -> bytes:
        # The length first, so that no two pairs are the same octets.
        data = len(text).to_bytes(2, "big") + text + bound
        return blake2b(data, key=self._mac_key, digest_size=MAC_SIZE).digest()

    def _cipher(self, mac: bytes, text: bytes) -> bytes:
        """Encipher or decipher: the same step."""
        stream = blake2b(mac, key=self._cipher_key, digest_size=_BLOCK).digest()
        for number in range(1, (len(text) + _BLOCK - 1) // _BLOCK):
            stream += blake2b(mac + bytes((number,)), key=self._cipher_key, digest_size=_BLOCK).digest()
        size = len(text)
        return (int.from_bytes(text, "big") ^ int.from_bytes(stream[:size], "big")).to_bytes(size, "big")


def _written(data: bytes) -> str:
    return b2a_base64(data, newline=False).translate(_WRITTEN).decode("ascii").rstrip("=")
