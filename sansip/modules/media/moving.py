"""A call moves to another relay while it goes on: a re-INVITE of ours to both sides.

Theory of operation: the new relay gets what the caller said last as an offer, and the callee a re-INVITE with
the new relay's addresses. With its answer, as an offer, the caller gets the other re-INVITE. Until the callee
has accepted, nothing has changed; where the caller refuses, the callee is asked to go back. A side that is
sending an offer of its own answers 491, and is asked again after a while (RFC 3261 14.1); meanwhile its own
offer goes on, to the relay that the call has by then. While a re-INVITE of ours waits for its answer, the
other side's offers get a 491 from here. The version in ``o=`` is counted here from then on, for each side
sees one session, whatever the relays call it (RFC 3264 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from sansip.errors import RemoteProtocolError
from sansip.modules.media import steering
from sansip.modules.media.asking import RelayFailed
from sansip.modules.media.body import find
from sansip.modules.media.keeping import keep
from sansip.modules.media.names import Names
from sansip.modules.media.profiles import Side
from sansip.routing.awaitables import sleep
from sansip.sdp import parse

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls import Calls
    from sansip.modules.media.profiles import Ways
    from sansip.modules.media.relay import Relay
    from sansip.modules.media.relays import Relays
    from sansip.modules.media.session import Session
    from sansip.modules.media.settings import MediaSettings
    from sansip.wire import Response

__all__ = ["CannotMove", "Moves", "move", "stamped"]

# How often a side is asked that has an offer of its own on the way.
_TRIES: Final = 4


class CannotMove(Exception):
    """Why a call stays where it is, or what became of it."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What a move needs of the module."""

    core: Core
    settings: MediaSettings
    calls: Calls | None
    relays: Relays
    ways: Ways


def stamped(session: Session, tag: str, sdp: bytes) -> bytes:
    """Return ``sdp`` as the next description for the side ``tag``: its ``o=`` goes on from the last one's.

    A call that never moved has the relay's own.
    """
    before = session.sent.get(tag)
    if not session.moved or before is None:
        return sdp
    try:
        made, last = parse(sdp, most_media=len(sdp)), parse(before, most_media=len(before)).origin
        # RFC 3264 8: all of o= stays, but for the version: one more where anything else has changed.
        made.session.set("o", str(last))
        if made.to_bytes() != before:
            made.next_version()
        return made.to_bytes()
    except RemoteProtocolError:
        return sdp


async def move(owner: Moves, session: Session, to: Relay | None, now: float) -> None:
    """Move ``session`` to ``to``, or to the best other relay. Raises ``CannotMove``."""
    call = session.call
    if call is None:
        raise CannotMove("without the module calls only later=true can be had; add [calls]")
    if len(call.talks) != 1:
        raise CannotMove("it is not answered" if not call.talks else "several phones answered it")
    if session.mover:
        raise CannotMove("it is being moved already")
    session.mover = True
    try:
        await _Move(owner, session, next(iter(call.talks)), to).run(now)
    finally:
        session.mover = session.inviting = False


