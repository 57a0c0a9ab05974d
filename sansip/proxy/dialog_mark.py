"""The mark of a dialog in our Record-Route values: who may send within it, and where to.

Theory of operation: a route set never changes (RFC 3261 12.2), so what stands in it is
what each request of a dialog can prove. Our value has a mark (parameter ``d``), and the two
sides have different ones. The callee's leaves with the request; the caller's is written
into the answer, for a proxy may rewrite its own value there (16.7 step 8), and by
then the tag and the Contact of the callee are known. A mark has three parts:

    head           which side has it, whether that is a user of ours, and the hour it was made in
    dialog seal    Call-ID, the caller's tag (the caller's mark: both tags), and the value
                   that follows ours in the route set: what no request of the dialog changes
    whole seal     the same, the remote target, and of one of our users who sends,
                   and from which address

So the side that has a mark reaches the other side and nobody else, as itself. Nothing is
stored for that: a mark outlives a restart, and other nodes with the same key read it.

A remote target may change (a target refresh, 12.2.1.2 and 12.2.2), and a route set may
not: so the targets that pass through here are remembered, for a bounded number of dialogs.
Where only the dialog seal fits, the route decides (``routing.within``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.proxy.remote_target import address_of, contact_of, uri_of
from sansip.wire.host import host_key

if TYPE_CHECKING:
    from sansip.wire import Request, Response

__all__ = ["PARAMETER", "Marks", "Reading", "Recording", "sender"]

# The URI parameter that has the mark. Its digits are hexadecimal, for elements on the way
# may change the case of a parameter (RFC 3261 19.1.4).
PARAMETER: Final = "d"
_CALLER: Final = 0x8000
_OURS: Final = 0x4000
_HOURS: Final = 0x3FFF
# Octets. A seal can only be guessed at over the network.
_DIALOG, _WHOLE = 6, 7
_HEAD_END: Final = 4
_DIALOG_END: Final = _HEAD_END + 2 * _DIALOG
_LENGTH: Final = _DIALOG_END + 2 * _WHOLE
# Early dialogs of one request of which the caller's mark is kept; RFC 3261 12.1.
_SHOWN: Final = 64
# Remote targets kept of one side: what it had, and what it got since.
_KEPT: Final = 2


class Reading(IntEnum):
    """What a mark proves of the request that it came with."""

    # Not ours, of another dialog or side, or too old.
    NONE = 0
    # Of this dialog and side; but the target or the sender is not the one sealed.
    DIALOG = 1
    # Of this dialog and of one of our users, who is not the one that sends, or from there.
    OURS = 2
    # All of it.
    WHOLE = 3


class Marks:
    """Makes and reads marks.

    Args:
        key: the same on all nodes, and in all lives of a process, that shall read each other's.
        life: seconds that a mark is good for.
        most: dialogs whose refreshed targets are remembered.
    """

    __slots__ = ("_hours", "_key", "_targets", "most")

    def __init__(self, key: bytes, life: float, most: int) -> None:
        self._key = blake2b(key, digest_size=32, person=b"sansip-marks").digest()
        self.live(life)
        self.most = most
        # (Call-ID, local tag, remote tag) -> remote targets
        self._targets: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def live(self, life: float) -> None:
        """Have marks be good for ``life`` seconds."""
        self._hours = int(life // 3600) + 1

    def __len__(self) -> int:
        """How many dialogs' targets are remembered."""
        return len(self._targets)

    def make(self, head: int, dialog: Sequence[str], target: str, who: str) -> str:
        """Return the mark; ``dialog`` is Call-ID, local tag ("" for the callee), remote tag, next route."""
        first = f"{head | _OURS if who else head:04x}"
        text = "\n".join((first, *dialog))
        return first + self._seal(text, _DIALOG) + self._seal(f"{text}\n{target}\n{who}", _WHOLE)

    def read(self, mark: str, request: Request, who: str, unix: float) -> Reading:
        """Return what ``mark``, of our Route value, proves of ``request``, which has lost that value."""
        if len(mark) != _LENGTH or not mark.isascii():
            return Reading.NONE
        mark = mark.lower()
        try:
            head = int(mark[:_HEAD_END], 16)
        except ValueError:
            return Reading.NONE
        age = (hour_of(unix) - head) & _HOURS
        # A clock behind the one that made it is no reason to end a call.
        if min(age, _HOURS + 1 - age) > self._hours:
            return Reading.NONE
        local = (request.from_tag or "") if head & _CALLER else ""
        after = address_of(str(request.routes[0].uri)) if "route" in request.keys else ""
        text = "\n".join((mark[:_HEAD_END], request.call_id, local, request.to_tag or "", after))
        whole = self._seal(f"{text}\n{address_of(request.uri_text)}\n{who}", _WHOLE)
        if compare_digest(whole, mark[_DIALOG_END:]):
            return Reading.WHOLE
        if compare_digest(self._seal(text, _DIALOG), mark[_HEAD_END:_DIALOG_END]):
            return Reading.OURS if head & _OURS else Reading.DIALOG
        return Reading.NONE

    def _seal(self, text: str, size: int) -> str:
        return blake2b(text.encode("utf-8", "surrogateescape"), key=self._key, digest_size=size).hexdigest()

    # --- what a target refresh changes

    def note(self, call_id: str, local: str, remote: str, target: str) -> None:
        """Let who has the tag ``local`` send to ``target`` within its dialog with ``remote``."""
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

    def show_stray(self, response: Response, who: str) -> None:
        """Do for ``response`` what ``Recording`` does, of which nothing was kept."""
        values = response.values("record-route")
        for index, value in enumerate(values):
            mark = uri_of(value).partition(f";{PARAMETER}=")[2].partition(";")[0]
            if (
                len(mark) != _LENGTH
                or not mark.isascii()
                or not self._is_callees(mark, response, values[index:])
            ):
                continue
            if response.status >= 300:
                _strip(response, (mark,))
                return
            after = address_of(uri_of(values[index - 1])) if index else ""
            dialog = response.call_id, response.from_tag or "", response.to_tag or "", after
            target = address_of(contact_of(response))
            shown = self.make(int(mark[:_HEAD_END], 16) & _HOURS | _CALLER, dialog, target, who)
            response.substitute("record-route", mark, shown)
            return

    def _is_callees(self, mark: str, response: Response, values: Sequence[str]) -> bool:
        """Whether ``mark`` left with the request that ``response`` answers; ``values`` from its own on."""
        after = next((address_of(uri_of(value)) for value in values if mark not in value), "")
        text = "\n".join((mark[:_HEAD_END], response.call_id, "", response.from_tag or "", after))
        return compare_digest(self._seal(text, _DIALOG), mark[_HEAD_END:_DIALOG_END])


