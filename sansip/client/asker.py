"""The user of a user agent's request, as a class to derive from (RFC 3261 8.1).

In a file of its own, for it is never compiled: programs and modules derive from it (``hatch_build``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.client.brief import BriefRequest
    from sansip.client.sending import Sending
    from sansip.transport import Listener
    from sansip.wire import Request, Response

__all__ = ["Asker", "BriefAsker"]


class Asker:
    """The transaction user of one request (RFC 3261 8.1). Each method does nothing here.

    All of them are called with the ``Sending`` that they are about, so one object may send many.
    """

    __slots__ = ()

    def leaving(self, sending: Sending, request: Request, listener: Listener, now: float) -> None:
        """A copy is about to leave by ``listener``: the place for a Contact that leads back there.

        Called for each place that is tried, before our Via and the credentials are added.
        """

    def provisional(self, sending: Sending, response: Response, now: float) -> None:
        """A provisional response other than 100 came."""

    def final(self, sending: Sending, response: Response, now: float) -> None:
        """A final response came, or was made because none did (``Sending.made``).

        Once for a failure and for other methods than INVITE. Each 2xx to an INVITE: its
        repetitions, too, for the ACK is the user's (RFC 3261 13.2.2.4), and those of other branches
        of a fork. A 2xx may also follow a made 408 or 487, where it crossed the CANCEL.
        """

    def ended(self, sending: Sending, now: float) -> None:
        """No more responses will come."""

    def next_cseq(self, sending: Sending) -> int | None:
        """Return the CSeq of the request repeated with credentials (RFC 3261 22.2); None: one more."""
        return None

    def resent(self, sending: Sending, request: Request, now: float) -> None:
        """The request is sent again as ``request``, with credentials and another CSeq number."""


class BriefAsker(Asker):
    """The user of requests that leave as octets alone (``Client.send_octets``)."""

    __slots__ = ()

    def taken(self, brief: BriefRequest, now: float) -> None:
        """A 2xx came that says nothing new. Of each other end ``final`` hears."""
        raise NotImplementedError
