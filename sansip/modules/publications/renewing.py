"""A PUBLISH with an entity-tag (RFC 3903 4.2, 4.3), answered without a message.

Theory of operation: fields in their plainest form are read (``read_renewal``). A package, an entity-tag or a
media type that is known here letter by letter is well-formed, and no pattern looks at it; nor at a Contact
that the PUBLISH before had. ``take`` returns what renews the publication that the entity-tag names; where it
returns None, ``Publications.request_received`` gets the request, which is the reference, and names the fault
if there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.modules.publications.publication import Publication, PublicationRow
from sansip.rows import Write
from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN_CLASS, compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sansip.module import Core
    from sansip.module.metrics import Counter
    from sansip.module.news import News
    from sansip.module.rows import Rows
    from sansip.modules.events import Events
    from sansip.modules.publications.publication import Publishing
    from sansip.modules.publications.settings import PublicationsSettings
    from sansip.modules.publications.shelf import Shelf
    from sansip.routing.usages import UsageArrived
    from sansip.wire.usage import Usage

__all__ = ["Renewal", "Renewing", "read_renewal", "row_of"]

_address: Final = (
    rf'(?:"[^"\\]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
    rf"<sip:(?:[\w\-.+]++@)?(?:{PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+>"
)
_contact: Final = compiled(rf"Contact: {_address}").fullmatch
_EVENT: Final = "Event: "
_MATCH: Final = "SIP-If-Match: "
_EXPIRES: Final = "Expires: "
_TYPE: Final = "Content-Type: "
# Digits of a number of seconds.
_DIGITS: Final = 9


class Renewal:
    """What a PUBLISH in brief says, each value as it is written behind its name.

    ``seconds`` None: it names no time; ``type``, ``contact`` "": it names no media type, no Contact.
    """

    __slots__ = ("contact", "etag", "event", "seconds", "type")

    def __init__(self, event: str, etag: str, seconds: int | None, type: str, contact: str) -> None:
        self.event = event
        self.etag = etag
        self.seconds = seconds
        self.type = type
        self.contact = contact


def read_renewal(usage: Usage, settings: PublicationsSettings) -> Renewal | None:
    """Return what ``usage`` wants; None where more has to be looked at.

    The package, the entity-tag and the media type are what the caller knows, or nothing that it takes.
    """
    lines = usage.lines
    event, match = lines.get("event", ""), lines.get("sip-if-match", "")
    if (
        not event.startswith(_EVENT)
        or not match.startswith(_MATCH)
        or usage.tag is not None
        or len(usage.body) > settings.size
    ):
        return None
    seconds = None
    expires = lines.get("expires")
    if expires is not None:
        digits = expires[len(_EXPIRES) :]
        if not expires.startswith(_EXPIRES) or len(digits) > _DIGITS or not digits.isdigit():
            return None
        seconds = int(digits)
    kind = lines.get("content-type", _TYPE)
    if not kind.startswith(_TYPE):
        return None
    return Renewal(
        event[len(_EVENT) :], match[len(_MATCH) :], seconds, kind[len(_TYPE) :], lines.get("contact", "")
    )


def row_of(one: Publication, unix: float, now: float) -> PublicationRow:
    """Return the row of a publication; ``now`` is ``unix`` by the stack's clock."""
    expires = unix + (one.expires_at - now)
    return PublicationRow(one.event, one.resource, one.etag, one.type, one.body, expires, one.serial)


class Renewing:
    """Renews the publications on ``shelf``."""

    def __init__(
        self,
        core: Core,
        kinds: Mapping[str, Publishing],
        shelf: Shelf,
        rows: Rows[PublicationRow],
        events: Events,
        count: Counter,
        others: News | None,
        settings: PublicationsSettings,
    ) -> None:
        self._core = core
        self._kinds = kinds
        self._shelf = shelf
        self._rows = rows
        self._packages = events.packages
        self._count = count
        self._others = others
        # Replaced by ``Publications.configure``.
        self.settings = settings
        self._entropy = core.entropy
        self._wall = core.wall
        self._keeps = core.keeps_rows
        # Other nodes are asked first.
        self._alone = not core.node

    def take(self, arrived: UsageArrived) -> Callable[[UsageArrived, float], None] | None:
        """Return what renews a publication; None where more is to be looked at."""
        settings, proves = self.settings, arrived.proves
        if not self._alone or not (settings.open or proves):
            return None
        wanted = read_renewal(arrived.usage, settings)
        if wanted is None:
            return None
        kind, resource = self._kinds.get(wanted.event), arrived.aor
        if kind is None or not resource:
            return None
        if proves:
            sender = arrived.sender
            if not sender or not kind.may_publish(sender, resource):
                return None
        package = self._packages.get(wanted.event)
        before = self._shelf.find(wanted.event, resource, wanted.etag)
        if (
            before is None
            or before.busy
            or not (package is None or package.serves_all or package.serves(resource))
            or not (not wanted.contact or wanted.contact == before.contact or _contact(wanted.contact))
        ):
            return None
        body, seconds = arrived.usage.body, kind.usual if wanted.seconds is None else wanted.seconds
        if not max(1, settings.least) <= seconds:
            return None
        say: tuple[Any, str, bytes]
        if not body:
            say = before.document, before.type, before.body
        elif wanted.type not in kind.types:
            return None
        else:
            try:
                say = kind.check(resource, wanted.type, body), wanted.type, body
            except ValueError:
                return None
        return partial(self._renew, kind, before, min(seconds, settings.longest), say, wanted.contact)

    def _renew(
        self,
        kind: Publishing,
        before: Publication,
        seconds: int,
        say: tuple[Any, str, bytes],
        contact: str,
        arrived: UsageArrived,
        now: float,
    ) -> None:
        core = self._core
        arrived.admit(now)
        etag = self._entropy.token()
        unix = self._wall.unix(now)
        serial = self._shelf.serial(before, bool(arrived.usage.body), unix)
        document, made, body = say
        after = Publication(before.event, before.resource, etag, made, body, document, now + seconds, serial)
        after.contact = contact or before.contact
        if not self._keeps:
            self._renewed(kind, before, after, seconds, arrived, None, now)
            return
        before.busy = True
        gone = [(before.event, before.resource, before.etag)]
        change = self._rows.change(row_of(after, unix, now), delete=gone)
        arrived.waits(now)
        renewed = partial(self._renewed, kind, before, after, seconds, arrived)
        core.put(Write((change,)), arrived.guarded(renewed, core.failed), now)

    def _renewed(
        self,
        kind: Publishing,
        before: Publication,
        after: Publication,
        seconds: int,
        arrived: UsageArrived,
        result: Any,
        now: float,
    ) -> None:
        before.busy = False
        if isinstance(result, BaseException):
            # RFC 3903 6 step 5: it must not succeed.
            self._core.failed("publish", result)
            arrived.handle(now).reply(503, None, [("Retry-After", "30")])
            return
        ended = self._shelf.replace(before, after)
        if self._others is not None:
            self._others.tell((after.event, after.resource), arrived.now)
        self._count.add(after.event)
        lines = f"SIP-ETag: {after.etag}\r\nExpires: {seconds}\r\n"
        arrived.grant(lines, now, self._entropy.token())
        if arrived.usage.body or ended:
            kind.published(after.resource, now)
