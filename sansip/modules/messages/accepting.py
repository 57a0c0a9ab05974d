"""Whether a message is kept, and the row that is made of it: of a message, or of its octets.

Theory of operation: nearly every MESSAGE for a user without a phone is plain, within the limits and new. Such
a one is a row without a message in between (``take``): what was read in brief has all that a row holds, and
the 202 leaves once the row is durable. ``keep`` is the reference, and decides on every other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module.senders import is_registered, proves_sender
from sansip.modules.messages.notices import MessageKept, MessageRefused
from sansip.modules.messages.row import Kept
from sansip.modules.messages.texts import (
    fields_of_lines,
    identity_of,
    identity_written,
    kept_fields,
    without_tag,
)
from sansip.registrar.date import sip_date, unix_of
from sansip.wire import parse_name_addr
from sansip.wire.abnf import TOKEN, compiled

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.module.metrics import Counter
    from sansip.modules.messages.delivery import Delivery
    from sansip.modules.messages.keeping import Keeping
    from sansip.modules.messages.telling import Telling
    from sansip.routing import IncomingRequest
    from sansip.routing.usages import UsageArrived
    from sansip.wire import Uri

__all__ = ["Accepting"]

# RFC 3261 21.4.11, 21.4.18: what a sender is told whose message is not kept, though the user may be there
# later. A 404 would say that there is no such user.
_TOO_LARGE: Final = 413
_NOT_NOW: Final = 480
# A name-addr with a tag alone, as ``without_tag`` leaves it.
_party: Final = compiled(rf'(?:From|To): ((?:"[^"\\]*"[ \t]*)?<[^<>"]*>)(?:;tag=({TOKEN}))?').fullmatch
_expires: Final = compiled(r"Expires: ([0-9]{1,9})").fullmatch


@lru_cache(1_024)
def _uri_in(address: str) -> tuple[str, Uri] | None:
    """Return the URI of a name-addr, as text and read; None for a malformed one."""
    try:
        uri = parse_name_addr(address, "From", "RFC 3261 20.20").uri
    except RemoteProtocolError:
        return None
    return str(uri), uri


class Accepting:
    """Takes messages for users who are not there. ``tick(now)``: something may expire one day."""

    __slots__ = (
        "_alone", "_core", "_delivery", "_keeping", "_location", "_modules", "_stored", "_telling", "_tick",
        "_wall",
    )  # fmt: skip

    def __init__(
        self,
        core: Core,
        keeping: Keeping,
        delivery: Delivery,
        telling: Telling,
        stored: Counter,
        tick: Callable[[float], None],
    ) -> None:
        self._core = core
        self._location = core.location
        self._wall = core.wall
        self._keeping = keeping
        self._delivery = delivery
        self._telling = telling
        self._stored = stored
        self._tick = tick
        # The modules of the stack, and whether none of them has a say beside this one.
        self._modules: Any = None
        self._alone = False

    async def keep(self, request: IncomingRequest, user: str, *, at_once: bool) -> int:
        """Keep the message and answer 202; return that.

        Return the status that says why it is not kept, 0 where the failure of the relay says it.
        """
        core, keeping, message = self._core, self._keeping, request.message
        sender = core.address_of(message.from_.uri)
        try:
            life = message.expires
        except RemoteProtocolError:
            life = None
        if life == 0:
            # RFC 3428 4: it is of no use later.
            return 0
        # All that a row holds: a header field can be longer than a body.
        fields, date, identity = kept_fields(message), message.get("date"), identity_of(message)
        parties = without_tag(message.from_), without_tag(message.to)
        size = len(message.body) + len(fields) + len(date or "") + len(identity) + sum(map(len, parties))
        limit = keeping.held.limit_of(keeping.settings, user, sender, size)
        if limit in ("per_user", "per_sender", "per_strangers"):
            await keeping.recount(user)
            limit = keeping.held.limit_of(keeping.settings, user, sender, size)
        if limit:
            core.notify(MessageRefused(sender, user, limit), request.now)
            return _TOO_LARGE if limit == "size" else _NOT_NOW
        unix = core.unix(request.now)
        until = self._end(unix, date, life)
        if until <= unix:
            return 0
        origin = keeping.origin_of(message)
        found = keeping.held.find(user, origin)
        if found:
            # RFC 3261 8.2.2.2: it came by two ways at once, and was kept while this one was relayed.
            request.reply(482 if found in keeping.held.coming else 202)
            return 202
        row = Kept(
            user,
            keeping.new_id(unix, origin),
            *parties,
            # RFC 3261 20.17: the sender's time counts.
            date or sip_date(unix),
            unix,
            until,
            fields,
            message.body,
            request=identity,
        )
        if proves_sender(core, request, sender):
            row.reports = sender
        kept = await keeping.write(row, sender, keeping.is_user(user, request.uri, request))
        if kept is None:
            return 0
        if kept is not row:
            # Another node has kept the same message, and tells what becomes of it.
            request.reply(202)
            return 202
        self._begun(row, sender, request.now)
        # RFC 3428 7: 202 without Contact and without body.
        request.reply(202)
        self._after(row, request.now)
        if at_once:
            self._delivery.kept(user, request.now)
        else:
            self._delivery.unreached(user, request.now)
        return 202

    def fail(self, request: IncomingRequest) -> None:
        """The store cannot say or keep anything: the sender has the message still."""
        # RFC 3261 21.5.4: a 404 would say that there is no such user.
        request.reply(503, None, [("Retry-After", "30")])

    def _end(self, unix: float, date: str | None, life: int | None) -> float:
        """Return when a message ends, in seconds since 1970; it is of no use if that is over."""
        until = unix + self._keeping.settings.expires
        if life is not None:
            # RFC 3428 7: Expires counts from Date, where there is one.
            sent = None if date is None else unix_of(date)
            until = min(until, (unix if sent is None else sent) + life)
        return until

    def _begun(self, row: Kept, sender: str, now: float) -> None:
        """``row`` is durable, and is answered next."""
        self._tick(now)
        self._stored.add()
        self._core.tell(MessageKept(row.user, sender, row.id), now)

    def _after(self, row: Kept, now: float) -> None:
        """``row`` was answered."""
        keeping = self._keeping
        most = 2 * keeping.settings.per_user
        if keeping.held.surplus(row.user, most):
            self._core.run(keeping.make_room(row.user, most), now)
        if row.reports:
            self._core.run(self._telling.tell(row, "stored"), now)

    # --- of octets

    def take(self, arrived: UsageArrived) -> Callable[[UsageArrived, float], None] | None:
        """Return what keeps a message for a user without a phone; None where more is to be looked at."""
        core, keeping, usage, now = self._core, self._keeping, arrived.usage, arrived.now
        lines, user = usage.lines, arrived.aor
        from_, to = _party(lines["from"]), _party(lines["to"])
        if (
            not user
            or usage.tag is not None
            or from_ is None
            or from_[2] is None
            or to is None
            # Others may have it, or know of it.
            or keeping.shares
            or not keeping.complete
            or core.node
            or not self._is_alone(arrived)
        ):
            return None
        sender = _uri_in(from_[1])
        if sender is None or self._location.lookup(user, now):
            return None
        date, life = lines.get("date"), None
        if date is not None:
            date = date[5:].strip()
        if "expires" in lines:
            given = _expires(lines["expires"])
            if given is None or given[1] == "0":
                return None
            life = int(given[1])
        unix = self._wall.unix(now)
        until = self._end(unix, date, life)
        number, tag = int(usage.cseq), from_[2]
        origin = keeping.origin((sender[0], tag, usage.call_id, number, "MESSAGE"), date, usage.body)
        if until <= unix or keeping.held.find(user, origin):
            return None
        row = Kept(
            user,
            "",
            from_[1],
            to[1],
            date or sip_date(unix),
            unix,
            until,
            fields_of_lines(lines),
            usage.body,
            request=identity_written(usage.call_id, tag, number),
        )
        whose = core.address_of(sender[1])
        size = len(row.body) + len(row.fields) + len(date or "") + len(row.request)
        size += len(row.sender) + len(row.to)
        if keeping.held.limit_of(keeping.settings, user, whose, size):
            return None
        if arrived.proves or is_registered(self._location, whose, arrived.flow.host, now):
            row.reports = whose
        return partial(self._put, row, origin, whose)

    def _is_alone(self, arrived: UsageArrived) -> bool:
        """Whether a MESSAGE for a user without a phone comes to this module at once, and to no other."""
        modules = arrived.core.modules
        if modules is not self._modules:
            stages = modules.stages_of("MESSAGE")
            self._modules = modules
            self._alone = len(stages["select"]) == 1 and not (
                stages["screen"] or stages["identify"] or stages["translate"]
            )
        return self._alone

    def _put(self, row: Kept, origin: str, sender: str, arrived: UsageArrived, now: float) -> None:
        row.id = self._keeping.new_id(row.at, origin)
        arrived.waits(now)
        told = arrived.guarded(partial(self._stand, row, sender, arrived), self._core.failed)
        self._keeping.put(row, sender, told, now)

    def _stand(self, row: Kept, sender: str, arrived: UsageArrived, result: Any, now: float) -> None:
        """The store has answered: with an exception, or ``row`` is durable."""
        if isinstance(result, BaseException):
            self._core.failed("for_nobody", result)
            self.fail(arrived.handle(now))
            return
        self._begun(row, sender, now)
        # RFC 3428 7: 202 without Contact and without body.
        arrived.grant("", now, self._core.entropy.token(), "SIP/2.0 202 Accepted")
        self._after(row, now)
        self._delivery.kept(row.user, now)
