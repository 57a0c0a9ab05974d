"""A PUBLISH with an entity-tag (RFC 3903 4.2, 4.3), answered without a message.

Theory of operation: fields in their plainest form are read (``read_renewal``). ``take`` returns what renews
the publication that the entity-tag names; where it returns None, ``Publications.request_received`` gets the
request, which is the reference, and names the fault if there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sansip.modules.publications.publication import Publication, PublicationRow
from sansip.rows import Write
from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, compiled

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
_event: Final = compiled(r"Event: ([\w\-.]++)").fullmatch
_match: Final = compiled(rf"SIP-If-Match: ({TOKEN})").fullmatch
_expires: Final = compiled("Expires: ([0-9]{1,9})").fullmatch
_type: Final = compiled(r"Content-Type: ([a-z0-9\-.]++/[a-z0-9\-.+]++)").fullmatch


class Renewal(NamedTuple):
    """``seconds`` None: it names no time; ``type`` "": it names no media type."""

    event: str
    etag: str
    seconds: int | None
    type: str


def read_renewal(usage: Usage, settings: PublicationsSettings) -> Renewal | None:
    """Return what ``usage`` wants; None where more has to be looked at."""
    lines = usage.lines
    event, match = _event(lines.get("event", "")), _match(lines.get("sip-if-match", ""))
    if event is None or match is None or usage.tag is not None or len(usage.body) > settings.size:
        return None
    contact, expires, kind = lines.get("contact"), lines.get("expires"), lines.get("content-type")
    if contact is not None and _contact(contact) is None:
        return None
    seconds, made = None, ""
    if expires is not None:
        found = _expires(expires)
        if found is None:
            return None
        seconds = int(found[1])
    if kind is not None:
        found = _type(kind)
        if found is None:
            return None
        made = found[1]
    return Renewal(event[1], match[1], seconds, made)


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
        settings: Callable[[], PublicationsSettings],
    ) -> None:
        self._core = core
        self._kinds = kinds
        self._shelf = shelf
        self._rows = rows
        self._events = events
        self._count = count
        self._others = others
        self._settings = settings
        # Other nodes are asked first.
        self._alone = not core.node

    def take(self, arrived: UsageArrived) -> Callable[[UsageArrived, float], None] | None:
        """Return what renews a publication; None where more is to be looked at."""
        settings, proves = self._settings(), arrived.proves
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
        package = self._events.package(wanted.event)
        before = self._shelf.find(wanted.event, resource, wanted.etag)
        if before is None or before.busy or (package is not None and not package.serves(resource)):
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
        return partial(self._renew, kind, before, min(seconds, settings.longest), say)

    def _renew(
        self,
        kind: Publishing,
        before: Publication,
        seconds: int,
        say: tuple[Any, str, bytes],
        arrived: UsageArrived,
        now: float,
    ) -> None:
        core = self._core
        arrived.admit(now)
        etag = core.entropy.token()
        unix = core.unix(now)
        serial = self._shelf.serial(before, bool(arrived.usage.body), unix)
        document, made, body = say
        after = Publication(before.event, before.resource, etag, made, body, document, now + seconds, serial)
        if not core.keeps_rows:
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
        arrived.grant(lines, now, self._core.entropy.token())
        if arrived.usage.body or ended:
            kind.published(after.resource, now)
