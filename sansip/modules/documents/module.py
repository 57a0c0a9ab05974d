"""The module ``documents``: small documents of users, which other modules read, and XCAP serves.

Theory of operation: a document belongs to an application (``pres-rules``, ``resource-lists``), to a user, and
has a name. All are in memory over rows, because rules are asked for at each SUBSCRIBE. A module that knows an
application gives its check, so that no document is stored which it cannot read; each change is an event, and
whatever depends on it is told at once. Entity-tags change with each write (RFC 4825 7.11).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.later import Later
from sansip.module import FIRST, Again, CommandError, Doc, Module, command, function
from sansip.module.news import News, news_table
from sansip.rows import Table
from sansip.wire import parse_uri

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["Document", "DocumentChanged", "Documents", "DocumentsRead", "DocumentsSettings"]

# Which documents changed at other nodes.
NEWS: Final = news_table("documents")
# What reads a document as a test. Raises ``ValueError``.
Check = Callable[[bytes], Any]


@dataclass(slots=True)
class DocumentsSettings:
    """The table [documents]. Raises ``ValueError``."""

    most: Annotated[int, Doc("Documents at once; one more is refused.")] = 100_000
    most_of_user: Annotated[int, Doc("The same for one user and application.")] = 20
    size: Annotated[int, Doc("Octets of one document.")] = 65_536
    octets_of_user: Annotated[
        int, Doc("Octets of all documents of one user and application: they are kept in memory.")
    ] = 262_144

    def __post_init__(self) -> None:
        for name in ("most", "most_of_user", "size", "octets_of_user"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1")


@dataclass(slots=True)
class Document:
    """A row: the document ``name`` of ``user`` (an address-of-record) for the application ``auid``."""

    auid: str
    user: str
    name: str
    body: bytes
    etag: str


@dataclass(slots=True)
class DocumentChanged:
    """A document was written or deleted, or was read at the start. Only modules hear of it."""

    auid: str
    user: str
    name: str


@dataclass(slots=True)
class DocumentsRead:
    """All documents have been read at the start. Only modules hear of it."""


DOCUMENTS = Table("documents", Document, key=("auid", "user", "name"))
_Key = tuple[str, str, str]
# What makes a document another one.
Edit = Callable[[Document | None], bytes | None]
# Changes of one document that wait for the one before.
_MOST_WAITING: Final = 64
# The owner of documents that are no user's.
_GLOBAL: Final = "global"


class Documents(Module):
    """Keeps the documents of users that other modules go by: presence rules, lists."""

    name = "documents"
    over_workers = FIRST
    Settings = DocumentsSettings
    tables = (DOCUMENTS,)
    settings: DocumentsSettings

    def __init__(self, settings: DocumentsSettings) -> None:
        super().__init__(settings)
        self._found: dict[str, dict[str, dict[str, Document]]] = {}
        self._count = 0
        self._checks: dict[str, Check] = {}
        # Tells other nodes, where they share values with this one.
        self._news: News | None = None
        # Documents that are being changed, and who waits to change them next.
        self._changing: dict[_Key, deque[Later[None]]] = {}
        # Set when all rows have been read; before that a missing document proves nothing.
        self.reading: Later[None] = Later()

    def start(self, core: Core, now: float) -> None:
        self._rows = core.rows(DOCUMENTS)
        if core.shares:
            self._news = News(core, NEWS, self._reread, self._everything, now, lambda: self.is_read)
        Again(core, self._restore, done=self._restored, failed=self._unread).begin(now)

    def _unread(self, error: BaseException, now: float) -> None:
        reading, self.reading = self.reading, Later()
        reading.set(error, now)

    def _restored(self, now: float) -> None:
        # Modules first: what waits for the documents judges by them.
        self.core.tell(DocumentsRead(), now)
        self.reading.set(None, now)

    @property
    def held(self) -> Mapping[str, Mapping[str, Mapping[str, Document]]]:
        """The documents, by application, user and name."""
        return self._found

    @property
    def is_read(self) -> bool:
        """Whether all documents have been read."""
        return self.reading.done

    async def _restore(self) -> None:
        after: _Key | None = None
        while rows := await self._rows.page(after=after, limit=200):
            for row in rows:
                if self.get(row.auid, row.user, row.name) is None:
                    self._take(row)
            if len(rows) < 200:
                break
            after = (rows[-1].auid, rows[-1].user, rows[-1].name)

    def figures(self) -> dict[str, Any]:
        """Return how many documents there are."""
        return {"now": self._count}

    # --- for modules

    @function
    def check_with(self, auid: str, check: Check) -> None:
        """Have ``check`` read each document of ``auid`` before it is stored."""
        self._checks[auid] = check

    @function
    def get(self, auid: str, user: str, name: str) -> Document | None:
        """Return a document."""
        return self._found.get(auid, {}).get(user, {}).get(name)

    @function
    def of(self, auid: str, user: str) -> list[Document]:
        """Return the documents of ``user`` for ``auid``, by name."""
        found = self._found.get(auid, {}).get(user)
        return [found[name] for name in sorted(found)] if found else []

    @function
    async def put(self, auid: str, user: str, name: str, body: bytes) -> Document:
        """Write a document; it is durable on return. Raises ``ValueError`` for one that is refused."""
        written = await self.change(auid, user, name, lambda before: body)
        assert written is not None
        return written

    @function
    async def delete(self, auid: str, user: str, name: str) -> bool:
        """Delete a document, durably; return whether there was one."""
        there: list[bool] = []

        def gone(before: Document | None) -> None:
            there[:] = [before is not None]

        await self.change(auid, user, name, gone)
        return there[0]

    @function
    async def change(self, auid: str, user: str, name: str, edit: Edit) -> Document | None:
        """Put what ``edit`` makes of a document in its place, durably; return the new one.

        ``edit`` gets the document as it is at that moment, None where there is none, and returns the octets
        of the new one, None for none; whatever it raises leaves everything as it is. Changes of one document
        happen one after the other. The change goes on if the caller stops waiting. Raises ``ValueError``
        for a document that is refused, ``OSError`` where the store fails or too many changes wait for it.
        """
        ended: Later[Document | None] = Later()
        self.core.run(self._in_turn((auid, user, name), edit), self.core.ua.now, ended.set)
        return await ended

    async def _in_turn(self, key: _Key, edit: Edit) -> Document | None:
        waiting = self._changing.get(key)
        if waiting is None:
            self._changing[key] = deque()
        else:
            if len(waiting) >= _MOST_WAITING:
                # They wait for a slow store with their bodies, also those whose clients are gone.
                raise OSError("too many changes of the document wait")
            turn: Later[None] = Later()
            waiting.append(turn)
            await turn
        try:
            return await self._change(key, edit)
        finally:
            if self._changing[key]:
                self._changing[key].popleft().set(None, self.core.ua.now)
            else:
                del self._changing[key]

    async def _change(self, key: _Key, edit: Edit) -> Document | None:
        for _ in range(self.core.limits.change_attempts):
            # Another node may have changed it, and an edit goes by what is there.
            await self._read_again(key)
            before = self.get(*key)
            body = edit(before)
            row = None
            if body is not None:
                self._check(key, body, before)
                row = Document(*key, body, self.core.entropy.token())
            if (before or row) is None:
                return None
            if await self._rows.swap(key, before, row):
                self._stand(key, row)
                if self._news is not None:
                    self._news.tell(key, self.core.ua.now)
                return row
        raise OSError("the document changes all the time (limits.change_attempts)")

    @function
    async def fresh(self, auid: str, user: str, name: str) -> Document | None:
        """Return a document as the store has it; as this node knows it while the store does not answer."""
        key = (auid, user, name)
        try:
            if key not in self._changing:
                await self._read_again(key)
        except (OSError, TimeoutError):
            pass
        return self.get(*key)

    async def _read_again(self, key: _Key) -> None:
        """Take a document as it is in the rows."""
        before = self.get(*key)
        row = await self._rows.get(*key)
        if self.get(*key) is before and row != before:
            self._stand(key, row)

    def _stand(self, key: _Key, row: Document | None) -> None:
        if row is None:
            self._drop(key)
        else:
            self._take(row)

    # --- other nodes

    async def _everything(self) -> None:
        await self._restore()
        known = [(auid, user, name) for auid, users in self._found.items()
                 for user, names in users.items() for name in names]  # fmt: skip
        for key in known:
            await self._read_again(key)

    async def _reread(self, key: tuple[str, ...]) -> None:
        auid, user, name = key
        await self._read_again((auid, user, name))

    def _check(self, key: _Key, body: bytes, before: Document | None) -> None:
        auid, user, _ = key
        if len(body) > self.settings.size:
            raise ValueError("document too large (documents.size)")
        theirs = self.of(auid, user)
        others = sum(len(one.body) for one in theirs if one is not before)
        # One that is no longer than before may always be written: a limit that was lowered holds nobody up.
        if others + len(body) > self.settings.octets_of_user and (
            before is None or len(body) > len(before.body)
        ):
            raise ValueError("too many octets of this user (documents.octets_of_user)")
        check = self._checks.get(auid)
        if check is not None:
            check(body)
        if before is None:
            if self._count >= self.settings.most:
                raise ValueError("too many documents (documents.most)")
            if len(theirs) >= self.settings.most_of_user:
                raise ValueError("too many documents of this user (documents.most_of_user)")

    def _drop(self, key: _Key) -> None:
        auid, user, name = key
        users = self._found.get(auid, {})
        if users.get(user, {}).pop(name, None) is None:
            return
        if not users[user]:
            del users[user]
        self._count -= 1
        self.core.tell(DocumentChanged(auid, user, name), self.core.ua.now)

    def _take(self, row: Document) -> None:
        names = self._found.setdefault(row.auid, {}).setdefault(row.user, {})
        self._count += row.name not in names
        names[row.name] = row
        self.core.tell(DocumentChanged(row.auid, row.user, row.name), self.core.ua.now)

    # --- operators

    @command("documents.list")
    def list_documents(self, auid: str, user: str) -> list[dict[str, Any]]:
        """Return names, sizes and entity-tags of the documents of `user` for `auid` (`pres-rules`)."""
        found = self.of(auid, self._user(user))
        return [{"name": one.name, "octets": len(one.body), "etag": one.etag} for one in found]

    @command("documents.show")
    def show_document(self, auid: str, user: str, document: str = "index") -> str:
        """Return a document."""
        found = self.get(auid, self._user(user), document)
        if found is None:
            raise CommandError(f"documents.show: {user} has no {document} for {auid}; see `documents.list`")
        return found.body.decode("utf-8", "replace")

    @command("documents.put")
    async def put_document(self, auid: str, user: str, body: str, document: str = "index") -> str:
        """Write a document, and return its entity-tag; what depends on it changes at once."""
        try:
            written = await self.put(auid, self._user(user), document, body.encode())
        except (ValueError, LocalProtocolError) as error:
            raise CommandError(f"documents.put: {error}") from None
        return written.etag

    @command("documents.delete")
    async def delete_document(self, auid: str, user: str, document: str = "index") -> bool:
        """Delete a document; return whether there was one."""
        return await self.delete(auid, self._user(user), document)

    def _user(self, text: str) -> str:
        if text == _GLOBAL:
            return text
        try:
            return self.core.address_of(parse_uri(text))
        except RemoteProtocolError as error:
            raise CommandError(f"user {text!r:.60} is no SIP URI: {error.reason}") from None
