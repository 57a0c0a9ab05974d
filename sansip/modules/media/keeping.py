"""What outlives the process of a call's media: it is kept with the call's record (``[calls] keep``).

Theory of operation: the variables of a call go into its row. Those of ``media`` are the relay, the branches
that rtpproxy knows the call by, why it has a relay, which sides are browsers, and what names its sides. A
re-INVITE after a restart finds the relay of before, and the end of the call is told there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.modules.media.profiles import NO_WISH, Side, Wish
from sansip.modules.media.session import Session, name_of
from sansip.modules.media.settings import PROFILES

if TYPE_CHECKING:
    from sansip.modules.calls import Call
    from sansip.modules.media.relays import Relays

__all__ = ["keep", "restored"]


def keep(session: Session) -> None:
    """Write what is needed after a restart into the variables of the call."""
    if session.relay is None or session.call is None:
        return
    variables = session.call.variables
    variables["media"] = session.relay.uri
    variables["media_profile"] = session.wish.profile or ""
    variables["media_browsers"] = " ".join(tag for tag, side in session.sides.items() if side.browser)
    variables["media_routes"] = "\n".join(
        [
            *(_line(f"\t\t{text}") for text in session.invited),
            *(_line(f"{tag}\t{text}") for tag, texts in session.routes.items() for text in texts),
        ]
    )
    variables["media_labels"] = " ".join(f"{tag}={label}" for tag, label in session.labels.items())


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def restored(call: Call, relays: Relays, set_: str) -> Session | None:
    """Return the media of a call of the process before, None where it had no relay."""
    relay = relays.get(str(call.variables.get("media", "")))
    if relay is None:
        return None
    profile = next((one for one in PROFILES if one == call.variables.get("media_profile")), None)
    wish = NO_WISH if profile is None else Wish(profile=profile)
    name, dialogs = name_of(call.call_id, call.id), set(call.talks)
    session = Session(name, call.call_id, call.caller_tag, relay.settings.set or set_, wish, call.began, call)
    session.relay, session.answered = relay, dialogs
    most = len(call.talks) + 1
    for line in str(call.variables.get("media_routes", "")).split("\n"):
        tag, _, text = line.partition("\t")
        if text.startswith("\t"):
            session.note_invite(text[1:], most)
        elif tag in call.talks:
            session.note_route(tag, text, most)
    for tag in call.talks:
        session.note_route(tag, "", most)
    session.used.add(relay)
    relay.sessions += 1
    for tag in str(call.variables.get("media_browsers", "")).split():
        session.sides[tag] = Side(browser=True)
    for pair in str(call.variables.get("media_labels", "")).split():
        tag, _, label = pair.rpartition("=")
        session.labels[tag] = label
    return session
