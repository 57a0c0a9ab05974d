"""The URIs that the relay has handed out (RFC 4976 6.3), each with the client it leads to.

Theory of operation: a URI is a secret of 128 random bits, and good over the connection of its AUTH only: it
ends with that connection, or when its time is over. One that another relay got for a client of its own is
good over each connection to that relay (RFC 4976 6.3), and ends with the last of them. Counts for a user are
the lengths of what is in here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.modules.msrp.parts import Hop
    from sansip.msrp import MsrpUri

__all__ = ["Session", "Sessions"]


@dataclass(slots=True, eq=False)
class Session:
    """One URI. ``id`` is its session-id, ``side`` the connection of the client, ``until`` when it ends.

    ``relay``: the name of the relay that it was given to, "" for a client. ``client``: its name for itself.
    """

    id: str
    user: str
    side: Hop
    until: float
    timer: Timer | None = None
    relay: str = ""
    client: MsrpUri | None = None

    def leads_to(self, uri: MsrpUri) -> bool:
        """Whether ``uri`` is the next hop back toward the client that got this one (RFC 4976 6.4).

        A client may have a session-id of its own for each session; a relay is known by its name.
        """
        client = self.client
        if client is None:
            return True
        return uri.host == client.host and (bool(self.relay) or uri.port == client.port)

    def is_of(self, side: Hop | None) -> bool:
        """Whether ``side`` is where it was given to: the client's connection, or one to that relay."""
        if self.side is side:
            return True
        return bool(self.relay) and side is not None and self.relay in side.identities


class Sessions:
    """All URIs of this relay."""

    __slots__ = ("_by_id", "_by_side", "_by_user")

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_user: dict[str, set[Session]] = {}
        self._by_side: dict[Hop, set[Session]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Session]:
        return list(self._by_id.values())

    def find(self, id: str) -> Session | None:
        """Return the session of a URI, if it is good."""
        return self._by_id.get(id)

    def of_user(self, user: str) -> int:
        """Return how many URIs ``user`` has."""
        return len(self._by_user.get(user, ()))

    def add(self, session: Session) -> None:
        self._by_id[session.id] = session
        self._by_user.setdefault(session.user, set()).add(session)
        self._by_side.setdefault(session.side, set()).add(session)

    def remove(self, session: Session) -> None:
        """Forget a URI; no message passes by it any more."""
        if self._by_id.pop(session.id, None) is None:
            return
        if session.timer is not None:
            session.timer.cancel()
        _take(self._by_user, session.user, session)
        _take(self._by_side, session.side, session)

    def leave(self, side: Hop, others: Iterable[Hop] = ()) -> None:
        """RFC 4976 6.3: the URIs of a connection end with it; a relay's, if none of ``others`` is to it."""
        for session in list(self._by_side.get(side, ())):
            heir = next((one for one in others if one is not side and session.is_of(one)), None)
            if heir is None:
                self.remove(session)
            else:
                _take(self._by_side, side, session)
                session.side = heir
                self._by_side.setdefault(heir, set()).add(session)


def _take(table: dict[Any, set[Session]], key: object, session: Session) -> None:
    held = table[key]
    held.discard(session)
    if not held:
        del table[key]
