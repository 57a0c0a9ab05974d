"""Waiting messages (RFC 3842): what a voicemail server publishes of a mailbox, told to its owner's phones.

Theory of operation: a voicemail server that is trusted publishes the summary of a user's mailbox (RFC
3903), or an operator or program sets it by a command. The newest counts. Only the owner may watch; a
mailbox of which nothing is known has no messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from sansip.errors import RemoteProtocolError
from sansip.module import FIRST, Again, CommandError, Doc, Module, command
from sansip.module.news import News, news_table
from sansip.modules.events import Content, Events, Package, Subscription, Verdict
from sansip.modules.publications import Publications, Publishing
from sansip.rows import Table
from sansip.wire import parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.module import Core

__all__ = ["Mailbox", "Mailboxes", "MailboxesSettings", "check_summary"]

_TYPE: Final = "application/simple-message-summary"
_NOTHING: Final = b"Messages-Waiting: no\r\n"
_STATUS: Final = re.compile(r"Messages-Waiting[ \t]*:[ \t]*(?:yes|no)", re.IGNORECASE)
# Field names are tokens; counts and optional header fields of messages are text.
_LINE: Final = re.compile(r"[!-9;-~]{1,64}[ \t]*:[ \t]*[^\x00-\x08\x0a-\x1f]{0,512}")
_MOST_LINES: Final = 64


@dataclass(slots=True)
class MailboxesSettings:
    """The table [mailboxes]."""

    interval: Annotated[float, Doc("Seconds between two NOTIFYs to one phone, in the long run.")] = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.interval <= 3600:
            raise ValueError(f"interval is {self.interval:g}: 0 to 3600 seconds")


@dataclass(slots=True)
class Mailbox:
    """A row: how many messages a user has, as a command set it."""

    user: str
    new: int
    old: int


MAILBOXES = Table("mailboxes", Mailbox, key=("user",))
# Which mailboxes a command set at another node.
NEWS = news_table("mailboxes")


def check_summary(body: bytes) -> bytes:
    """Return a message summary as it is told on (RFC 3842 5.2). Raises ``ValueError``."""
    try:
        lines = body.decode("utf-8").replace("\r\n", "\n").rstrip("\n").split("\n")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not _STATUS.fullmatch(lines[0].strip()):
        raise ValueError("no Messages-Waiting in the first line")
    if len(lines) > _MOST_LINES or any(line and not _LINE.fullmatch(line) for line in lines[1:]):
        raise ValueError("a line is no header field")
    return "\r\n".join([*lines, ""]).encode()


class _Summary(Package, Publishing):
    event = "message-summary"
    types = (_TYPE,)

    def __init__(self, summary: Callable[[str], bytes], changed: Callable[[str, float], None]) -> None:
        self._summary = summary
        self._changed = changed

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        # RFC 3842 3.6, 4: a mailbox is its owner's. Where no sender proves anything, the name in From counts.
        return Verdict.ALLOW if subscription.watcher == subscription.resource else Verdict.BLOCK

    def content(self, subscription: Subscription, now: float) -> Content:
        return Content(_TYPE, self._summary(subscription.resource))

    def check(self, resource: str, type: str, body: bytes) -> bytes:
        return check_summary(body)

    def published(self, resource: str, now: float) -> None:
        self._changed(resource, now)


class Mailboxes(Module):
    """Tells phones of waiting messages (RFC 3842), as a voicemail server publishes them."""

    name = "mailboxes"
    over_workers = FIRST
    Settings = MailboxesSettings
    tables = (MAILBOXES,)
    requires = (Events, Publications)
    settings: MailboxesSettings

    def __init__(self, settings: MailboxesSettings) -> None:
        super().__init__(settings)
        self._set: dict[str, Mailbox] = {}

    def start(self, core: Core, now: float) -> None:
        self._rows = core.rows(MAILBOXES)
        self._engine = core.module(Events)
        self._publications = core.module(Publications)
        self._package = _Summary(self._summary, self._changed)
        self._package.interval, self._package.burst = self.settings.interval, 3
        self._publications.add(self._package, now)
        self._engine.add(self._package, now)
        self._news: News | None = None
        if core.shares:
            self._news = News(core, NEWS, self._reread, self._everything, now)
        Again(core, self._restore).begin(now)

    async def _restore(self) -> None:
        for row in await self._rows.all():
            self._set.setdefault(row.user, row)
            self._changed(row.user, self.core.ua.now)

    async def _everything(self) -> None:
        for row in await self._rows.all():
            self._take(row)

    async def _reread(self, key: tuple[str, ...]) -> None:
        (user,) = key
        row = await self._rows.get(user)
        if row is not None:
            self._take(row)

    def _take(self, row: Mailbox) -> None:
        if self._set.get(row.user) != row:
            self._set[row.user] = row
            self._changed(row.user, self.core.ua.now)

    def configure(self, settings: MailboxesSettings, now: float) -> None:
        """Take another interval."""
        super().configure(settings, now)
        self._package.interval = settings.interval

    def _summary(self, user: str) -> bytes:
        published = self._publications.of("message-summary", user)
        if published:
            body: bytes = published[0].document
            return body
        row = self._set.get(user)
        if row is None:
            return _NOTHING
        waiting = "yes" if row.new else "no"
        return f"Messages-Waiting: {waiting}\r\nVoice-Message: {row.new}/{row.old}\r\n".encode()

    def _changed(self, user: str, now: float) -> None:
        self._engine.changed("message-summary", user, now)

    @command("mailboxes.set")
    async def set_mailbox(self, user: str, new: int, old: int = 0) -> str:
        """Say how many new and old messages `user` has, durably; what a server publishes beats it."""
        name = self._user(user)
        if not (0 <= new < 1_000_000 and 0 <= old < 1_000_000):
            raise CommandError("mailboxes.set: new and old are 0 to 999999")
        row = Mailbox(name, new, old)
        await self._rows.put(row)
        self._set[name] = row
        self._changed(name, self.core.ua.now)
        if self._news is not None:
            self._news.tell((name,), self.core.ua.now)
        return self._summary(name).decode()

    @command("mailboxes.show")
    def show_mailbox(self, user: str) -> str:
        """Return what the phones of `user` are told."""
        return self._summary(self._user(user)).decode()

    def _user(self, text: str) -> str:
        try:
            return self.core.address_of(parse_uri(text))
        except RemoteProtocolError as error:
            raise CommandError(f"{text!r:.60} is no SIP URI: {error.reason}") from None
