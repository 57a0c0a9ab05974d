"""Which transaction a datagram was of, once the network says that it did not arrive.

Theory of operation: an ICMP error comes with the beginning of the datagram that it is about, and
without the action that sent it. So the latest actions are remembered, as they are: one reference each. An
error that does not quote as far as a branch, which nobody can guess (RFC 3261 8.1.1.7), proves nothing: a
stranger who forges ICMP could end calls by it.
"""

from __future__ import annotations

from collections import deque

from sansip.actions import Address, SendDatagram

__all__ = ["Sent"]


class Sent:
    """The latest ``most`` datagrams of transactions. ``append`` is on the path of each: it is the deque's."""

    __slots__ = ("_actions", "append")

    def __init__(self, most: int) -> None:
        self._actions: deque[SendDatagram] = deque(maxlen=most)
        self.append = self._actions.append

    def owner(self, listener: int, address: Address, quoted: bytes) -> int:
        """Return the owner of the datagram that ``quoted`` is the beginning of, 0 where none is known."""
        # Not one in the Request-URI, which others wrote.
        branch = quoted.find(b"branch=", quoted.find(b"\r\n") + 1)
        end = quoted.find(b"\r\n", branch)
        if branch < 0 or end < 0 or b"\r\n" not in quoted[:branch]:
            return 0
        # RFC 4884 5: behind the datagram there may be zeros, and extensions.
        quoted = quoted[: end + 2]
        port = address[1]
        for action in reversed(self._actions):
            if action.address[1] == port and action.listener == listener and action.data.startswith(quoted):
                return action.owner
        return 0
