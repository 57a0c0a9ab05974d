"""Requests of this stack: one object that sends them all.

Theory of operation: ``Client`` makes one ``Sending`` for each request of a user agent. A proxy's
branches are attempts of their own upon the same ``Outlet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.client.ack import Ack
from sansip.client.brief import BriefRequest, Departed
from sansip.client.outlet import Outlet
from sansip.client.sending import Sending
from sansip.errors import RemoteProtocolError
from sansip.transport.flow import Flow
from sansip.transport.next_hop import NextHop, next_hop
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.auth import Account
    from sansip.client.asker import Asker, BriefAsker
    from sansip.wire import Request, Uri

__all__ = ["Client"]


class Client(Outlet):
    """Sends requests of user agents."""

    __slots__ = ()

    def send(
        self,
        request: Request,
        asker: Asker,
        now: float,
        *,
        hop: NextHop | Flow | Uri | None = None,
        accounts: Sequence[Account] | None = None,
        prefer: int | None = None,
        within: float | None = None,
        token: str = "",
        chosen: bool = True,
    ) -> Sending:
        """Send ``request`` (not an ACK, not a CANCEL), which has no Via of ours; ``asker`` gets the rest.

        Before this returns, only ``leaving`` of ``asker`` is called. The client tries each place of the next
        hop, in a transaction of its own, until one answers (RFC 3263 4.3). If none does, or none can be
        reached, it makes a 408 or 503 (RFC 3261 8.1.3.1).

        Args:
            request: complete but for Via, Max-Forwards and Content-Length. It is copied.
            hop: where to send it, instead of where its Route or Request-URI leads. A ``Flow``
                is used while it lives, and counts for nothing once its connection is gone. A
                request whose Request-URI is that of a strict router needs that URI here.
            accounts: looked at before those of the configuration when it is challenged.
            prefer: the number of the listener to leave by, where it reaches the place.
            within: seconds for the final response. Then a 408 is made, and an INVITE is
                cancelled; a 2xx that crosses the CANCEL still comes.
            token: the branch is made of it instead of chance, and is the same after a restart (see
                ``Agent.request``).
            chosen: whether this node chose the place. Else it must be no gateway (``client.guarded``): a 403
                is made then.
        """
        sending = Sending(self, self._complete(request), asker, prefer, token, chosen=chosen)
        try:
            way = self._hop_of(request, hop)
        except RemoteProtocolError as error:
            sending.refuse(error.status or 400, now)
        else:
            sending.begin(way, accounts, within, now)
        return sending

    def send_octets(
        self,
        method: str,
        branch: str,
        data: bytes,
        flow: Flow,
        asker: BriefAsker,
        now: float,
        *,
        number: int,
        contact: str,
    ) -> None:
        """Send ``data``, a whole request whose Via of ours has ``branch``, over ``flow`` of UDP.

        Args:
            number: of its CSeq.
            contact: the line Contact of the peer as it is known; a 2xx that has another is given to
                ``asker.final``, each other one to ``asker.taken``.
        """
        departed: Departed | None = self.departed
        if departed is None or not departed.since <= now < departed.until:
            departed = self.departed = Departed(self, now)
        brief = BriefRequest(self, asker, method, branch, data, number, contact)
        departed.requests.append(brief)
        brief.send(flow, now)

    def send_ack(
        self,
        request: Request,
        now: float,
        *,
        hop: NextHop | Flow | Uri | None = None,
        prefer: int | None = None,
    ) -> Ack:
        """Send the ACK of a 2xx, unless it leads nowhere; the arguments are those of ``send``."""
        ack = Ack(self, self._complete(request), prefer)
        try:
            way = self._hop_of(request, hop)
        except RemoteProtocolError:
            # No user waits for a result.
            return ack
        ack.begin(way, now)
        return ack

    def _complete(self, request: Request) -> Request:
        copy = request.copy()
        if not copy.has("max-forwards"):
            # RFC 3261 8.1.1.6
            copy.append("Max-Forwards", "70")
        return copy

    def _hop_of(self, request: Request, hop: NextHop | Flow | Uri | None) -> NextHop | Flow:
        if isinstance(hop, NextHop):
            return hop
        if isinstance(hop, Flow):
            if self.is_alive(hop):
                return hop
            hop = None
        if hop is None:
            # RFC 3261 8.1.2: the first Route, or the Request-URI.
            routes = request.routes
            hop = routes[0].uri if routes else request.uri
        # RFC 3261 8.1.2, 26.2.2: a sips Request-URI means TLS, whatever the Route says.
        sips = request.uri.scheme == "sips" or (isinstance(hop, SipUri) and hop.scheme == "sips")
        found = next_hop(hop, secure=sips)
        found.sips = sips
        return found
