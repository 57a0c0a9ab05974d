"""Effects of a usage of a dialog: actions that it needs, and events that it tells, as small values.

Theory of operation: each input of a usage returns a list of effects in their order. A user agent carries them
out; ``owner`` is the object that it gave together with a request (its server transaction), opaque here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sansip.wire import Request, Response

__all__ = [
    "Acknowledged",
    "Answered",
    "Effect",
    "End",
    "Ended",
    "Event",
    "Notified",
    "Offered",
    "Pracked",
    "Progressed",
    "Received",
    "Refreshed",
    "Respond",
    "Send",
    "SendAck",
    "SendNotify",
    "SubscribeAnswered",
    "Subscribed",
    "SubscriptionEnded",
    "Tell",
]


# --- events


@dataclass(slots=True)
class Progressed:
    """A provisional response to our INVITE, each reliable one once and in order (RFC 3262 4).

    ``offer``: it is reliable and brings an offer, and the PRACK waits for ``prack`` with the answer.
    """

    request: Request
    response: Response
    offer: bool = False


@dataclass(slots=True)
class Answered:
    """The final response to a request that the user had asked for.

    Attributes:
        offer: it is a 2xx that brings an offer, and the ACK waits for ``acknowledge`` with the answer.
        key: the value that the user gave with the request, None for the first INVITE. ``request`` may be
            another one than was sent first: repeated with credentials, or after a 491 or 422.
    """

    request: Request
    response: Response
    offer: bool = False
    key: Any = None


@dataclass(slots=True)
class Offered:
    """A request of the peer offers a session and waits for an answer.

    Attributes:
        message: an INVITE (one without a body as well: then the answer is to bring the offer),
            UPDATE or PRACK.
        owner: to be given to ``answer``.
    """

    message: Request
    owner: Any


@dataclass(slots=True)
class Received:
    """A request in the dialog that the user answers by ``answer``: INFO, MESSAGE, REFER, OPTIONS, …"""

    request: Request
    owner: Any


@dataclass(slots=True)
class Refreshed:
    """The peer refreshed session or target, and has its 200: the user need not answer."""

    request: Request


@dataclass(slots=True)
class Acknowledged:
    """The ACK for our 2xx came.

    ``ack`` is None where a later request of the peer proves that it has the 2xx.
    """

    ack: Request | None


@dataclass(slots=True)
class Pracked:
    """A reliable provisional response has arrived, as its PRACK proves. ``request`` may hold an answer."""

    request: Request


@dataclass(slots=True)
class Ended:
    """The session is over: no media from now on.

    Attributes:
        reason: one of "BYE" (the peer's), "hung up" (ours), "refused", "cancelled", "expired" (the
            invitation, or the session by RFC 4028), "no ACK", "no PRACK", "lost" (the peer does not
            know the dialog, or does not answer in it), "abandoned" (another branch of the fork answered).
        message: the request or response that ended it, where there is one.
    """

    reason: str
    message: Request | Response | None = None


# --- of subscriptions


@dataclass(slots=True)
class Notified:
    """At the subscriber: a NOTIFY, which has its 200 already (RFC 6665 4.1.3: it does not wait)."""

    request: Request
    state: str


@dataclass(slots=True)
class SubscribeAnswered:
    """At the subscriber: the final response to a SUBSCRIBE in the dialog that did not end it."""

    response: Response


@dataclass(slots=True)
class Subscribed:
    """At the notifier: it was refreshed. ``request`` may have another Accept, or a filter in its body."""

    request: Request
    expires: int


@dataclass(slots=True)
class SubscriptionEnded:
    """At either end: it is over.

    Attributes:
        reason: of Subscription-State ("rejected", "timeout", "deactivated", …; "" for none), or
            "refused", "no NOTIFY", "expired", "lost" where no NOTIFY says so.
        retry_after: seconds before another attempt, 0 for at once, None for never (4.1.3).
        message: the message that ended it.
    """

    reason: str
    retry_after: int | None = None
    message: Request | Response | None = None


Event: TypeAlias = (
    Progressed
    | Answered
    | Offered
    | Received
    | Refreshed
    | Acknowledged
    | Pracked
    | Ended
    | Notified
    | SubscribeAnswered
    | Subscribed
    | SubscriptionEnded
)


# --- effects


@dataclass(slots=True)
class Respond:
    """Give ``response`` to the server transaction ``owner``; a 2xx or reliable 1xx comes several times."""

    owner: Any
    response: Response


@dataclass(slots=True)
class Send:
    """Send ``request`` in a client transaction; its responses go to ``response_received``."""

    request: Request


@dataclass(slots=True)
class SendNotify:
    """Send NOTIFY ``number`` of a ``lean`` notifier, which ``Notifier.notify`` makes.

    ``state``: the value of Subscription-State; ``fields``: those beside the usual ones.
    """

    number: int
    state: str
    fields: Iterable[tuple[str, object]]
    body: bytes


@dataclass(slots=True)
class SendAck:
    """Send the ACK for a 2xx, without a transaction (RFC 3261 13.2.2.4).

    ``again``: it was sent before, and its 2xx came once more: the same octets are to leave.
    """

    request: Request
    again: bool = False


@dataclass(slots=True)
class Tell:
    """Something the user of the session wants to know."""

    event: Event


@dataclass(slots=True)
class End:
    """Forget the usage: nothing more comes of it."""


Effect: TypeAlias = Respond | Send | SendNotify | SendAck | Tell | End
