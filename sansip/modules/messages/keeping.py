"""The rows of kept messages with their counts: written, removed, and counted anew.

Theory of operation: a message is counted before its row is written, so that messages at the same time stay
within the limits. Nodes that share a store give and remove messages of each other's, so the rows of a user
are counted anew, once in a minute, before a limit of the user refuses a message. The id of a message ends
with what its sender wrote, hashed: a sender that repeats it to a server which was killed before its 202 gets
another 202, and the user one message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.auth import Lookup
from sansip.errors import RemoteProtocolError
from sansip.modules.messages.holdings import Holdings
from sansip.modules.messages.row import GIVEN, KEPT, Given, Kept
from sansip.wire import parse_name_addr, parse_uri

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sansip.module import Core
    from sansip.modules.messages.settings import MessagesSettings
    from sansip.routing import IncomingRequest
    from sansip.wire import Request, Uri

__all__ = ["PAGE", "Keeping"]

# Rows read at a time.
PAGE: Final = 50


class Keeping:
    """The kept messages and the marks of devices.

    Attributes:
        rows: the messages.
        marks: which device has which.
        held: the counts.
        complete: whether the counts are of all rows.
        settings: of now.
        recounted: users whose counts were read anew in this minute.
    """

    __slots__ = ("_core", "_last", "complete", "held", "marks", "recounted", "rows", "settings")

    def __init__(self, core: Core, settings: MessagesSettings) -> None:
        self._core = core
        self.settings = settings
        self.rows = core.rows(KEPT)
        self.marks = core.rows(GIVEN)
        self.held = Holdings(self._is_strange)
        self.recounted: set[str] = set()
        self.complete = False
        # Microseconds of the last id.
        self._last = 0

    def _is_strange(self, sender: str) -> bool:
        trust = self._core.proxy.trust
        if not trust.authenticates:
            return False
        try:
            return not trust.owns(parse_uri(sender))
        except RemoteProtocolError:
            return True

    def sender_of(self, row: Kept) -> str:
        try:
            return self._core.address_of(parse_name_addr(row.sender, "From", "RFC 3261 20.20").uri)
        except RemoteProtocolError:
            return row.sender

    async def is_user(self, uri: Uri, request: IncomingRequest | None = None) -> bool:
        """Whether the message is for a user of ours: strangers must not fill the store with names."""
        if self._core.location.lookup(self._core.address_of(uri), self._core.ua.now):
            return True
        if request is not None and not request.authenticates:
            # Anybody may register here, so everybody is a user.
            return True
        name = getattr(uri, "user", None) or ""
        lookup = Lookup(name, self._core.realm_of(uri))
        users = self._core.users
        return (users(lookup) if users is not None else await self._core.ask(lookup)) is not None

    async def recount(self, user: str) -> None:
        """Count the rows of ``user`` anew: another node may have given or removed some."""
        if user in self.recounted:
            return
        self.recounted.add(user)
        known = set(self.held.rows.get(user, ())) - self.held.coming
        rows = {row.id: row for row in await self.rows.all(user, page=PAGE)}
        marks = await self.marks.all(user)
        for gone in known - rows.keys():
            self.held.uncount(user, gone)
        for row in rows.values():
            self.held.count(user, row.id, self.sender_of(row), row.until)
        for mark in marks:
            if mark.over:
                self.held.fetched(user, mark.id)

    async def write(self, row: Kept, sender: str, allowed: Awaitable[bool]) -> bool:
        """Write ``row`` if that is ``allowed``; return whether it was written."""
        # Counted before the first wait, so that messages at the same time stay within the limits.
        self.held.count(row.user, row.id, sender, row.until)
        self.held.coming.add(row.id)
        kept = False
        try:
            if await allowed:
                await self.rows.put(row)
                kept = True
        finally:
            self.held.coming.discard(row.id)
            if not kept:
                self.held.uncount(row.user, row.id)
        return kept

    async def make_room(self, user: str, most: int) -> None:
        """Remove the oldest messages of ``user`` that a device has, where there are more than ``most``."""
        for old in self.held.surplus(user, most):
            await self.remove(user, old)

    async def remove(self, user: str, old: str) -> list[Given]:
        """Remove a message with its marks; return them."""
        marks = await self.marks.all(user, old)
        await self.marks.delete(*((one.user, one.id, one.device) for one in marks))
        await self.rows.delete((user, old))
        self.held.uncount(user, old)
        return marks

    def new_id(self, unix: float, origin: str = "") -> str:
        """Return an id that is behind all that were made here before."""
        self._last = max(int(unix * 1_000_000), self._last + 1)
        return f"{self._last:018d}-{origin or self._core.entropy.token()}"

    def follow(self, row: Kept) -> None:
        """Have further ids come behind that of ``row``, also where the clock was put back meanwhile."""
        if not row.due and row.id[:18].isdecimal():
            self._last = max(self._last, int(row.id[:18]))

    def origin_of(self, message: Request) -> str:
        """Return what is the same for each repetition of ``message``, and for no other message."""
        # RFC 3261 8.2.2.2: From tag, Call-ID and CSeq. The text, so that nobody takes the place of another's.
        number, method = message.cseq
        body, date = message.body, message.get("date")
        if date and body.startswith(prefix := f"[{date}] ".encode()):
            # As ``date_in_text`` has written it: one of ours came back.
            body = body[len(prefix) :]
        parts = (str(message.from_.uri), message.from_tag, message.call_id, number, method, body)
        return self._core.secret("origin").keyed_hash(repr(parts))

    async def find(self, user: str, message: Request) -> str:
        """Return the id of the kept message that ``message`` repeats, "" without one."""
        if self.complete and not self._core.shares_rows and user not in self.held.rows:
            return ""
        origin = self.origin_of(message)
        found = self.held.find(user, origin)
        if not found and (not self.complete or self._core.shares_rows):
            # A server that has just begun, or another node, may have it.
            rows = await self.rows.all(user, page=PAGE)
            found = next((row.id for row in rows if row.id.endswith(origin)), "")
        return found
