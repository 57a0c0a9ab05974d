"""What the proxy asks of the module for calls that pass as octets.

Theory of operation: the proxy asks what a plain INVITE needs (``Bodies.judges``), and holds it, and later
each response with a description, until the relay has answered (``sansip.proxy.steered``). A ``Ride`` does for
such a call what the hooks of the module do for the messages of others, with the same session; so what is
unusual, and what follows within the dialog, goes on with the hooks. A BYE that passes as octets has an
``_Ending``, where nobody else tells the module that its call is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.media.octets import read
from sansip.modules.media.profiles import classic, needed, side_at, side_of
from sansip.modules.media.ride import Ride
from sansip.modules.media.shared import Shared
from sansip.proxy.relayed import GONE
from sansip.routing.opening_flows import shows_nat
from sansip.sdp.description import MOST_LINES
from sansip.transport.nat import has_private_media
from sansip.transport.transports import UDP

if TYPE_CHECKING:
    from sansip.later import Later
    from sansip.modules.media.session import Session
    from sansip.modules.media.within import Within
    from sansip.proxy.bodies import Plan
    from sansip.proxy.relayed import Record
    from sansip.transport import Flow
    from sansip.wire.opening import Opening

__all__ = ["Judging"]

_CALLEE: Final = side_at(UDP, "")


class Judging:
    """The module, as the proxy asks it (``sansip.proxy.steered``). Its faults are told, and harm no call."""

    __slots__ = ("_media", "shared")

    def __init__(self, media: Within) -> None:
        self._media = media
        self.shared = Shared(media)

    def judges(
        self, opening: Opening, data: bytes, flow: Flow, place: tuple[str, int] | None, behind: bool
    ) -> Plan | bool:
        """Return what an INVITE needs: a relay, nothing, or to be read (``Bodies.judges``)."""
        media = self._media
        try:
            profiles = media.settings.profiles
            if not profiles:
                return True
            _, family, begin, _, body = read(data, MOST_LINES)
            if body == len(data):
                # The response may have an offer.
                return False
            shared = self.shared
            if family:
                source = classic(family)
            else:
                try:
                    source = side_of(data[body:], shared.most_media)
                except RemoteProtocolError:
                    return False
            target = _CALLEE if place is None or ":" not in place[0] else side_at(UDP, place[0])
            if "always" not in profiles:
                nat = "nat" in profiles and (
                    behind or has_private_media(data[body:], flow) or shows_nat(opening, flow)
                )
                if not needed(profiles, source, target, nat):
                    return True
            if begin < 0:
                # It has parts, or is none by its fields.
                return False
            return Ride(shared, opening.call_id, opening.from_tag, flow, source, target)
        except Exception as error:
            media.core.failed("riding", error)
            return False

    def ending(
        self, call_id: str, from_tag: str, to_tag: str, side: str, call: Record | None
    ) -> Record | None:
        """Return what hears of the answer to a BYE, in place of ``call``."""
        media = self._media
        try:
            session = self.shared.sessions.between(call_id, from_tag, to_tag, side)
        except Exception as error:
            media.core.failed("riding", error)
            return call
        if session is None or session.call is not None:
            # Its record tells of the end (``event_received``).
            return call
        return _Ending(self.shared, session, from_tag, to_tag, call)


class _Ending:
    """A BYE of a call of whose media nobody else hears the end."""

    __slots__ = ("_call", "_other", "_sender", "_session", "_shared")

    def __init__(
        self, shared: Shared, session: Session, sender: str, other: str, call: Record | None
    ) -> None:
        self._shared = shared
        self._session = session
        self._sender = sender
        self._other = other
        self._call = call

    def rings(self, now: float) -> None:
        """Do nothing: this is a BYE."""

    def answers(self, tags: tuple[str, ...], data: bytes, now: float) -> None:
        """The same."""

    def fails(self, status: int, reason: str, cancelled: bool, now: float) -> None:
        """The same."""

    def hung_up(self, from_: str, cseq: str, to_tag: str, status: int, now: float) -> Later[None] | None:
        """The BYE has its final response."""
        if 200 <= status < 300 or status in GONE:
            shared = self._shared
            try:
                shared.sessions.dialog_ended(self._session, self._sender, self._other, now)
            except Exception as error:
                shared.media.core.failed("riding", error)
        return None if self._call is None else self._call.hung_up(from_, cseq, to_tag, status, now)

    def is_shown(self, handle: Any) -> bool:
        """The same: this is a BYE."""
        return False
