"""Offers and answers within a dialog: re-INVITE, UPDATE, PRACK and ACK, in either direction.

Theory of operation: such a request belongs to a call's media if it comes from a side of its dialog. Its offer
goes to the relay of the call, or to another one where that is gone, and the answer follows it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.module import Slot
from sansip.modules.media import steering
from sansip.modules.media.answering import Answering
from sansip.modules.media.asking import NoRelay
from sansip.modules.media.body import Found, find, put, routes_of
from sansip.modules.media.moving import stamped
from sansip.modules.media.names import Names
from sansip.modules.media.profiles import Side, side_of
from sansip.modules.media.session import Session
from sansip.modules.media.sessions import forget
from sansip.wire import Request, Response
from sansip.wire.unread import is_unread

if TYPE_CHECKING:
    from sansip.module.base import Waits
    from sansip.modules.media.relay import Relay
    from sansip.routing import IncomingRequest
    from sansip.wire import Message

__all__ = ["Within", "is_within"]


class Within(Answering):
    """The module with what happens within dialogs."""

    # Of a request within a dialog: the offer in it, and the relay that has it.
    _asked: Slot[tuple[Session, Names, Relay]] = Slot()

    def _proven(self, request: IncomingRequest) -> bool:
        """Whether it comes from a side of its dialog: the other's Call-ID and tags are no secret.

        A phone that has moved has proved itself otherwise before its request leaves (``admits_within``); an
        ACK is seen before that.
        """
        proven = request.from_dialog or (request.method != "ACK" and bool(request.reading))
        return proven or not self.core.proxy.config.dialog_tokens

    def _dialog_of(self, request: IncomingRequest) -> tuple[Session, str, str] | None:
        """Return the session that a request belongs to, the sender's tag and the other's."""
        return self._sessions.of_dialog(request.message, request.side) if self._proven(request) else None

    def _note_within(self, request: IncomingRequest, message: Message, *, to_sender: bool) -> None:
        """Note what a re-INVITE, or the response to it, that leaves has as Record-Route."""
        dialog = self._dialog_of(request)
        if dialog is not None and (text := routes_of(message)):
            session, sender, other = dialog
            tag, far = (sender, other) if to_sender else (other, sender)
            session.note_within(tag, far, text, self._most_tags)

    def _within(self, request: IncomingRequest, message: Request, now: float) -> Waits:
        """Take an offer or an answer in a request of a dialog."""
        found = find(message)
        dialog = None if found is None else self._dialog_of(request)
        if found is None or dialog is None:
            return None
        session, sender, other = dialog
        if not self._has_room(session, sender):
            return None
        waiting = session.offers.pop(other, None)
        if waiting is not None and session.relay is not None:
            # RFC 3262 5: the PRACK has the answer to the offer of a reliable 1xx.
            names = Names(waiting.call, waiting.label, other, sender)
            return self._answer(request, session, names, session.relay, message, found)
        try:
            source = side_of(found.sdp, self.core.limits.sdp_media)
        except RemoteProtocolError:
            return None
        names = Names(session.id, self._label(session, sender, other), sender, other)
        return self._reoffer(request, session, names, other, message, found, source)

    def _label(self, session: Session, *tags: str) -> str:
        """Return what rtpproxy knows the dialog by: rtpengine knows it by its tags."""
        if session.relay is None or session.relay.settings.kind != "rtpproxy":
            return ""
        return next((session.labels[tag] for tag in tags if tag in session.labels), "")

    def _late(self, request: IncomingRequest, response: Response, found: Found) -> Waits:
        """Take the offer in the 2xx to a re-INVITE without one."""
        dialog = self._dialog_of(request)
        if dialog is None or find(request.message) is not None:
            return None
        session, offered_to, offerer = dialog
        if not self._has_room(session, offerer):
            return None
        try:
            source = side_of(found.sdp, self.core.limits.sdp_media)
        except RemoteProtocolError:
            return None
        names = Names(session.id, self._label(session, offerer, offered_to), offerer, offered_to)
        return self._reoffer(request, session, names, offered_to, response, found, source)

    async def _reoffer(
        self,
        request: IncomingRequest,
        session: Session,
        names: Names,
        to: str,
        message: Message,
        found: Found,
        source: Side,
    ) -> None:
        """Take an offer of ``names.offerer`` for the side ``to`` to the call's relay, or to another one."""
        began = request.now
        session.sides[names.offerer] = source
        options = self._ways.toward(session.wish, source, session.sides.get(to, Side()), offer=True)
        try:
            made, relay, now = await steering.offer(
                self._relays, self.settings, session, names, found.sdp, options, began
            )
            made = stamped(session, to, made)
            put(message, found, made)
        except (NoRelay, ValueError) as error:
            request.now = getattr(error, "now", began)
            if isinstance(message, Request):
                self._no_relay(request, session.call_id, str(error))
            else:
                self._unanswered(session, str(error), request.now, None)
            return
        self._took.observe(now - began)
        self._relayed.add(relay.uri)
        session.pending[names.offerer] = (found.sdp, made)
        if session.over:
            forget(session, now)
        if isinstance(message, Request):
            self._asked.set(request, (session, Names(names.call, names.label, names.offerer, to), relay))
        else:
            # Its answer comes in the ACK, or in the PRACK.
            session.offers[names.offerer] = Names(names.call, names.label, names.offerer, to)

    async def _acknowledged(
        self, request: IncomingRequest, session: Session, waiting: Names, sender: str, found: Found
    ) -> bool:
        assert session.relay is not None
        names = Names(waiting.call, waiting.label, waiting.offerer, sender)
        work = self._answer(request, session, names, session.relay, request.message, found)
        if work is not None:
            await work
        return False

    def _judge_glare(self, request: IncomingRequest, message: Request) -> None:
        """Refuse an offer of a side while one of ours, in its name or to it, waits for its answer."""
        if not (message.method == "INVITE" or (message.method == "UPDATE" and message.body)):
            return
        dialog = self._dialog_of(request)
        if dialog is not None and dialog[0].inviting:
            # RFC 3261 14.2, RFC 3311 5.2
            self._refuse(request, 491, None)

    def _dialog_over(self, request: IncomingRequest) -> None:
        """A dialog has ended; so does its media, if no other phone answered the call."""
        dialog = self._dialog_of(request)
        if dialog is None:
            return
        self._sessions.dialog_ended(*dialog, request.now)


def is_within(request: IncomingRequest) -> bool:
    """Whether ``request`` is within a dialog; one that nobody has read stays unread."""
    # The quick ways begin dialogs, or have a mark of ours (``from_dialog``).
    return request.from_dialog if is_unread(request.message) else request.in_dialog
