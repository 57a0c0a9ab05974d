"""Delivery: each phone of a user gets what it does not have, in order, one message at a time.

Theory of operation: for each device one task at most reads the rows of its user, sends the next message that
has no mark of this device, and marks it. The mark is written with the answer. A server that is killed before
that cannot know whether the phone has the message: SIP has no request that asks. It sends the same request
once more: a phone that keeps the transaction (RFC 3261 17.2.2: 32 s over UDP) or looks at the Call-ID takes
it for a repetition. ``in_doubt`` has the message given up instead where the transaction is over: then a mark
is written before the message leaves, too.

A kept message leaves with the Call-ID, From tag and CSeq of its sender. So a phone also knows a message that
it got at once, from a server that was killed before the answer went back. And a notification that names the
Call-ID (linphone's) means something to the sender.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.later import Later
from sansip.modules.messages.handing import Handing
from sansip.modules.messages.keeping import PAGE
from sansip.modules.messages.notices import MessageDoubtful
from sansip.modules.messages.row import DOUBTFUL, Given, Kept
from sansip.routing.lookup import target_of
from sansip.transport.transports import UDP

if TYPE_CHECKING:
    from sansip.client import Client
    from sansip.clock import Timer
    from sansip.location import Binding
    from sansip.module import Core, Module
    from sansip.modules.messages.keeping import Keeping
    from sansip.modules.messages.recent import Recent

__all__ = ["Delivery"]

# A device will never take this message: another attempt is of no use.
_FOR_GOOD: Final = frozenset((400, 405, 406, 413, 415, 416, 420, 484, 488, 493, 501, 513, 603, 606))
# Devices that one message is given to: a phone may name a new Contact as often as it likes.
_DEVICES: Final = 32
# Seconds in which each phone takes a request with the same branch for a repetition, over UDP: Timer J (RFC
# 3261 17.2.2), less the time that the request and a wrong clock may take.
_REPEATS: Final = 30.0
# Reads of rows that a new message waits for, at most: a phone may register anew all the time.
_LOOKS: Final = 8
# Octets of a message with its kept header fields that surely leaves as a datagram (RFC 3261 18.1.1: 1,300
# with the rest of the request).
_DATAGRAM: Final = 600


class Delivery:
    """Delivers. Its timers are the module's.

    Attributes:
        quick: whether messages may leave as octets (``Handing``).
    """

    def __init__(self, core: Core, module: Module, keeping: Keeping) -> None:
        self._core = core
        self._ua = core.ua
        # Whether no other process could be the one that delivers.
        self._alone = core.seat is None and not core.node
        self._location = core.location
        self._wall = core.wall
        self._module = module
        self._keeping = keeping
        # Devices that did not take a message, by user and name, and the timers that try them again.
        self._resting: dict[tuple[str, str], Timer] = {}
        # Devices that messages are being delivered to, by their user. The value is there once it is known
        # whether a message waits for the device.
        self._running: dict[str, dict[str, Later[bool]]] = {}
        # Those of them for which something came meanwhile; whether that is the phone itself, anew.
        self._again: dict[tuple[str, str], bool] = {}
        self._delivered = core.counter("delivered", "Messages that a device took")
        self.quick = True
        self._tokens = core.secret("token")
        self._call_ids = core.secret("call-id")

    async def runs(self, user: str) -> bool:
        """Whether messages are being delivered to ``user``; it waits while rows are being read."""
        if self._keeping.has_none(user):
            return False
        for _ in range(_LOOKS):
            running = self._running.get(user)
            if not running:
                return False
            if any(one.done for one in running.values()):
                break
            await next(iter(running.values()))
        return user in self._running

    def retry(self, user: str, device: str, now: float) -> None:
        """The time to try a device again has come."""
        key = user, device
        del self._resting[key]
        if not self._keeping.has_none(user) and self.binding(key, now) is not None:
            self._begin(key, now)

    def changed(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        """Bindings changed: a device gets what it does not have."""
        if not after or (aor not in self._keeping.held.rows and (before or self._keeping.has_none(aor))):
            return
        known = set(map(_registered, before))
        came = {_device(one) for one in after if _registered(one) not in known}
        # All nodes hear of it.
        if came and (self._alone or self._core.once(f"deliver {aor}")):
            self.deliver_to(aor, self._ua.now, came)

    def kept(self, aor: str, now: float) -> None:
        """A message was kept for ``aor``: a device may have registered meanwhile."""
        if self._location.lookup(aor, now) and (self._alone or self._core.once(f"deliver {aor}")):
            self.deliver_to(aor, now)

    def deliver_to(self, aor: str, now: float, came: Collection[str] | None = None) -> None:
        """Give the devices of ``aor`` what they do not have. It goes by what this node knows of them.

        ``came``: those that have just registered. One that did not take a message has its time till then.
        """
        if self._keeping.has_none(aor):
            return
        # A phone with two ways (RFC 5626) is one device: the second one is no further registration.
        for device in self._devices(aor, now):
            key = aor, device
            if came is None:
                if key not in self._resting:
                    self._begin(key, now)
            elif device in came:
                self._wake(key)
                self._begin(key, now, came=True)

    def _begin(self, key: tuple[str, str], now: float, came: bool = False) -> None:
        user, device = key
        running = self._running.setdefault(user, {})
        if device in running:
            # It may have read the rows before that.
            self._again[key] = came or self._again.get(key, False)
            return
        running[device] = Later()
        if self.quick and self.recent.knows(user):
            Handing(self, key).goes(now)
        else:
            self.rest(key, now)

    def rest(self, key: tuple[str, str], now: float) -> None:
        """Give a device what it does not have, by a coroutine."""
        user, device = key
        found = self._running[user][device]
        self._core.run(self._deliver(user, device, found), now, partial(self.over, key))

    def unreached(self, user: str, now: float) -> None:
        """A message that was relayed has reached none of the devices of ``user``."""
        for device in self._devices(user, now):
            self._later((user, device), now)

    def _devices(self, aor: str, now: float) -> dict[str, None]:
        return {_device(one): None for one in self._location.lookup(aor, now)}

    def _later(self, key: tuple[str, str], now: float) -> None:
        """Try a device again, but not before its time."""
        if key not in self._resting:
            seconds = self._keeping.settings.retry
            self._resting[key] = self._core.timers.start(now, seconds, self._module, ("retry", *key))

    def _wake(self, key: tuple[str, str]) -> None:
        """The time till a device is tried again is over."""
        timer = self._resting.pop(key, None)
        if timer is not None:
            timer.cancel()

    def over(self, key: tuple[str, str], result: object, now: float) -> None:
        """A delivery has ended: with an exception, or whether nothing is left for the device."""
        user, device = key
        running = self._running.get(user, {})
        found = running.pop(device, None)
        if found is None:
            # It had ended when this exception came.
            if isinstance(result, BaseException):
                self._core.failed("deliver", result)
            return
        if not running:
            del self._running[user]
        again = self._again.pop(key, None)
        if isinstance(result, BaseException):
            # Rows could not be read, or a mark not be written: a phone may not register again for long.
            self._later(key, now)
            if not isinstance(result, OSError):
                self._core.failed("deliver", result)
        elif again or (again is not None and result is True):
            # A phone that registers while it fails to answer elsewhere, or before, is tried at once.
            self._wake(key)
            self._begin(key, now)
        found.set(False, now)

    async def _deliver(self, aor: str, device: str, found: Later[bool]) -> bool:
        """Give a device what it does not have; return whether nothing is left."""
        after = ""
        while page := await self._keeping.read(aor, after):
            for row, marks in page:
                if row.id not in self._keeping.held.rows.get(aor, ()) and row.until > self._core.unix(
                    self._ua.now
                ):
                    self._keeping.held.count(aor, row.id, self._keeping.sender_of(row), row.until)
                if not await self._give(row, device, marks, found):
                    return False
            if len(page) < PAGE:
                # What came meanwhile begins it again.
                break
            after = page[-1][0].id
        return True

    async def _give(self, row: Kept, device: str, marks: Mapping[str, Given], found: Later[bool]) -> bool:
        """Give a device a message that it does not have; return whether the next one may follow.

        ``found`` is told that there is one.
        """
        core = self._core
        unix = core.unix(self._ua.now)
        if not self.wants(row, device, marks, unix):
            return True
        binding = self.binding((row.user, device), self._ua.now)
        if binding is None:
            return False
        found.set(True, self._ua.now)
        mark = marks.get(device)
        at = 0.0 if mark is None else mark.at
        if self.asks_before:
            if at > 0 and not _repeats(binding, row, unix - at):
                await self._keeping.mark(Given(row.user, row.id, device, DOUBTFUL, at))
                self._keeping.held.fetched(row.user, row.id)
                core.notify(MessageDoubtful(row.user, row.id, device), self._ua.now)
                return True
            if at <= 0:
                at = unix
                mark = Given(row.user, row.id, device, 0, at)
                await self._keeping.mark(mark)
        fields = [("Date", row.date), *row.header_fields]
        identity = row.identity
        if identity is None:
            # The same at each attempt, too.
            fields.append(("Call-ID", self._call_ids.keyed_hash(f"{row.id} {device}")))
        try:
            answer = await self._ua.request(
                "MESSAGE",
                target_of(binding),
                fields,
                self.body(row),
                from_=row.sender,
                to=row.to,
                token=self.token(row, device, mark),
                identity=identity,
            )
        except (LocalProtocolError, RemoteProtocolError) as error:
            # It can never be sent, and must not stop those behind it.
            core.failed("deliver", error)
            await self._keeping.mark(Given(row.user, row.id, device, 400))
            return True
        mark = self.mark_of(row, device, answer.status, self._ua.now)
        await self._keeping.mark(mark)
        return self.marked(row, mark, self._ua.now)

    # --- what ``Handing`` does alike

    @property
    def recent(self) -> Recent:
        return self._keeping.recent

    @property
    def client(self) -> Client:
        return self._ua.client

    @property
    def asks_before(self) -> bool:
        """Whether a mark is written before a message leaves."""
        return self._keeping.settings.in_doubt == "give up"

    def wants(self, row: Kept, device: str, marks: Mapping[str, Given], unix: float) -> bool:
        """Whether the device is to get a message at ``unix``."""
        if row.until <= unix or row.due > unix:
            return False
        mark = marks.get(device)
        return not mark.status if mark is not None else len(marks) < _DEVICES

    def binding(self, key: tuple[str, str], now: float) -> Binding | None:
        """Return where the device of a user is."""
        user, device = key
        for one in self._location.lookup(user, now):
            if _device(one) == device:
                return one
        return None

    def begins(self, key: tuple[str, str], now: float) -> None:
        """A message leaves for the device."""
        user, device = key
        self._running[user][device].set(True, now)

    def token(self, row: Kept, device: str, mark: Given | None) -> str:
        """Return what the branch is made of.

        The same until there is an answer: a server that was killed sends the same request to its branch.
        """
        at = 0.0 if mark is None else mark.at
        return self._tokens.keyed_hash(f"{row.id} {device} {at!r}")

    def mark_of(self, row: Kept, device: str, status: int, now: float) -> Given:
        """Return the mark for an answer with ``status``."""
        if not 200 <= status < 300 and status not in _FOR_GOOD:
            # The next attempt is a transaction of its own.
            return Given(row.user, row.id, device, 0, -self._wall.unix(now))
        return Given(row.user, row.id, device, status)

    def marked(self, row: Kept, mark: Given, now: float) -> bool:
        """The mark of an answer is durable; return whether the next message may follow."""
        if not mark.status:
            self._later((mark.user, mark.device), now)
            return False
        if mark.status < 300:
            self._delivered.add()
            self._keeping.held.fetched(row.user, row.id)
        return True

    def body(self, row: Kept) -> bytes:
        """Return the text as it leaves."""
        if self._keeping.settings.date_in_text and row.content_type.startswith("text/plain"):
            return f"[{row.date}] ".encode() + row.body
        return row.body

    def unix(self, now: float) -> float:
        """Return the time of day at ``now``."""
        return self._wall.unix(now)

    def put_mark(self, mark: Given, told: Callable[[Any, float], None], now: float) -> None:
        """Write ``mark``."""
        self._keeping.put_mark(mark, told, now)


def _repeats(binding: Binding, row: Kept, age: float) -> bool:
    """Whether each phone at ``binding`` takes the same branch for a repetition after ``age`` seconds."""
    if not 0 <= age < _REPEATS or len(row.body) + len(row.fields) > _DATAGRAM:
        return False
    # RFC 3261 17.2.2: Timer J is 0 where no datagrams are used.
    if binding.received is not None:
        return binding.received.by_datagram
    return (getattr(binding.uri, "transport", None) or UDP) == UDP


def _device(binding: Binding) -> str:
    """Return what stays the same for a device: its instance (RFC 5626 4.1), else its contact."""
    return binding.instance or binding.contact


def _registered(binding: Binding) -> tuple[object, ...]:
    """Return what is another thing after each REGISTER of a phone."""
    return binding.contact, binding.refreshed_at, binding.call_id, binding.cseq
