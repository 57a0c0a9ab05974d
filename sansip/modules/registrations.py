"""Registration events (RFC 3680): the contacts of a user, told to the user itself as they come and go.

Theory of operation: the location says what changed; each contact is told with its event. Contacts have an id
made of the contact and the server's key, so it is the same in all documents and says nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from sansip.module import FIRST, Doc, Module
from sansip.module.news import News, news_table
from sansip.module.xml import attribute, text
from sansip.modules.events import Content, Events, Package, Subscription, Verdict

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.module import Core

__all__ = ["Registrations", "RegistrationsSettings"]

_TYPE: Final = "application/reginfo+xml"
# Whose registrations changed at other nodes.
NEWS: Final = news_table("registrations")


@dataclass(slots=True)
class RegistrationsSettings:
    """The table [registrations]."""

    interval: Annotated[float, Doc("Seconds between two NOTIFYs to one watcher, in the long run.")] = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.interval <= 3600:
            raise ValueError(f"interval is {self.interval:g}: 0 to 3600 seconds")


@dataclass(frozen=True, slots=True)
class _Told:
    """One contact as it is told (RFC 3680 5.3.2)."""

    id: str
    uri: str
    state: str
    event: str
    registered_at: float
    expires_at: float
    call_id: str
    cseq: int

    def write(self, now: float) -> str:
        left = ""
        if self.state == "active" and self.expires_at - now < 1e9:
            left = f' expires="{max(0, int(self.expires_at - now))}"'
        return (
            f'<contact id="{self.id}" state="{self.state}" event="{self.event}"{left}'
            f' duration-registered="{max(0, int(now - self.registered_at))}"'
            f' callid={attribute(self.call_id)} cseq="{self.cseq}"><uri>{text(self.uri)}</uri></contact>'
        )


class _Reg(Package):
    event = "reg"
    types = (_TYPE,)
    each = True
    # RFC 3680 4.1
    usual = 3_761

    def __init__(
        self, contacts: Callable[[str], list[_Told]], find: Callable[[str], Coroutine[Any, Any, None]]
    ) -> None:
        self._contacts = contacts
        self._find = find
        self.burst = 3

    async def prepare(self, resource: str) -> None:
        await self._find(resource)

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        # RFC 3680 4.6, 7: where a user is, is the user's own business.
        own = subscription.proven and subscription.watcher == subscription.resource
        return Verdict.ALLOW if own else Verdict.BLOCK

    def content(self, subscription: Subscription, now: float) -> Content:
        resource = subscription.resource
        standing = self._contacts(resource)
        told: Iterable[_Told]
        if subscription.full:
            state, told = "full", standing
        else:
            state, told = "partial", [one for _, one in subscription.take_changes()]
        # RFC 3680 5.3.1: init before the first contact, terminated after the last.
        registration = "active" if standing else ("init" if state == "full" else "terminated")
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<reginfo xmlns="urn:ietf:params:xml:ns:reginfo"'
            f' version="{subscription.next_version()}" state="{state}">'
            f'<registration aor={attribute(resource)} id="r" state="{registration}">'
            f"{''.join(one.write(now) for one in told)}</registration></reginfo>\n"
        )
        return Content(_TYPE, body.encode())


class Registrations(Module):
    """Tells users of their own registrations (RFC 3680): a phone learns that it was unregistered."""

    name = "registrations"
    over_workers = FIRST
    Settings = RegistrationsSettings
    requires = (Events,)
    settings: RegistrationsSettings

    def start(self, core: Core, now: float) -> None:
        self._key = core.secret("contacts")
        self._engine = core.module(Events)
        # Where other nodes share the location: what they register.
        self._news: News | None = None
        self._hearing = False
        if core.node and core.shares:
            self._news = News(core, NEWS, self._reread, self._everything, now)
        self._package = _Reg(self._contacts, self._find)
        self._package.interval = self.settings.interval
        self._engine.add(self._package, now)
        core.watch(self._watched)

    def configure(self, settings: RegistrationsSettings, now: float) -> None:
        """Take another interval."""
        super().configure(settings, now)
        self._package.interval = settings.interval

    def _contacts(self, resource: str) -> list[_Told]:
        found = self.core.location.lookup(resource, self.core.ua.now)
        return [self._told(one, "active", "registered") for one in found]

    def _told(self, one: Binding, state: str, event: str) -> _Told:
        name = self._key.keyed_hash(f"{one.aor} {one.contact}")
        return _Told(
            name, one.contact, state, event, one.registered_at, one.expires_at, one.call_id, one.cseq
        )

    # --- other nodes

    async def _find(self, aor: str) -> None:
        """Have the contacts of ``aor`` at hand, wherever they are registered."""
        if self._news is None:
            return
        try:
            await self._read(aor)
        except (OSError, TimeoutError):
            self._news.reread_soon((aor,))

    async def _read(self, aor: str) -> None:
        await self.core.locate(aor, self._heard)

    def _heard(self, hearing: bool) -> None:
        self._hearing = hearing

    async def _reread(self, key: tuple[str, ...]) -> None:
        (aor,) = key
        if self._engine.of("reg", aor):
            await self._read(aor)

    async def _everything(self) -> None:
        for aor in self._engine.resources("reg"):
            await self._read(aor)

    def _watched(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        if self._news is not None and not self._hearing:
            self._news.tell((aor,), self.core.ua.now)
        if not self._engine.of("reg", aor):
            return
        now = self.core.ua.now
        known = {one.contact: one for one in before}
        for one in after:
            old = known.pop(one.contact, None)
            if old is None:
                self._tell(aor, self._told(one, "active", "registered"), now)
            elif old != one:
                self._tell(aor, self._told(one, "active", "refreshed"), now)
        for one in known.values():
            event = "expired" if one.expires_at <= now else "unregistered"
            self._tell(aor, self._told(one, "terminated", event), now)

    def _tell(self, aor: str, told: _Told, now: float) -> None:
        self._engine.changed("reg", aor, now, told.id, told)
