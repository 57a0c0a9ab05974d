"""Registration and lookup where several nodes share one location.

Theory of operation: a REGISTER is a change of what stands for its address-of-record
(``changes``). A lookup asks the store, and where the store cannot be asked, what
this node saw last is good enough to call somebody.

A binding's flow belongs to one node. In the store it has a name that others can
use: the node, and a token with which that node sends over the flow (RFC 5626
5.3). A phone of another node is called by a Route value with that token. When
the node is gone its connections are gone: they are passed over without waiting.
Datagrams belong to nobody, so any node serves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.location import NodeFlow, SharedLocation, SharedRead, SharedRecord
from sansip.registrar import is_direct
from sansip.routing.awaitables import Question
from sansip.routing.changes import NotStored, SharedChange
from sansip.routing.named_flows import inward_record
from sansip.routing.terms import tell_refusal
from sansip.routing.vouching import PARAMETER, proof
from sansip.transport import Flow

if TYPE_CHECKING:
    from sansip.location import Binding, Nodes, Source
    from sansip.proxy import Target
    from sansip.registrar import Plan, Reply, Terms
    from sansip.routing.incoming import Incoming
    from sansip.wire import Request

__all__ = ["RETRY_AFTER", "lead", "locate_shared", "register_shared"]

# RFC 3261 20.33: seconds after which to try again what a store could not say or take.
RETRY_AFTER = "20"


async def register_shared(
    request: Incoming, aor: str, flow: Flow | int | None, received: Source | None, terms: Terms
) -> bool:
    """Plan and write until it stands, and answer the REGISTER (RFC 3261 10.3 steps 6 to 8).

    Returns whether anything was changed.
    """
    core = request.core
    message = request.message
    latest: Plan | None = None

    def plan(stands: Sequence[Binding], now: float) -> tuple[Binding, ...] | None:
        nonlocal latest
        latest = core.registrar.plan(
            message,
            aor,
            stands,
            now,
            flow=flow,
            received=received,
            wall_offset=core.wall.offset,
            terms=terms,
        )
        return None if latest.update is None else latest.update.after

    def owner() -> str:
        # What comes through an edge proxy comes over the proxy's flow.
        return str(request.flow) if is_direct(message) else message.call_id

    try:
        await Question(SharedChange(aor, plan, owner))
    except NotStored:
        # Never a false 200: what the store did not take is not registered. RFC 3261 21.5.4.
        request.reply(503, None, [("Retry-After", RETRY_AFTER)])
        return False
    assert latest is not None
    update, answer = latest.update, latest.reply
    if update is not None:
        core.registered(aor, len(update.after))
        watch_flow(request, answer)
    else:
        tell_refusal(request, aor, answer)
    request.reply(answer.status, answer.reason, answer.headers)
    return update is not None


def watch_flow(request: Incoming, answer: Reply) -> None:
    """Have the connection of a phone watched that ``answer`` tells a Flow-Timer (RFC 5626 5.4)."""
    seconds = request.core.registrar.flow_timer
    if seconds and request.flow.conn and any(name == "Flow-Timer" for name, _ in answer.headers):
        request.core.proxy.sender.connections.watch(request.flow, seconds, request.now)


async def locate_shared(request: Incoming, aor: str) -> list[Binding]:
    """Return what ``aor`` is bound to on any node, best first."""
    core = request.core
    location = core.location
    assert isinstance(location, SharedLocation)
    seen = location.version(aor)
    try:
        found: SharedRecord = await Question(SharedRead(aor))
    except Exception:
        known = location.lookup(aor, request.now)
        # Nobody here knows of it, and somebody elsewhere may.
        request.unsure = not known
        return known
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
