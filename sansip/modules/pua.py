"""Presence user agent: the state of our users, published at another server (RFC 3903 4).

Theory of operation: each publication is one object that knows what shall stand there, and what does. It
sends one PUBLISH at a time; what changes meanwhile is sent when the answer is there, the newest alone. It
refreshes before the end, publishes anew where the other server has forgotten it (412), asks for longer
where that wants it (423), and tries again later after any other failure. Above ``pua.rate`` they wait in a
queue, each once: a start with many phones is no flood. Rows keep the entity-tags, so a restart goes on with
them. What it publishes by itself is made of registrations and calls (``_fed``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.module import FIRST, Again, CommandError, Doc, Module, ModuleFault, command, function
from sansip.module.limiting import Rates
from sansip.module.xml import attribute, text
from sansip.modules.calls import Calls
from sansip.modules.calls.elsewhere import CallElsewhere
from sansip.modules.calls.events import CallAnswered, CallFinished, CallTakenBack
from sansip.modules.calls.users import Busy
from sansip.rows import Table
from sansip.ua.drafting import check_server, through
from sansip.wire import parse_uri

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.location import Binding
    from sansip.module import Core
    from sansip.wire import Response

__all__ = ["Pua", "PuaSettings", "Published"]

# Seconds until a PUBLISH that failed is sent anew: the first time, and at the most.
_AGAIN: Final = (10.0, 300.0)
_PIDF: Final = "application/pidf+xml"
# The timer of those that wait; those of publications are named by user and event.
_TURN: Final = "turn"


@dataclass(slots=True)
class PuaSettings:
    """The table [pua]. Raises ``ValueError``."""

    server: Annotated[str, Doc("The server to publish at, a SIP URI; empty: where the user's domain is.")] = (
        ""
    )
    registrations: Annotated[
        bool, Doc("Whether each user is published as open while a phone of it is registered here.")
    ] = False
    calls: Annotated[
        bool,
        Doc("Whether a user is published as on the phone while a call of it goes on; wants [calls]."),
    ] = False
    expires: Annotated[int, Doc("Seconds that a publication is asked to live.")] = 3_600
    most: Annotated[int, Doc("Publications at once; further ones are not made.")] = 100_000
    rate: Annotated[
        float, Doc("PUBLISH requests each second, in the long run; further ones wait their turn.")
    ] = 100.0

    def __post_init__(self) -> None:
        check_server(self.server)
        if not 60 <= self.expires <= 86_400:
            raise ValueError(f"expires is {self.expires}: 60 to 86400 seconds")
        if self.most < 1:
            raise ValueError("most: at least 1")
        if not 1 <= self.rate <= 10_000:
            raise ValueError(f"rate is {self.rate:g}: 1 to 10000 in a second")


@dataclass(slots=True)
class Published:
    """A row: what stands at the other server. ``ends``: in seconds since 1970."""

    user: str
    event: str
    type: str
    body: bytes
    etag: str
    ends: float


PUBLISHED = Table("pua", Published, key=("user", "event"))


class _Publication:
    """One publication. ``body`` None: nothing shall stand there."""

    __slots__ = (
        "body",
        "dirty",
        "etag",
        "event",
        "expires",
        "queued",
        "sending",
        "status",
        "timer",
        "tries",
        "type",
        "user",
    )

    def __init__(self, user: str, event: str, expires: int) -> None:
        self.user = user
        self.event = event
        self.expires = expires
        self.type = ""
        self.body: bytes | None = None
        self.etag = ""
        # Whether the other server has another state, and whether a PUBLISH is on its way, or waits for it.
        self.dirty = False
        self.sending = False
        self.queued = False
        self.tries = 0
        self.status = 0
        self.timer: Timer | None = None


class Pua(Module):
    """Publishes the state of users at another server (RFC 3903), and keeps it there."""

    name = "pua"
    over_workers = FIRST
    Settings = PuaSettings
    tables = (PUBLISHED,)
    uses = (Calls,)
    events = (CallAnswered, CallElsewhere, CallFinished, CallTakenBack)
    settings: PuaSettings

    def __init__(self, settings: PuaSettings) -> None:
        super().__init__(settings)
        self._all: dict[tuple[str, str], _Publication] = {}
        self._busy = Busy()
        # Those whose PUBLISH has to wait, each once; the timer of the next turn runs while there are any.
        self._queue: deque[_Publication] = deque()
        self._rates = Rates(1)

    # --- its life

    def check(self, settings: PuaSettings) -> None:
        """Without the module calls nobody is on the phone."""
        if settings.calls and self.core.find(Calls) is None:
            raise ModuleFault("pua: calls = true needs the module calls; add [calls] to the configuration")

    def start(self, core: Core, now: float) -> None:
        self._rows = core.rows(PUBLISHED)
        self._count = core.counter("sent", "PUBLISH requests that were answered, by status", ("status",))
        core.watch(self._registered)
        Again(core, self._restore, _AGAIN[0]).begin(now)

    def figures(self) -> dict[str, Any]:
        """Return how many publications there are, how many do not stand, and how many wait for their turn."""
        failing = sum(one.tries > 0 for one in self._all.values())
        return {"now": len(self._all), "now_failing": failing, "now_waiting": len(self._queue)}

    async def _restore(self) -> None:
        for row in await self._rows.all():
            now = self.core.ua.now
            left = row.ends - self.core.unix(now)
            key = (row.user, row.event)
            if key in self._all or left <= 0:
                continue
            one = self._all[key] = _Publication(*key, self.settings.expires)
            one.type, one.body, one.etag = row.type, row.body, row.etag
            one.timer = self.core.timers.start(now, max(1.0, left * 0.8), self, key)
        for user, event in tuple(self._all):
            if event == "presence" and self._all[user, event].body in _all_fed(user):
                # Its phone, or its call, may have gone while this server was away.
                self._feed(user, self.core.ua.now)
        if self.settings.registrations:
            for aor in tuple(self.core.location.names()):
                self._registered(aor, (), self.core.location.lookup(aor, self.core.ua.now))

    # --- what shall stand there

    @function
    def publish(self, user: str, event: str, type: str, body: bytes | None, now: float) -> bool:
        """Publish ``body`` for ``user`` (an address-of-record); None takes it away.

        False where there are too many publications (``pua.most``).
        """
        key = (user, event)
        one = self._all.get(key)
        if one is None:
            if body is None:
                return True
            if len(self._all) >= self.settings.most:
                return False
            one = self._all[key] = _Publication(user, event, self.settings.expires)
        if (one.type, one.body) != (type, body) or not one.etag:
            one.type, one.body, one.dirty = type, body, True
            self._send(one, now)
        return True

    def _registered(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        # Only the first and the last binding change anything.
        if self.settings.registrations and bool(before) != bool(after):
            self._feed(aor, self.core.ua.now)

    def event_received(
        self, event: CallAnswered | CallElsewhere | CallFinished | CallTakenBack, now: float
    ) -> None:
        """Hear of calls: who is on the phone."""
        if not self.settings.calls:
            return
        for user, changed in self._busy.heard(event, self.core):
            if changed:
                self._feed(user, now)

    def _feed(self, user: str, now: float) -> None:
        """Publish what is known of ``user`` here."""
        there = self.settings.registrations and bool(self.core.location.lookup(user, now))
        busy = user in self._busy
        body = _fed(user, there, busy) if there or busy else None
        self.publish(user, "presence", _PIDF, body, now)

    # --- PUBLISH

    def _send(self, one: _Publication, now: float) -> None:
        """Send what is due, now or in its turn; only one PUBLISH is on its way (RFC 3903 4.1)."""
        if one.sending or one.queued:
            return
        if one.timer is not None:
            one.timer.cancel()
            one.timer = None
        if one.body is None and not one.etag:
            self._forget(one, now)
        elif self._queue or not self._may_send(now):
            one.queued = True
            self._queue.append(one)
            if len(self._queue) == 1:
                self._await_turn(now)
        else:
            self._publish(one, now)

    def _may_send(self, now: float) -> bool:
        return self._rates.allow("", self.settings.rate, 1.0, now)

    def _await_turn(self, now: float) -> None:
        self.core.timers.start(now, 1.0 / self.settings.rate, self, _TURN)

    def _turn(self, now: float) -> None:
        """Send for those that wait, as many as may be sent."""
        queue = self._queue
        try:
            while queue:
                one = queue[0]
                # A user who came and went meanwhile has nothing to publish, and nothing to take away.
                is_over = one.body is None and not one.etag
                if not is_over and not self._may_send(now):
                    return
                queue.popleft()
                one.queued = False
                if is_over:
                    self._forget(one, now)
                else:
                    self._publish(one, now)
        finally:
            if queue:
                self._await_turn(now)

    def _publish(self, one: _Publication, now: float) -> None:
        expires = 0 if one.body is None else one.expires
        headers = [("Event", one.event), ("Expires", str(expires))]
        body = b""
        if one.etag:
            headers.append(("SIP-If-Match", one.etag))
        if one.body is not None and (one.dirty or not one.etag):
            # RFC 3903 4.3: a refresh has no body.
            headers.append(("Content-Type", one.type))
            body = one.body
        if self.settings.server:
            headers.append(through(self.settings.server))
        one.sending, one.dirty = True, False
        try:
            answer = self.core.ua.request("PUBLISH", one.user, headers, body, from_=one.user)
        except LocalProtocolError as error:
            self.core.failed("publish", error)
            self._answered(one, 400, None, now)
            return

        def answered(result: Any, now: float) -> None:
            if isinstance(result, Exception):
                self._answered(one, 503, None, now)
            else:
                self._answered(one, result.status, result, now)

        answer.then(answered, now)

    def _answered(self, one: _Publication, status: int, response: Response | None, now: float) -> None:
        one.sending, one.status = False, status
        self._count.add(str(status))
        if 200 <= status < 300 and response is not None:
            self._accepted(one, response, now)
        elif status == 412 and one.etag:
            # RFC 3903 4.1: the whole state, as if for the first time.
            one.etag, one.dirty = "", True
            self._send(one, now)
        elif status == 423 and response is not None and one.tries < 3:
            least = response.get("min-expires") or ""
            one.tries += 1
            if least.isdecimal() and len(least) < 7:
                one.expires = max(one.expires, int(least))
            one.dirty = True
            self._send(one, now)
        elif one.body is None:
            # It ends by its time.
            self._forget(one, now)
        else:
            one.dirty = True
            wait = min(_AGAIN[0] * 2.0**one.tries, _AGAIN[1])
            one.tries = min(one.tries + 1, 10)
            one.timer = self.core.timers.start(now, wait, self, (one.user, one.event))

    def _accepted(self, one: _Publication, response: Response, now: float) -> None:
        one.tries = 0
        one.etag = response.get("sip-etag") or ""
        lives = one.expires if response.expires is None else min(response.expires, one.expires)
        if one.body is None and not one.dirty:
            self._forget(one, now)
            return
        row = Published(
            one.user, one.event, one.type, one.body or b"", one.etag, self.core.unix(now) + max(lives, 1)
        )
        self.core.run(self._rows.put(row), now)
        if one.dirty:
            self._send(one, now)
        else:
            # Early enough for several attempts.
            one.timer = self.core.timers.start(now, max(1.0, lives * 0.8), self, (one.user, one.event))

    def _forget(self, one: _Publication, now: float) -> None:
        if self._all.pop((one.user, one.event), None) is not None:
            self.core.run(self._rows.delete((one.user, one.event)), now)

    def timer_fired(self, name: Any, now: float) -> None:
        """A publication is to be refreshed, or tried once more."""
        if name == _TURN:
            self._turn(now)
            return
        one = self._all.get(name)
        if one is not None:
            one.timer = None
            self._send(one, now)

    # --- operators

    @command("pua.publish")
    def publish_for(
        self, user: str, body: str, now: float, event: str = "presence", type: str = _PIDF
    ) -> bool:
        """Publish `body` for `user` at the other server, and keep it there."""
        if not self.publish(self._user(user), event, type, body.encode(), now):
            raise CommandError("pua.publish: too many publications (pua.most)")
        return True

    @command("pua.remove")
    def remove_for(self, user: str, now: float, event: str = "presence") -> bool:
        """Take the publication of `user` away; return whether there was one."""
        name = self._user(user)
        there = (name, event) in self._all
        self.publish(name, event, "", None, now)
        return there

    @command("pua.list")
    def list_published(self, limit: int = 1_000) -> list[dict[str, Any]]:
        """Return what is published at the other server, with the last status."""
        found = list(self._all.values())[: max(1, min(limit, 10_000))]
        return [
            {"user": one.user, "event": one.event, "etag": one.etag, "status": one.status, "tries": one.tries}
            for one in found
        ]

    def _user(self, given: str) -> str:
        try:
            return self.core.address_of(parse_uri(given))
        except RemoteProtocolError as error:
            raise CommandError(f"{given!r:.60} is no SIP URI: {error.reason}") from None


def _fed(aor: str, there: bool, busy: bool) -> bytes:
    """Return the document of a user whose phone is registered (``there``), or who is on the phone."""
    opened = person = names = ""
    if there:
        opened = (
            '<tuple id="registered"><status><basic>open</basic></status>'
            f"<contact>{text(aor)}</contact></tuple>"
        )
    if busy:
        # RFC 4480 3.2, RFC 4479 3.1
        names = (
            ' xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"'
        )
        person = '<dm:person id="call"><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf"{names}'
        f" entity={attribute(aor)}>{opened}{person}</presence>\n"
    ).encode()


def _all_fed(aor: str) -> tuple[bytes, ...]:
    return _fed(aor, True, False), _fed(aor, True, True), _fed(aor, False, True)
