"""A call's media: its relay, the branches of its fork, what was said in each.

Theory of operation: a ``Session`` is made by the first offer of a call, and lives until the INVITE fails, or
the last dialog that answered it ends. Where the module ``calls`` has a record of the call, the session ends
with that at the latest; else time ends it (``media.longest``). Each branch has a ``Leg`` with a label of its
own at the relay, so that the loser of a fork is deleted alone. A leg keeps the descriptions that came and
those that left: a repeated message asks no relay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sansip.modules.media.names import Names
from sansip.modules.media.profiles import Side, Wish

if TYPE_CHECKING:
    from sansip.modules.calls import Call
    from sansip.modules.media.relay import Relay

__all__ = ["Leg", "Session"]

# Places of one side that are kept: a request may be on its way to the one of before.
_TARGETS: Final = 2


@dataclass(slots=True, eq=False)
class Leg:
    """One branch of the INVITE.

    Attributes:
        label: its name at the relay.
        relay: the one that has its offer.
        asked, offered: the description that came for it, and the one that left.
        source, target: the two sides.
        answers: by To tag, the description that came last and what went on.
        over: its deletion was sent.
    """

    label: str
    source: Side
    target: Side
    relay: Relay | None = None
    asked: bytes = b""
    offered: bytes = b""
    answers: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    over: bool = False


@dataclass(slots=True, eq=False)
class Session:
    """The media of one call.

    Attributes:
        id: the call's name at the relays.
        key: what operators know it by: the id of the call's record, where there is one.
        call_id: of its INVITE.
        call: its record in the module ``calls``, None without one.
        began: when.
        caller_tag: the From tag of its INVITE.
        set_: the relays that it may have.
        relay: the one that new branches and offers go to.
        legs: its branches; ``sides``: what each tag's side is.
        over: it has ended, and its relays were told.
        offers: offers that wait for their answer: the offerer's tag -> what was asked.
        recording: whether an operator or a route has it recorded.
        moving: its next offer goes to another relay.
        said, sent: by tag, the last description of a side, and the last one that it got.
        moved: whether it was ever moved, so that ``o=`` is counted here; mover: whether it is being moved;
            inviting: whether a re-INVITE of ours waits for its answer.
        targets: by tag, where its side is by its Contact (``address_of``), the newest last.
        hosts: by tag, the address that its side sends from.
        pending: an offer within the dialog, and what was made of it: both count once it is answered.
    """

    id: str
    call_id: str
    caller_tag: str
    set_: str
    wish: Wish
    began: float = 0.0
    call: Call | None = None
    over: bool = False
    # The callees' tags of the dialogs that a 2xx began, and whether another call has one of them, too.
    answered: set[str] = field(default_factory=set)
    ambiguous: bool = False
    relay: Relay | None = None
    legs: dict[Any, Leg] = field(default_factory=dict)
    sides: dict[str, Side] = field(default_factory=dict)
    offers: dict[str, Names] = field(default_factory=dict)
    used: set[Relay] = field(default_factory=set)
    # By callee's tag: the label of the leg that it answered, which rtpproxy knows the call by.
    labels: dict[str, str] = field(default_factory=dict)
    recording: bool = False
    moving: bool = False
    moved: bool = False
    mover: bool = False
    inviting: bool = False
    said: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    pending: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    number: int = 0
    key: str = ""

    def note_target(self, tag: str, target: str, most: int, host: str = "") -> None:
        """Note that the side ``tag`` is at ``target`` from now on; ``most``: tags that there may be.

        ``host``: what it sends from, where that is known.
        """
        known = self.targets.get(tag)
        if known is not None and known[-1] == target:
            # It says so in each message.
            if host:
                self.hosts[tag] = host
            return
        if target and (known is not None or len(self.targets) < most):
            self.targets[tag] = (*(one for one in known or () if one != target), target)[-_TARGETS:]
            if host:
                self.hosts[tag] = host

    def has(self, sender: str, other: str, target: str) -> bool:
        """Whether a request of the side ``sender`` that goes to ``target`` is for the side ``other``."""
        return sender in self.targets and target in self.targets.get(other, ())

    def leg(self, branch: Any, source: Side, target: Side) -> Leg:
        """Return the leg of ``branch``, a new one where there is none."""
        found = self.legs.get(branch)
        if found is None:
            self.number += 1
            found = self.legs[branch] = Leg(f"b{self.number}", source, target)
        return found
