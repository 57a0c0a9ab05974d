"""Look-up where several nodes share one location.

Theory of operation: a lookup asks the store. If the store does not answer, the last record that this node saw
is good enough for a call. (``change`` has the changes of bindings.)

A binding's flow belongs to one node. In the store it has a name that others can use: the node, and a token
with which that node sends over the flow (RFC 5626 5.3). A phone of another node is called by a Route value
with that token. When the node is gone its connections are gone: the other nodes skip them without waiting.
Datagrams belong to no node, so any node serves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.location import NodeFlow, SharedLocation, SharedRecord
from sansip.routing.awaitables import Question
from sansip.routing.named_flows import inward_record
from sansip.routing.vouching import PARAMETER, proof

if TYPE_CHECKING:
    from sansip.location import Binding, Nodes
    from sansip.proxy import Target
    from sansip.routing.core import Core
    from sansip.routing.incoming import Incoming
    from sansip.wire import Request

__all__ = ["lead", "locate_shared", "take_record"]


async def locate_shared(request: Incoming, aor: str) -> list[Binding]:
    """Return what ``aor`` is bound to on any node, best first."""
    core = request.core
    location = core.location
    assert isinstance(location, SharedLocation)
    if location.found is not None and location.found[0] == aor:
        # It was asked for before the request was read (``shared_openings``).
        return list(location.found[1])
    seen = location.version(aor)
    try:
        found: SharedRecord | None = await Question(location.question(aor))
    except Exception:
        known = location.lookup(aor, request.now)
        # This node does not know the user, and another node may.
        request.unsure = not known
        return known
    return take_record(core, aor, found, seen, request.now)


def take_record(core: Core, aor: str, found: SharedRecord | None, seen: str, now: float) -> list[Binding]:
    """Return the live bindings of ``found``; mirror them if ``aor`` still has the version ``seen`` here.

    ``found`` is None if the store still had what the mirror had. The mirror may have changed since: then a
    REGISTER of this node wrote a newer record.
    """
    location = core.location
    assert isinstance(location, SharedLocation)
    if found is None:
        return location.lookup(aor, now)
    record = inward_record(core, found)
    if location.version(aor) == seen:
        # Else a REGISTER came between, and its record is newer.
        return list(location.mirror(aor, record, now))
    return [one for one in record.bindings if one.expires_at > now]


def lead(
    nodes: Nodes, message: Request, bindings: Sequence[Binding], targets: Sequence[Target]
) -> list[Target]:
    """Have ``targets`` of ``message``, made of ``bindings``, lead to the nodes that own their flows.

    Those that a dead node took with it are left out. Where that leaves none, one
    target stands for them that fails at once with 480.
    """
    led: list[Target] = []
    lost: Target | None = None
    for binding, target in zip(bindings, targets, strict=True):
        flow = binding.flow
        if isinstance(flow, NodeFlow):
            target.flow = None
            target.only = False
            if not _lead(target, flow, nodes, message):
                target.only = True
                lost = lost or target
                continue
        led.append(target)
    return [lost] if lost is not None and not led else led


def _lead(target: Target, flow: NodeFlow, nodes: Nodes, message: Request) -> bool:
    """Have ``target`` lead to a phone of another node; return False where nothing does."""
    owner = nodes.get(flow.node, flow.life)
    if owner is nodes.me:
        # A connection of this node, or of its former life, that is gone.
        return flow.direct
    # A datagram outlives the process that received it, a connection does not.
    if owner is not None and not (flow.conn and owner.life != flow.life):
        if flow.direct and not flow.conn:
            return True
        if flow.token:
            # RFC 5626 5.3: the node that wrote the token sends over the flow.
            vouched = f"{PARAMETER}={proof(nodes, message, flow.token)}"
            target.path = (f"<sip:{flow.token}@{owner.address};lr;{vouched}>", *target.path)
            target.address = None
            return True
    # A NAT may let the datagrams of any node pass; a connection is gone for good.
    return flow.direct or not flow.conn
