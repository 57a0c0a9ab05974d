"""The module: which messages go to a room, who may send them, and to which phones they go.

Theory of operation: a MESSAGE to the address of a room gets a 202, and goes to each registered phone of each
member but its sender. From is the room, with the sender's name, so that an answer goes to all. Only a member
who has proved who they are may send: one datagram of a stranger is never many of ours. Members are listed in
the configuration, or join an open room by the text /join; these are rows. There is no history: a member
without a phone misses what is said.

Of several workers each knows the rooms and their members, and refuses what is not for a room. The messages go
to the first worker, so all phones get them in one order, and the limits hold for all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module import Again, CommandError, Module, command, step
from sansip.module.senders import proves_sender
from sansip.modules.rooms.cpim import sender_of, wrapped
from sansip.modules.rooms.notices import RoomMessage, RoomRefused
from sansip.modules.rooms.outbox import Letter, Outbox
from sansip.modules.rooms.settings import Room, RoomsSettings, address
from sansip.routing.lookup import target_of
from sansip.rows import Table
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest
    from sansip.wire import Request

__all__ = ["Member", "Rooms"]

# Seconds until a sender beyond a limit may try again.
_AGAIN: Final = 10
# Characters of a display name that need no care.
_PLAIN: Final = re.compile(r"[^A-Za-z0-9_.+-]")
_WORDS: Final = frozenset((b"/join", b"/leave", b"/who"))


@dataclass(slots=True)
class Member:
    """A row: ``member`` has joined ``room``, or an operator has added them."""

    room: str
    member: str


MEMBERS = Table("rooms_members", Member, key=("room", "member"))


@dataclass(slots=True)
class ShownRoom:
    """A room as operators see it. ``members`` in all, ``joined`` of them by themselves or by a command."""

    address: str
    open: bool
    members: int
    joined: int


class Rooms(Module):
    """Chat rooms: what one member sends to the address of a room, all others get."""

    name = "rooms"
    over_workers = True
    gathers = frozenset(("MESSAGE",))
    Settings = RoomsSettings
    tables = (MEMBERS,)
    settings: RoomsSettings
    without_passwords = (
        "over UDP a stranger who forges the address of a member's phone sends to the whole room; ask for"
        " passwords (auth)"
    )

    def start(self, core: Core, now: float) -> None:
        self._rows = core.rows(MEMBERS)
        self._joined: dict[str, dict[str, None]] = {}
        self._out = Outbox(core)
        self._relayed = core.counter("messages", "Messages that went to a room")
        self._take()
        Again(core, self._restore).begin(now)

    def configure(self, settings: RoomsSettings, now: float) -> None:
        self.settings = settings
        self._take()

    def _take(self) -> None:
        # The configuration may name a room by any name of this server.
        self._rooms: dict[str, Room] = {
            self.core.address_of(parse_uri(one.address)): one for one in self.settings.rooms
        }
        self._listed = {
            name: dict.fromkeys(self.core.address_of(parse_uri(member)) for member in one.members)
            for name, one in self._rooms.items()
        }

    async def _restore(self) -> None:
        for row in await self._rows.all():
            self._joined.setdefault(row.room, {})[row.member] = None

    def rows_changed(
        self, table: Table[Any], rows: Sequence[Member], deleted: Sequence[Any], now: float
    ) -> None:
        """Another worker has members join or leave."""
        for row in rows:
            self._joined.setdefault(row.room, {})[row.member] = None
        for room, member in deleted:
            self._joined.get(room, {}).pop(member, None)

    def _members_of(self, room: str) -> list[str]:
        """Return the members, those of the configuration first."""
        return list({**self._listed.get(room, {}), **self._joined.get(room, {})})

    # --- requests

    @step("register", methods=("REGISTER",))
    async def no_phone(self, request: IncomingRequest) -> None:
        """Refuse a phone that registers as a room: it would get what is for all."""
        if self._rooms and self.core.address_of(request.message.to.uri) in self._rooms:
            request.reply(403, "Not Your Address")

    @step("translate", rank=5, methods=("MESSAGE",))
    async def for_a_room(self, request: IncomingRequest) -> None:
        """Send a message for a room to its members."""
        if not self._rooms:
            return
        name = self.core.address_of(request.uri)
        room = self._rooms.get(name)
        if room is None:
            return
        sender = self.core.address_of(request.message.from_.uri)
        refused = self._refusal(request, room, name, sender)
        if refused is not None:
            status, reason = refused
            self._refuse(request, name, sender, status, reason)
            return
        if not await self.core.limit(f"{name} {sender}", self.settings.per_minute, 60.0):
            self._refuse(request, name, sender, 480, "rooms.per_minute is reached")
            return
        if self._out.total >= self.settings.most:
            self._refuse(request, name, sender, 480, "rooms.most is reached")
            return
        word = _word_of(request.message)
        if word:
            await self._word(request, room, name, sender, word)
        else:
            self._say(request, name, sender)

    @step("select", rank=5)
    async def no_call(self, request: IncomingRequest) -> None:
        """Refuse what is no message: no phone can register as a room, so it is looked for as a user first."""
        if self._rooms and self.core.address_of(request.uri) in self._rooms:
            # RFC 3261 21.4.6
            request.reply(405, None, [("Allow", "MESSAGE")])

    def _refusal(
        self, request: IncomingRequest, room: Room, name: str, sender: str
    ) -> tuple[int, str] | None:
        """Return status and reason where the message goes to nobody."""
        if sender in self._rooms:
            # One of ours came back: a contact of a member leads to a room.
            return 482, "it is from a room"
        if not proves_sender(self.core, request, sender):
            return 403, "the sender has not proved who they are"
        is_member = sender in self._listed[name] or sender in self._joined.get(name, ())
        joins = room.open and _word_of(request.message) == b"/join"
        if not is_member and not joins:
            return 403, "the sender is no member"
        if len(request.message.body) > self.settings.size:
            return 413, f"{len(request.message.body)} octets (rooms.size)"
        if request.message.has("content-encoding"):
            # RFC 3261 21.4.13: it could not be shown with its sender.
            return 415, "an encoded body"
        kind = _type_of(request.message).lower()
        if kind.startswith("message/cpim") and self._address(sender_of(request.message.body)) != sender:
            return 403, "the From of its message/cpim is another one than the sender"
        return None

    def _address(self, uri: str) -> str:
        try:
            return self.core.address_of(parse_uri(uri))
        except RemoteProtocolError:
            return ""

    def _refuse(self, request: IncomingRequest, room: str, sender: str, status: int, reason: str) -> None:
        self.core.notify(RoomRefused(room, sender, reason), request.now)
        fields = [("Accept-Encoding", "identity")] if status == 415 else []
        if status == 480:
            fields.append(("Retry-After", str(_AGAIN)))
        request.reply(status, None, fields)

    # --- what goes out

    def _say(self, request: IncomingRequest, room: str, sender: str) -> None:
        """Answer 202, and send the message to all members but its sender."""
        # RFC 3428 7: without Contact and body.
        request.reply(202)
        now, kind, body = request.now, _type_of(request.message), request.message.body
        if kind.lower().startswith("text/plain"):
            if self.settings.form == "cpim":
                body = wrapped(sender, room, kind, body, self.core.unix(now))
                kind = "message/cpim"
            else:
                body = f"<{sender}> ".encode() + body
        phones = 0
        for member in self._members_of(room):
            if member != sender:
                phones += self._send(room, _name_of(sender), member, kind, body, now)
        self._relayed.add()
        self.core.tell(RoomMessage(room, sender, phones), now)

    def _send(self, room: str, shown: str, member: str, kind: str, body: bytes, now: float) -> int:
        """Send a message to the phones of ``member``; return how many there are."""
        from_, to = f'"{shown}" <{room}>', f"<{member}>"
        bindings = self.core.location.lookup(member, now)[: self.settings.devices]
        for one in bindings:
            letter = Letter(target_of(one), from_, to, kind, body)
            self._out.put((member, one.instance or one.contact), letter, self.settings.waiting, now)
        if not bindings and not self._is_ours(member):
            self._out.put(member, Letter(member, from_, to, kind, body), self.settings.waiting, now)
            return 1
        return len(bindings)

    def _is_ours(self, member: str) -> bool:
        uri = parse_uri(member)
        return isinstance(uri, SipUri) and self.core.listeners.serves(uri.host, uri.port)

    # --- who is in

    async def _word(self, request: IncomingRequest, room: Room, name: str, sender: str, word: bytes) -> None:
        """Do what /join, /leave or /who says, and tell the sender alone."""
        joined = self._joined.get(name, {})
        if word == b"/join":
            if not (sender in joined or sender in self._listed[name]):
                if len(self._members_of(name)) >= self.settings.members:
                    self._refuse(request, name, sender, 480, "rooms.members is reached")
                    return
                await self._add(name, sender)
            text = f"You are in the room {name}. /leave ends that, /who lists the members."
        elif word == b"/leave":
            if sender in self._listed[name]:
                self._refuse(request, name, sender, 403, "the configuration lists the sender")
                return
            await self._drop(name, sender)
            text = f"You are no more in the room {name}."
        else:
            text = "\n".join(self._members_of(name))
        request.reply(202)
        self._send(name, "room", sender, "text/plain;charset=UTF-8", text.encode(), request.now)

    async def _add(self, room: str, member: str) -> None:
        # Counted before the first wait, so that many at once stay within the limit.
        joined = self._joined.setdefault(room, {})
        joined[member] = None
        try:
            await self._rows.put(Member(room, member))
        except BaseException:
            joined.pop(member, None)
            raise

    async def _drop(self, room: str, member: str) -> None:
        await self._rows.delete((room, member))
        self._joined.get(room, {}).pop(member, None)

    # --- operators

    @command("rooms.list")
    def list_all(self) -> list[ShownRoom]:
        """Return the rooms."""
        return [
            ShownRoom(name, one.open, len(self._members_of(name)), len(self._joined.get(name, ())))
            for name, one in self._rooms.items()
        ]

    @command("rooms.members")
    def list_members(self, room: str) -> list[str]:
        """Return the members of ``room``."""
        return self._members_of(self._named(room))

    @command("rooms.add")
    async def add(self, room: str, member: str) -> int:
        """Add ``member`` to ``room``; return how many it has."""
        name, whose = self._named(room), self._member(member)
        if whose not in self._members_of(name):
            if len(self._members_of(name)) >= self.settings.members:
                raise CommandError(f"rooms.add: rooms.members ({self.settings.members}) is reached")
            await self._add(name, whose)
        return len(self._members_of(name))

    @command("rooms.remove")
    async def remove(self, room: str, member: str) -> int:
        """Remove ``member``, who has joined or was added, from ``room``; return how many it has."""
        name, whose = self._named(room), self._member(member)
        if whose not in self._joined.get(name, {}):
            where = "the configuration lists them" if whose in self._listed[name] else "see rooms.members"
            raise CommandError(f"rooms.remove: {whose:.80} has not joined ({where})")
        await self._drop(name, whose)
        return len(self._members_of(name))

    def _named(self, room: str) -> str:
        name = self._address(room)
        if name not in self._rooms:
            raise CommandError(f"{room!r:.80} is no room (see rooms.list)")
        return name

    def _member(self, member: str) -> str:
        try:
            return self.core.address_of(parse_uri(address(member)))
        except ValueError as error:
            raise CommandError(str(error)) from None


def _type_of(message: Request) -> str:
    return message.get("content-type") or "text/plain"


def _word_of(message: Request) -> bytes:
    """Return the word for the room itself that ``message`` is, b"" where it is for the members."""
    body = message.body
    if body[:1] != b"/" or not _type_of(message).lower().startswith("text/plain"):
        return b""
    word = body.strip()
    return word if word in _WORDS else b""


def _name_of(sender: str) -> str:
    """Return the display name of a sender: the user part of their address."""
    return _PLAIN.sub("_", sender.partition(":")[2].partition("@")[0])[:64]
