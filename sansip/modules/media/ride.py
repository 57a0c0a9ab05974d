"""One call that passes as octets: its descriptions are taken to a relay, and nothing else of it is read.

Theory of operation: this is the plan of the call's bodies (``sansip.proxy.bodies``). The proxy gives it the
INVITE as it would leave, and each response with a description; it asks the relay of the call's session, and
says what goes on once that has answered. Where a relay fails the others are tried as for any call
(``steering``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.errors import RemoteProtocolError
from sansip.modules.calls.ride import Ride as RecordedRide
from sansip.modules.media import steering
from sansip.modules.media.answering import RETRY
from sansip.modules.media.asking import NoRelay, RelayFailed
from sansip.modules.media.body import find, marks_in, put
from sansip.modules.media.command import Asker
from sansip.modules.media.hanging import dialog_begun
from sansip.modules.media.keeping import keep
from sansip.modules.media.names import Names
from sansip.modules.media.ng import composed, made_of
from sansip.modules.media.octets import read, replaced
from sansip.modules.media.profiles import NO_WISH, NOTHING, Side, classic, side_of
from sansip.modules.media.sessions import forget
from sansip.modules.media.shared import Shared
from sansip.sdp.description import MOST_LINES
from sansip.wire import read_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.modules.calls import Talk
    from sansip.modules.media.relay import Relay
    from sansip.modules.media.session import Leg, Session
    from sansip.proxy.bodies import Held
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Response

__all__ = ["Ride"]


class Ride(Asker):
    """One call: the plan of its bodies, and who waits for what the relay makes of its offer."""

    __slots__ = (
        "_began",
        "_call_id",
        "_flow",
        "_held",
        "_leg",
        "_place",
        "_relay",
        "_sdp",
        "_sent",
        "_session",
        "_shared",
        "_source",
        "_tag",
        "_target",
        "module",
    )

    _held: Held

    def __init__(
        self, shared: Shared, call_id: str, tag: str, flow: Flow, source: Side, target: Side
    ) -> None:
        self.module = shared.media
        self._shared = shared
        self._call_id = call_id
        self._tag = tag
        self._flow = flow
        self._source = source
        self._target = target
        self._session: Session | None = None
        self._leg: Leg | None = None
        # The one that is asked first.
        self._relay: Relay | None = None
        # The INVITE as it would leave, its place (``octets``) and description, and since when it waits.
        self._sent = b""
        self._place: tuple[int, int, int] = (0, 0, 0)
        self._sdp = b""
        self._began = 0.0

    # --- the INVITE

    def begins(self, relay: Held, sent: bytes, now: float) -> None:
        """Take the offer in ``sent`` to a relay."""
        self._held = relay
        self._sent = sent
        self._began = now
        try:
            shared, tag = self._shared, self._tag
            routes, _, begin, stop, body = read(sent, 0)
            if begin < 0:
                raise ValueError("the INVITE that leaves has no place for a description")
            self._place = begin, stop, body
            self._sdp = sdp = sent[body:]
            record = relay.call
            call = record.call if isinstance(record, RecordedRide) else None
            sessions = shared.sessions
            session = sessions.make(
                shared.most, shared.prefix, self._call_id, tag, NO_WISH, shared.set_, call, now
            )
            if session is None:
                self._go_without("too many calls have one (media.most)", now)
                return
            if call is None and not sessions.looking:
                self.module._look(now)
            self._session = session
            if routes:
                session.note_invite(marks_in(routes), shared.most_dialogs + 1)
            leg = self._leg = session.leg(self, self._source, self._target)
            session.sides[tag] = self._source
            options = shared.ways.plain(self._source, self._target, True)
            first = self._relay = steering.first(shared.relays, session, now)
            if first is None:
                self._offer_elsewhere(options, now)
                return
            offer = composed("offer", session.id, leg.label, tag, "", sdp, options)
            first.line.put(offer, self, now)
        except Exception as error:
            self._fail(error, now)

    def _fail(self, error: BaseException, now: float) -> None:
        """A fault of the module: nothing leaves that should have been changed."""
        self.module.core.failed("riding", error)
        self._held.refuse(500, (), now)

    def heard(self, result: Any, now: float) -> None:
        """The relay that was asked first has said something, or nothing."""
        relay, session = self._relay, self._session
        assert relay is not None
        assert session is not None
        try:
            if not isinstance(result, Exception):
                try:
                    made = made_of(relay, "offer", self._sdp, result, now)
                except RelayFailed:
                    pass
                else:
                    session.relay = relay
                    self._go_on(made, relay, now)
                    return
            if not session.over:
                ways = self._shared.ways
                options = ways.toward(session.wish, self._source, self._target, offer=True)
                self._offer_elsewhere(options, now, relay)
        except Exception as error:
            self._fail(error, now)

    def _offer_elsewhere(self, options: Any, now: float, tried: Relay | None = None) -> None:
        """Ask one relay after another; ``tried`` is one that has failed."""
        self.module.core.run(self._offer_to_any(options, now, tried), now, self._done)

    async def _offer_to_any(self, options: Any, began: float, tried: Relay | None) -> None:
        shared, session, leg = self._shared, self._session, self._leg
        assert session is not None
        assert leg is not None
        names = Names(session.id, leg.label, session.caller_tag)
        try:
            made, relay, now = await steering.offer(
                shared.relays, self.module.settings, session, names, self._sdp, options, began, tried
            )
        except NoRelay as error:
            if not session.over:
                self._go_without(str(error), error.now)
            return
        self._go_on(made, relay, now)

    def _done(self, result: Any, now: float) -> None:
        if isinstance(result, BaseException):
            self._fail(result, now)

    def _go_on(self, made: bytes, relay: Relay, now: float) -> None:
        """Send the INVITE with what ``relay`` made of its description."""
        session, leg = self._session, self._leg
        assert session is not None
        assert leg is not None
        begin, stop, body = self._place
        data: bytes = replaced(self._sent, begin, stop, body, made)
        self._sent = b""
        shared = self._shared
        shared.took.observe(now - self._began)
        shared.relayed.add(relay.uri)
        session.note_offer(leg, relay, self._sdp, made)
        if session.over:
            forget(session, now)
        self._held.leave(data, now)

    def _go_without(self, why: str, now: float) -> None:
        media = self.module
        if not media._has_none(self._call_id, why, now):
            self._held.leave(self._sent, now)
            return
        if self._session is not None:
            media._sessions.end(self._session, now)
        self._held.refuse(503, RETRY, now)

    def gives_up(self, now: float) -> None:
        """The INVITE does not leave: its caller gave up, or the relay takes too long."""
        if self._session is not None:
            self._shared.sessions.end(self._session, now)

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
        tag: str,
        status: int,
        go: Callable[[bytes, float], None],
        now: float,
    ) -> bytes | None:
        """Take the answer in ``data`` to the relay of the offer; return what goes back, None: ``go`` does."""
        session, leg = self._session, self._leg
        if session is None or leg is None:
            return data
        shared = self._shared
        try:
            routes, family, begin, stop, body = read(data, MOST_LINES)
            most = shared.most_dialogs
            session.note_route(tag, marks_in(routes) if routes else "", most + 1)
            again = False
            if status >= 200:
                again = tag in session.answered
                if not again and len(session.answered) < most:
                    shared.sessions.answered(session, tag)
            relay = leg.relay
            if relay is None or body == len(data):
                return data
            # RFC 8866: its description, in the usual way, or to be looked for.
            sdp = data[body:] if begin >= 0 else _in(data)
            if sdp is None:
                return data
            place = (begin, stop, body) if begin >= 0 else None
            before = leg.answers.get(tag)
            # RFC 3261 13.2.1: the caller ignores what comes after the answer, so the relay does not hear of
            # it: neither of that of a further 2xx of a dialog.
            if before is not None and (again or before[0] == sdp):
                return _with(data, place, before[1])
            if not session.has_room(tag, most):
                return data
            if family:
                source = classic(family)
            else:
                try:
                    source = side_of(sdp, shared.most_media)
                except RemoteProtocolError:
                    # The caller judges it.
                    return data
            if not relay.usable():
                why = f"{relay.uri} is {relay.state}"
                self.module._unanswered(session, why, now, self.dialog(data, status, now))
                return data
            options = shared.ways.plain(source, session.sides.get(self._tag, NOTHING), False)
            answer = composed("answer", session.id, leg.label, session.caller_tag, tag, sdp, options)
            asker = _Answer(self, session, leg, relay, data, place, sdp, tag, source, status, go, now)
            relay.line.put(answer, asker, now)
            return None
        except Exception as error:
            self.module.core.failed("riding", error)
            return data

    def dialog(self, data: bytes, status: int, now: float) -> Callable[[], Talk | None] | None:
        """Return what makes the dialog that the response ``data`` begins; None where it begins none."""
        held, core = self._held, self.module.core
        if status < 200 or held.done:
            # Later ones are the business of the module ``calls``.
            return None
        flows = self._flow, held.hop
        response: Response = read_again(data)  # type: ignore[assignment]  # a response
        trusted = not core.is_stranger(self._flow)
        return partial(dialog_begun, core, held.came_as, response, flows, now, trusted=trusted)


class _Answer(Asker):
    """An answer that waits for what the relay makes of it."""

    __slots__ = ("_began", "_data", "_go", "_leg", "_place", "_relay", "_ride", "_sdp", "_session", "_source",
                 "_status", "_tag")  # fmt: skip

    def __init__(
        self,
        ride: Ride,
        session: Session,
        leg: Leg,
        relay: Relay,
        data: bytes,
        place: tuple[int, int, int] | None,
        sdp: bytes,
        tag: str,
        source: Side,
        status: int,
        go: Callable[[bytes, float], None],
        began: float,
    ) -> None:
        self._ride = ride
        self._session = session
        self._leg = leg
        self._relay = relay
        self._data = data
        self._place = place
        self._sdp = sdp
        self._tag = tag
        self._source = source
        self._status = status
        self._go = go
        self._began = began

    def heard(self, result: Any, now: float) -> None:
        """The relay has said something, or nothing."""
        ride, session, data, sdp = self._ride, self._session, self._data, self._sdp
        shared = ride._shared
        try:
            try:
                if isinstance(result, Exception):
                    raise result
                made = made_of(self._relay, "answer", sdp, result, now)
                data = _with(data, self._place, made)
            except (RelayFailed, ValueError) as error:
                ride.module._unanswered(session, str(error), now, ride.dialog(data, self._status, now))
            else:
                shared.took.observe(now - self._began)
                tag, leg, most = self._tag, self._leg, shared.most_dialogs
                session.note_answer(session.caller_tag, tag, sdp, made, self._source, leg, most)
                if session.call is not None:
                    keep(session)
        except Exception as error:
            ride.module.core.failed("riding", error)
        self._go(data, now)


def _in(data: bytes) -> bytes | None:
    """Return the description in the message ``data``, which is read, or None."""
    found = find(read_again(data))
    return None if found is None else found.sdp


def _with(data: bytes, place: tuple[int, int, int] | None, sdp: bytes) -> bytes:
    """Return the message ``data`` with ``sdp`` in the place of its description.

    ``place``: of that, where it is written in the usual way. Raises ``ValueError`` where that cannot be.
    """
    if place is not None:
        begin, stop, body = place
        made: bytes = replaced(data, begin, stop, body, sdp)
        return made
    message = read_again(data)
    found = find(message)
    if found is None:
        raise ValueError("the description is not found any more")
    put(message, found, sdp)
    return message.to_bytes()
