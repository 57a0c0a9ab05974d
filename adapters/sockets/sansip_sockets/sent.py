"""Finds the transaction of a datagram when the network says that it did not arrive.

Theory of operation: an ICMP error quotes the beginning of the datagram that it is about, but does not
name the action that sent it. So this remembers the latest actions as they are: one reference each. No
stranger can guess a branch (RFC 3261 8.1.1.7). So an error whose quote does not reach a branch proves
nothing: a stranger who forges ICMP could end calls with it.
"""

from __future__ import annotations

from collections import deque

from sansip.actions import Address, SendDatagram

__all__ = ["Sent"]


class Sent:
    """The latest ``most`` datagrams of transactions. ``append``, called for each, is the deque's."""

    __slots__ = ("_actions", "append")

    def __init__(self, most: int) -> None:
        self._actions: deque[SendDatagram] = deque(maxlen=most)
        self.append = self._actions.append

    def owner(self, listener: int, address: Address, quoted: bytes) -> int:
        """Return the owner of the datagram that ``quoted`` is the beginning of, 0 if none is known."""
        # Not a branch in the Request-URI, which a peer wrote.
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
