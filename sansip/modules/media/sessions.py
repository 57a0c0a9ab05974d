"""The media of all calls: by the call, and by its dialog.

Theory of operation: a session is made with the first offer of a call, or taken from the record of a call of
the process before. When it ends its relays are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.modules.media import steering
from sansip.modules.media.body import dialog_of
from sansip.modules.media.keeping import restored
from sansip.modules.media.names import Names
from sansip.modules.media.rtpproxy import RtpProxy
from sansip.modules.media.session import Session, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sansip.modules.calls import Call
    from sansip.modules.media.profiles import Wish
    from sansip.modules.media.relays import Relays
    from sansip.wire import Request

__all__ = ["Sessions", "forget"]

# Calls with one Call-ID and caller's tag. → a further one gets no relay
_COPIES: Final = 16


class Sessions:
    """The sessions of one server. ``looking``: whether a timer looks for calls that nobody ended."""

    __slots__ = ("_by_dialog", "_by_key", "_number", "looking")

    def __init__(self) -> None:
        # By the name that operators have for it, the oldest first; and by Call-ID with the caller's tag.
        self._by_key: dict[str, Session] = {}
        self._by_dialog: dict[tuple[str, str], list[Session]] = {}
        self._number = 0
        self.looking = False

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_key.values())

    def get(self, key: str) -> Session | None:
        """Return the session with this key."""
        return self._by_key.get(key)

    def make(
        self,
        most: int,
        prefix: str,
        call_id: str,
        tag: str,
        wish: Wish,
        set_: str,
        call: Call | None,
        now: float,
    ) -> Session | None:
        """Return a new session, None where there are ``most``, or too many calls have this Call-ID.

        ``prefix``: what only the names of this process begin with.
        """
        if len(self._by_key) >= most or len(self._by_dialog.get((call_id, tag), ())) >= _COPIES:
            return None
        self._number += 1
        name = name_of(call_id, f"{prefix}{self._number}" if call is None else call.id)
        session = Session(name, call_id, tag, wish.set or set_, wish, now, call)
        self._add(session)
        return session

    def of_dialog(self, request: Request, side: str) -> tuple[Session, str, str] | None:
        """Return the session of a request within a dialog, the sender's tag and the other's.

        ``side``: whose request it is: who makes a call with the tags of another has a mark of ours, too.
        """
        call_id, sender, other = dialog_of(request)
        for caller in (sender, other):
            if (call_id, caller) in self._by_dialog:
                session = self.between(call_id, sender, other, side)
                return None if session is None else (session, sender, other)
        return None

    def between(self, call_id: str, sender: str, other: str, side: str) -> Session | None:
        """Return the session of a dialog, of which ``side`` sends a request from ``sender`` to ``other``."""
        for caller in (sender, other):
            # Another proxy may have forked one INVITE to several users of ours.
            for session in self._by_dialog.get((call_id, caller), ()):
                if session.has(sender, other, side):
                    return session
        return None

    def answered(self, session: Session, tag: str) -> None:
        """A 2xx of the callee ``tag`` began a dialog of ``session``."""
        session.answered.add(tag)
        for one in self._by_dialog.get((session.call_id, session.caller_tag), ()):
            if one is not session and tag in one.answered:
                # Only by malice: a request within one of them must not end the other.
                one.ambiguous = session.ambiguous = True

    def take_back(self, call: Call, relays: Relays, set_: str) -> None:
        """Have the media of a call of the process before, by what is kept with its record."""
        session = restored(call, relays, set_)
        if session is not None:
            self._add(session)

    def _add(self, session: Session) -> None:
        self._by_key[session.key] = session
        self._by_dialog.setdefault((session.call_id, session.caller_tag), []).append(session)

    def drop(self, session: Session) -> None:
        """Have ``session`` no longer; it is over."""
        if session.over:
            return
        session.over = True
        del self._by_key[session.key]
        key = (session.call_id, session.caller_tag)
        found = self._by_dialog[key]
        found.remove(session)
        if not found:
            del self._by_dialog[key]
        for relay in session.used:
            relay.sessions -= 1

    def end(self, session: Session, now: float) -> None:
        """Delete the media of a call, which is over."""
        if not session.over:
            self.drop(session)
            forget(session, now)

    def dialog_ended(self, session: Session, sender: str, other: str, now: float) -> None:
        """The dialog of these tags has ended, by a request of ``sender``."""
        tag = other if sender == session.caller_tag else sender
        if tag not in session.answered or session.ambiguous:
            return
        session.answered.discard(tag)
        if not session.answered:
            self.end(session, now)

    def older(self, than: float) -> list[Session]:
        """Return the sessions that began before ``than``, and of whose calls nobody has a record."""
        return [one for one in self if one.call is None and one.began < than]


def forget(session: Session, now: float) -> None:
    """Have the relays of ``session`` delete it."""
    for relay in session.used:
        if type(relay.protocol) is RtpProxy:
            labels = set(session.labels.values()) or {""}
            live = {leg.label for leg in session.legs.values() if not leg.over and leg.relay is relay}
            for label in live | labels:
                steering.delete(relay, Names(session.id, label, session.caller_tag), now)
        elif not session.legs or not all(leg.over for leg in session.legs.values()):
            steering.delete_call(relay, session.id, session.caller_tag, now)
