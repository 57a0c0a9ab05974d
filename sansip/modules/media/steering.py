"""Offers, answers and deletions, taken to the relays of a call.

Theory of operation: an offer goes to the relay that the call has, else to the best one of its set, and to the
next where that fails or is full: at most ``attempts`` of them. An answer goes to the relay of its offer. A
deletion is sent and not waited for. Nothing in here knows messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from sansip.later import Later
from sansip.modules.media.asking import NoRelay, RelayFailed
from sansip.modules.media.names import Names, Options
from sansip.modules.media.ng import Ng, deletion, described, made_of

if TYPE_CHECKING:
    from sansip.modules.media.relay import Relay
    from sansip.modules.media.relays import Relays
    from sansip.modules.media.session import Session
    from sansip.modules.media.settings import MediaSettings

__all__ = ["Again", "answer", "ask", "delete", "delete_call", "first", "offer"]


def _candidates(relays: Relays, session: Session, now: float) -> list[Relay]:
    """Return the relays to be asked, the call's own first unless it moves."""
    found = relays.order(session.set_, session.id, now)
    own = session.relay
    if own is not None:
        others = [one for one in found if one is not own]
        if own.usable() and not (session.moving and others) and not (own.admin == "draining" and others):
            # Sticky: a call stays where it is, also at a relay that gets no new calls.
            return [own, *others]
        return others
    return found


async def offer(
    relays: Relays,
    settings: MediaSettings,
    session: Session,
    names: Names,
    sdp: bytes,
    options: Options,
    now: float,
    tried: Relay | None = None,
) -> tuple[bytes, Relay, float]:
    """Return the description that goes on, the relay that has it, and when. Raises ``NoRelay``.

    ``tried``: a relay that was asked already, in vain.
    """
    candidates = _candidates(relays, session, now)
    why = "none is up" if len(relays) else "none is configured"
    if tried is not None:
        candidates = [one for one in candidates if one is not tried]
        why = f"{tried.uri} failed, and no other is up"
    for relay in candidates[: settings.attempts - (tried is not None)]:
        if session.over:
            # While this one waited: nobody would delete it at another relay.
            raise NoRelay("the call is over", now)
        if not relay.usable():
            # Another call found out while this one waited.
            continue
        _use(session, relay)
        try:
            made, now = await relay.protocol.offer(relay, names, sdp, options, now)
        except RelayFailed as error:
            why, now = str(error), error.now
            continue
        session.relay = relay
        session.moving = False
        return made, relay, now
    raise NoRelay(why, now)


def _use(session: Session, relay: Relay) -> None:
    """Note that ``relay`` may have the call: a caller who gives up meanwhile leaves nothing there."""
    if relay not in session.used:
        session.used.add(relay)
        relay.sessions += 1


def first(relays: Relays, session: Session, now: float) -> Relay | None:
    """Return the rtpengine that an offer goes to first; None for any other relay, and where there is none."""
    relay = session.relay
    only = relays.only
    if relay is None and only is not None and only.set_ == session.set_ and only.takes_calls(now):
        # Nothing to choose.
        relay = only
    elif relay is None or session.moving or relay.admin == "draining" or not relay.usable():
        found = _candidates(relays, session, now)
        if not found:
            return None
        relay = found[0]
    if type(relay.protocol) is not Ng:
        return None
    if relay not in session.used:
        _use(session, relay)
    return relay


def ask(
    relay: Relay,
    kind: Literal["offer", "answer"],
    names: Names,
    sdp: bytes,
    options: Options,
    told: Callable[[bytes | Exception, float], None],
    now: float,
) -> Later[None]:
    """Give an rtpengine an offer or an answer; return what ends once ``told`` has heard what it made of it.

    What most calls need, without a coroutine. ``told`` gets a ``RelayFailed`` in place of a description; what
    it raises ends the ``Later``.
    """
    later: Later[None] = Later()

    def heard(result: Any, now: float) -> None:
        try:
            if not isinstance(result, Exception):
                try:
                    result = made_of(relay, kind, sdp, result[0], now)
                except RelayFailed as error:
                    result = error
            told(result, now)
        except Again as again:
            again.work(later)
        except Exception as error:
            later.set(error, now)
        else:
            later.set(None, now)

    relay.line.ask(described(kind, names, sdp, options), heard, now)
    return later


class Again(Exception):
    """The relay failed: ``work(later)`` tries others, and ends the ``Later``."""

    def __init__(self, work: Callable[[Later[None]], None]) -> None:
        super().__init__()
        self.work = work


async def answer(relay: Relay, names: Names, sdp: bytes, options: Options, now: float) -> tuple[bytes, float]:
    """Return the answer that goes back, and when. Raises ``NoRelay``."""
    if relay.admin == "disabled" or relay.breaker.state != "closed":
        raise NoRelay(f"{relay.uri} is {relay.state}", now)
    try:
        return await relay.protocol.answer(relay, names, sdp, options, now)
    except RelayFailed as error:
        raise NoRelay(str(error), error.now) from None


def delete(relay: Relay, names: Names, now: float) -> None:
    """Have ``relay`` forget a branch or a call; nothing waits for that, and where it fails time ends it.

    (The relay ends a call without packets by itself.)
    """
    if relay.breaker.state == "closed":
        relay.deletions.tell(relay.protocol.deletion(names), now)


def delete_call(relay: Relay, call: str, offerer: str, now: float) -> None:
    """Have an rtpengine forget a whole call, as ``delete`` does."""
    if relay.breaker.state == "closed":
        relay.deletions.tell(deletion(call, "", offerer, ""), now)