class _Move:
    """One move. ``caller`` and ``callee`` are the tags of the two sides."""

    def __init__(self, owner: Moves, session: Session, callee: str, to: Relay | None) -> None:
        self._owner = owner
        self._session = session
        self._caller = session.caller_tag
        self._callee = callee
        self._to = to
        self._old = session.relay

    async def run(self, now: float) -> None:
        before = self._session.sent.get(self._callee)
        for left in reversed(range(_TRIES)):
            relay, offered, now = await self._offered(self._caller, self._callee, now)
            response, now = await self._invite(self._callee, offered, now)
            if response is not None and response.status < 300:
                break
            if response is None or response.status != 491 or not left:
                self._leave(relay, now)
                raise CannotMove(f"the callee {_said(response)}; the call stays where it is")
            # RFC 3261 14.1: the caller, in whose name this is, made the Call-ID.
            now = await self._pause(relay, 2.1, 4.0, now)
        said = self._said(response, self._callee)
        now = await self._answered(relay, self._caller, self._callee, said, offered, now)
        session = self._session
        session.relay = relay
        keep(session)
        await self._second(relay, before, now)

    async def _second(self, relay: Relay, sent: bytes | None, now: float) -> None:
        """Have the caller follow."""
        session = self._session
        for left in reversed(range(_TRIES)):
            before = session.said.get(self._caller), session.sent.get(self._caller)
            offered, now = await self._ask(relay, self._callee, self._caller, now)
            response, now = await self._invite(self._caller, offered, now)
            if response is not None and response.status < 300:
                said = self._said(response, self._caller)
                now = await self._answered(relay, self._callee, self._caller, said, offered, now)
                break
            if response is None or response.status != 491 or not left:
                await self._back(relay, sent, response, now)
            # RFC 3261 14.1: the callee did not make the Call-ID.
            now = await self._pause(relay, 0.0, 2.0, now)
            if before != (session.said.get(self._caller), session.sent.get(self._caller)):
                # The offer that crossed ours has taken the caller there.
                break
        if self._old is not None and self._old is not relay:
            self._leave(self._old, now)

    # --- relays

    async def _offered(self, offerer: str, to: str, now: float) -> tuple[Relay, bytes, float]:
        """Return the new relay, what it made of the last description of ``offerer``, and when."""
        owner, session = self._owner, self._session
        if self._to is not None:
            found = [self._to] if self._to.usable() else []
        else:
            found = [one for one in owner.relays.order(session.set_, session.id, now) if one is not self._old]
        why = "no other relay is up"
        for relay in found[: owner.settings.attempts]:
            if relay not in session.used:
                session.used.add(relay)
                relay.sessions += 1
            try:
                made, now = await self._ask(relay, offerer, to, now)
            except CannotMove as error:
                why = str(error)
                self._leave(relay, now)
                self._go_on(relay, now)
                continue
            return relay, made, now
        raise CannotMove(f"{why}; the call stays where it is")

    async def _ask(self, relay: Relay, offerer: str, to: str, now: float) -> tuple[bytes, float]:
        """Offer the last description of ``offerer`` to ``relay``; return what ``to`` gets."""
        session = self._session
        said = session.said.get(offerer)
        if said is None:
            raise CannotMove("its descriptions are not known: it began before a restart")
        source, target = session.sides.get(offerer, Side()), session.sides.get(to, Side())
        options = self._owner.ways.toward(session.wish, source, target, offer=True)
        names = Names(session.id, self._label(relay), offerer, to)
        try:
            made, now = await relay.protocol.offer(relay, names, said, options, now)
        except RelayFailed as error:
            raise CannotMove(str(error)) from None
        self._go_on(relay, now)
        session.moved = True
        return stamped(session, to, made), now

    async def _answered(
        self, relay: Relay, offerer: str, answerer: str, said: bytes, offered: bytes, now: float
    ) -> float:
        """Tell ``relay`` the answer to ``offered``, and note both."""
        session = self._session
        session.sent[answerer] = offered
        session.said[answerer] = said
        self._go_on(relay, now)
        source, target = session.sides.get(answerer, Side()), session.sides.get(offerer, Side())
        options = self._owner.ways.toward(session.wish, source, target, offer=False)
        names = Names(session.id, self._label(relay), offerer, answerer)
        try:
            _, now = await relay.protocol.answer(relay, names, said, options, now)
        except RelayFailed as error:
            # Both sides have its addresses, or will: as when it dies in the middle of a call.
            raise CannotMove(f"{error}; the call moves again with its next re-INVITE") from None
        return now

    def _label(self, relay: Relay) -> str:
        """What rtpproxy knows the dialog by; rtpengine knows it by its tags."""
        return self._session.labels.get(self._callee, "") if relay.settings.kind == "rtpproxy" else ""

    def _leave(self, relay: Relay, now: float) -> None:
        """Have a relay forget the call."""
        session = self._session
        if relay in session.used:
            session.used.discard(relay)
            relay.sessions -= 1
        if relay.usable():
            steering.delete(relay, Names(session.id, self._label(relay), self._caller), now)

    def _go_on(self, relay: Relay, now: float) -> None:
        """Stop where the call has ended meanwhile; its relays were told then, and this one knows it again."""
        if self._session.over:
            if relay.usable():
                steering.delete(relay, Names(self._session.id, self._label(relay), self._caller), now)
            raise CannotMove("the call has ended")

    # --- the sides

    async def _invite(self, tag: str, sdp: bytes, now: float) -> tuple[Response | None, float]:
        session = self._session
        call, calls = session.call, self._owner.calls
        talk = None if call is None else call.talks.get(self._callee)
        if call is None or talk is None or calls is None:
            return None, now
        session.inviting = True
        try:
            return await calls.reinvite(call, talk, tag == self._caller, sdp)
        finally:
            session.inviting = False

    def _said(self, response: Response | None, tag: str) -> bytes:
        found = None if response is None else find(response)
        # RFC 3261 13.2.1: an answer has to be there; a phone that gives none talks as it did.
        return self._session.said.get(tag, b"") if found is None else found.sdp

    async def _pause(self, relay: Relay, least: float, most: float, now: float) -> float:
        seconds = least + self._owner.core.entropy.number(1_000) / 1_000 * (most - least)
        await sleep(seconds)
        now += seconds
        self._go_on(relay, now)
        return now

    async def _back(
        self, relay: Relay, sent: bytes | None, response: Response | None, now: float
    ) -> NoReturn:
        """The caller does not follow: the callee goes back, or the call ends."""
        session, old = self._session, self._old
        why = f"the caller {_said(response)}"
        self._go_on(relay, now)
        if old is not None and old.usable() and sent is not None:
            offered = stamped(session, self._callee, sent)
            again, now = await self._invite(self._callee, offered, now)
            self._go_on(relay, now)
            if again is not None and again.status < 300:
                session.sent[self._callee] = offered
                session.relay = old
                keep(session)
                self._leave(relay, now)
                raise CannotMove(f"{why}; the call is where it was")
        calls, call = self._owner.calls, session.call
        if self._owner.settings.without == "refuse" and calls is not None and call is not None:
            calls.hang_up(call, "no media relay", now)
            raise CannotMove(f"{why}, and the callee cannot go back; the call was hung up")
        raise CannotMove(f"{why}, and the callee cannot go back")


def _said(response: Response | None) -> str:
    if response is None:
        return "cannot be reached"
    return f"answers {response.status} {response.reason[:40]}"
