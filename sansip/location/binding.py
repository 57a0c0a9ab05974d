"""A binding: one contact address of one address-of-record (RFC 3261 10.1).

Theory of operation: a binding is a value. An update never changes one, it puts another in its place, so code
that holds a binding (a fork in progress, a notification, a store's queue) holds it as it was. It lives for
hours and a server holds a million of them, so it is slots of text and numbers: it is parsed only when a field
is read.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from sansip.location.source import Source
from sansip.wire import Uri, parse_uri

__all__ = ["Binding"]


@dataclass(slots=True, init=False)
class Binding:
    """One contact of an address-of-record. Treat it as immutable; times are in seconds.

    Attributes:
        aor: the canonical address-of-record it belongs to (``address_of_record``).
        contact: text of the contact URI as the phone wrote it, without ``<>``.
        expires_at: absolute time (the caller's ``now``) from which it is gone;
            ``math.inf`` for one that an administrator made permanent.
        call_id, cseq: of the REGISTER that last wrote it (RFC 3261 10.3).
        q: preference in thousandths, 0 to 1000, or None when none was given.
        registered_at: when the contact was first bound.
        refreshed_at: when it was last written.
        path: values of the Path field, topmost first (RFC 3327).
        instance: the URN inside ``+sip.instance`` (RFC 5626 4.1), or None.
        reg_id: RFC 5626 4.2, or None.
        params: the other contact parameters as text to send back, ``""`` or
            beginning with ``;``.
        flow: whatever the caller uses to name the connection or listener it was
            registered over; never looked into here.
        received: where it came from, when the caller wants that kept: the phone is reached there.
        user_agent: value of the User-Agent field, or None.
    """

    aor: str
    contact: str
    expires_at: float
    call_id: str
    cseq: int
    q: int | None = None
    registered_at: float = 0.0
    refreshed_at: float = 0.0
    path: tuple[str, ...] = ()
    instance: str | None = None
    reg_id: int | None = None
    params: str = ""
    flow: Hashable = None
    received: Source | None = None
    user_agent: str | None = None

    # Written out, as in ``sansip.actions``: every lookup makes one.
    def __init__(
        self,
        aor: str,
        contact: str,
        expires_at: float,
        call_id: str,
        cseq: int,
        q: int | None = None,
        registered_at: float = 0.0,
        refreshed_at: float = 0.0,
        path: tuple[str, ...] = (),
        instance: str | None = None,
        reg_id: int | None = None,
        params: str = "",
        flow: Hashable = None,
        received: Source | None = None,
        user_agent: str | None = None,
    ) -> None:
        self.aor = aor
        self.contact = contact
        self.expires_at = expires_at
        self.call_id = call_id
        self.cseq = cseq
        self.q = q
        self.registered_at = registered_at
        self.refreshed_at = refreshed_at
        self.path = path
        self.instance = instance
        self.reg_id = reg_id
        self.params = params
        self.flow = flow
        self.received = received
        self.user_agent = user_agent

    @property
    def uri(self) -> Uri:
        """The contact URI, parsed now (not kept: a parsed URI is larger than the binding)."""
        return parse_uri(self.contact)

    @property
    def rank(self) -> tuple[int, float]:
        """Sorting key: highest q first, then the most recently refreshed.

        RFC 3841 7.2: a contact registered without q counts as 1.0. Among contacts with equal q, the one
        refreshed last is the likeliest to be alive.
        """
        return (-1000 if self.q is None else -self.q, -self.refreshed_at)

    def expired(self, now: float) -> bool:
        """Whether the binding has ceased to exist at ``now``."""
        return self.expires_at <= now
