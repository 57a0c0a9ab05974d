"""Offers, answers and deletions, taken to the relays of a call.

Theory of operation: an offer goes to the relay that the call has, else to the best one of its set, and to the
next where that fails or is full: at most ``attempts`` of them. An answer goes to the relay of its offer. A
deletion is sent and not waited for. Nothing in here knows messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.modules.media.asking import NoRelay, RelayFailed
from sansip.modules.media.names import Names, Options

if TYPE_CHECKING:
    from sansip.modules.media.relay import Relay
    from sansip.modules.media.relays import Relays
    from sansip.modules.media.session import Session
    from sansip.modules.media.settings import MediaSettings

__all__ = ["answer", "delete", "offer"]


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
) -> tuple[bytes, Relay, float]:
    """Return the description that goes on, the relay that has it, and when. Raises ``NoRelay``."""
    candidates = _candidates(relays, session, now)
    why = "none is up" if len(relays) else "none is configured"
    for relay in candidates[: settings.attempts]:
        if session.call.over:
            # While this one waited: nobody would delete it at another relay.
            raise NoRelay("the call is over", now)
        if not relay.usable():
            # Another call found out while this one waited.
            continue
        if relay not in session.used:
            # Before it answers: a caller who gives up meanwhile leaves nothing there.
            session.used.add(relay)
            relay.sessions += 1
        try:
            made, now = await relay.protocol.offer(relay, names, sdp, options, now)
        except RelayFailed as error:
            why, now = str(error), error.now
            continue
        session.relay = relay
        session.moving = False
        return made, relay, now
    raise NoRelay(why, now)


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
        relay.tell(relay.protocol.deletion(names), now)
