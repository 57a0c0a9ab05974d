"""A call's media: its relay, the branches of its fork, what was said in each.

Theory of operation: a ``Session`` is made by the first offer of a call, and lives until the INVITE fails, or
the last dialog that answered it ends. Where the module ``calls`` has a record of the call, the session ends
with that at the latest; else time ends it (``media.longest``). Each branch has a ``Leg`` with a label of its
own at the relay, so that the loser of a fork is deleted alone. A leg keeps the descriptions that came and
those that left: a repeated message asks no relay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.modules.media.names import Names
from sansip.modules.media.profiles import Side, Wish
from sansip.proxy.sides import is_named

if TYPE_CHECKING:
    from sansip.modules.calls import Call
    from sansip.modules.media.relay import Relay

__all__ = ["Leg", "Session", "name_of"]

# Texts that are kept of one side: those of a 180 and a 2xx may differ.
_TEXTS: Final = 4
# Characters of a Call-ID in a call's name at a relay.
_SHOWN: Final = 64


def name_of(call_id: str, own: str) -> str:
    """Return a call's name at the relays. ``own``: a text that no other call has.

    A stranger may send another's Call-ID: a name of ours keeps its calls apart.
    """
    return f"{call_id[:_SHOWN]}-{own}"


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

    __slots__ = ("answers", "asked", "label", "offered", "over", "relay", "source", "target")

    def __init__(self, label: str, source: Side, target: Side) -> None:
        self.label = label
        self.source = source
        self.target = target
        self.relay: Relay | None = None
        self.asked = b""
        self.offered = b""
        self.answers: dict[str, tuple[bytes, bytes]] = {}
        self.over = False


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
        invited: the Record-Route that callees got, where it has marks; routes: by callee's tag, what the
            caller got. Each side brings its own back (``proxy.sides``). marked: whether any had a mark.
        pending: an offer within the dialog, and what was made of it: both count once it is answered.
    """

    __slots__ = ("ambiguous", "answered", "began", "call", "call_id", "caller_tag", "id", "invited",
                 "inviting", "key", "labels", "legs", "marked", "moved", "mover", "moving", "number",
                 "offers", "over", "pending", "recording", "relay", "routes", "said", "sent", "set_",
                 "sides", "used", "wish")  # fmt: skip

    def __init__(
        self,
        id: str,
        call_id: str,
        caller_tag: str,
        set_: str,
        wish: Wish,
        began: float,
        call: Call | None,
    ) -> None:
        self.id = id
        self.call_id = call_id
        self.caller_tag = caller_tag
        self.set_ = set_
        self.wish = wish
        self.began = began
        self.call = call
        self.over = False
        # The callees' tags of the dialogs that a 2xx began, and whether another call has one of them, too.
        self.answered: set[str] = set()
        self.ambiguous = False
        self.relay: Relay | None = None
        self.legs: dict[Any, Leg] = {}
        self.sides: dict[str, Side] = {}
        self.offers: dict[str, Names] = {}
        self.used: set[Relay] = set()
        # By callee's tag: the label of the leg that it answered, which rtpproxy knows the call by.
        self.labels: dict[str, str] = {}
        self.recording = False
        self.moving = False
        self.moved = False
        self.mover = False
        self.inviting = False
        self.said: dict[str, bytes] = {}
        self.sent: dict[str, bytes] = {}
        self.pending: dict[str, tuple[bytes, bytes]] = {}
        self.invited: tuple[str, ...] = ()
        self.marked = False
        self.routes: dict[str, tuple[str, ...]] = {}
        self.number = 0
        self.key = id if call is None else call.id

    def note_invite(self, text: str, most: int) -> None:
        """Note the Record-Route ``text`` of an INVITE that leaves; ``most``: how many there may be."""
        if text and text not in self.invited:
            self.marked = True
            self.invited = (*self.invited, text)[-most:]

    def note_route(self, tag: str, text: str, most: int) -> None:
        """Note the Record-Route ``text`` of a response of the callee ``tag``; ``most``: tags to be kept."""
        known = self.routes.get(tag)
        if text:
            self.marked = True
        if known is None:
            if len(self.routes) < most:
                self.routes[tag] = (text,)
        elif text not in known:
            self.routes[tag] = (*known, text)[-_TEXTS:]

    def note_within(self, tag: str, other: str, text: str, most: int) -> None:
        """Note the Record-Route that a re-INVITE, or its answer, brings the side ``tag``.

        RFC 3261 12.2: it changes no route set; but a phone may take it for one.
        """
        if tag == self.caller_tag:
            self.note_route(other, text, most)
        else:
            self.note_invite(text, most)

    def has(self, sender: str, other: str, side: str) -> bool:
        """Whether a request from the tag ``sender`` to ``other``, of the side with this name, is in a dialog.

        Where our Record-Route has no marks, or a process before kept none of a call, tags decide.
        """
        called = sender == self.caller_tag
        texts = self.routes.get(other if called else sender)
        if texts is None:
            return False
        return not self.marked or any(is_named(side, text) for text in (texts if called else self.invited))

    def has_room(self, tag: str, most: int) -> bool:
        """Whether the side ``tag`` can have media; ``most``: callees that may: they may invent any tags."""
        return tag in self.sides or len(self.sides) <= most

    def note_offer(self, leg: Leg, relay: Relay, sdp: bytes, made: bytes) -> None:
        """Note that ``relay`` has an offer of the caller's, and made ``made`` of it."""
        leg.relay = relay
        leg.asked = sdp
        leg.offered = made
        self.said[self.caller_tag] = sdp

    def note_answer(
        self, offerer: str, answerer: str, sdp: bytes, made: bytes, source: Side, leg: Leg | None, most: int
    ) -> None:
        """Note an answer that its relay has: both sides have said something. ``most``: answers of a leg."""
        self.sides[answerer] = source
        offer = self.pending.pop(offerer, None)
        if offer is not None:
            self.said[offerer], self.sent[answerer] = offer
        elif leg is not None:
            self.sent[answerer] = leg.offered
        self.said[answerer] = sdp
        self.sent[offerer] = made
        if leg is not None and len(leg.answers) < most:
            leg.answers[answerer] = (sdp, made)
            self.labels[answerer] = leg.label

    def leg(self, branch: Any, source: Side, target: Side) -> Leg:
        """Return the leg of ``branch``, a new one where there is none."""
        found = self.legs.get(branch)
        if found is None:
            self.number += 1
            found = self.legs[branch] = Leg(f"b{self.number}", source, target)
        return found
