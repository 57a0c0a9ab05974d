"""The module ``media``: session descriptions are taken to relays, and calls get the relays' addresses.

Theory of operation: the hooks see each message with a description. They decide whether its call needs a relay
(``profiles``), have the description changed there (``steering``), and let the message go on; meanwhile it
waits, and nobody else's does. A call's media ends with its INVITE or its last dialog. Where the module
``calls`` has a record of it, a lost BYE or a crashed phone ends it as well. Where no relay can be had the
description stays as it came, or the call is refused, as the settings say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module import Slot
from sansip.modules.calls import CallTakenBack
from sansip.modules.calls.spiral import earlier
from sansip.modules.media import steering
from sansip.modules.media.answering import LOOK
from sansip.modules.media.asking import NoRelay
from sansip.modules.media.body import Found, dialog_of, find, has_body, put, routes_of
from sansip.modules.media.names import Names, Options
from sansip.modules.media.profiles import NO_WISH, Side, Wish, needed, side_at, side_of
from sansip.modules.media.riding import Riding
from sansip.modules.media.session import Leg, Session
from sansip.modules.media.sessions import forget
from sansip.modules.media.within import is_within
from sansip.proxy.relayed import GONE
from sansip.transport.nat import has_private_media
from sansip.wire import Request, Response
from sansip.wire.unread import is_unread

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sansip.module.base import Waits
    from sansip.modules.media.relay import Relay
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest

__all__ = ["Media"]

# RFC 3261 13.2.1, RFC 3262 5, RFC 3311 5: requests whose bodies are offers and answers.
_CARRIERS: Final = ("INVITE", "UPDATE", "PRACK")


class Media(Riding):
    """Steers media relays: rtpengine and rtpproxy."""

    name = "media"
    methods = frozenset(("ACK", "INVITE"))

    # Of an INVITE: Record-Route of its copies that left without a description.
    _copies: Slot[tuple[str, ...]] = Slot()

    # --- requests

    def branch_leaving(self, request: IncomingRequest, branch: Branch, message: Request) -> Waits:
        """Take the description in a copy that leaves to a relay, where the call needs one."""
        method = request.method
        if self._moves and is_within(request):
            self._judge_glare(request, message)
        if method not in _CARRIERS:
            return None
        if method == "INVITE" and self._sessions and is_within(request):
            self._note_within(request, message, to_sender=False)
        if not has_body(message):
            if method == "INVITE" and not is_within(request):
                self._note_copy(request, message)
            return None
        if is_within(request):
            return self._within(request, message, request.now)
        return self._offering(request, branch, message) if method == "INVITE" else None

    def _note_copy(self, request: IncomingRequest, message: Request) -> None:
        """Note a copy that leaves without a description: the first one may be in a response."""
        known = self._copies.get(request) or ()
        self._copies.set(request, (*known, routes_of(message))[-self._most_tags :])

    def _offering(self, request: IncomingRequest, branch: Branch, message: Request) -> Waits:
        wish = self._wish.get(request) or NO_WISH
        found = None if wish.skip else find(message)
        if found is None:
            self._note_copy(request, message)
            return None
        forced = wish.profile is not None or "always" in self.settings.profiles
        try:
            source = side_of(found.sdp, self.core.limits.sdp_media)
        except RemoteProtocolError as error:
            if forced:
                self._refuse(request, error.status, error.reason)
            return None
        target = self._target(branch, wish, source)
        if not forced:
            profiles = self.settings.profiles
            nat = "nat" in profiles and (branch.target.address is not None or self._nat(request, found))
            if not needed(profiles, source, target, nat):
                return None
        if self._came_back(request):
            return None
        session = self._session.get(request) or self._begin(request, message, wish)
        if session is None:
            self._no_relay(request, dialog_of(message)[0], "too many calls have one (media.most)")
            return None
        session.note_invite(routes_of(message), self._most_tags)
        leg = session.leg(branch, source, target)
        if leg.offered and leg.asked == found.sdp:
            put(message, found, leg.offered)
            return None
        return self._offer(request, session, leg, message, found)

    def _begin(self, request: IncomingRequest, message: Request, wish: Wish) -> Session | None:
        """Return the session of a new call; None where there are too many."""
        call = None if self._calls is None else self._calls.of(request)
        call_id, tag, _ = dialog_of(message)
        session = self._make(call_id, tag, wish, call, request.now)
        if session is not None:
            for text in self._copies.get(request) or ():
                session.note_invite(text, self._most_tags)
            self._session.set(request, session)
        return session

    def _came_back(self, request: IncomingRequest) -> bool:
        """Whether it is here again as a branch of itself, and has its relay (RFC 3261 16.6 step 8)."""
        if not request.returned:
            return False
        for one in earlier(request, self.core.listeners, self.core.proxy.transactions.clients):
            session = self._session.get(one)
            if session is not None and not session.answered:
                return request.message.identity() == one.message.identity()
        return False

    def _nat(self, request: IncomingRequest, found: Found) -> bool:
        """Whether the caller is behind a NAT, or describes its media by a private address."""
        if is_unread(request.message):
            # The quick way has looked at the rest: it came straight from a phone that names its source.
            return has_private_media(found.sdp, request.flow)
        return request.behind_nat or "sdp" in request.nat_signs

    def _target(self, branch: Branch, wish: Wish, source: Side) -> Side:
        place = branch.place
        target = side_at("", "") if place is None else side_at(place[0], place[1])
        if wish.profile == "webrtc":
            return Side(not source.browser, target.family)
        return target

    def _offer(
        self, request: IncomingRequest, session: Session, leg: Leg, message: Request, found: Found
    ) -> Waits:
        began = request.now
        session.sides[session.caller_tag] = leg.source
        names = Names(session.id, leg.label, session.caller_tag)
        options = self._ways.toward(session.wish, leg.source, leg.target, offer=True)
        relay = steering.first(self._relays, session, began)
        if relay is None:
            return self._offer_to_any(request, session, leg, message, found, names, options, began)

        def told(made: bytes | Exception, now: float) -> None:
            if isinstance(made, Exception):
                if session.over:
                    raise made
                rest = self._offer_to_any(request, session, leg, message, found, names, options, now, relay)
                raise steering.Again(lambda later: self.core.run(rest, now, later.set))
            session.relay, session.moving = relay, False
            self._offered(request, session, leg, message, found, made, relay, now - began, now)

        return steering.ask(relay, "offer", names, found.sdp, options, told, began)

    async def _offer_to_any(
        self,
        request: IncomingRequest,
        session: Session,
        leg: Leg,
        message: Request,
        found: Found,
        names: Names,
        options: Options,
        began: float,
        tried: Relay | None = None,
    ) -> None:
        """Take an offer to one relay after another; ``tried`` is one that has failed."""
        try:
            made, relay, now = await steering.offer(
                self._relays, self.settings, session, names, found.sdp, options, began, tried
            )
        except NoRelay as error:
            request.now = error.now
            self._no_relay(request, session.call_id, str(error))
            return
        self._offered(request, session, leg, message, found, made, relay, now - began, now)

    def _offered(
        self,
        request: IncomingRequest,
        session: Session,
        leg: Leg,
        message: Request,
        found: Found,
        made: bytes,
        relay: Relay,
        took: float,
        now: float,
    ) -> None:
        """Write what ``relay`` made of an offer into the message that goes on."""
        try:
            put(message, found, made)
        except ValueError as error:
            request.now = now
            self._no_relay(request, session.call_id, str(error))
            return
        self._took.observe(took)
        self._relayed.add(relay.settings.uri)
        session.note_offer(leg, relay, found.sdp, made)
        if session.over:
            forget(session, now)

    # --- responses

    def response_received(self, request: IncomingRequest, branch: Branch, response: Response) -> Waits:
        """Take the description in a response to the relay that has its offer."""
        status, method = response.status, request.method
        if status >= 300 or method not in _CARRIERS:
            return None
        session = self._session.get(request)
        if session is None and method == "INVITE" and self._sessions and is_within(request):
            self._note_within(request, response, to_sender=True)
        tag: str | None = None
        # Whether it is a further 2xx of a dialog.
        again = False
        if session is not None and status > 100:
            tag = dialog_of(response)[2]
            session.note_route(tag, routes_of(response), self._most_tags)
            if status >= 200:
                again = tag in session.answered
                if not again and len(session.answered) < self.core.limits.early_dialogs:
                    self._sessions.answered(session, tag)
        found = find(response) if has_body(response) else None
        if found is None:
            return None
        asked = self._asked.get(request)
        if asked is not None:
            return self._answer(request, *asked, response, found)
        if is_within(request) or method != "INVITE":
            return self._late(request, response, found) if method == "INVITE" else None
        leg = None if session is None else session.legs.get(branch)
        if session is None or leg is None or leg.relay is None:
            return self._first_offer(request, branch, response, found)
        if tag is None:
            tag = dialog_of(response)[2]
        before = leg.answers.get(tag)
        # RFC 3261 13.2.1: the caller ignores what comes after the answer, so the relay does not hear of it.
        if before is not None and (again or before[0] == found.sdp):
            put(response, found, before[1])
            return None
        if not self._has_room(session, tag):
            return None
        names = Names(session.id, leg.label, session.caller_tag, tag)
        return self._answer(request, session, names, leg.relay, response, found, leg, branch)

    def timer_fired(self, name: Any, now: float) -> None:
        """Hang up a call without media; or forget those that nobody ended."""
        if name is None:
            for one in self._sessions.older(now - self.settings.longest):
                self._sessions.drop(one)
            self._sessions.looking = len(self._sessions) > 0
            if self._sessions.looking:
                self.core.timers.start(now, LOOK, self, None)
            return
        session = self._sessions.get(name)
        if session is not None and session.call is not None and self._calls is not None:
            self._calls.hangup(session.call.id, now, "no media relay")

    def _first_offer(
        self, request: IncomingRequest, branch: Branch, response: Response, found: Found
    ) -> Waits:
        """Take an offer in a response: the INVITE had none (RFC 3261 13.2.1)."""
        wish = self._wish.get(request) or NO_WISH
        if wish.skip or find(request.message) is not None or self._came_back(request):
            return None
        try:
            source = side_of(found.sdp, self.core.limits.sdp_media)
        except RemoteProtocolError:
            return None
        target = side_at(request.flow.transport, request.flow.host)
        nat = request.behind_nat or branch.target.address is not None
        forced = wish.profile is not None
        if not forced and not needed(self.settings.profiles, source, target, nat):
            return None
        session = self._session.get(request) or self._begin(request, request.message, wish)
        if session is None:
            return None
        session.note_route(response.to_tag or "", routes_of(response), self._most_tags)
        if response.status >= 200:
            self._sessions.answered(session, response.to_tag or "")
        session.sides[session.caller_tag] = target
        if not self._has_room(session, response.to_tag or ""):
            return None
        names = Names(session.id, "", response.to_tag or "")
        return self._reoffer(request, session, names, session.caller_tag, response, found, source)

    # --- within a dialog

    def request_received(self, request: IncomingRequest) -> bool | Coroutine[Any, Any, bool]:
        """Take the answer in an ACK to the relay that has its offer (RFC 3261 13.2.1)."""
        if request.method != "ACK" or not self._sessions or not has_body(request.message):
            return False
        found = find(request.message)
        dialog = None if found is None else self._dialog_of(request)
        if found is None or dialog is None:
            return False
        session, sender, other = dialog
        waiting = session.offers.pop(other, None)
        if waiting is None or session.relay is None:
            return False
        return self._acknowledged(request, session, waiting, sender, found)

    # --- the end

    def branch_ended(self, request: IncomingRequest, branch: Branch, status: int) -> None:
        """Delete the branch that failed or lost, and nothing else of its call."""
        if not self._sessions:
            return
        method = request.method
        session = self._session.get(request)
        if session is None:
            if method == "BYE":
                if 200 <= status < 300 or status in GONE:
                    self._dialog_over(request)
            elif status == 481 and method in ("INVITE", "UPDATE") and is_within(request):
                self._dialog_over(request)
            return
        leg = session.legs.get(branch) if status >= 300 else None
        if leg is None or leg.relay is None or leg.over or session.over:
            return
        leg.over = True
        steering.delete(leg.relay, Names(session.id, leg.label, session.caller_tag), request.now)

    def request_ended(self, request: IncomingRequest) -> None:
        """End the media of a call that was not answered."""
        session = self._session.get(request)
        if session is None or session.over:
            return
        if not session.answered:
            self._end(session, request.now)
        elif not request.record and session.call is None:
            # Its dialog does not go through here: the relay sees its end, when no packets come.
            self._sessions.drop(session)

    def event_received(self, event: Any, now: float) -> None:
        """The record of a call has ended: so does its media. Or it is one of the process before."""
        if isinstance(event, CallTakenBack):
            self._sessions.take_back(event.call, self._relays, self.settings.set)
            return
        call = event.call
        session = self._sessions.get(call.id)
        if session is None:
            return
        if call.answered is not None and call.answered == call.ended and not call.ended_by:
            # Answered, and not on our path: the relay sees its end, when no packets come.
            self._sessions.drop(session)
        else:
            self._end(session, now)
