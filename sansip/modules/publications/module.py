"""The module ``publications``: PUBLISH, as an event state compositor (RFC 3903 6).

Theory of operation: the steps of the RFC in their order. A publication is held by its entity-tag, and each
200 gives it a new one; so of several requests with one tag exactly one wins, also while the row of the first
is being written: it is busy, and the others get a 412. The row is durable before the 200 leaves (``stored``),
and then the watchers are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.errors import RemoteProtocolError
from sansip.module import command
from sansip.modules.events import admits
from sansip.modules.publications.publication import Publication, Publishing
from sansip.modules.publications.renewing import Renewing, row_of
from sansip.modules.publications.stored import Stored
from sansip.wire import SipUri
from sansip.wire.abnf import is_token

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sansip.module import Core
    from sansip.modules.publications.settings import PublicationsSettings
    from sansip.routing import IncomingRequest
    from sansip.routing.usages import UsageArrived

__all__ = ["Publications"]


class Publications(Stored):
    """Takes what phones publish of their users (RFC 3903), and keeps it until it ends."""

    methods = frozenset(("PUBLISH",))
    gathers = frozenset(("PUBLISH",))

    def start(self, core: Core, now: float) -> None:
        super().start(core, now)
        self._renewing = Renewing(
            core, self._kinds, self.shelf, self._rows, self._events, self._count, self._others, self.settings
        )

    def configure(self, settings: PublicationsSettings, now: float) -> None:
        """Take new settings."""
        super().configure(settings, now)
        self._renewing.settings = settings

    # --- PUBLISH

    def rides(self) -> bool:
        """Whether calls pass as octets: nothing of a call is looked at here."""
        return True

    def request_received(self, request: IncomingRequest) -> bool | Coroutine[Any, Any, bool]:
        """Take a PUBLISH for a user of ours."""
        if request.method != "PUBLISH" or request.in_dialog or not self._kinds:
            return False
        uri = request.uri
        # RFC 3903 6 step 1: others' users may be published for elsewhere, by way of the route.
        if not isinstance(uri, SipUri) or uri.user is None or not request.serves():
            return False
        message = request.message
        try:
            message.typed("event")
            kind = self._kinds.get((message.get("event") or "").partition(";")[0].strip())
            if kind is None:
                # Step 2.
                request.refuse(489, None, [("Allow-Events", ", ".join(sorted(self._kinds)))])
                return True
            unknown = message.require
        except RemoteProtocolError as error:
            request.refuse(error.status or 400, error.reason)
            return True
        if unknown:
            # RFC 3261 8.2.2.3
            request.refuse(420, None, [("Unsupported", ", ".join(unknown))])
            return True
        return self._publish(request, kind, self.core.address_of(uri))

    async def _publish(self, request: IncomingRequest, kind: Publishing, resource: str) -> bool:
        if not await admits(request, self.settings.open):
            return True
        message = request.message
        sender = self.core.address_of(message.from_.uri)
        if request.authenticated and not kind.may_publish(sender, resource):
            # RFC 3903 14.1
            request.reply(403, "Not Your Address")
            return True
        package = self._events.package(kind.event)
        if package is not None and not package.serves(resource):
            request.reply(404)
            return True
        tags = message.get_all("sip-if-match")
        if tags and (len(tags) > 1 or not is_token(tags[0])):
            # Step 3: a single entity-tag.
            request.reply(400, "One Entity-Tag")
            return True
        before = self.shelf.find(kind.event, resource, tags[0]) if tags else None
        if tags and before is None and self.core.node:
            try:
                before = await self._adopt(kind, resource, tags[0])
            except Exception as error:
                self.core.failed("publish", error)
                request.reply(503, None, [("Retry-After", "30")])
                return True
        if tags and (before is None or before.busy):
            request.reply(412)
            return True
        seconds = self._seconds(request, kind)
        if seconds is None or not self._takes_body(request, kind, before, seconds):
            return True
        if before is None and not self._has_room(request, kind, resource):
            return True
        await self._keep(request, kind, resource, before, seconds)
        return True

    def _seconds(self, request: IncomingRequest, kind: Publishing) -> int | None:
        """Return how long it shall live (step 4); None where that was refused."""
        try:
            asked = request.message.expires
        except RemoteProtocolError as error:
            request.reply(error.status or 400, error.reason)
            return None
        asked = kind.usual if asked is None else asked
        if 0 < asked < self.settings.least:
            request.reply(423, None, [("Min-Expires", str(self.settings.least))])
            return None
        return min(asked, self.settings.longest)

    def _takes_body(
        self, request: IncomingRequest, kind: Publishing, before: Publication | None, seconds: int
    ) -> bool:
        """Whether the body can be taken (step 5); answered where not."""
        message = request.message
        if not message.body:
            if before is None and seconds:
                request.reply(400, "No State To Publish")
                return False
            return True
        if (message.get("content-encoding") or "identity").strip().lower() != "identity":
            request.reply(415, None, [("Accept-Encoding", "identity")])
            return False
        if _type_of(request) not in kind.types:
            request.reply(415, None, [("Accept", ", ".join(kind.types))])
            return False
        if len(message.body) > self.settings.size:
            request.reply(413)
            return False
        return True

    def _has_room(self, request: IncomingRequest, kind: Publishing, resource: str) -> bool:
        coming = self._coming.get((kind.event, resource), 0)
        if len(self.shelf.of(kind.event, resource)) + coming >= self.settings.most_of_user:
            request.reply(403, "Too Many Publications")
            return False
        if len(self.shelf) + sum(self._coming.values()) >= self.settings.most:
            request.reply(503, None, [("Retry-After", "60")])
            return False
        return True

    async def _keep(
        self,
        request: IncomingRequest,
        kind: Publishing,
        resource: str,
        before: Publication | None,
        seconds: int,
    ) -> None:
        message = request.message
        etag = self.core.entropy.token()
        if message.body and seconds:
            try:
                document = kind.check(resource, _type_of(request), message.body)
            except ValueError as error:
                request.reply(400, f"Bad Body: {error}"[:80])
                return
            made, body = _type_of(request), message.body
        elif before is not None:
            document, made, body = before.document, before.type, before.body
        else:
            document, made, body = None, "", b""
        now = request.now
        serial = self.shelf.serial(before, bool(message.body), self.core.unix(now))
        after = Publication(kind.event, resource, etag, made, body, document, now + seconds, serial)
        gone = [] if before is None else [(before.event, before.resource, before.etag)]
        rows = [row_of(after, self.core.unix(now), now)] if seconds else []
        key = (kind.event, resource)
        if before is not None:
            before.busy = True
        else:
            self._coming[key] = self._coming.get(key, 0) + 1
        try:
            if (rows or gone) and not await self._write(rows, gone):
                # RFC 3903 6 step 3: another node had the same tag, and was faster.
                if self._others is not None:
                    self._others.reread_soon((kind.event, resource))
                request.reply(412)
                return
        except Exception as error:
            # Step 5: it must not succeed.
            self.core.failed("publish", error)
            request.reply(503, None, [("Retry-After", "30")])
            return
        finally:
            if before is not None:
                before.busy = False
            else:
                self._coming[key] -= 1
                if not self._coming[key]:
                    del self._coming[key]
        ended = self._replace(before, after if seconds else None, kind.event, resource, now)
        # Step 6.
        request.reply(200, None, [("SIP-ETag", etag), ("Expires", str(seconds))])
        if seconds == 0 or message.body or ended:
            kind.published(resource, request.now)

    # --- what is read in brief (``renewing``)

    def usage_received(
        self, arrived: UsageArrived, now: float
    ) -> Callable[[UsageArrived, float], None] | None:
        """Take a PUBLISH that refreshes, or modifies, what its entity-tag names."""
        return self._renewing.take(arrived)

    # --- operators

    @command("publications.list")
    def list_publications(self, resource: str, now: float, event: str = "") -> list[dict[str, Any]]:
        """Return what is published for `resource`, an address-of-record, the newest first."""
        return [
            {
                "event": one.event,
                "etag": one.etag,
                "type": one.type,
                "expires": int(one.expires_at - now),
                "body": one.body.decode("utf-8", "replace"),
            }
            for name in ([event] if event else sorted(self._kinds))
            for one in self.shelf.of(name, resource)
        ]


def _type_of(request: IncomingRequest) -> str:
    message = request.message
    return (message.get("content-type") or "").partition(";")[0].strip().lower().replace(" ", "")
