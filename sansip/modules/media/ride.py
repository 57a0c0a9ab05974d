"""One call that passes as octets: its descriptions are taken to a relay, and nothing else of it is read.

Theory of operation: this is the plan of the call's bodies (``sansip.proxy.bodies``). The proxy gives it the
INVITE as it would leave, and each response with a description; it asks the relay of the call's session, and
says what goes on once that has answered. Where a relay fails the others are tried as for any call
(``steering``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.calls.ride import Ride as RecordedRide
from sansip.modules.media import steering
from sansip.modules.media.answering import RETRY, Answering
from sansip.modules.media.asking import NoRelay, RelayFailed
from sansip.modules.media.body import Found, find, find_in, put, put_in, routes_in
from sansip.modules.media.hanging import dialog_begun
from sansip.modules.media.keeping import keep
from sansip.modules.media.names import Names
from sansip.modules.media.ng import composed, made_of
from sansip.modules.media.profiles import NO_WISH, NOTHING, Side, side_of
from sansip.modules.media.sessions import forget
from sansip.wire import read_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.limits import Limits
    from sansip.modules.calls import Talk
    from sansip.modules.media.relay import Relay
    from sansip.modules.media.session import Leg, Session
    from sansip.proxy.bodies import Held
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Response
    from sansip.wire.opening import Opening

__all__ = ["Ride"]

# Octets before the digits of Content-Length, in the usual spelling.
_NAME: Final = len("\r\nContent-Length: ")


class Ride:
    """One call: the plan of its bodies."""

    __slots__ = (
        "_began",
        "_call_id",
        "_flow",
        "_held",
        "_leg",
        "_length",
        "_limits",
        "_relay",
        "_sdp",
        "_sent",
        "_session",
        "_source",
        "_tag",
        "_target",
        "module",
    )

    _held: Held

    def __init__(
        self,
        media: Answering,
        limits: Limits,
        opening: Opening,
        flow: Flow,
        data: bytes,
        found: Found,
        source: Side,
        target: Side,
    ) -> None:
        self.module = media
        self._limits = limits
        self._call_id = opening.call_id
        self._tag = opening.from_tag
        self._flow = flow
        self._sdp = found.sdp
        assert found.length is not None
        begin, end = found.length
        # The line Content-Length, which leaves as it came.
        self._length = data[begin - _NAME : end + 2]
        self._source = source
        self._target = target
        self._session: Session | None = None
        self._leg: Leg | None = None
        # The one that is asked first.
        self._relay: Relay | None = None
        # The INVITE as it would leave, and since when it waits.
        self._sent = b""
        self._began = 0.0

    # --- the INVITE

    def begins(self, relay: Held, sent: bytes, now: float) -> None:
        """Take the offer in ``sent`` to a relay."""
        self._held = relay
        self._sent = sent
        self._began = now
        try:
            media, tag = self.module, self._tag
            record = relay.call
            call = record.call if isinstance(record, RecordedRide) else None
            settings, sessions = media.settings, media._sessions
            session = sessions.make(
                settings.most, media._prefix, self._call_id, tag, NO_WISH, settings.set, call, now
            )
            if session is None:
                self._go_without("too many calls have one (media.most)", now)
                return
            if call is None and not media._looking:
                media._look(now)
            self._session = session
            session.note_invite(routes_in(sent), self._limits.early_dialogs + 1)
            leg = self._leg = session.leg(self, self._source, self._target)
            session.sides[tag] = self._source
            options = media._ways.toward(NO_WISH, self._source, self._target, offer=True)
            first = self._relay = steering.first(media._relays, session, now)
            if first is None:
                self._offer_elsewhere(options, now)
                return
            offer = composed("offer", session.id, leg.label, tag, "", self._sdp, options)
            first.line.ask(offer, self._offered, now)
        except Exception as error:
            self._fail(error, now)

    def _fail(self, error: BaseException, now: float) -> None:
        """A fault of the module: nothing leaves that should have been changed."""
        self.module.core.failed("riding", error)
        self._held.refuse(500, (), now)

    def _offered(self, result: Any, now: float) -> None:
        """The relay that was asked first has said something, or nothing."""
        relay, session = self._relay, self._session
        assert relay is not None
        assert session is not None
        try:
            if not isinstance(result, Exception):
                try:
                    made = made_of(relay, "offer", self._sdp, result[0], now)
                except RelayFailed:
                    pass
                else:
                    session.relay = relay
                    self._go_on(made, relay, now)
                    return
            if not session.over:
                ways = self.module._ways
                options = ways.toward(session.wish, self._source, self._target, offer=True)
                self._offer_elsewhere(options, now, relay)
        except Exception as error:
            self._fail(error, now)

    def _offer_elsewhere(self, options: Any, now: float, tried: Relay | None = None) -> None:
        """Ask one relay after another; ``tried`` is one that has failed."""
        self.module.core.run(self._offer_to_any(options, now, tried), now, self._done)

    async def _offer_to_any(self, options: Any, began: float, tried: Relay | None) -> None:
        media, session, leg = self.module, self._session, self._leg
        assert session is not None
        assert leg is not None
        names = Names(session.id, leg.label, session.caller_tag)
        try:
            made, relay, now = await steering.offer(
                media._relays, media.settings, session, names, self._sdp, options, began, tried
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
        session, leg, sent = self._session, self._leg, self._sent
        assert session is not None
        assert leg is not None
        head, length, rest = sent.partition(self._length)
        end = len(rest) - len(self._sdp)
        data = b"%b%b%d\r\n%b%b" % (head, length[:_NAME], len(made), rest[:end], made)
        self._sent = b""
        media = self.module
        media._took.observe(now - self._began)
        media._relayed.add(relay.settings.uri)
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
            self.module._sessions.end(self._session, now)

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
        media = self.module
        try:
            session.note_route(tag, routes_in(data), self._limits.early_dialogs + 1)
            answered = session.answered
            again = False
            if status >= 200:
                again = tag in answered
                if not again and len(answered) < self._limits.early_dialogs:
                    media._sessions.answered(session, tag)
            relay = leg.relay
            if relay is None or data.find(b"\r\n\r\n") + 4 == len(data):
                return data
            return self._answer(session, leg, relay, data, tag, status, again, go, now)
        except Exception as error:
            media.core.failed("riding", error)
            return data

    def _answer(
        self,
        session: Session,
        leg: Leg,
        relay: Relay,
        data: bytes,
        tag: str,
        status: int,
        again: bool,
        go: Callable[[bytes, float], None],
        now: float,
    ) -> bytes | None:
        """Take a description to the relay; ``again``: it is that of a further 2xx of a dialog."""
        media = self.module
        found = find_in(data)
        sdp = _in(data) if found is None else found.sdp
        if sdp is None:
            return data
        before = leg.answers.get(tag)
        # RFC 3261 13.2.1: the caller ignores what comes after the answer, so the relay does not hear of it.
        if before is not None and (again or before[0] == sdp):
            return _with(data, found, before[1])
        if not session.has_room(tag, self._limits.early_dialogs):
            return data
        try:
            source = side_of(sdp, self._limits.sdp_media)
        except RemoteProtocolError:
            # The caller judges it.
            return data
        if not relay.usable():
            why = f"{relay.uri} is {relay.state}"
            media._unanswered(session, why, now, self._dialog(data, status, now))
            return data
        caller = session.sides.get(session.caller_tag, NOTHING)
        options = media._ways.toward(session.wish, source, caller, offer=False)
        answer = composed("answer", session.id, leg.label, session.caller_tag, tag, sdp, options)
        heard = partial(self._answered, data, found, sdp, tag, source, status, go, now)
        relay.line.ask(answer, heard, now)
        return None

    def _answered(
        self,
        data: bytes,
        found: Found | None,
        sdp: bytes,
        tag: str,
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
                made = made_of(relay, "answer", sdp, result[0], now)
                data = _with(data, found, made)
            except (RelayFailed, ValueError) as error:
                media._unanswered(session, str(error), now, self._dialog(data, status, now))
            else:
                media._took.observe(now - began)
                most = self._limits.early_dialogs
                session.note_answer(session.caller_tag, tag, sdp, made, source, leg, most)
                if session.call is not None:
                    keep(session)
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
