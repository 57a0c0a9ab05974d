"""Chance as an argument: unique tokens from one secret seed.

Theory of operation: the core may not ask the operating system for randomness (a replay must give the same
octets again), so a seed comes in when the stack is built. Tokens are a keyed BLAKE2 of a counter: unguessable
without the seed (RFC 3261 19.3: at least 32 bits of randomness), and never repeated within a stack's life.
"""

from __future__ import annotations

from hashlib import blake2b

from sansip.keyed import keyed

__all__ = ["Entropy"]


class Entropy:
    """Tokens and numbers, all derived from ``seed`` (16 to 64 octets)."""

    __slots__ = ("_count", "_hash", "_pool", "_seed", "_tokens", "mark")

    def __init__(self, seed: bytes) -> None:
        self._seed = seed[:64]
        self._hash = keyed(self._seed, 8, b"sansip-hash")
        self._tokens = keyed(self._seed, 32, b"sansip-token")
        self._count = 0
        # Begins each branch that is made with it: the mark of a worker (``sansip.seat``).
        self.mark = ""
        self._pool = ""

    def token(self) -> str:
        """Return 16 hexadecimal digits (64 bits) never returned before."""
        # One hash serves four tokens: they are asked for on every request.
        pool = self._pool
        if not pool:
            self._count += 1
            pool = self._tokens(self._count.to_bytes(8, "big"))
        self._pool = pool[16:]
        return pool[:16]

    def put_back(self, token: str) -> None:
        """Have ``token``, the last one, which nobody has seen, be the next one."""
        self._pool = token + self._pool

    def number(self, below: int) -> int:
        """Return an integer in ``range(below)``, near enough uniform for weights."""
        return int(self.token(), 16) % below

    def derived(self, purpose: str) -> Entropy:
        """Return chance of its own for ``purpose``, the same for the same seed."""
        seed = blake2b(purpose.encode("utf-8", "surrogateescape"), key=self._seed, digest_size=32)
        return Entropy(seed.digest())

    def keyed_hash(self, text: str) -> str:
        """Return 16 hexadecimal digits that only this seed's holder can compute."""
        return self._hash(text)
