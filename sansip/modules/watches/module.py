"""The module ``watches``: this server subscribes at others for its users (RFC 6665 4.1).

Theory of operation: modules ask for the state of a resource elsewhere (``follow``), and so may an operator,
whose wishes are rows. Each (watcher, resource, package) is one ``Watch``, however many ask. New ones wait in
a queue and leave at a steady rate: users chose the places that they go to. Nothing of a watch is durable:
after a restart those who asked ask again, and NOTIFYs of the dialogs before get a 481, which ends them there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module import FIRST, Again, CommandError, Module, command, function
from sansip.modules.watches.home import MARK, Home
from sansip.modules.watches.settings import WatchesSettings
from sansip.modules.watches.watch import Hears, Watch, may_be_watched
from sansip.rows import Table
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Watches", "Wished"]

# Seconds until rows that could not be read are read once more.
_RETRY: Final = 10.0
# What an operator's watch asks for, by package.
_TYPES: Final = {"presence": "application/pidf+xml", "message-summary": "application/simple-message-summary"}


@dataclass(slots=True)
class Wished:
    """A row: what an operator wants to be watched."""

    watcher: str
    uri: str
    event: str


WISHED = Table("watches", Wished, key=("watcher", "uri", "event"))


class Watches(Module):
    """Subscribes to users of other servers for users of this one, and keeps those subscriptions."""

    name = "watches"
    methods = frozenset(("NOTIFY", "SUBSCRIBE"))
    over_workers = FIRST
    gathers = methods
    Settings = WatchesSettings
    tables = (WISHED,)
    settings: WatchesSettings

    # --- its life

    def start(self, core: Core, now: float) -> None:
        self._home = Home(core, lambda: self.settings)
        self._rows = core.rows(WISHED)
        Again(core, self._restore, _RETRY).begin(now)

    def figures(self) -> dict[str, Any]:
        """Return how many watches there are, how many stand, and how many wait for their turn."""
        active = sum(one.state in ("active", "pending") for one in self._home.all.values())
        return {"now": len(self._home.all), "now_active": active, "now_waiting": self._home.waiting}

    def __len__(self) -> int:
        return len(self._home.all)

    async def _restore(self) -> None:
        for row in await self._rows.all():
            self._wish(row, self.core.ua.now)

    # --- for modules and routes

    @function
    def follow(self, watcher: str, uri: str, event: str, type: str, hears: Hears, now: float) -> Watch | None:
        """Tell ``hears`` of the state of ``uri``, a SIP URI elsewhere; return the watch, with what is known.

        ``watcher``: the user of ours that wants to know. ``type``: the media type of the state. None where
        there are too many (``watches.most``, ``most_of_watcher``), or where an end is under way.
        """
        return self._home.follow(watcher, uri, event, type, hears, now)

    @function
    def leave(self, watch: Watch, hears: Hears, now: float) -> None:
        """``hears`` wants to know no more; with the last one the subscription ends."""
        if hears in watch.hears:
            watch.hears.remove(hears)
            if not watch.hears:
                watch.close(now)

    @function
    def state(self, watcher: str, uri: str, event: str = "presence") -> str:
        """Return the state of a subscription, "" where there is none: for routes."""
        one = self._home.all.get((watcher, uri, event))
        return "" if one is None else one.state

    # --- NOTIFY

    def rides(self) -> bool:
        """Whether calls pass as octets: nothing of a call is looked at here."""
        return True

    def request_received(self, request: IncomingRequest) -> bool | Coroutine[Any, Any, bool]:
        """Take a NOTIFY of a subscription of ours; refuse a SUBSCRIBE of ours that came back."""
        message = request.message
        tag = message.to_tag
        if tag is None:
            back = message.from_tag or ""
            if (
                request.method == "SUBSCRIBE"
                and back.startswith(MARK)
                and self._home.tags.is_ours(back, message.call_id)
            ):
                # RFC 4662 7.4: what we subscribe to elsewhere leads back here.
                request.refuse(482, "Loop Detected")
                return True
            return False
        if not tag.startswith(MARK) or request.method == "ACK" or message.has("route"):
            return False
        if not self._home.tags.is_ours(tag, message.call_id):
            return False
        one = self._home.by_tag.get(tag)
        if one is None:
            # RFC 6665 4.1.3: of a process before, or of one that is over; it ends the subscription there.
            request.refuse(481)
        elif request.method != "NOTIFY":
            # RFC 3261 8.2.1
            request.reply(405, None, [("Allow", "NOTIFY")])
        else:
            try:
                one.notified(request)
            except RemoteProtocolError as error:
                request.decided = False
                request.reply(error.status or 400, error.reason)
        return True

    # --- operators

    def _wish(self, row: Wished, now: float) -> Watch | None:
        kind = _TYPES.get(row.event, "application/octet-stream")
        return self.follow(row.watcher, row.uri, row.event, kind, self._nobody, now)

    def _nobody(self, watch: Watch, now: float) -> None:
        """An operator looks when it wants to (``watches.list``)."""

    def _given(self, watcher: str, uri: str, event: str) -> Wished:
        try:
            user, resource = self.core.address_of(parse_uri(watcher)), parse_uri(uri)
        except RemoteProtocolError as error:
            raise CommandError(f"{watcher!r:.60} and {uri!r:.60} must be SIP URIs: {error.reason}") from None
        if not isinstance(resource, SipUri) or not may_be_watched(uri):
            raise CommandError(f"{uri!r:.60} is no SIP URI of a user")
        if self.core.listeners.serves(resource.host, resource.port):
            raise CommandError(f"{uri!r:.60} is a user of this server: nothing has to be asked elsewhere")
        if event not in _TYPES:
            raise CommandError(f"{event!r:.60} is no package that is watched: {', '.join(sorted(_TYPES))}")
        return Wished(user, str(resource), event)

    @command("watches.add")
    async def add_watch(self, watcher: str, uri: str, event: str = "presence") -> bool:
        """Subscribe to `uri`, a user elsewhere, for `watcher`, a user of this server, from now on."""
        row = self._given(watcher, uri, event)
        if self._wish(row, self.core.ua.now) is None:
            raise CommandError("watches.add: too many (watches.most, most_of_watcher)")
        await self._rows.put(row)
        return True

    @command("watches.remove")
    async def remove_watch(self, watcher: str, uri: str, event: str = "presence") -> bool:
        """End what `watches.add` began; return whether there was such a subscription."""
        row = self._given(watcher, uri, event)
        one = self._home.all.get((row.watcher, row.uri, row.event))
        there = one is not None and self._nobody in one.hears
        if one is not None:
            self.leave(one, self._nobody, self.core.ua.now)
        await self._rows.delete((row.watcher, row.uri, row.event))
        return there

    @command("watches.list")
    def list_watches(self, watcher: str = "", limit: int = 1_000) -> list[dict[str, Any]]:
        """Return subscriptions elsewhere, those of one `watcher` alone where named, with the last state."""
        found = [one for one in self._home.all.values() if watcher in ("", one.watcher)]
        return [
            {
                "watcher": one.watcher,
                "uri": one.uri,
                "event": one.event,
                "state": one.state,
                "reason": one.reason,
                "status": one.status,
                "body": one.body.decode("utf-8", "replace"),
            }
            for one in found[: max(1, min(limit, 10_000))]
        ]
