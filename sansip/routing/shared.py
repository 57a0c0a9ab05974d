"""Registration and lookup where several nodes share one location.

Theory of operation: a REGISTER is planned from what this node last saw of the
address-of-record, and written on condition that this is what stands. Where
another node was quicker the store answers with what stands instead, and the plan
is made again from that; so two nodes never undo each other's work, and a phone's
refresh at its own node costs one trip. A lookup asks the store, and where the
store cannot be asked, what this node saw last is good enough to call somebody.

A binding's flow belongs to one node. In the store it has a name that others can
use: the node, and a token with which that node sends over the flow (RFC 5626
5.3). A phone of another node is called by a Route value with that token. When
the node is gone its connections are gone: they are passed over without waiting.
Datagrams belong to nobody, so any node serves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.location import NodeFlow, SharedLocation, SharedRead, SharedRecord, SharedWrite
from sansip.routing.awaitables import Question
from sansip.routing.named_flows import inward_record, outward
from sansip.routing.terms import tell_refusal
from sansip.routing.vouching import PARAMETER, proof

if TYPE_CHECKING:
    from sansip.location import Binding, Nodes
    from sansip.proxy import Target
    from sansip.registrar import Reply, Terms
    from sansip.routing.request import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Request

__all__ = ["lead", "locate_shared", "register_shared"]

# Plans for one REGISTER before it is told to come back. In each round trip one of
# those who write at once succeeds, and an address-of-record has no more phones than
# this (limits.bindings_per_aor), which may all come back at once after an outage.
ATTEMPTS = 32
# RFC 3261 20.33: seconds after which a phone should try again.
_RETRY_AFTER = "20"


async def register_shared(
    request: IncomingRequest, aor: str, flow: Flow | int | None, received: str | None, terms: Terms
) -> None:
    """Plan and write until it stands, and answer the REGISTER (RFC 3261 10.3 steps 6 to 8)."""
    core = request.core
    location = core.location
    assert isinstance(location, SharedLocation)
    current: list[Binding] = location.lookup(aor, request.now)
    version = location.version(aor)
    # What this node remembers may be old: good enough to try with, not to answer from.
    certain = False
    for _ in range(ATTEMPTS):
        plan = core.registrar.plan(
            request.message,
            aor,
            current,
            request.now,
            flow=flow,
            received=received,
            wall_offset=core.wall_offset,
            terms=terms,
        )
        update = plan.update
        if update is None and certain:
            tell_refusal(request, aor, plan.reply)
            request.reply(plan.reply.status, plan.reply.reason, plan.reply.headers)
            return
        try:
            if update is None:
                found: SharedRecord | None = await Question(SharedRead(aor))
            else:
                mine = core.proxy.entropy.token()
                bindings = tuple(outward(core, binding) for binding in update.after)
                found = await Question(SharedWrite(aor, version, mine, bindings))
        except Exception:
            # Never a false 200: what the store did not take is not registered.
            break
        if found is None:
            assert update is not None
            location.mirror(aor, SharedRecord(mine, update.after), request.now)
            core.registered(aor, len(update.after))
            watch_flow(request, plan.reply)
            request.reply(plan.reply.status, plan.reply.reason, plan.reply.headers)
            return
        certain = True
        version = found.version
        current = list(location.mirror(aor, inward_record(core, found), request.now))
    # RFC 3261 21.5.4
    request.reply(503, None, [("Retry-After", _RETRY_AFTER)])


def watch_flow(request: IncomingRequest, answer: Reply) -> None:
    """Have the connection of a phone watched that ``answer`` tells a Flow-Timer (RFC 5626 5.4)."""
    seconds = request.core.registrar.flow_timer
    if seconds and request.flow.conn and any(name == "Flow-Timer" for name, _ in answer.headers):
        request.core.proxy.sender.connections.watch(request.flow, seconds, request.now)


async def locate_shared(request: IncomingRequest, aor: str) -> list[Binding]:
    """Return what ``aor`` is bound to on any node, best first."""
    core = request.core
    location = core.location
    assert isinstance(location, SharedLocation)
    seen = location.version(aor)
    try:
        found: SharedRecord = await Question(SharedRead(aor))
    except Exception:
        return location.lookup(aor, request.now)
    record = inward_record(core, found)
    if location.version(aor) == seen:
        # Else a REGISTER came between, and what it left is newer.
        return list(location.mirror(aor, record, request.now))
    return [one for one in record.bindings if one.expires_at > request.now]


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
    owner = nodes.get(flow.node)
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
