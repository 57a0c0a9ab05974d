"""Offer and answer (RFC 3264) as SIP carries them (RFC 3261 13.2.1, 3262 5, 3311 5, 6337).

Theory of operation: there is one exchange at a time. ``exchange`` is its state, and ``carrier`` the method
that began it, because an exchange ends with the request that carries it. An INVITE without an offer begins
one as well: the first reliable response has to bring the offer. The code does not read bodies: their type and
disposition tell whether one is a session description.
"""

from __future__ import annotations

from typing import Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.transaction.table import IGNORE, Machine, total
from sansip.wire import Request, Response

__all__ = ["OFFER_ANSWER", "OfferAnswer", "has_session"]

STABLE: Final = "stable"
LOCAL: Final = "local offer"
REMOTE: Final = "remote offer"
WANTED: Final = "offer wanted"
OWED: Final = "offer owed"

# An effect is "go" (in order), a status to refuse the peer's request by, or "misuse" (ours).
GO: Final = "go"
MISUSE: Final = "misuse"

OFFER_ANSWER: Final[Machine] = total(
    "offer/answer",
    (STABLE, LOCAL, REMOTE, WANTED, OWED),
    (
        "send offer",
        "receive offer",
        "send answer",
        "receive answer",
        "send INVITE without offer",
        "receive INVITE without offer",
        # in the first reliable response to it
        "send owed offer",
        "receive wanted offer",
    ),
    {
        (STABLE, "send offer"): (GO, LOCAL),
        (STABLE, "receive offer"): (GO, REMOTE),
        # RFC 6337 3.1.1: descriptions after the answer are ignored.
        (STABLE, "send answer"): IGNORE,
        (STABLE, "receive answer"): IGNORE,
        (STABLE, "send INVITE without offer"): (GO, WANTED),
        (STABLE, "receive INVITE without offer"): (GO, OWED),
        # RFC 3264 4: no new offer while one is not answered; RFC 3311 5.2: ours is not, 491.
        (LOCAL, "send offer"): MISUSE,
        (LOCAL, "receive offer"): "491",
        (LOCAL, "send answer"): MISUSE,
        (LOCAL, "receive answer"): (GO, STABLE),
        (LOCAL, "send INVITE without offer"): MISUSE,
        # RFC 6337 4.1, figure 4: its offer would cross the answer that we wait for.
        (LOCAL, "receive INVITE without offer"): "491",
        # RFC 3311 5.2: theirs is not answered, 500.
        (REMOTE, "send offer"): MISUSE,
        (REMOTE, "receive offer"): "500",
        (REMOTE, "send answer"): (GO, STABLE),
        (REMOTE, "receive answer"): IGNORE,
        (REMOTE, "send INVITE without offer"): MISUSE,
        (REMOTE, "receive INVITE without offer"): "500",
        # The description in the first reliable response is the offer, in whatever request another comes.
        (WANTED, "send offer"): MISUSE,
        (WANTED, "receive offer"): "491",
        (WANTED, "send answer"): MISUSE,
        (WANTED, "receive answer"): IGNORE,
        (WANTED, "send INVITE without offer"): MISUSE,
        (WANTED, "receive INVITE without offer"): "491",
        # RFC 6337 4.1, figure 5: we refuse the peer's offer with 500 while we owe an offer.
        (OWED, "send offer"): MISUSE,
        (OWED, "receive offer"): "500",
        (OWED, "send answer"): MISUSE,
        (OWED, "receive answer"): IGNORE,
        (OWED, "send INVITE without offer"): MISUSE,
        (OWED, "receive INVITE without offer"): "500",
        (STABLE, "send owed offer"): IGNORE,
        (LOCAL, "send owed offer"): IGNORE,
        (REMOTE, "send owed offer"): IGNORE,
        (WANTED, "send owed offer"): IGNORE,
        (OWED, "send owed offer"): (GO, LOCAL),
        (STABLE, "receive wanted offer"): IGNORE,
        (LOCAL, "receive wanted offer"): IGNORE,
        (REMOTE, "receive wanted offer"): IGNORE,
        (WANTED, "receive wanted offer"): (GO, REMOTE),
        (OWED, "receive wanted offer"): IGNORE,
    },
)


def has_session(message: Request | Response) -> bool:
    """Return whether the body of ``message`` is, or holds, a session description (RFC 3261 13.2.1)."""
    if not message.body:
        return False
    try:
        kind = message.content_type
        disposition = message.typed("content-disposition")
    except RemoteProtocolError:
        return False
    if disposition is not None:
        return bool(disposition.value.lower() == "session")
    if kind is None:
        return False
    # RFC 3261 13.2.1: without a disposition, application/sdp is a session and nothing else.
    return kind.value == "application/sdp" or (
        kind.type == "multipart" and b"application/sdp" in message.body.lower()
    )


class OfferAnswer:
    """The state of the exchange of one dialog.

    Attributes:
        exchange: a state of ``OFFER_ANSWER``.
        carrier: "INVITE", "UPDATE" or "PRACK", the method of the open offer, else "".
        begun: whether an exchange has ever been completed (RFC 6337 table 1: only INVITE begins).
    """

    __slots__ = ("begun", "carrier", "exchange")

    def __init__(self) -> None:
        self.exchange = STABLE
        self.carrier = ""
        self.begun = False

    @property
    def is_stable(self) -> bool:
        """Whether a new offer may be made."""
        return self.exchange == STABLE

    def refusal(self, given: str) -> int | None:
        """Return the status to refuse the peer's request ``given`` by, None where it is in order."""
        effect = OFFER_ANSWER[self.exchange][given][0]
        return int(effect) if effect.isdigit() else None

    def check(self, given: str) -> None:
        """Raise LocalProtocolError where ``given``, an act of ours, is not allowed now."""
        if OFFER_ANSWER[self.exchange][given][0] == MISUSE:
            raise LocalProtocolError(f"cannot {given} now: the exchange is at {self.exchange!r} (RFC 3264 4)")

    def step(self, given: str, carrier: str = "") -> bool:
        """Take ``given``, known to be in order; returns whether it changed anything."""
        effect, state = OFFER_ANSWER[self.exchange][given]
        if effect != GO:
            return False
        if state == STABLE:
            self.begun = True
            self.carrier = ""
        elif carrier:
            self.carrier = carrier
        self.exchange = state
        return True

    def close(self, carrier: str) -> None:
        """The request ``carrier`` is over: its open offer is void (RFC 3261 14.1, RFC 3311 5.3)."""
        if self.carrier == carrier:
            self.exchange = STABLE
            self.carrier = ""
