"""The rows of kept messages with their counts: written, removed, and counted anew.

Theory of operation: a message is counted before its row is written, so that messages at the same time stay
within the limits. Nodes that share a store give and remove messages of each other's, so the rows of a user
are counted anew, once in a minute, before a limit of the user refuses a message. The id of a message ends
with what its sender wrote, hashed: a sender that repeats it to a server which was killed before its 202 gets
another 202, and the user one message.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.auth import Lookup
from sansip.errors import RemoteProtocolError
from sansip.modules.messages.holdings import Holdings
from sansip.modules.messages.recent import Recent
from sansip.modules.messages.row import GIVEN, KEPT, ORIGINS, Given, Kept, Origin
from sansip.rows import Expected, Write
from sansip.wire import parse_name_addr, parse_uri

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sansip.module import Core
    from sansip.modules.messages.settings import MessagesSettings
    from sansip.routing import IncomingRequest
    from sansip.wire import Request, Uri

__all__ = ["PAGE", "Keeping"]

# Rows read at a time.
PAGE: Final = 50
# Where the origin stands in an id, behind the time.
_ORIGIN: Final = 19


class Keeping:
    """The kept messages and the marks of devices.

    Attributes:
        rows: the messages.
        marks: which device has which.
        held: the counts.
        complete: whether the counts are of all rows.
        recent: what is known of them without the store.
        settings: of now.
        recounted: users whose counts were read anew in this minute.
        shares: whether other nodes write rows, too.
    """

    __slots__ = (
        "_core", "_last", "_lost", "_origins", "_proxy", "complete", "held", "marks", "origins", "recent",
        "recounted", "rows", "settings", "shares",
    )  # fmt: skip

    def __init__(self, core: Core, settings: MessagesSettings, lost: Callable[[], None]) -> None:
        self._core = core
        # Told that the counts may not be those of the rows any more.
        self._lost = lost
        self._proxy = core.proxy
        self.shares = core.shares_rows
        self.settings = settings
        self.rows = core.rows(KEPT)
        self.marks = core.rows(GIVEN)
        self.origins = core.rows(ORIGINS)
        self.recent = Recent()
        self.held = Holdings(self._is_strange)
        self.recounted: set[str] = set()
        self.complete = False
        # Microseconds of the last id.
        self._last = 0
        self._origins = core.secret("origin")

    def _is_strange(self, sender: str) -> bool:
        trust = self._proxy.trust
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

    async def is_user(self, user: str, uri: Uri, request: IncomingRequest | None = None) -> bool:
        """Whether the message is for a user of ours: strangers must not fill the store with names.

        ``user``: the address-of-record of ``uri``.
        """
        if self._core.location.lookup(user, self._core.ua.now):
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

    def has_none(self, user: str) -> bool:
        """Whether this node knows that no row of ``user`` is in the store, or being written."""
        return self.complete and user not in self.held.rows and not self.shares

    async def write(self, row: Kept, sender: str, allowed: Awaitable[bool]) -> Kept | None:
        """Write ``row`` if that is ``allowed``; return it, or None where it was not.

        A row with another id is the same message, which another node has kept meanwhile.
        """
        self._count(row, sender)
        kept = False
        try:
            if await allowed:
                try:
                    if not await self._put(row):
                        return replace(row, id="")
                except Exception:
                    self._doubt(row)
                    raise
                kept = True
        finally:
            self._settle(row, kept)
        return row if kept else None

    def put(self, row: Kept, sender: str, told: Callable[[Any, float], None], now: float) -> None:
        """As ``write``, where no other node writes rows; ``told`` hears of an exception, or None."""
        self._count(row, sender)
        self._core.put(Write((self.rows.change(row),)), partial(self._written, row, told), now)

    def _written(self, row: Kept, told: Callable[[Any, float], None], result: Any, now: float) -> None:
        failed = isinstance(result, BaseException)
        if failed:
            self._doubt(row)
        self._settle(row, not failed)
        told(result, now)

    def _count(self, row: Kept, sender: str) -> None:
        """Count ``row`` before the first wait, so that messages at the same time stay within the limits."""
        if self.has_none(row.user):
            self.recent.begin(row.user)
        self.held.count(row.user, row.id, sender, row.until)
        self.held.coming.add(row.id)

    def _doubt(self, row: Kept) -> None:
        """``row`` could not be written, and may be in the store all the same."""
        self.recent.forget(row.user)
        self.complete = False
        self._lost()

    def _settle(self, row: Kept, kept: bool) -> None:
        """``row`` is not being written any more."""
        self.held.coming.discard(row.id)
        if kept:
            self.recent.put(row, self.settings.memory)
            return
        self.held.uncount(row.user, row.id)
        if row.user not in self.held.rows:
            self.recent.forget(row.user)

    async def _put(self, row: Kept) -> bool:
        """Write ``row``; return False where another node has kept the same message."""
        origin = row.id[_ORIGIN:]
        if not (row.request and self.shares):
            await self.rows.put(row)
            return True
        changes = self.rows.change(row), self.origins.change(Origin(row.user, origin, row.id))
        none = Expected(ORIGINS, (row.user, origin), None)
        return await self._core.ask(Write(changes, (none,))) is not False

    async def mark(self, mark: Given) -> None:
        """Write ``mark``."""
        try:
            await self.marks.put(mark)
        except Exception:
            # It may be in the store all the same.
            self.recent.forget(mark.user)
            raise
        self.recent.mark(mark)

    def put_mark(self, mark: Given, told: Callable[[Any, float], None], now: float) -> None:
        """As ``mark``; ``told`` hears of an exception, or None."""
        self._core.put(Write((self.marks.change(mark),)), partial(self._marked, mark, told), now)

    def _marked(self, mark: Given, told: Callable[[Any, float], None], result: Any, now: float) -> None:
        if isinstance(result, BaseException):
            self.recent.forget(mark.user)
        else:
            self.recent.mark(mark)
        told(result, now)

    async def read(self, user: str, after: str) -> list[tuple[Kept, Mapping[str, Given]]]:
        """Return messages of ``user`` behind that of the id ``after``, ``PAGE`` at most, with their marks."""
        if self.recent.knows(user):
            rows = [row for row in self.recent.rows(user) if row.id > after][:PAGE]
            return [(row, self.recent.marks(user, row.id)) for row in rows]
        rows = await self.rows.page(user, after=(user, after) if after else None, limit=PAGE)
        marks: dict[str, dict[str, Given]] = {}
        for mark in await self.marks.all(user) if rows else ():
            marks.setdefault(mark.id, {})[mark.device] = mark
        return [(row, marks.get(row.id, {})) for row in rows]

    async def make_room(self, user: str, most: int) -> None:
        """Remove the oldest messages of ``user`` that a device has, where there are more than ``most``."""
        await self.remove([(user, old) for old in self.held.surplus(user, most)])

    async def remove(self, keys: Sequence[tuple[str, str]]) -> list[list[Given]]:
        """Remove messages, each by its user and id, with their marks; return the marks of each.

        A page of them is one write: it is removed whole, or not at all.
        """
        found: list[list[Given]] = []
        for begin in range(0, len(keys), PAGE):
            page = keys[begin : begin + PAGE]
            marks = [await self.marks.all(*key) for key in page]
            changes = [self.rows.change(delete=page)]
            given = [(one.user, one.id, one.device) for each in marks for one in each]
            if given:
                changes.append(self.marks.change(delete=given))
            if self.shares:
                changes.append(self.origins.change(delete=[(user, old[_ORIGIN:]) for user, old in page]))
            await self._core.ask(Write(tuple(changes)))
            for user, old in page:
                self.recent.remove(user, old)
                self.held.uncount(user, old)
            found += marks
        return found

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
        number, method = message.cseq
        who = str(message.from_.uri), message.from_tag, message.call_id, number, method
        return self.origin(who, message.get("date"), message.body)

    def origin(self, who: tuple[str, str | None, str, int, str], date: str | None, body: bytes) -> str:
        """As ``origin_of``; ``who``: the URI and the tag in From, Call-ID, and CSeq."""
        # RFC 3261 8.2.2.2: From tag, Call-ID and CSeq. The text, so that nobody takes the place of another's.
        if date and body.startswith(prefix := f"[{date}] ".encode()):
            # As ``date_in_text`` has written it: one of ours came back.
            body = body[len(prefix) :]
        return self._origins.keyed_hash(repr((*who, body)))

    async def find(self, user: str, message: Request) -> str:
        """Return the id of the kept message that ``message`` repeats, "" without one."""
        if self.has_none(user):
            return ""
        origin = self.origin_of(message)
        found = self.held.find(user, origin)
        if found:
            return found
        if self.shares:
            # Another node may have it.
            row = await self.origins.get(user, origin)
            return "" if row is None else row.id
        if not self.complete:
            # A server that has just begun may have it.
            rows = await self.rows.all(user, page=PAGE)
            found = next((row.id for row in rows if row.id.endswith(origin)), "")
        return found
