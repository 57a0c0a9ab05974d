"""The parts of a stack that are asked for at every message.

Theory of operation: a stack is an ordinary class, which programs may derive from; this base of it is
compiled, so compiled ways of messages read what is declared here without a look-up by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.native import mypyc_attr

if TYPE_CHECKING:
    from sansip.limits import Limits
    from sansip.location import Addresses
    from sansip.transport.connections import Connections

__all__ = ["Parts"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Parts:
    """A stack, as a message on its way through meets it.

    Attributes:
        out: the actions of the input that is being taken.
        modules: a set of them, which never changes (``core.ModuleTable``); a reload puts in another.
        route: what decides on requests.
        draining: whether new requests are refused.
        unstarted: whether modules wait for the first input, when everything is restored.
        durable, changes, addresses, server_name: as ``core.Core``.
        authenticator, nodes, siblings: None where passwords are not asked for, where the location is not
            shared, and where this is the only worker (``core.Core``).
    """

    limits: Limits
    connections: Connections
    out: list[Any]
    modules: Any
    route: Any
    draining: bool
    unstarted: bool
    durable: bool
    changes: Any
    addresses: Addresses
    server_name: str
    authenticator: Any
    nodes: Any
    siblings: Any
