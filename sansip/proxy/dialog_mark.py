"""The mark of a dialog in our Record-Route values: who may send within it, and where to.

Theory of operation: a route set never changes (RFC 3261 12.2), so each request of a dialog brings the same
values, and can prove what they say. Our value has a mark (parameter ``d``), and the two sides have different
ones. The callee's leaves with the request; the caller's is written into the answer, for a proxy may rewrite
its own value there (16.7 step 8), and by then the tag and the Contact of the callee are known. A mark has
three parts:

    head           which side has it, whether that is a user of ours, whether the other side is a gateway that
                   only modules send to (``client.guarded``), and the hour it was made in
    dialog seal    Call-ID, the caller's tag (the caller's mark: both tags), and the value
                   that follows ours in the route set: no request of the dialog changes them
    whole seal     the same, the remote target, and for one of our users also the
                   user and the address that it sends from; in a dialog with such a gateway the
                   last digits are another seal, of the gateway's host and port alone

Of several workers of one server each puts a digit behind its marks, so that the requests of a dialog come to
the worker that has its state (``sansip.siblings``). It proves nothing, and no seal covers it.

So the side that has a mark can reach the other side only, and only as itself. Nothing is stored for that: a
mark outlives a restart, and other nodes with the same key read it.

A remote target may change (a target refresh, 12.2.1.2 and 12.2.2), and a route set may
not: so the targets that pass through here are remembered, for a bounded number of dialogs.
Where only the dialog seal fits, the route decides (``routing.within``).

A remote target comes in a Contact and goes back in a Request-URI (12.2.1.1). They are nearly the same text: a
user agent may leave out parameters and header fields that are not for a Request-URI (19.1.1), and write
escapes and case as it likes. So the seal covers (``address_of``) the user, host, port, and the parameters
that decide the way (transport, maddr, gr). The code parses nothing, because it does this for each request of
a dialog.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.keyed import keyed
from sansip.wire.headers.name_addr import parse_name_addr
from sansip.wire.host import host_key
from sansip.wire.uri import unescape

if TYPE_CHECKING:
    from sansip.wire import Request, Response

__all__ = [
    "CALLER",
    "GUARDED",
    "PARAMETER",
    "Marks",
    "Reading",
    "address_of",
    "contact_of",
    "hour_of",
    "place_in",
    "sender",
    "strip",
    "uri_of",
]

# The URI parameter that has the mark. Its digits are hexadecimal, for elements on the way
# may change the case of a parameter (RFC 3261 19.1.4).
PARAMETER: Final = "d"
CALLER: Final = 0x8000
_OURS: Final = 0x4000
GUARDED: Final = 0x2000
_HOURS: Final = 0x1FFF
# Octets. A seal can only be guessed at over the network.
_DIALOG, _WHOLE = 6, 7
_HEAD_END: Final = 4
_DIALOG_END: Final = _HEAD_END + 2 * _DIALOG
# In a mark of a dialog with a gateway, the last digits of the whole seal are a seal of the gateway's place
# alone: so this node knows that a request leads to that gateway although its sender has moved.
_PLACE: Final = 4
_LENGTH: Final = _DIALOG_END + 2 * _WHOLE
# Remote targets kept of one side: the first one, and those that it got since.
_KEPT: Final = 2

# Addresses whose seal is remembered.
_PLACES: Final = 1_024
# Heads whose digits are remembered.
_FEW: Final = 64

# URIs that ``address_of`` remembers, of at most so many characters: a phone writes the same one in each call.
_REMEMBERED: Final = 4_096
_MEMORABLE: Final = 128
# Parameters of a URI that decide where it leads: RFC 3261 19.1.1, RFC 5627 3.
_DECIDING: Final = frozenset(("transport", "maddr", "gr"))


class Reading(IntEnum):
    """The facts that a mark proves about the request that it came with."""

    # The mark is not ours, of another dialog or side, or too old.
    NONE = 0
    # The mark is of this dialog and side; but the target or the sender is not the sealed one.
    DIALOG = 1
    # The mark is of this dialog and of one of our users, but another user sends, or from another address.
    OURS = 2
    # All of it.
    WHOLE = 3


class Marks:
    """Makes and reads marks.

    Args:
        key: the same on all nodes, and in all lives of a process, that shall read each other's.
        life: seconds that a mark is good for.
        most: dialogs whose refreshed targets are remembered.

    Attributes:
        place: the digit of this worker (``Seat.digit``); "" for a server that is alone.
    """

    __slots__ = ("_dialog", "_digits", "_heads", "_hours", "_places", "_targets", "_whole", "most", "place")

    def __init__(self, key: bytes, life: float, most: int) -> None:
        own = blake2b(key, digest_size=32, person=b"sansip-marks").digest()
        self._dialog = keyed(own, _DIALOG)
        self._whole = keyed(own, _WHOLE)
        # Heads and their digits: those of an hour are few.
        self._digits: dict[int, str] = {}
        self._heads: dict[str, int] = {}
        # Addresses of gateways and their seals.
        self._places: dict[str, str] = {}
        self.live(life)
        self.most = most
        self.place = ""
        # (Call-ID, local tag, remote tag) -> remote targets
        self._targets: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def live(self, life: float) -> None:
        """Have marks be good for ``life`` seconds."""
        self._hours = int(life // 3600) + 1

    def __len__(self) -> int:
        """How many dialogs' targets are remembered."""
        return len(self._targets)

    def make(self, head: int, dialog: tuple[str, str, str, str], target: str, who: str) -> str:
        """Return the mark; ``dialog`` is Call-ID, local tag ("" for the callee), remote tag, next route."""
        if who:
            head |= _OURS
        digits = self._digits
        first = digits.get(head)
        if first is None:
            if len(digits) >= _FEW:
                digits.clear()
            first = digits[head] = f"{head:04x}"
        call_id, local, remote, after = dialog
        whole = self._whole(first, call_id, local, remote, after, target, who)
        if head & GUARDED:
            whole = whole[:-_PLACE] + self._place_of(after or target)
        return f"{first}{self._dialog(first, call_id, local, remote, after)}{whole}{self.place}"

    def _place_of(self, address: str) -> str:
        """Return the seal of the host and port in ``address`` (``address_of``)."""
        places = self._places
        found = places.get(address)
        if found is None:
            place = address.rpartition("@")[2].partition(";")[0]
            found = self._whole(f"place\n{place}")[:_PLACE]
            if len(address) <= _MEMORABLE:
                if len(places) >= _PLACES:
                    places.clear()
                places[address] = found
        return found

    def _head_of(self, mark: str, unix: float) -> int:
        """Return the head of ``mark``, -1 where it is none of ours, or too old."""
        if not _LENGTH <= len(mark) <= _LENGTH + 1 or not mark.isascii():
            return -1
        digits = mark[:_HEAD_END]
        heads = self._heads
        found = heads.get(digits)
        if found is None:
            try:
                found = int(digits, 16)
            except ValueError:
                return -1
            if len(heads) >= _FEW:
                heads.clear()
            heads[digits] = found
        head = found
        age = (hour_of(unix) - head) & _HOURS
        # A clock behind the one that made it is no reason to end a call.
        return -1 if min(age, _HOURS + 1 - age) > self._hours else head

    def is_whole(
        self, mark: str, call_id: str, from_tag: str, to_tag: str, uri: str, who: str, unix: float
    ) -> bool:
        """Whether ``read`` would say ``WHOLE`` of a request with these and no further Route."""
        mark = mark.lower()
        head = self._head_of(mark, unix)
        if head < 0:
            return False
        local = from_tag if head & CALLER else ""
        target = address_of(uri)
        whole = self._whole(mark[:_HEAD_END], call_id, local, to_tag, "", target, who)
        if head & GUARDED:
            whole = whole[:-_PLACE] + self._place_of(target)
        return compare_digest(whole, mark[_DIALOG_END:_LENGTH])

    def read(self, mark: str, request: Request, who: str, unix: float) -> Reading:
        """Return what ``mark``, of our Route value, proves of ``request``, which has lost that value."""
        mark = mark.lower()
        head = self._head_of(mark, unix)
        if head < 0:
            return Reading.NONE
        call_id, from_tag, to_tag, _ = request.identity()
        local = (from_tag or "") if head & CALLER else ""
        after = address_of(str(request.routes[0].uri)) if "route" in request.keys else ""
        text = "\n".join((mark[:_HEAD_END], call_id, local, to_tag or "", after))
        target = address_of(request.uri_text)
        whole = self._whole(f"{text}\n{target}\n{who}")
        if head & GUARDED:
            whole = whole[:-_PLACE] + self._place_of(after or target)
        if compare_digest(whole, mark[_DIALOG_END:_LENGTH]):
            return Reading.WHOLE
        if compare_digest(self._dialog(text), mark[_HEAD_END:_DIALOG_END]):
            return Reading.OURS if head & _OURS else Reading.DIALOG
        return Reading.NONE

    def leads_to_gateway(self, mark: str, request: Request) -> bool:
        """Whether ``mark``, which was read, is of a dialog with the very gateway that ``request`` leads to.

        The gateway may have changed its place since (a target refresh).
        """
        mark = mark.lower()
        if not int(mark[:_HEAD_END], 16) & GUARDED:
            return False
        target = address_of(request.uri_text)
        after = address_of(str(request.routes[0].uri)) if "route" in request.keys else ""
        if compare_digest(self._place_of(after or target), mark[_LENGTH - _PLACE : _LENGTH]):
            return True
        key = request.call_id, request.from_tag or "", f"\t{request.to_tag or ''}"
        return not after and target in self._targets.get(key, ())

    # --- what a target refresh changes

    def note(self, call_id: str, local: str, remote: str, target: str, *, guarded: bool = False) -> None:
        """Let the side with the tag ``local`` send to ``target`` within its dialog with ``remote``.

        ``guarded``: a gateway, which ``remote`` is, said that it is there now.
        """
        if guarded:
            self.note(call_id, local, f"\t{remote}", target)
        key = call_id, local, remote
        known = self._targets.pop(key, ())
        if not known and len(self._targets) >= self.most:
            del self._targets[next(iter(self._targets))]
        self._targets[key] = (*(one for one in known if one != target), target)[-_KEPT:]

    def note_sender(self, request: Request, who: str) -> None:
        """Believe that the side which sent ``request`` is ``who`` (``sender``) now: it has proved that."""
        local, remote = request.from_tag or "", request.to_tag or ""
        self.note(request.call_id, local, remote, address_of(request.uri_text))
        self.note(request.call_id, local, f"\n{remote}", who)

    def is_sender(self, request: Request, who: str) -> bool:
        """Whether ``note_sender`` said so of this side and ``who``."""
        key = request.call_id, request.from_tag or "", f"\n{request.to_tag or ''}"
        return bool(who) and who in self._targets.get(key, ())

    def noted(self, request: Request) -> bool:
        """Whether ``request`` is for a target that its sender's dialog got while we looked on."""
        if not self._targets:
            return False
        known = self._targets.get((request.call_id, request.from_tag or "", request.to_tag or ""))
        return known is not None and address_of(request.uri_text) in known

    # --- the answer to a request that was forwarded without state

    def show_stray(self, response: Response, who: str, *, guarded: bool = False) -> None:
        """Do for ``response`` what ``Recording`` does, of which nothing was kept."""
        values = response.values("record-route")
        for index, value in enumerate(values):
            mark = uri_of(value).partition(f";{PARAMETER}=")[2].partition(";")[0]
            if (
                not _LENGTH <= len(mark) <= _LENGTH + 1
                or not mark.isascii()
                or not self._is_callees(mark, response, values[index:])
            ):
                continue
            if response.status >= 300:
                strip(response, (mark,))
                return
            after = address_of(uri_of(values[index - 1])) if index else ""
            dialog = response.call_id, response.from_tag or "", response.to_tag or "", after
            target = address_of(contact_of(response))
            head = int(mark[:_HEAD_END], 16) & _HOURS | CALLER | (GUARDED if guarded else 0)
            shown = self.make(head, dialog, target, who)
            response.substitute("record-route", mark, shown)
            return

    def _is_callees(self, mark: str, response: Response, values: Sequence[str]) -> bool:
        """Whether ``mark`` left with the request that ``response`` answers; ``values`` from its own on."""
        after = next((address_of(uri_of(value)) for value in values if mark not in value), "")
        text = "\n".join((mark[:_HEAD_END], response.call_id, "", response.from_tag or "", after))
        return compare_digest(self._dialog(text), mark[_HEAD_END:_DIALOG_END])


