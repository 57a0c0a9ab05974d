"""The other nodes of a shared location, as this stack knows them: their proofs, probes and ends.

Theory of operation: ``location.nodes`` keeps the table of who lives. It asks here for a proof that
only our nodes can make, has a silent node asked over SIP (``routing.probing``), and tells of changes:
requests that wait for a node that is gone need not wait any longer.
"""

from __future__ import annotations

from typing import Protocol

from sansip.client import Client
from sansip.entropy import Entropy
from sansip.events import (
    NodeChanged,
)
from sansip.location import (
    NodeConfig,
    Nodes,
    NodeState,
)
from sansip.location.nodes import Answered
from sansip.proxy.usual import branch_of
from sansip.routing.core import Core
from sansip.routing.probing import Probe
from sansip.seat import Seat

__all__ = ["Neighbours"]

# Seconds that another node has at least for its answer: a datagram is sent twice by then.
_PROBE_TIME = 1.0


class SharingCore(Core, Protocol):
    """The core, its way out, and the key that its nodes share."""

    client: Client
    entropy: Entropy
    prover: Entropy
    seat: Seat | None
    unstarted: bool


class Neighbours:
    """Keeps ``nodes``, the table of one stack that shares its location.

    ``name`` is the name of this node, ``config`` how it takes part.
    """

    __slots__ = ("_core", "_heartbeat", "nodes")

    def __init__(self, core: SharingCore, name: str, config: NodeConfig) -> None:
        self._core = core
        self._heartbeat = config.heartbeat
        seat = core.seat
        # The workers of one server are one node.
        life = (
            core.entropy.keyed_hash("life")
            if seat is None
            else core.prover.keyed_hash(f"life of {name} {seat.life}")
        )
        self.nodes = Nodes(
            name, life, config, core.proxy.timers, core.ask, self._changed, self._prove, self._probe
        )

    def _prove(self, text: str) -> str:
        return self._core.prover.keyed_hash(f"node {text}")

    def _probe(self, node: NodeState, answered: Answered, now: float) -> None:
        seconds = max(self._heartbeat, _PROBE_TIME)
        Probe(self._core.client, self.nodes, node, answered, seconds, now)

    def _changed(self, node: NodeState, state: str, now: float) -> None:
        if state != "replaced":
            changed = NodeChanged(node.name, state, node.address)
            if self._core.unstarted:
                # Modules ask which nodes live as they start.
                self._core.notify(changed)
            else:
                self._core.tell(changed, now)
        if state in ("gone", "replaced", "unreachable"):
            # The requests that wait for its answers need not wait any longer.
            for client in list(self._core.proxy.transactions.clients.values()):
                branch = branch_of(client.user)
                if branch is not None:
                    branch.node_gone(node.life, now, back=state == "replaced")