class Recording:
    """Our Record-Route values of one request: what they say to each side.

    Args:
        marks: None where values have no mark (``ProxyConfig.dialog_tokens``).
        request: as it was received, without our own Route values.
        unix: the time.
        caller: who sends it and from where (``sender``), "" for nobody of ours.
        callee: who is asked for, "" for nobody of ours.
    """

    __slots__ = (
        "_after",
        "_asked",
        "_call_id",
        "_callee",
        "_caller",
        "_hour",
        "_made",
        "_marks",
        "_shown",
        "_tag",
        "_target",
        "_within",
    )

    def __init__(self, marks: Marks | None, request: Request, unix: float, caller: str, callee: str) -> None:
        self._marks = marks
        # Where the callee was looked for -> its mark.
        self._made: dict[str, str] = {}
        if marks is None:
            return
        self._call_id = request.call_id
        self._tag = request.from_tag or ""
        # Within a dialog: the tag of the side that is sent to.
        self._within = request.to_tag
        self._hour = hour_of(unix)
        self._caller = caller
        self._callee = callee
        self._target = address_of(contact_of(request))
        self._asked = address_of(request.uri_text)
        self._after = ""
        if "record-route" in request.keys:
            self._after = address_of(uri_of(request.values("record-route")[0]))
        # To tag -> the callee's Contact, the route value next to ours, and the caller's mark.
        self._shown: dict[str, tuple[str, str, str]] = {}

    def mark(self, host: str) -> str:
        """Return the callee's mark, "" for none; it is looked for at the address ``host``."""
        marks = self._marks
        if marks is None:
            return ""
        who = sender(self._callee, host) if self._callee else ""
        mark = self._made.get(who)
        if mark is None:
            dialog = self._call_id, "", self._tag, self._after
            mark = self._made[who] = marks.make(self._hour, dialog, self._target, who)
        return mark

    def found(self, response: Response) -> str | None:
        """Return the callee's mark as ``response`` repeats it, None where it is not there."""
        if "record-route" in response.keys:
            lines = response.raw_lines("record-route")
            for mark in self._made.values():
                if any(mark in line for line in lines):
                    return mark
        return None

    def answered(self, response: Response) -> None:
        """Shape our values in ``response`` for the caller; it is no 100.

        The answer to a target refresh is noted: RFC 3261 12.2.1.2, 12.2.2, RFC 3311 5.
        """
        if self._marks is None:
            return
        if response.status >= 300:
            # RFC 3261 20.30 (table 2): a failure makes no dialog, so it has no route set.
            if self._made and "record-route" in response.keys:
                _strip(response, self._made.values())
            return
        mark = self.found(response)
        if mark is None and self._within is None:
            return
        try:
            tag, target = response.to_tag or "", address_of(contact_of(response))
            if self._within is not None:
                self._refreshed(tag, target)
            if mark is not None:
                response.substitute("record-route", mark, self._shown_to(response, mark, tag, target))
        except RemoteProtocolError:
            # Nobody can follow it, and the callee's mark is not the caller's to see.
            response.remove("Record-Route")

    def _shown_to(self, response: Response, mark: str, tag: str, target: str) -> str:
        """Return the caller's mark of the dialog with who answered with ``tag`` and Contact ``target``."""
        marks = self._marks
        assert marks is not None
        target = target or self._asked
        values = response.values("record-route")
        at = next((index for index, value in enumerate(values) if mark in value), 0)
        after = address_of(uri_of(values[at - 1])) if at else ""
        known = self._shown.get(tag)
        if known is not None:
            if known[:2] == (target, after):
                return known[2]
            # RFC 3261 13.2.2.4: the remote target is that of the 2xx; the route set may be
            # that of the 180.
            marks.note(self._call_id, self._tag, tag, target)
        elif len(self._shown) >= _SHOWN:
            del self._shown[next(iter(self._shown))]
        shown = marks.make(_CALLER | self._hour, (self._call_id, self._tag, tag, after), target, self._caller)
        self._shown[tag] = target, after, shown
        return shown

    def _refreshed(self, tag: str, target: str) -> None:
        marks = self._marks
        assert marks is not None
        if self._target:
            marks.note(self._call_id, self._within or "", self._tag, self._target)
        if target and target != self._asked:
            marks.note(self._call_id, self._tag, tag, target)


def sender(user: str, host: str) -> str:
    """Return what a mark seals of ``user`` of ours that sends from ``host``, an IP address."""
    host = host.partition("%")[0]
    if ":" not in host:
        return f"{user} {host}"
    key = host_key(host)
    return f"{user} {key if isinstance(key, str) else key.hex()}"


def hour_of(unix: float) -> int:
    return int(unix // 3600) & _HOURS


def _strip(response: Response, marks: Collection[str]) -> None:
    """Remove our values, those with one of ``marks``, from Record-Route."""
    values = response.values("record-route")
    kept = [value for value in values if not any(mark in value for mark in marks)]
    if len(kept) < len(values):
        response.remove("Record-Route")
        for value in kept:
            response.append("Record-Route", value)
