"""The nodes that share one location: which of them live, and where they are reached.

Theory of operation: every node tells the shared store now and then that it lives, and the answer names the
other living nodes (``Heartbeat``). The store counts the time, so the nodes' clocks do not matter. A node that
is silent for ``MISSED`` beats is missing there, which may mean that it died, or that it lost the store and
nothing else. So this node asks it directly, over SIP (``probe``), and again with each beat: as long as it
answers it lives, and calls go to its phones. It is gone when it does not answer, and from then on no request
waits for it. If this node cannot ask the store, it asks all others in this way. This node also asks a node
that the store knows of but that gives callers no answer (``suspect``): if the two are cut off from each
other, this node skips it until it answers.

A node is known by its life, which no two processes share: two processes with one name are two nodes, and the
operator is told. The record of a node has a proof that the node has the nodes' key. A node without the proof
is a stranger: the others do not send to it, and do not believe it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, TypeAlias

from sansip.wire.host import host_key, split_host_port

if TYPE_CHECKING:
    from sansip.clock import Timers

__all__ = ["MISSED", "Heartbeat", "NodeConfig", "NodeState", "Nodes"]

# Beats that may be missed before a node is asked itself: one slow second is no reason to.
MISSED = 3


@dataclass(slots=True)
class NodeConfig:
    """How a stack takes part in a shared location (``StackConfig.shared``).

    Attributes:
        address: the part after ``sip:`` in a URI at which other nodes reach it.
        heartbeat: seconds between two signs of life.
        linger: seconds for which a draining node serves those that it alone can
            reach: phones that registered over a connection, and the calls that run.
    """

    address: str
    heartbeat: float = 2.0
    linger: float = 0.0


@dataclass(slots=True)
class NodeState:
    """One node, as it describes itself.

    Attributes:
        name: its name, unique among the nodes where the operator saw to that.
        life: differs for each life of its process, and from that of any other.
        address: the part after ``sip:`` in a URI at which other nodes reach it.
        draining: it takes nothing new and will be gone soon.
        proof: made of name, life and address with the nodes' key.
    """

    name: str
    life: str
    address: str
    draining: bool = False
    proof: str = ""

    @property
    def stated(self) -> str:
        """The text that ``proof`` is made of."""
        return f"state\n{self.name}\n{self.life}\n{self.address}"


@dataclass(slots=True)
class Heartbeat:
    """``node`` lives for ``seconds`` more; the answer is the list of all ``NodeState`` that live."""

    node: NodeState
    seconds: float


# Whether a node answered, and the time.
Answered: TypeAlias = Callable[[bool, float], None]


class Nodes:
    """This node's table of the other nodes.

    Args:
        name, life: of this node, see ``NodeState``.
        config: its address and times.
        ask: puts a question to the outside (``Stack.ask``).
        tell: is called with a node, what became of it, and the time: it "lives", "drains",
            is "cut off" from the store, "unreachable" from here, "replaced" by its next life,
            or "gone"; it is a "twin" with our name, or a "stranger" with another key.
        prove: returns a proof of a text that only a holder of the nodes' key can make.
        probe: asks a node over SIP whether it lives.
    """

    __slots__ = (
        "_ask",
        "_config",
        "_cut_off",
        "_ended",
        "_listed",
        "_others",
        "_probe",
        "_probed",
        "_tell",
        "_timers",
        "lingering",
        "me",
        "prove",
        "strangers",
        "twins",
        "unreachable",
    )

    def __init__(
        self,
        name: str,
        life: str,
        config: NodeConfig,
        timers: Timers,
        ask: Callable[[Any, Callable[[Any, float], None], float], None],
        tell: Callable[[NodeState, str, float], None],
        prove: Callable[[str], str],
        probe: Callable[[NodeState, Answered, float], None],
    ) -> None:
        me = NodeState(name, life, config.address)
        self.me = replace(me, proof=prove(me.stated))
        # Whether this node drains, and still serves the phones that it alone can reach.
        self.lingering = False
        self._config = config
        self._timers = timers
        self._ask = ask
        self._tell = tell
        self.prove = prove
        self._probe = probe
        # By life: those that live; of these, those that are being asked, and those that
        # the store does not know of and that answered.
        self._others: dict[str, NodeState] = {}
        self._probed: set[str] = set()
        self._cut_off: set[str] = set()
        # Those that the store knew of when it was asked last, and those of them that do not
        # answer here.
        self._listed: set[str] = set()
        self.unreachable: dict[str, NodeState] = {}
        # Former lives of this node that the store was told of.
        self._ended: set[str] = set()
        # By life: those that live with our name, or with another key.
        self.twins: dict[str, NodeState] = {}
        self.strangers: dict[str, NodeState] = {}

    @property
    def others(self) -> list[NodeState]:
        """All others that live, as far as this node knows."""
        return list(self._others.values())

    @property
    def cut_off(self) -> list[NodeState]:
        """Those of them that the store does not know of, and that answered when they were asked."""
        return [state for life, state in self._others.items() if life in self._cut_off]

    def is_at(self, host: str) -> bool:
        """Whether another node that lives is at ``host``, as it is written in its address."""
        return any(_host(state.address) == host for state in self._others.values())

    def join(self, others: Iterable[NodeState], now: float) -> None:
        """Begin to beat, as soon as time passes; ``others`` are known to live."""
        self._take(others, now)
        self._timers.start(now, 0.0, self, "beat")

    def drain(self, now: float) -> None:
        """Tell the others with the next beat that this node will go; linger."""
        self.me = replace(self.me, draining=True)
        if self._config.linger:
            self.lingering = True
            self._timers.start(now, self._config.linger, self, "linger")

    def lives_at(self, address: str) -> bool:
        """Whether a node that is known lives at ``host:port``."""
        place = _place(address)
        return any(_place(node.address.partition(";")[0]) == place for node in self._others.values())

    def get(self, name: str, life: str) -> NodeState | None:
        """Return the node that was called ``name`` in ``life``, in another life where that ended.

        None where none lives, as far as this node knows.
        """
        if life == self.me.life:
            return self.me
        found = self._others.get(life)
        if found is None:
            if name == self.me.name:
                return self.me
            for state in self._others.values():
                if state.name == name:
                    found = state
        return None if found is None or found.life in self.unreachable else found

    def suspect(self, life: str, now: float) -> None:
        """Ask the node of ``life`` whether it lives: a request has waited for its answer for too long."""
        state = self._others.get(life)
        if state is not None:
            self._doubt(state, now)

    def timer_fired(self, name: str, now: float) -> None:
        if name == "linger":
            self.lingering = False
        else:
            self._ask(Heartbeat(self.me, MISSED * self._config.heartbeat), self._answered, now)

    def _answered(self, found: Any, now: float) -> None:
        if isinstance(found, Exception):
            self._listed.clear()
            for state in self.others:
                self._doubt(state, now, told=False)
        else:
            self._take(found, now)
            for state in list(self.unreachable.values()):
                self._doubt(state, now)
        self._timers.start(now, self._config.heartbeat, self, "beat")

    def _take(self, found: Iterable[NodeState], now: float) -> None:
        """Compare the nodes in the store with those known before."""
        listed: dict[str, NodeState] = {}
        twins, strangers = self.twins, self.strangers
        self.twins, self.strangers = {}, {}
        for state in found:
            life = state.life
            if life == self.me.life:
                continue
            if not compare_digest(self.prove(state.stated).encode(), state.proof.encode("utf-8", "replace")):
                self.strangers[life] = state
                if life not in strangers:
                    self._tell(state, "stranger", now)
                continue
            if (state.name, state.address) == (self.me.name, self.me.address) and life not in self._ended:
                # This node, before it started again; should it beat on, it is another.
                self._ended.add(life)
                self._ask(Heartbeat(state, 0.0), _ignore, now)
                continue
            if state.name == self.me.name:
                self.twins[life] = state
                if life not in twins:
                    self._tell(state, "twin", now)
            listed[life] = state
        before = self._others
        self._others = before | listed
        self._listed = set(listed)
        for life, state in listed.items():
            known = before.get(life)
            if known is None or life in self._cut_off:
                self._tell(state, "lives", now)
            if state.draining and not (known is not None and known.draining):
                self._tell(state, "drains", now)
            self._cut_off.discard(life)
        places = {(state.name, state.address) for state in listed.values()}
        for life, state in before.items():
            if life in listed:
                continue
            if (state.name, state.address) in places:
                self._forget(state)
                self._tell(state, "replaced", now)
            else:
                self._doubt(state, now)

    def _doubt(self, state: NodeState, now: float, *, told: bool = True) -> None:
        """Ask ``state`` itself whether it lives; ``told``: the store could be asked, and does not know."""
        life = state.life
        if life in self._probed:
            return
        self._probed.add(life)

        def answered(lives: bool, then: float) -> None:
            self._probed.discard(life)
            if life not in self._others:
                return
            if lives:
                if self.unreachable.pop(life, None) is not None:
                    self._tell(state, "lives", then)
                if told and life not in self._listed and life not in self._cut_off:
                    self._cut_off.add(life)
                    self._tell(state, "cut off", then)
            elif life not in self._listed:
                self._forget(state)
                self._tell(state, "gone", then)
            elif life not in self.unreachable:
                self.unreachable[life] = state
                self._tell(state, "unreachable", then)

        self._probe(state, answered, now)

    def _forget(self, state: NodeState) -> None:
        del self._others[state.life]
        self._cut_off.discard(state.life)
        self.unreachable.pop(state.life, None)


def _host(address: str) -> str:
    """Return the host of a node's address, without brackets."""
    return address.partition(";")[0].rpartition(":")[0].strip("[]")


def _ignore(_answer: Any, _now: float) -> None:
    """Should the store fail, it is asked again with the next beat."""


def _place(address: str) -> tuple[str | bytes, int | None] | None:
    """Return the ``host:port`` of an address as it is compared (RFC 5118 4.8)."""
    place = split_host_port(address)
    return None if place is None else (host_key(place[0]), place[1])
