"""One call: its two sides, since when, what became of it.

Theory of operation: a ``Call`` is made when an INVITE without a To tag is relayed, and only this object holds
the state of the call. All counts are derived from the present calls, so no count drifts. Each 2xx of another
phone begins one more ``Talk`` (a dialog, RFC 3261 12) of the same call; the call is over when its last one
is. A ``Talk`` keeps, as text, the values that a request of ours to either side needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.events import uri_in
from sansip.modules.calls.states import CALLING, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.later import Later
    from sansip.modules.calls.tariff import Tariff
    from sansip.transport import Flow

__all__ = ["Call", "Follower", "Side", "Talk"]


# In ``repr``, and to those who follow events.
_SHOWN: Final = (
    *("id", "call_id", "caller_tag", "caller", "callee", "asked", "source", "began", "rang", "answered"),
    *("ended", "state", "status", "ended_by", "why", "target", "variables", "keys", "talks", "won"),
    *("gateway", "tariff", "recorded", "number", "tried", "given_up", "stranger"),
)


class Follower(Protocol):
    """Follows one call, for the module that sent it somewhere: no event is made for it."""

    def rang(self, call: Call, now: float) -> None:
        """The first phone rings."""

    def answered(self, call: Call, now: float) -> None:
        """The first 2xx goes back."""

    def ended(self, call: Call, now: float) -> None:
        """The call is over."""


@dataclass(slots=True)
class Side:
    """One side of a dialog, as this server reaches it.

    Attributes:
        name: its From or To value, with its tag.
        target: the URI of its Contact.
        routes: Route values from here to it, the nearest first.
        flow: where its messages come from.
        cseq: the last sequence number of its requests, as the other side saw it; 0 before the first.
        proven: whether its addresses may be believed: it proved who it is, or this server chose it.
    """

    name: str
    target: str
    routes: tuple[str, ...]
    flow: Flow | None
    cseq: int = 0
    proven: bool = True


class Talk:
    """One dialog of a call.

    Attributes:
        caller, callee: its two sides.
        unacked: until when the ACK of its 2xx has to come; None once it has (RFC 3261 13.3.1.4).
        expires: when its session ends unless somebody refreshes it (RFC 4028), None without a timer.
        interval: the seconds of the session; 0 without a timer, and where they are not known.
        alone: the seconds of a session that one side alone refreshes, for the other knows no timers; else 0.
        probed: OPTIONS of ours that wait for their answer.
    """

    __slots__ = ("_read", "_sides", "alone", "expires", "interval", "probed", "unacked")

    def __init__(
        self,
        caller: Side | None,
        callee: Side | None,
        unacked: float | None = None,
        expires: float | None = None,
        read: Callable[[], tuple[Side, Side]] | None = None,
    ) -> None:
        """``read`` returns the sides where they are None: it is asked when they are needed."""
        self._sides: tuple[Side, Side] | None = None if caller is None or callee is None else (caller, callee)
        self._read = read
        self.unacked = unacked
        self.expires = expires
        self.alone = 0.0
        self.interval = 0.0
        self.probed = 0

    @property
    def _both(self) -> tuple[Side, Side]:
        sides = self._sides
        if sides is None:
            assert self._read is not None
            sides = self._sides = self._read()
            self._read = None
        return sides

    @property
    def caller(self) -> Side:
        return self._both[0]

    @property
    def callee(self) -> Side:
        return self._both[1]


@dataclass(slots=True, eq=False, init=False, repr=False)
class Call:
    """One call.

    Attributes:
        id: its name here, for `calls.show`, `calls.hangup` and the log.
        call_id, caller_tag: of its INVITE.
        asked: the Request-URI as it was received.
        source: the address that the INVITE came from.
        began, rang, answered, ended: times of the stack's clock; None for an event that has not happened.
        state: ``calling``, ``ringing``, ``answered`` or ``ended``; ``over``: it is ``ended``.
        status: the final status that the caller got, 0 before.
        ended_by: ``caller``, ``callee``, ``server`` or "".
        why: in words, once it has ended.
        target: the URI that it was sent to last; that of the branch that answered, once one has.
        keys: the keys that it counts for (``Calls.limit``).
        talks: its dialogs, by the callee's tag.
        won: the target whose phone answered first, None before.
        gateway: the name of the gateway that it goes to, by who chose it; "" for none.
        tariff: what it costs; None where nobody said.
        recorded: ends when the record of its end is durable; None where nobody makes one.
    """

    id: str
    call_id: str
    caller_tag: str
    # The URIs in From and To, or their lines as long as nobody has asked.
    _caller: str
    _callee: str
    _lines: bool
    asked: str
    source: str
    began: float
    rang: float | None
    answered: float | None
    ended: float | None
    state: State
    status: int
    ended_by: str
    why: str
    target: str
    # None as long as nobody has asked.
    _variables: dict[str, Any] | None
    # Values of a module that has the same for many calls.
    said: dict[str, str] | None
    keys: set[str]
    talks: dict[str, Talk]
    won: Any
    gateway: str
    tariff: Tariff | None
    recorded: Later[None] | None
    # Its number here: later calls have higher ones.
    number: int
    # The tags of sides in whose name this server has sent a request (``sansip.proxy.sequence``).
    raised: set[str] | None
    # Whether its INVITE has left.
    tried: bool
    # Why an operator ended it before it was answered: a 2xx that crosses the CANCEL gets a BYE.
    given_up: str
    # Who answered, by the To tag: the target that the INVITE was sent to, and the flow of the answer.
    answers: dict[str, Any] | None
    # The source that it counts for, while nothing is known of the caller.
    stranger: Any
    # The request, until it has its final answer: to cancel it by.
    request: Any
    # When it is looked at next, and its first entry that says so (``watch``).
    due: float | None
    entered: float | None
    # Hears of its ring, its answer and its end; None: nobody does.
    follower: Follower | None
    over: bool

    def __init__(
        self,
        id: str,
        call_id: str,
        caller_tag: str,
        caller: str,
        callee: str,
        asked: str,
        source: str,
        began: float,
        number: int = 0,
        stranger: Any = None,
        lines: bool = False,
    ) -> None:
        """``lines``: ``caller`` and ``callee`` are the lines From and To."""
        self.id = id
        self.call_id = call_id
        self.caller_tag = caller_tag
        self._caller = caller
        self._callee = callee
        self._lines = lines
        self.asked = asked
        self.source = source
        self.began = began
        self.rang = self.answered = self.ended = None
        self.state = CALLING
        self.status = 0
        self.ended_by = self.why = self.target = self.gateway = self.given_up = ""
        self._variables = self.said = None
        self.keys = set()
        self.talks = {}
        self.won = self.request = None
        self.tariff = None
        self.recorded = None
        self.number = number
        self.tried = self.over = False
        self.raised = self.answers = None
        self.stranger = stranger
        self.due = self.entered = None
        self.follower = None

    def __repr__(self) -> str:
        return f"Call({', '.join([f'{name}={getattr(self, name)!r}' for name in _SHOWN])})"

    def as_shown(self) -> dict[str, Any]:
        """Return what ``plain_result`` shows: not how the values are kept."""
        return {name: getattr(self, name) for name in (*_SHOWN, "over")}

    @property
    def caller(self) -> str:
        """The URI in From."""
        self._read()
        return self._caller

    @property
    def callee(self) -> str:
        """The URI in To."""
        self._read()
        return self._callee

    def _read(self) -> None:
        if self._lines:
            self._lines = False
            self._caller, self._callee = uri_in(self._caller), uri_in(self._callee)

    @property
    def variables(self) -> dict[str, Any]:
        """The values that routes and modules keep with it."""
        found = self._variables
        if found is None:
            found = self._variables = {}
        said = self.said
        if said is not None:
            self.said = None
            found.update(said)
        return found

    @variables.setter
    def variables(self, values: dict[str, Any]) -> None:
        self._variables, self.said = values, None

    @property
    def duration(self) -> float:
        """Seconds from the answer to the end; 0 for a call that was not answered, or goes on."""
        if self.answered is None or self.ended is None:
            return 0.0
        return self.ended - self.answered
