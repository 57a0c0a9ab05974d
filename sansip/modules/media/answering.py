"""The media of a call: it gets a session, its answers are taken to the relay, or there is none for it.

Theory of operation: a call has a session from its first offer on. An answer goes to the relay of its offer,
and the message waits until that is back. Where no relay can be had the call is refused, hung up, or goes on
as it is, as the settings say.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module import Slot
from sansip.modules.media import steering
from sansip.modules.media.asking import NoRelay, RelayFailed
from sansip.modules.media.body import Found, put
from sansip.modules.media.events import CallUnrelayed
from sansip.modules.media.hanging import Hanging, dialog_begun
from sansip.modules.media.keeping import keep
from sansip.modules.media.moving import stamped
from sansip.modules.media.names import Names
from sansip.modules.media.ng import Ng
from sansip.modules.media.operated import Operated
from sansip.modules.media.profiles import Side, side_of
from sansip.modules.media.session import Leg, Session
from sansip.proxy.hooks import BranchRefused
from sansip.wire import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sansip.module.base import Waits
    from sansip.modules.calls import Call, Talk
    from sansip.modules.media.profiles import Wish
    from sansip.modules.media.relay import Relay
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.wire import Message

__all__ = ["LOOK", "RETRY", "Answering"]

# With a 503 where no relay can be had.
RETRY: Final = (("Retry-After", "10"),)
# Seconds between two looks for calls that nobody ended.
LOOK: Final = 60.0


class Answering(Operated):
    """The module with its answers."""

    # Of an INVITE that makes a dialog.
    _session: Slot[Session] = Slot()

    def _make(self, call_id: str, tag: str, wish: Wish, call: Call | None, now: float) -> Session | None:
        """Return the session of a new call, whose caller is ``tag``; None: too many."""
        settings = self.settings
        session = self._sessions.make(
            settings.most, self._prefix, call_id, tag, wish, settings.set, call, now
        )
        if session is not None and call is None and not self._sessions.looking:
            self._look(now)
        return session

    def _look(self, now: float) -> None:
        """Look from now on for calls that nobody ended."""
        self._sessions.looking = True
        self.core.timers.start(now, LOOK, self, None)

    @property
    def _most_tags(self) -> int:
        return self.core.limits.early_dialogs + 1

    def _has_room(self, session: Session, tag: str) -> bool:
        """Whether the side ``tag`` can have media: a callee may invent any number of tags."""
        return session.has_room(tag, self.core.limits.early_dialogs)

    def _no_relay(self, request: IncomingRequest, call_id: str, why: str) -> None:
        """Refuse the call, or let it go on, as the settings say."""
        if self._has_none(call_id, why, request.now):
            self._refuse(request, 503, None, RETRY)

    def _has_none(self, call_id: str, why: str, now: float) -> bool:
        """Tell that a call gets no relay; return whether it is refused."""
        refused = self.settings.without == "refuse"
        done = "refused" if refused else "goes on without"
        self._without.add(done)
        self.core.notify(CallUnrelayed(call_id, why, done), now)
        return refused

    def _refuse(
        self,
        request: IncomingRequest,
        status: int,
        reason: str | None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        request.reply(status, reason, headers)
        raise BranchRefused

    def _answer(
        self,
        request: IncomingRequest,
        session: Session,
        names: Names,
        relay: Relay,
        message: Message,
        found: Found,
        leg: Leg | None = None,
        branch: Branch | None = None,
    ) -> Waits:
        """Take the answer of ``names.answerer`` to ``relay``."""
        began = request.now
        try:
            source = side_of(found.sdp, self.core.limits.sdp_media)
        except RemoteProtocolError:
            # The offerer judges it.
            return None
        target = session.sides.get(names.offerer, Side())
        options = self._ways.toward(session.wish, source, target, offer=False)

        def told(made: bytes | Exception, now: float) -> None:
            try:
                if isinstance(made, Exception):
                    raise made
                made = stamped(session, names.offerer, made)
                put(message, found, made)
            except (RelayFailed, NoRelay, ValueError) as error:
                request.now = now
                self._unanswered(session, str(error), now, self._dialog(request, branch, message))
                return
            self._took.observe(now - began)
            most = self.core.limits.early_dialogs
            session.note_answer(names.offerer, names.answerer, found.sdp, made, source, leg, most)
            if session.call is not None:
                keep(session)

        if relay.usable() and type(relay.protocol) is Ng:
            return steering.ask(relay, "answer", names, found.sdp, options, told, began)
        return _told(steering.answer(relay, names, found.sdp, options, began), told)

    def _dialog(
        self, request: IncomingRequest, branch: Branch | None, message: Message
    ) -> Callable[[], Talk | None] | None:
        """Return what makes the dialog that the 2xx ``message`` begins; None for any other message."""
        if branch is None or not isinstance(message, Response) or message.status < 200:
            return None
        transaction = branch.transaction
        flows = request.flow, None if transaction is None else transaction.flow
        trusted = not request.is_stranger
        return partial(dialog_begun, self.core, request.message, message, flows, request.now, trusted=trusted)

    def _unanswered(
        self, session: Session, why: str, now: float, dialog: Callable[[], Talk | None] | None
    ) -> None:
        """An answer got no relay: both sides wait for media from there, so the call has none.

        ``dialog`` makes the dialog that the answer begins; None where it begins none.
        """
        refuses = self.settings.without == "refuse"
        talk = None
        if refuses and session.call is None:
            # Its answer begins the dialog; later ones are the business of the module ``calls``.
            talk = None if dialog is None else dialog()
            refuses = talk is not None
        done = "hung up" if refuses else "goes on without"
        self._without.add(done)
        self.core.notify(CallUnrelayed(session.call_id, why, done), now)
        if talk is not None:
            Hanging(self.core, session.call_id, talk, now)
            self._end(session, now)
        elif refuses:
            # Once the 2xx has gone back: an INVITE that was answered ends by a BYE (RFC 3261 15).
            self.core.timers.start(now, 0.0, self, session.key)

    def _end(self, session: Session, now: float) -> None:
        """Delete the media of a call, which is over."""
        self._sessions.end(session, now)


async def _told(
    work: Coroutine[Any, Any, tuple[bytes, float]], told: Callable[[bytes | Exception, float], None]
) -> None:
    """Tell what ``work`` returns, or raises."""
    try:
        made, now = await work
    except NoRelay as error:
        told(error, error.now)
    else:
        told(made, now)
