"""Bindings whose flow is lost: this node removes them, here and in the store, in the background.

Theory of operation: a request cannot reach a phone over a closed connection, so the bindings of that
connection are invalid (RFC 5626 7). Memory forgets them in the instant the connection ends, so the next call
goes to another flow of the phone, or fails at once. After that this node removes them from the store. If the
store cannot be reached, such a binding comes back with a restart. A call to it fails as fast then, because
its flow is gone.

It is a change like any other (``change``); in a shared location it is made anew where another
node was quicker: a phone that has come back meanwhile is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from sansip.client.given_up import GivenUp
from sansip.location import (
    Binding,
    NodeFlow,
    SharedLocation,
    SharedRecord,
    key_of,
)
from sansip.proxy.stream_pair import StreamPair
from sansip.proxy.usual import branch_of
from sansip.routing.change import Change
from sansip.routing.flows import flow_of, is_flow_of
from sansip.transaction import ClientTransaction
from sansip.transport.transports import ONE_WAY
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.routing.core import Core
    from sansip.transport import Flow
    from sansip.transport.connection import Pending

__all__ = ["connection_lost", "drop", "flow_lost", "give_up", "has_moved"]


def connection_lost(core: Core, flow: Flow, now: float) -> None:
    """Drop the bindings registered over the connection of ``flow``, as ``registrar.lost_flow`` says."""
    policy = core.registrar.lost_flow
    aors = core.location.aors_of(flow)
    if not aors or policy == "keep":
        return
    life = "" if core.nodes is None else core.nodes.me.life

    def is_lost(binding: Binding) -> bool:
        held = binding.flow
        if isinstance(held, NodeFlow):
            # In a shared record it has the name that other nodes know.
            if (held.life, held.conn) != (life, flow.conn):
                return False
        elif held is not flow:
            return False
        return policy == "remove" or _is_only_way(binding)

    for aor in aors:
        drop(core, aor, is_lost, "lost", now)


def has_moved(core: Core, transaction: ClientTransaction, flow: Flow, now: float) -> bool:
    """Whether the phone that ``transaction`` asks has registered ``flow``, too; it is followed there.

    A response that came by another flow than its request left by: the phone registered
    again meanwhile, or has several flows (RFC 5626 4.2).
    """
    user = transaction.user
    # One that was given up may answer still.
    branch = branch_of(user.attempt if isinstance(user, GivenUp) else user)
    if branch is None:
        return False
    binding = branch.target.binding
    if not isinstance(binding, Binding) or not is_flow_of(core, binding, flow, now):
        return False
    branch.follow(transaction, flow)
    return True


def give_up(core: Core, waiting: Iterable[Pending], now: float) -> None:
    """End the INVITEs of ``waiting`` that ring at phones whose only connection is gone."""
    for one in waiting:
        transaction = one.client if isinstance(one, StreamPair) else one
        branch = branch_of(transaction.user) if isinstance(transaction, ClientTransaction) else None
        if branch is None or not isinstance(transaction, ClientTransaction):
            continue
        binding = branch.target.binding
        other = None
        if isinstance(binding, Binding):
            other = flow_of(core, binding.aor, key_of(binding), now)
        branch.flow_died(transaction, other, now)


def flow_lost(core: Core, binding: Binding, now: float) -> None:
    """Drop ``binding``: an edge proxy, or the network, said that its flow is gone (RFC 5626 7)."""
    if core.registrar.lost_flow == "keep" or binding.reg_id is None:
        return

    def is_lost(one: Binding) -> bool:
        # Unless the phone has registered again since.
        return (
            one.reg_id == binding.reg_id
            and one.instance == binding.instance
            and one.call_id == binding.call_id
            and one.cseq == binding.cseq
        )

    drop(core, binding.aor, is_lost, "lost", now)


def _is_only_way(binding: Binding) -> bool:
    """Whether nothing but its connection leads to the phone of ``binding``."""
    # RFC 5626: the phone asked to be reached over the flow; a Contact that is not its source leads nowhere.
    if binding.reg_id is not None or binding.received is not None:
        return True
    uri = binding.uri
    # RFC 7118 5
    return isinstance(uri, SipUri) and (uri.transport in ONE_WAY or uri.host.endswith(".invalid"))


def drop(core: Core, aor: str, goes: Callable[[Binding], bool], reason: str, now: float) -> None:
    """Remove the bindings of ``aor`` of which ``goes`` is true; ``reason`` is told (``BindingsChanged``)."""
    location = core.location
    stands = location.lookup(aor, now)
    left = tuple(one for one in stands if not goes(one))
    if len(left) == len(stands):
        return
    asked = False

    def plan(stands: Sequence[Binding], _now: float) -> tuple[Binding, ...] | None:
        nonlocal asked
        after = tuple(one for one in stands if not goes(one))
        # The mirror of a shared location may have forgotten it already, and the store has not.
        unchanged = asked and len(after) == len(stands)
        asked = True
        return None if unchanged else after

    def done(error: Exception | None, then: float) -> None:
        if error is None:
            core.dropped(aor, len(location.lookup(aor, then)), reason)

    Change(core, aor, plan, lambda: reason, now, at_once=True).put(done, now)
    if isinstance(location, SharedLocation):
        # Here at once: the next call shall not try it.
        location.mirror(aor, SharedRecord(location.version(aor), left), now)
