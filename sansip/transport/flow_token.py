"""Flow tokens: the name of a connection, in a Record-Route that comes back (RFC 5626 5.2).

Theory of operation: a browser's Contact leads nowhere (``k3v.invalid``, RFC 7118
5), and a phone's on TLS often leads to a port that nobody listens on. What leads
there is the connection, so its number goes into the user part of our
Record-Route value, encrypted and authenticated, and bound to the Call-ID: nobody
else can write one, read one, or use one in another call. The key is new in each
process, for the numbers are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.entropy import Entropy

__all__ = ["FlowTokens"]

# What begins a token, so that a user name is told from it by a look.
_MARK = "f-"
_SIZE = len(_MARK) + 32


class FlowTokens:
    """Writes and reads tokens under the key of ``entropy``."""

    __slots__ = ("_entropy",)

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy

    def make(self, conn: int, call_id: str) -> str:
        """Return the token of connection ``conn`` for the dialogs of ``call_id``."""
        # The authenticator is made first and seeds the cipher (as in RFC 5297):
        # no nonce to keep, and equal tokens only for equal connections.
        mac = self._entropy.keyed_hash(f"flow {conn} {call_id}")
        return f"{_MARK}{conn ^ self._stream(mac):016x}{mac}"

    def read(self, text: str | None, call_id: str) -> int | None:
        """Return the number of the connection, or None where we did not write ``text``."""
        if text is None or len(text) != _SIZE or not text.startswith(_MARK):
            return None
        mac = text[-16:]
        try:
            conn = int(text[len(_MARK) : -16], 16) ^ self._stream(mac)
        except ValueError:
            return None
        return conn if self.make(conn, call_id) == text else None

    def _stream(self, mac: str) -> int:
        return int(self._entropy.keyed_hash(f"flow key {mac}"), 16)
