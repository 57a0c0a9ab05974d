"""Calls that pass as octets: their descriptions are taken to a relay, and nothing else of them is read.

Theory of operation: the proxy asks what a plain INVITE needs (``Bodies.judges``), and holds it, and later
each response with a description, until the relay has answered (``sansip.proxy.steered``). A ``Ride`` does for
such a call what the hooks of the module do for the messages of others, with the same session; so what is
unusual, and what follows within the dialog, goes on with the hooks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module import Slot
from sansip.modules.calls.riding import Ride as RecordedRide
from sansip.modules.media import steering
from sansip.modules.media.answering import RETRY
from sansip.modules.media.asking import NoRelay, RelayFailed
from sansip.modules.media.body import Found, find, find_in, put, put_in, target_in, target_of
from sansip.modules.media.hanging import dialog_begun
from sansip.modules.media.names import Names
from sansip.modules.media.ng import Ng, described
from sansip.modules.media.profiles import NO_WISH, Side, Wish, needed, side_at, side_of
from sansip.modules.media.session import Leg, Session
from sansip.modules.media.sessions import forget
from sansip.modules.media.within import Within
from sansip.proxy.dialog_mark import address_of, uri_of
from sansip.proxy.relayed import GONE
from sansip.routing.opening_flows import shows_nat
from sansip.transport.nat import has_private_media
from sansip.transport.transports import UDP
from sansip.wire import read_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.later import Later
    from sansip.module import Core
    from sansip.modules.calls import Call, Talk
    from sansip.modules.media.relay import Relay
    from sansip.proxy.bodies import Bodies, Held, Plan
    from sansip.proxy.branch import Branch
    from sansip.proxy.relayed import Record
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Response
    from sansip.wire.opening import Opening

__all__ = ["LOOK", "Riding"]

# Seconds between two looks for calls that nobody ended.
LOOK: Final = 60.0


class Riding(Within):
    """The module with calls that pass as octets."""

    # Of an INVITE that makes a dialog.
    _session: Slot[Session] = Slot()

    def rides(self) -> bool:
        """Whether plain calls need no hooks: the commands of rtpproxy have steps of their own."""
        return all(one.kind != "rtpproxy" for one in self.settings.relays)

    def start(self, core: Core, now: float) -> None:
        super().start(core, now)
        self._bodies: Bodies = _Bodies(self)
        core.proxy.bodies = self._bodies

    def stop(self, now: float) -> None:
        """Leave calls that begin from now on as they are."""
        super().stop(now)
        proxy = self.core.proxy
        if proxy.bodies is self._bodies:
            proxy.bodies = None

    def _make(
        self, call_id: str, tag: str, target: str, wish: Wish, call: Call | None, now: float
    ) -> Session | None:
        """Return the session of a new call, whose caller is ``tag`` at ``target``; None: too many."""
        sessions = self._sessions
        if len(sessions) >= self.settings.most:
            return None
        session = sessions.make(self._prefix, call_id, tag, wish, self.settings.set, call, now)
        if session is not None:
            session.note_target(tag, target, 1)
            if call is None and not self._looking:
                self._looking = True
                self.core.timers.start(now, LOOK, self, None)
        return session

    def _note_offer(
        self, session: Session, leg: Leg, sdp: bytes, made: bytes, relay: Relay, took: float, now: float
    ) -> None:
        """Note that ``relay`` has an offer, and made ``made`` of it."""
        self._took.observe(took)
        self._relayed.add(relay.uri)
        leg.relay, leg.asked, leg.offered = relay, sdp, made
        session.said[session.caller_tag] = sdp
        if session.over:
            forget(session, now)

    # --- what a call that rides needs of the module

    def _judged(
        self, opening: Opening, data: bytes, flow: Flow, place: tuple[str, int] | None, behind: bool
    ) -> Ride | bool:
        profiles = self.settings.profiles
        if not profiles:
            return True
        sdp = opening.body
        if not sdp:
            # The response may have an offer.
            return False
        try:
            source = side_of(sdp, self.core.limits.sdp_media)
        except RemoteProtocolError:
            return False
        target = _CALLEE if place is None or ":" not in place[0] else side_at(UDP, place[0])
        nat = "nat" in profiles and (behind or has_private_media(sdp, flow) or shows_nat(opening, flow))
        if not needed(profiles, source, target, nat):
            return True
        if find_in(data) is None:
            # It has parts, or is none by its fields.
            return False
        return Ride(self, opening, flow, sdp, source, target)

    def _ended_by(
        self, call_id: str, sender: str, other: str, uri: str, call: Record | None
    ) -> Record | None:
        session = self._sessions.between(call_id, sender, other, address_of(uri))
        if session is None or session.call is not None:
            # Its record tells of the end (``event_received``).
            return call
        return _Ending(self, session, sender, other, call)


_CALLEE: Final = side_at(UDP, "")


class _Bodies:
    """The module, as the proxy asks it (``sansip.proxy.steered``). Its faults are told, and harm no call."""

    __slots__ = ("_media",)

    def __init__(self, media: Riding) -> None:
        self._media = media

    def judges(
        self, opening: Opening, data: bytes, flow: Flow, place: tuple[str, int] | None, behind: bool
    ) -> Plan | bool:
        """Return what an INVITE needs: a relay, nothing, or to be read (``Bodies.judges``)."""
        media = self._media
        try:
            return media._judged(opening, data, flow, place, behind)
        except Exception as error:
            media.core.failed("riding", error)
            return False

    def ending(
        self, call_id: str, from_tag: str, to_tag: str, uri: str, call: Record | None
    ) -> Record | None:
        """Return what hears of the answer to a BYE, in place of ``call``."""
        media = self._media
        if not media._sessions:
            return call
        try:
            return media._ended_by(call_id, from_tag, to_tag, uri, call)
        except Exception as error:
            media.core.failed("riding", error)
            return call


class _Ending:
    """A BYE of a call of whose media nobody else hears the end."""

    __slots__ = ("_call", "_media", "_other", "_sender", "_session")

    def __init__(self, media: Riding, session: Session, sender: str, other: str, call: Record | None) -> None:
        self._media = media
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
            media = self._media
            try:
                media._dialog_ended(self._session, self._sender, self._other, now)
            except Exception as error:
                media.core.failed("riding", error)
        return None if self._call is None else self._call.hung_up(from_, cseq, to_tag, status, now)

    def is_shown(self, handle: Any) -> bool:
        """The same: this is a BYE."""
        return False


class Ride:
    """One call: the plan of its bodies."""

    __slots__ = (
        "_call_id",
        "_contact",
        "_flow",
        "_heard",
        "_held",
        "_leg",
        "_relay",
        "_sdp",
        "_session",
        "_source",
        "_tag",
        "_target",
        "module",
    )

    _held: Held

    def __init__(
        self, media: Riding, opening: Opening, flow: Flow, sdp: bytes, source: Side, target: Side
    ) -> None:
        self.module = media
        self._call_id = opening.call_id
        self._tag = opening.from_tag
        self._contact = opening.contact
        self._flow = flow
        # The tag and the line Contact of the last response.
        self._heard: tuple[str, str | None] | None = None
        self._sdp = sdp
        self._source = source
        self._target = target
        self._session: Session | None = None
        self._leg: Leg | None = None
        # The one that is asked first.
        self._relay: Relay | None = None

    # --- the INVITE

    def begins(self, relay: Held, sent: bytes, now: float) -> None:
        """Take the offer in ``sent`` to a relay."""
        self._held = relay
        try:
            self._begin(sent, now)
        except Exception as error:
            self._fail(error, now)

    def _fail(self, error: BaseException, now: float) -> None:
        """A fault of the module: nothing leaves that should have been changed."""
        self.module.core.failed("riding", error)
        self._held.refuse(500, (), now)

    def _begin(self, sent: bytes, now: float) -> None:
        media = self.module
        record = self._held.call
        call = record.call if isinstance(record, RecordedRide) else None
        contact = address_of(uri_of(self._contact.partition(":")[2]))
        session = media._make(self._call_id, self._tag, contact, NO_WISH, call, now)
        if session is None:
            self._go_without(sent, "too many calls have one (media.most)", now)
            return
        self._session = session
        session.hosts[self._tag] = self._flow.host
        leg = self._leg = session.leg(self, self._source, self._target)
        session.sides[session.caller_tag] = leg.source
        names = Names(session.id, leg.label, session.caller_tag)
        options = media._ways.toward(session.wish, leg.source, leg.target, offer=True)
        relay = steering.first(media._relays, session, now)
        self._relay = relay
        if relay is None:
            media.core.run(self._offer_to_any(sent, names, options, now), now, self._done)
            return
        heard = partial(self._offered, sent, names, options, now)
        relay.ask(described("offer", names, self._sdp, options)).put(heard, now)

    def _offered(
        self, sent: bytes, names: Names, options: Any, began: float, result: Any, now: float
    ) -> None:
        """The relay that was asked first has said something, or nothing."""
        media, relay, session = self.module, self._relay, self._session
        assert relay is not None
        assert session is not None
        try:
            if not isinstance(result, Exception):
                try:
                    protocol = relay.protocol
                    assert isinstance(protocol, Ng)
                    made = protocol.made(relay, "offer", self._sdp, result[0], now)
                except RelayFailed as error:
                    result = error
                else:
                    session.relay, session.moving = relay, False
                    self._go_on(sent, made, relay, began, now)
                    return
            if session.over:
                return
            media.core.run(self._offer_to_any(sent, names, options, now, relay), now, self._done)
        except Exception as error:
            self._fail(error, now)

    async def _offer_to_any(
        self, sent: bytes, names: Names, options: Any, began: float, tried: Relay | None = None
    ) -> None:
        media, session = self.module, self._session
        assert session is not None
        try:
            made, relay, now = await steering.offer(
                media._relays, media.settings, session, names, self._sdp, options, began, tried
            )
        except NoRelay as error:
            if not session.over:
                self._go_without(sent, str(error), error.now)
            return
        self._go_on(sent, made, relay, began, now)

    def _done(self, result: Any, now: float) -> None:
        if isinstance(result, BaseException):
            self._fail(result, now)

    def _go_on(self, sent: bytes, made: bytes, relay: Relay, began: float, now: float) -> None:
        """Send the INVITE with what ``relay`` made of its description."""
        session, leg = self._session, self._leg
        assert session is not None
        assert leg is not None
        try:
            data = _with(sent, find_in(sent), made)
        except ValueError as error:
            self._go_without(sent, str(error), now)
            return
        self.module._note_offer(session, leg, self._sdp, made, relay, now - began, now)
        self._held.leave(data, now)

    def _go_without(self, sent: bytes, why: str, now: float) -> None:
        media = self.module
        if not media._has_none(self._call_id, why, now):
            self._held.leave(sent, now)
            return
        if self._session is not None:
            media._end(self._session, now)
        self._held.refuse(503, RETRY, now)

    def gives_up(self, now: float) -> None:
        """The INVITE does not leave: its caller gave up, or the relay takes too long."""
        if self._session is not None:
            self.module._end(self._session, now)

    def hands_over(self, handle: IncomingRequest, branch: Branch) -> None:
        """The hooks of the module go on with the call."""
        session = self._session
        if session is not None:
            self.module._session.set(handle, session)
            leg = session.legs.pop(self, None)
            if leg is not None:
                session.legs[branch] = leg

    # --- responses

    def answers(
        self,
        data: bytes,
        contact: str | None,
        tag: str,
        status: int,
        go: Callable[[bytes, float], None],
        now: float,
    ) -> bytes | None:
        """Take the answer in ``data`` to the relay of the offer; return what goes back, None: ``go`` does."""
        try:
            return self._answer(data, contact, tag, status, go, now)
        except Exception as error:
            self.module.core.failed("riding", error)
            return data

    def _answer(
        self,
        data: bytes,
        contact: str | None,
        tag: str,
        status: int,
        go: Callable[[bytes, float], None],
        now: float,
    ) -> bytes | None:
        media, session, leg = self.module, self._session, self._leg
        if session is None or leg is None:
            return data
        came_from = tag, contact
        if contact is None or came_from != self._heard:
            self._heard = came_from
            target = target_in(data)
            host = self._held.hop.host
            session.note_target(tag, _target_of(data) if target is None else target, media._most_tags, host)
        limits = media.core.limits
        if status >= 200 and tag not in session.answered and len(session.answered) < limits.early_dialogs:
            media._sessions.answered(session, tag)
        if leg.relay is None or data.find(b"\r\n\r\n") + 4 == len(data):
            return data
        found = find_in(data)
        sdp = _in(data) if found is None else found.sdp
        if sdp is None:
            return data
        before = leg.answers.get(tag)
        if before is not None and before[0] == sdp:
            return _with(data, found, before[1])
        if not media._has_room(session, tag):
            return data
        try:
            source = side_of(sdp, limits.sdp_media)
        except RemoteProtocolError:
            # The caller judges it.
            return data
        relay = leg.relay
        if not relay.usable():
            why = f"{relay.uri} is {relay.state}"
            media._unanswered(session, why, now, self._dialog(data, status, now))
            return data
        names = Names(session.id, leg.label, session.caller_tag, tag)
        caller = session.sides.get(session.caller_tag, Side())
        options = media._ways.toward(session.wish, source, caller, offer=False)
        heard = partial(self._answered, data, found, sdp, names, source, status, go, now)
        relay.ask(described("answer", names, sdp, options)).put(heard, now)
        return None

    def _answered(
        self,
        data: bytes,
        found: Found | None,
        sdp: bytes,
        names: Names,
        source: Side,
        status: int,
        go: Callable[[bytes, float], None],
        began: float,
        result: Any,
        now: float,
    ) -> None:
        """The relay has said something of an answer, or nothing."""
        media, session, leg = self.module, self._session, self._leg
        assert session is not None
        assert leg is not None
        relay = leg.relay
        assert relay is not None
        try:
            try:
                if isinstance(result, Exception):
                    raise result
                protocol = relay.protocol
                assert isinstance(protocol, Ng)
                made = protocol.made(relay, "answer", sdp, result[0], now)
                data = _with(data, found, made)
            except (RelayFailed, ValueError) as error:
                media._unanswered(session, str(error), now, self._dialog(data, status, now))
            else:
                media._took.observe(now - began)
                media._answered(session, names, sdp, made, source, leg)
        except Exception as error:
            media.core.failed("riding", error)
        go(data, now)

    def _dialog(self, data: bytes, status: int, now: float) -> Callable[[], Talk | None] | None:
        """Return what makes the dialog that the response ``data`` begins; None where it begins none."""
        held, core = self._held, self.module.core
        if status < 200 or held.done:
            # Later ones are the business of the module ``calls``.
            return None
        flows = self._flow, held.hop
        response: Response = read_again(data)  # type: ignore[assignment]  # a response
        trusted = not core.is_stranger(self._flow)
        return partial(dialog_begun, core, held.came_as, response, flows, now, trusted=trusted)


def _in(data: bytes) -> bytes | None:
    """Return the description in the message ``data``, which is read, or None."""
    found = find(read_again(data))
    return None if found is None else found.sdp


def _with(data: bytes, found: Found | None, sdp: bytes) -> bytes:
    """Return the message ``data`` with ``sdp`` in the place of its description.

    ``found``: by ``find_in``. Raises ``ValueError`` where that cannot be.
    """
    if found is not None and found.length is not None:
        return put_in(data, found.length, sdp)
    message = read_again(data)
    found = find(message)
    if found is None:
        raise ValueError("the description is not found any more")
    put(message, found, sdp)
    return message.to_bytes()


def _target_of(data: bytes) -> str:
    return target_of(read_again(data))
