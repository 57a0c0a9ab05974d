"""The media of all calls: by the call, and by its dialog.

Theory of operation: a session is made with the first offer of a call, or taken from the record of a call of
the process before. It ends with that record, and then its relays are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.modules.media import steering
from sansip.modules.media.keeping import name_of, restored
from sansip.modules.media.names import Names
from sansip.modules.media.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sansip.modules.calls import Call
    from sansip.modules.media.profiles import Wish
    from sansip.modules.media.relays import Relays
    from sansip.wire import Message

__all__ = ["Sessions", "forget"]


class Sessions:
    """The sessions of one server."""

    __slots__ = ("_by_call", "_by_dialog")

    def __init__(self) -> None:
        # By the id of the call, and by its Call-ID with the caller's tag.
        self._by_call: dict[str, Session] = {}
        self._by_dialog: dict[tuple[str, str], Session] = {}

    def __len__(self) -> int:
        return len(self._by_call)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_call.values())

    def get(self, id: str) -> Session | None:
        """Return the session of a call, by the call's id."""
        return self._by_call.get(id)

    def of(self, call: Call, wish: Wish, set_: str) -> Session:
        """Return the session of ``call``, a new one where there is none."""
        session = self._by_call.get(call.id)
        if session is None:
            # A stranger may send another's Call-ID: a name of ours keeps its calls apart at the relay.
            session = Session(name_of(call), call, call.caller_tag, wish.set or set_, wish)
            self._add(session)
        return session

    def of_dialog(self, message: Message) -> tuple[Session, str, str] | None:
        """Return the session of a message within a dialog, the sender's tag and the other's."""
        call_id, sender, other = message.call_id, message.from_tag or "", message.to_tag or ""
        session = self._by_dialog.get((call_id, sender)) or self._by_dialog.get((call_id, other))
        return None if session is None else (session, sender, other)

    def take_back(self, call: Call, relays: Relays, set_: str) -> None:
        """Have the media of a call of the process before, by what is kept with its record."""
        session = restored(call, relays, set_)
        if session is not None:
            self._add(session)

    def _add(self, session: Session) -> None:
        call = session.call
        self._by_call[call.id] = session
        self._by_dialog.setdefault((call.call_id, call.caller_tag), session)

    def pop(self, id: str) -> Session | None:
        """Return the session of a call, and have it no longer."""
        session = self._by_call.pop(id, None)
        if session is None:
            return None
        key = (session.call.call_id, session.caller_tag)
        if self._by_dialog.get(key) is session:
            del self._by_dialog[key]
        return session


def forget(session: Session, now: float) -> None:
    """Have the relays of ``session`` delete it."""
    labels = {session.labels.get(tag, "") for tag in session.labels} or {""}
    for relay in session.used:
        if relay.settings.kind == "rtpproxy":
            live = {leg.label for leg in session.legs.values() if not leg.over and leg.relay is relay}
            for label in live | labels:
                steering.delete(relay, Names(session.id, label, session.caller_tag), now)
        elif any(not leg.over for leg in session.legs.values()) or not session.legs:
            steering.delete(relay, Names(session.id, "", session.caller_tag), now)
