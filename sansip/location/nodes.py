"""The nodes that share one location: which of them live, and where they are reached.

Theory of operation: every node tells the shared store now and then that it lives,
and learns in the same answer who else does (``Heartbeat``). The store counts the
time, so the nodes' clocks do not matter, and a node that is silent for ``MISSED``
beats is gone: from then on nobody waits for it. While the store itself cannot be
asked, everybody is believed to live on; and for as long again after it came back,
for the others have to find that out, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.clock import Timers

__all__ = ["MISSED", "Heartbeat", "NodeConfig", "NodeState", "Nodes"]

# Beats that may be missed: one datagram or one slow second must not kill a node.
MISSED = 3


@dataclass(slots=True)
class NodeConfig:
    """How a stack takes part in a shared location (``StackConfig.shared``).

    Attributes:
        address: what follows ``sip:`` in a URI at which other nodes reach it.
        heartbeat: seconds between two signs of life.
        linger: seconds for which a draining node serves those whom it alone can
            reach: phones that registered over a connection, and the calls that run.
    """

    address: str
    heartbeat: float = 2.0
    linger: float = 0.0


@dataclass(slots=True)
class NodeState:
    """One node, as it describes itself.

    Attributes:
        name: its name, unique among the nodes.
        life: differs for each life of its process.
        address: what follows ``sip:`` in a URI at which other nodes reach it.
        draining: it takes nothing new and will be gone soon.
    """

    name: str
    life: str
    address: str
    draining: bool = False


@dataclass(slots=True)
class Heartbeat:
    """``node`` lives for ``seconds`` more; the answer is the list of all ``NodeState`` that live."""

    node: NodeState
    seconds: float


class Nodes:
    """What this node knows of the others.

    Args:
        name, life: of this node, see ``NodeState``.
        config: its address and times.
        ask: puts a question to the outside (``Stack.ask``).
        tell: is called with the name of a node, what became of it, and the time.
        prove: returns what only who has the nodes' key can make of a text.
    """

    __slots__ = ("_ask", "_config", "_others", "_tell", "_timers", "_unsure", "lingering", "me", "prove")

    def __init__(
        self,
        name: str,
        life: str,
        config: NodeConfig,
        timers: Timers,
        ask: Callable[[Any, Callable[[Any, float], None], float], None],
        tell: Callable[[str, str, float], None],
        prove: Callable[[str], str],
    ) -> None:
        self.me = NodeState(name, life, config.address)
        # Whether this node drains, and still serves whom it alone can reach.
        self.lingering = False
        self._config = config
        self._timers = timers
        self._ask = ask
        self._tell = tell
        self.prove = prove
        self._others: dict[str, NodeState] = {}
        # Until when a node that is not told of may live all the same.
        self._unsure = float("-inf")

    def join(self, others: Iterable[NodeState], now: float) -> None:
        """Begin to beat, as soon as time passes; ``others`` are known to live."""
        self._take({state.name: state for state in others if state.name != self.me.name}, now)
        self._timers.start(now, 0.0, self, "beat")

    def drain(self, now: float) -> None:
        """Tell the others with the next beat that this node will go; linger."""
        self.me = replace(self.me, draining=True)
        if self._config.linger:
            self.lingering = True
            self._timers.start(now, self._config.linger, self, "linger")

    def lives_at(self, address: str) -> bool:
        """Whether a node that is known lives at ``host:port``."""
        return any(
            node.address == address or node.address.startswith(f"{address};")
            for node in self._others.values()
        )

    def get(self, name: str) -> NodeState | None:
        """Return the node ``name`` as long as it lives, as far as this one knows."""
        return self.me if name == self.me.name else self._others.get(name)

    def timer_fired(self, name: str, now: float) -> None:
        if name == "linger":
            self.lingering = False
        else:
            self._ask(Heartbeat(self.me, MISSED * self._config.heartbeat), self._answered, now)

    def _answered(self, found: Any, now: float) -> None:
        if isinstance(found, Exception):
            self._unsure = now + MISSED * self._config.heartbeat
        else:
            self._take({state.name: state for state in found if state.name != self.me.name}, now)
        self._timers.start(now, self._config.heartbeat, self, "beat")

    def _take(self, found: dict[str, NodeState], now: float) -> None:
        before = self._others
        self._others = before | found if now < self._unsure else found
        for name, state in self._others.items():
            known = before.get(name)
            if known is None or known.life != state.life:
                self._tell(name, "lives", now)
            elif state.draining and not known.draining:
                self._tell(name, "drains", now)
        for name in before.keys() - self._others.keys():
            self._tell(name, "gone", now)
