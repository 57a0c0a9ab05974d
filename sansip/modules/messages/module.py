"""The module: which messages are kept, and how a phone that registers gets them.

Theory of operation: a MESSAGE that reached no device is a row before its sender gets 202. When a phone
registers, its messages leave in order, one at a time; a mark says that the device has one, and no device gets
a message with a mark. Of nodes that share a store, one delivers. A message that comes while others are being
delivered waits behind them, so that order holds. Counts are of the rows, so they do not drift.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from sansip.auth import Lookup
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.module import CommandError, Module, command, function, step
from sansip.modules.messages.imdn import asked, notice
from sansip.modules.messages.keeping import PAGE, Keeping
from sansip.modules.messages.notices import MessageKept, MessageRefused
from sansip.modules.messages.row import GIVEN, KEPT, Given, Kept, kept_fields, without_tag
from sansip.modules.messages.settings import MessagesSettings
from sansip.modules.messages.shown import Shown, shown
from sansip.registrar.date import sip_date
from sansip.routing.lookup import target_of
from sansip.wire import parse_uri

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.module import Core
    from sansip.routing import IncomingRequest
    from sansip.wire import Uri

__all__ = ["Messages"]

# Nobody was reached (RFC 3261 21): answers of a device that will not have the message are not among them.
_UNREACHED: Final = frozenset((404, 408, 410, 430, 480, 486, 500, 502, 503, 504, 600, 604))
# A device will never take this message: another attempt is of no use.
_FOR_GOOD: Final = frozenset((400, 405, 406, 413, 415, 416, 420, 484, 488, 493, 501, 513, 603, 606))
# Seconds until rows that could not be read are asked for once more.
_AGAIN: Final = 5.0
# Devices that one message is given to: a phone may name a new Contact as often as it likes.
_DEVICES: Final = 32
# Seconds in which a phone takes a request with the same branch for a repetition, over UDP: Timer J (RFC 3261
# 17.2.2), less the time that the request and a wrong clock may take.
_REPEATS: Final = 30.0
# Seconds after which another node that was to deliver has an answer, or none (Timer F, RFC 3261 17.1.2.2).
_OTHERS: Final = 40.0
# Seconds until a reminder, at most.
_FUTURE: Final = 366 * 86_400
# What a notice says (RFC 5438 8.1, 8.2): its element, and by which word the sender asks for it.
_NOTICES: Final[dict[str, tuple[Literal["processing", "delivery"], str]]] = {
    "stored": ("processing", "processing"),
    "failed": ("delivery", "negative-delivery"),
}


class Messages(Module):
    """Keeps messages for users without a registered phone."""

    name = "messages"
    Settings = MessagesSettings
    tables = (KEPT, GIVEN)
    settings: MessagesSettings

    def start(self, core: Core, now: float) -> None:
        self._keeping = Keeping(core)
        self._kept = self._keeping.rows
        self._given = self._keeping.marks
        self._held = self._keeping.held
        # Users whose devices are tried again later.
        self._retrying: set[str] = set()
        # (user, device) that messages are being delivered to.
        self._running: set[tuple[str, str]] = set()
        # Those of them for which something came meanwhile.
        self._again: set[tuple[str, str]] = set()
        self._stored = core.counter("stored", "Messages that were kept")
        self._delivered = core.counter("delivered", "Messages that a device took")
        self._expired = core.counter("expired", "Messages that nobody fetched in time")
        core.watch(self._changed)
        core.run(self._restore(), now, self._restored)
        core.timers.start(now, 60.0, self, "expire")

    async def _restore(self) -> None:
        after: tuple[str, str] | None = None
        while rows := await self._kept.page(after=after, limit=PAGE):
            for row in rows:
                self._held.count(row.user, row.id, self._keeping.sender_of(row), row.until)
                self._wait_for(row, self.core.ua.now)
            after = (rows[-1].user, rows[-1].id)
        for mark in await self._given.all():
            if 200 <= mark.status < 300:
                self._held.fetched(mark.user, mark.id)
        for aor in list(self._held.rows):
            self._changed(aor, (), self.core.location.lookup(aor, self.core.ua.now))

    def _restored(self, result: object, now: float) -> None:
        if isinstance(result, BaseException):
            # The store may come back.
            self.core.failed("restore", result)
            self.core.timers.start(now, _AGAIN, self, "restore")

    # --- keeping

    @step("select", rank=70)
    async def for_nobody(self, request: IncomingRequest) -> None:
        """Keep a message for a user without a device."""
        if request.method == "MESSAGE":
            await self._keep(request, at_once=True)

    @step("relay")
    async def for_devices(self, request: IncomingRequest) -> None:
        """Relay a message, and keep it if no device was reached."""
        if request.method != "MESSAGE":
            return
        aor = self.core.address_of(request.uri)
        if any(user == aor for user, _ in self._running) and await self._keep(request, at_once=True):
            # Older ones are on their way: order holds.
            return
        targets = await request.locate()
        outcome = await request.relay(targets) if targets else None
        if outcome is not None and outcome.status in _UNREACHED:
            await self._keep(request, at_once=False)

    async def _keep(self, request: IncomingRequest, *, at_once: bool) -> bool:
        """Keep the message and answer 202; return whether it was. Where it is not, the failure goes back."""
        settings, message = self.settings, request.message
        user = self.core.address_of(request.uri)
        sender = self.core.address_of(message.from_.uri)
        try:
            life = message.expires
        except RemoteProtocolError:
            life = None
        local, _, number = message.call_id.partition("@")
        if life == 0 or local.rpartition(".")[2] == self._mark(number):
            # RFC 3428 4: it is of no use later. Or it is one of ours: a contact leads back here, and what is
            # kept again would go round for ever, for no Max-Forwards ends it.
            return False
        # All that a row holds: a header field can be longer than a body.
        fields, date = kept_fields(message), message.get("date")
        parties = without_tag(message.from_), without_tag(message.to)
        size = len(message.body) + len(fields) + len(date or "") + sum(map(len, parties))
        limit = self._held.limit_of(settings, user, sender, size)
        if limit in ("per_user", "per_sender", "per_strangers"):
            await self._keeping.recount(user)
            limit = self._held.limit_of(settings, user, sender, size)
        if limit:
            self.core.notify(MessageRefused(sender, user, limit), request.now)
            return False
        unix = self.core.unix(request.now)
        until = unix + min(settings.expires, settings.expires if life is None else life)
        row = Kept(
            user,
            self._keeping.new_id(unix),
            *parties,
            # RFC 3261 20.17: the sender's time counts.
            date or sip_date(unix),
            unix,
            until,
            fields,
            message.body,
        )
        if self._may_tell(request, sender):
            row.reports = sender
        if not await self._keeping.write(row, sender, self._is_user(request.uri, request)):
            return False
        self._stored.add()
        self.core.tell(MessageKept(user, sender, row.id), request.now)
        # RFC 3428 7: 202 without Contact and without body.
        request.reply(202)
        self.core.run(self._keeping.make_room(user, 2 * settings.per_user), request.now)
        if row.reports:
            self.core.run(self._tell_sender(row, "stored"), request.now)
        if at_once:
            # A device may have registered meanwhile.
            self._changed(user, (), self.core.location.lookup(user, request.now))
        else:
            self._later(user, request.now)
        return True

    async def _is_user(self, uri: Uri, request: IncomingRequest | None = None) -> bool:
        """Whether the message is for a user of ours: strangers must not fill the store with names."""
        if self.core.location.lookup(self.core.address_of(uri), self.core.ua.now):
            return True
        if request is not None and not request.authenticates:
            # Anybody may register here, so everybody is a user.
            return True
        name = getattr(uri, "user", None) or ""
        lookup = Lookup(name, self.core.realm_of(uri))
        users = self.core.users
        return (users(lookup) if users is not None else await self.core.ask(lookup)) is not None

    # --- what the sender is told

    def _may_tell(self, request: IncomingRequest, sender: str) -> bool:
        """Whether the sender is who From says: a password, or a phone of the sender's at this address."""
        if request.authenticated:
            return True
        bindings = self.core.location.lookup(sender, request.now)
        return any(_host(one) == request.flow.host for one in bindings)

    async def _tell_sender(self, row: Kept, status: Literal["stored", "failed"]) -> None:
        """Have the sender's phones get a notice of what became of ``row``, as a message of its own."""
        if status == "stored" and self.settings.notice:
            text = self.settings.notice.encode()
            await self._put_notice(row, "text/plain;charset=UTF-8", text)
        kind = next((value for name, value in row.header_fields if name == "Content-Type"), "")
        wanted = asked(row.body) if kind.lower().startswith("message/cpim") else None
        name, disposition = _NOTICES[status]
        # RFC 5438 8.1, 8.2: only what the sender asks for, each kind once.
        if wanted is None or disposition not in wanted.kinds:
            return
        try:
            if self.core.address_of(parse_uri(_sip(wanted.sender))) != row.reports:
                # Another one than who sent it would get the notice.
                return
        except RemoteProtocolError:
            return
        own_id = self.core.entropy.token()
        body = notice(wanted, name, status, own_id, self.core.unix(self.core.ua.now))
        await self._put_notice(row, "message/cpim", body)

    async def _put_notice(self, of: Kept, kind: str, body: bytes) -> None:
        """Keep a message for the sender of ``of``; the next phone of the sender's gets it, one at a time."""
        user, now = of.reports, self.core.ua.now
        unix = self.core.unix(now)
        fields = json.dumps([["Content-Type", kind]])
        limit = self._held.limit_of(self.settings, user, of.user, len(body) + len(fields))
        if limit:
            self.core.notify(MessageRefused(of.user, user, limit), now)
            return
        row = Kept(
            user, self._keeping.new_id(unix), of.to, of.sender, sip_date(unix), unix,
            unix + self.settings.expires, fields, body,
        )  # fmt: skip
        await self._keeping.write(row, of.user, _yes())
        self._deliver_to(user, now)

    # --- reminders

    async def _remind(self, user: str, text: str, at: float, sender: str) -> str:
        core, now = self.core, self.core.ua.now
        unix = core.unix(now)
        if not unix < at <= unix + _FUTURE:
            raise CommandError(f"messages.remind: at must be in the next {_FUTURE // 86_400} days")
        try:
            uri = parse_uri(user)
            whose, from_ = core.address_of(uri), core.address_of(parse_uri(sender)) if sender else ""
        except RemoteProtocolError as error:
            raise CommandError(f"messages.remind: {error}") from error
        body, fields = text.encode(), json.dumps([["Content-Type", "text/plain;charset=UTF-8"]])
        limit = self._held.limit_of(self.settings, whose, from_ or whose, len(body) + len(fields))
        if limit:
            raise CommandError(f"messages.remind: messages.{limit} is reached for {user:.80}")
        # Its id stands where the message is due, so that it comes behind what is kept before.
        row = Kept(
            whose, f"{int(at * 1_000_000):018d}-{core.entropy.token()}", f"<{from_ or whose}>", f"<{whose}>",
            sip_date(at), unix, at + self.settings.expires, fields, body, at,
        )  # fmt: skip
        if not await self._keeping.write(row, from_ or whose, self._is_user(uri)):
            raise CommandError(f"messages.remind: this server has no user {user!r:.80}")
        self._wait_for(row, now)
        return row.id

    def _wait_for(self, row: Kept, now: float) -> None:
        """Start the timer of a message that is due later."""
        unix = self.core.unix(now)
        if row.due > unix:
            self.core.timers.start(now, row.due - unix, self, ("due", row.user, row.id))

    # --- delivering

    def _changed(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        """Bindings changed: a device gets what it does not have."""
        if not after or (aor not in self._held.rows and before):
            return
        # All nodes hear of it.
        if self.core.once(f"deliver {aor}"):
            self._deliver_to(aor, self.core.ua.now)

    def _deliver_to(self, aor: str, now: float) -> None:
        """Give all devices of ``aor`` what they do not have. What this node alone knows of it has to do."""
        for binding in self.core.location.lookup(aor, now):
            self._begin((aor, _device(binding)), now)

    def _begin(self, key: tuple[str, str], now: float) -> None:
        if key in self._running:
            # It may have read the rows before that.
            self._again.add(key)
            return
        self._running.add(key)
        self.core.run(self._deliver(*key), now, partial(self._over, key))

    def _later(self, user: str, now: float) -> None:
        if user not in self._retrying:
            self._retrying.add(user)
            self.core.timers.start(now, self.settings.retry, self, ("retry", user))

    def _over(self, key: tuple[str, str], result: object, now: float) -> None:
        self._running.discard(key)
        again = key in self._again
        self._again.discard(key)
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            self.core.failed("deliver", result)
        elif result is True and again:
            self._begin(key, now)

    async def _deliver(self, aor: str, device: str) -> bool:
        """Give a device what it does not have; return whether nothing is left."""
        after: tuple[str, str] | None = None
        while rows := await self._kept.page(aor, after=after, limit=PAGE):
            for row in rows:
                if row.until > self.core.unix(self.core.ua.now):
                    self._held.count(aor, row.id, self._keeping.sender_of(row), row.until)
                if not await self._give(row, device):
                    return False
            after = (aor, rows[-1].id)
        return True

    async def _give(self, row: Kept, device: str) -> bool:
        """Give a device a message that it does not have; return whether the next one may follow."""
        core = self.core
        unix = core.unix(core.ua.now)
        if row.until <= unix or row.due > unix:
            return True
        marks = await self._given.all(row.user, row.id)
        mark = next((one for one in marks if one.device == device), None)
        if mark.status if mark is not None else len(marks) >= _DEVICES:
            return True
        bindings = core.location.lookup(row.user, core.ua.now)
        found = next((one for one in bindings if _device(one) == device), None)
        if found is None:
            return False
        # The same at each attempt: a phone that took the message just before a restart can tell.
        first = core.secret("call-id").keyed_hash(f"{row.id} {device}")
        call_id = f"{first}.{self._mark(row.id)}@{row.id}"
        if mark is None or not 0 <= unix - mark.at < _REPEATS:
            mark = Given(row.user, row.id, device, 0, unix)
            await self._given.put(mark)
        # Else a server was killed before the answer: the same transaction again.
        token = core.secret("token").keyed_hash(f"{row.id} {device} {mark.at!r}")
        fields = [("Call-ID", call_id), ("Date", row.date), *row.header_fields]
        try:
            answer = await core.ua.request(
                "MESSAGE", target_of(found), fields, self._body(row), from_=row.sender, to=row.to, token=token
            )
        except (LocalProtocolError, RemoteProtocolError) as error:
            # It can never be sent, and must not stop those behind it.
            core.failed("deliver", error)
            await self._given.put(Given(row.user, row.id, device, 400))
            return True
        if not 200 <= answer.status < 300 and answer.status not in _FOR_GOOD:
            # The next attempt is a transaction of its own.
            await self._given.put(Given(row.user, row.id, device, 0))
            self._later(row.user, core.ua.now)
            return False
        await self._given.put(Given(row.user, row.id, device, answer.status))
        if answer.status < 300:
            self._delivered.add()
            self._held.fetched(row.user, row.id)
        return True

    def _mark(self, id: str) -> str:
        """Return what the Call-ID of each delivery of a message has."""
        return self.core.secret("call-id").keyed_hash(f"of {id}")

    def _body(self, row: Kept) -> bytes:
        kind = next((value for name, value in row.header_fields if name == "Content-Type"), "")
        if self.settings.date_in_text and kind.lower().startswith("text/plain"):
            return f"[{row.date}] ".encode() + row.body
        return row.body

    # --- time

    def timer_fired(self, name: object, now: float) -> None:
        if isinstance(name, tuple):
            if name[0] == "retry":
                self._retrying.discard(name[1])
            elif name[0] == "due" and not self.core.once(f"deliver {name[1]}"):
                # The other node has a timer for it if it started since; else this one has to do it.
                self.core.timers.start(now, _OTHERS, self, ("late", name[1]))
                return
            self._deliver_to(name[1], now)
            return
        if name == "restore":
            self.core.run(self._restore(), now, self._restored)
            return
        self.core.timers.start(now, 60.0, self, "expire")
        self._keeping.recounted.clear()
        unix = self.core.unix(now)
        # Also where another node removes the rows, they count here no more.
        over = [(user, one) for user, held in self._held.rows.items() for one in held if held[one] <= unix]
        for user, one in over:
            self._held.uncount(user, one)
        if self.core.once("expire"):
            self.core.run(self._expire(unix), now)

    async def _expire(self, unix: float) -> None:
        """Remove messages whose time is over, with their marks."""
        after: tuple[str, str] | None = None
        while rows := await self._kept.page(after=after, limit=PAGE):
            for row in rows:
                if row.until <= unix:
                    marks = await self._keeping.remove(row.user, row.id)
                    if not any(200 <= one.status < 300 for one in marks):
                        self._expired.add()
                        if row.reports:
                            await self._tell_sender(row, "failed")
            after = (rows[-1].user, rows[-1].id)

    # --- operators

    @command("messages.list")
    async def list_all(self, user: str, limit: int = 100) -> list[Shown]:
        """Return the messages that are kept for ``user``, an address-of-record, without their text."""
        rows = await self._kept.page(user, limit=max(1, min(limit, 1_000)))
        return [shown(row, await self._given.all(user, row.id)) for row in rows]

    @command("messages.remind")
    async def remind(self, user: str, text: str, at: str, sender: str = "") -> str:
        """Have ``user`` get ``text`` at the time ``at``; return the id of the message.

        ``at``: with its offset to UTC, ``2026-12-24T18:00+01:00``. ``sender``: the address that it is from,
        by default the user's own. Where no phone is there at that time, the message waits like others.
        """
        try:
            when = datetime.fromisoformat(at)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None:
            raise CommandError(f"messages.remind: at must be like 2026-12-24T18:00+01:00, got {at!r:.40}")
        return await self._remind(user, text, when.timestamp(), sender)

    @function
    async def reminder(self, user: str, text: str, at: float, sender: str = "") -> str:
        """Have ``user`` get ``text`` at ``at``, in seconds since 1970; return the id of the message.

        Raises ``CommandError`` for a time that is over, a user who is none of ours, a limit.
        """
        return await self._remind(user, text, at, sender)

    @command("messages.count")
    def count(self) -> int:
        """Return how many messages are kept."""
        return self._held.total

    @command("messages.remove")
    async def remove(self, user: str, id: str = "") -> int:
        """Remove a message, or all of a user; return how many."""
        rows = await self._kept.all(user)
        found = [row for row in rows if id in ("", row.id)]
        if not found:
            raise CommandError(f"messages.remove: {user!r:.80} has no such message (see messages.list)")
        for row in found:
            await self._keeping.remove(row.user, row.id)
        return len(found)


async def _yes() -> bool:
    return True


def _sip(uri: str) -> str:
    """Return ``uri`` of a message/cpim as a SIP URI: ``im:`` (RFC 3860) names the same user."""
    scheme, _, rest = uri.partition(":")
    return f"sip:{rest}" if scheme.lower() == "im" else uri


def _host(binding: Binding) -> str:
    """Return where the phone is: the address that it registered from, or that of its contact."""
    return binding.received.host if binding.received is not None else getattr(binding.uri, "host", "")


def _device(binding: Binding) -> str:
    """Return what stays the same for a device: its instance (RFC 5626 4.1), else its contact."""
    return binding.instance or binding.contact
