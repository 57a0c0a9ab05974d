"""The policy between the sides of a bridge: which header fields pass, and how it handles a REFER.

Theory of operation: a list of names that pass, and nothing else does. Fields that describe a hop or a
dialog (Via, Route, Record-Route, Contact, Call-ID, CSeq, tags, session timers, credentials) never do,
whatever the list says: each leg has its own, and they would tell one side the other's topology.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from sansip.b2bua.referral import Referral, where_known
from sansip.errors import LocalProtocolError
from sansip.wire import header_key

if TYPE_CHECKING:
    from sansip.wire import Message

__all__ = ["ALWAYS", "DEFAULT_PASS", "NEVER", "Policy"]

# Fields of a hop, a dialog, or of us: each leg has its own.
NEVER: Final = frozenset(
    header_key(name)
    for name in (
        "Via",
        "Route",
        "Record-Route",
        "Path",
        "Service-Route",
        "Contact",
        "Call-ID",
        "CSeq",
        "From",
        "To",
        "Max-Forwards",
        "Max-Breadth",
        "Content-Length",
        "Session-Expires",
        "Min-SE",
        "RSeq",
        "RAck",
        "Require",
        "Proxy-Require",
        "Supported",
        "Unsupported",
        "Allow",
        "Authorization",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Proxy-Authenticate",
        "Authentication-Info",
        "Replaces",
        "Join",
        "Target-Dialog",
        "Refer-To",
        "Referred-By",
        "User-Agent",
        "Server",
        "Timestamp",
        "Event",
        "Subscription-State",
    )
)
# Fields that describe a body go with the body.
ALWAYS: Final = frozenset(
    header_key(name)
    for name in (
        "Content-Type",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "MIME-Version",
        "Info-Package",
    )
)
# Fields that users wrote, and that phones show.
DEFAULT_PASS: Final = (
    "Accept",
    "Accept-Contact",
    "Accept-Language",
    "Alert-Info",
    "Call-Info",
    "Date",
    "In-Reply-To",
    "Organization",
    "Priority",
    "Privacy",
    "Reason",
    "Recv-Info",
    "Reject-Contact",
    "Reply-To",
    "Request-Disposition",
    "Retry-After",
    "Subject",
    "User-to-User",
    "Warning",
)


@dataclass(slots=True)
class Policy:
    """How two legs are kept apart.

    Attributes:
        passes: names of header fields that pass in both directions, ``"X-*"`` for all that begin so.
        refer: the treatment of a REFER within the call: ``"handle"`` (we call the new party and connect it),
            ``"pass"`` (we pass it to the other side), ``"refuse"`` (603).
        transfer: for ``"handle"``: a function, plain or ``async``, that returns the targets to call for a
            ``Referral``, or nothing to decline it. By default those that a known phone names.
        early: early media of the ``"first"`` phone that has some, or ``"none"``, ringing alone.
        redirect: ``"pass"`` gives a 3xx to the caller, ``"follow"`` calls where it points.
        sessions: whether re-INVITE and UPDATE pass at all; False answers them with 488.
        methods: others that pass within the call.
        from_, to: URI of From and To on the far side, "" for those of the caller.
        max_duration: seconds after which the call is hung up; None: never.

    Raises ``LocalProtocolError`` for a name that may never pass.
    """

    passes: Iterable[str] = DEFAULT_PASS
    refer: Literal["handle", "pass", "refuse"] = "handle"
    transfer: Callable[[Referral], Any] = where_known
    early: Literal["first", "none"] = "first"
    redirect: Literal["pass", "follow"] = "pass"
    sessions: bool = True
    methods: Iterable[str] = ("INFO", "MESSAGE", "OPTIONS", "NOTIFY")
    from_: str = ""
    to: str = ""
    max_duration: float | None = None
    _names: frozenset[str] = field(init=False, repr=False)
    _begins: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = {header_key(name) for name in self.passes}
        wrong = sorted(name for name in names if name in NEVER)
        if wrong:
            raise LocalProtocolError(
                f"{', '.join(wrong)} cannot pass a bridge: each leg has its own; leave it out of passes"
            )
        self._begins = tuple(name[:-1] for name in names if name.endswith("*") and len(name) > 2)
        self._names = frozenset(name for name in names if not name.endswith("*")) | ALWAYS

    def fields(self, message: Message, hidden: Collection[str] = ()) -> list[tuple[str, str]]:
        """Return the header fields of ``message`` that pass, in their order, but for the ``hidden`` ones."""
        names, begins = self._names, self._begins
        found = []
        for key in dict.fromkeys(message.keys):
            passes = key in names or (begins and key.startswith(begins))
            if passes and key not in NEVER and key not in hidden:
                found += [(key, value) for value in message.get_all(key)]
        return found