def sender(user: str, host: str) -> str:
    """Return the text that a mark seals for ``user`` of ours that sends from ``host``, an IP address."""
    host = host.partition("%")[0]
    if ":" not in host:
        return f"{user} {host}"
    key = host_key(host)
    return f"{user} {key if isinstance(key, str) else key.hex()}"


def place_in(mark: str) -> str:
    """Return the digit of the worker that made ``mark``, "" where there is none."""
    return mark[_LENGTH:].lower() if len(mark) == _LENGTH + 1 else ""


def hour_of(unix: float) -> int:
    return int(unix // 3600) & _HOURS


def address_of(uri: str) -> str:
    """Return a text that is equal for two spellings of a URI that lead to the same place."""
    return _remembered(uri) if len(uri) <= _MEMORABLE else _address_of(uri)


def _address_of(uri: str) -> str:
    # RFC 3261 25.1: "@" stands before the host and nowhere else.
    before, at, rest = uri.rpartition("@")
    if not at:
        before, _, rest = rest.partition(":")
    host, semicolon, params = rest.partition("?")[0].lower().partition(";")
    if "%" in before:
        before = unescape(before)
    if not semicolon:
        return f"{before}@{host}"
    if "%" in params:
        # RFC 3261 19.1.4: an escaped name is the same name.
        params = unescape(params).lower()
    if ";" not in params:
        # As most phones write it.
        return f"{before}@{host};{params}" if params.partition("=")[0] in _DECIDING else f"{before}@{host}"
    deciding = [one for one in params.split(";") if one.partition("=")[0] in _DECIDING]
    return ";".join((f"{before}@{host}", *sorted(deciding)))


_remembered: Final = lru_cache(_REMEMBERED)(_address_of)


def uri_of(value: str) -> str:
    """Return the URI of a Contact or Record-Route value, "" of a malformed one."""
    if '"' not in value:
        _, bracket, within = value.partition("<")
        return within.partition(">")[0] if bracket else value.partition(";")[0].strip()
    # RFC 3261 25.1: a display name may hold anything.
    try:
        return str(parse_name_addr(value, "Contact", "RFC 3261 20.10").uri)
    except RemoteProtocolError:
        return ""


def contact_of(message: Request | Response) -> str:
    """Return the URI in the first Contact of ``message``, "" where there is none."""
    line = message.first_line("contact")
    if line is None:
        return ""
    if '"' not in line and "," not in line:
        return uri_of(line.partition(":")[2])
    values = message.values("contact")
    return uri_of(values[0]) if values else ""


def strip(response: Response, marks: Collection[str]) -> None:
    """Remove our values, those with one of ``marks``, from Record-Route."""
    values = response.values("record-route")
    kept = [value for value in values if not any(mark in value for mark in marks)]
    if len(kept) < len(values):
        response.remove("Record-Route")
        for value in kept:
            response.append("Record-Route", value)
