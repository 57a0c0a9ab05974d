"""Which records this node holds as Redis has them: what a connection was told, until it is told otherwise.

Theory of operation: Redis remembers which keys a connection has read, and tells it once when one of them is
changed, expires or is thrown away (CLIENT TRACKING, in RESP3 on the connection itself). So what was read or
written over the connection is present until then, and a look-up needs no trip. Messages and answers come in
order over one connection: an answer counts only if no message came between it and its use. Nothing counts
any more once the connection is gone. If packets of Redis are silently lost, so are its messages: ``Link``
believes the versions for ``redis.timeout`` after it sent the latest command that Redis has answered.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Tracked"]


class Tracked:
    """Versions of records that are present; ``prefix`` begins every key, ``most`` bounds their number."""

    __slots__ = ("_begin", "_most", "changes", "versions")

    def __init__(self, prefix: str, most: int) -> None:
        self._begin = f"{prefix}:{{".encode()
        self._most = most
        # By address-of-record.
        self.versions: dict[str, str] = {}
        # How often something stopped being present.
        self.changes = 0

    def note(self, aor: str, version: str) -> None:
        """The record of ``aor`` is ``version``, and Redis tells when it is another."""
        if aor in self.versions or len(self.versions) < self._most:
            self.versions[aor] = version

    def forget(self, aor: str) -> None:
        """The record of ``aor`` may be another."""
        self.versions.pop(aor, None)

    def clear(self) -> None:
        """Nothing is known any more."""
        self.changes += 1
        self.versions.clear()

    def told(self, message: Any) -> None:
        """Take a message of Redis: the keys that were changed, or None for all of them."""
        if not isinstance(message, list) or len(message) != 2 or message[0] != b"invalidate":
            return
        self.changes += 1
        keys = message[1]
        if not isinstance(keys, list):
            self.versions.clear()
            return
        begin = self._begin
        for key in keys:
            if not isinstance(key, bytes) or not key.startswith(begin):
                continue
            aor = key[len(begin) : -1].decode("utf-8", "surrogateescape")
            if "%" in aor:
                # ``Commands.key``, the other way round.
                aor = aor.replace("%7D", "}").replace("%7B", "{").replace("%25", "%")
            self.versions.pop(aor, None)
