"""Our Record-Route values of one request: the mark that each side sees in them.

Theory of operation: the callee's mark (``dialog_mark``) leaves with the request. In each response the
caller's mark takes its place, because by then the tag and the Contact of the callee are known (RFC 3261 16.7
step 8). The proxy notes on the way what a target refresh changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.proxy.dialog_mark import CALLER, GUARDED, address_of, contact_of, hour_of, sender, strip, uri_of

if TYPE_CHECKING:
    from sansip.proxy.dialog_mark import Marks
    from sansip.wire import Request, Response

__all__ = ["Recording", "recording_of"]

# Early dialogs of one request of which the caller's mark is kept; RFC 3261 12.1.
_SHOWN: Final = 64


class Recording:
    """Our Record-Route values of one request, as each side gets them.

    Args:
        marks: None where values have no mark (``ProxyConfig.dialog_tokens``).
        dialog: Call-ID, From tag and To tag of the request as it was received.
        uri: its Request-URI, the text.
        target: ``address_of`` its Contact.
        after: ``address_of`` its first Record-Route value, "" for none.
        unix: the time.
        caller: the user who sends it and from where (``sender``), "" if it is none of our users.
        callee: the user who is called, "" if it is none of our users.
        guarded: whether it comes from a server that only modules send to (``client.guarded``).
    """

    __slots__ = (
        "_after",
        "_answer",
        "_asked_for",
        "_call_id",
        "_callee",
        "_caller",
        "_contact",
        "_first",
        "_guarded",
        "_hour",
        "_left",
        "_made",
        "_marks",
        "_shown",
        "_tag",
        "_target",
        "_within",
    )

    def __init__(
        self,
        marks: Marks | None,
        dialog: tuple[str, str | None, str | None],
        uri: str,
        target: str,
        after: str,
        unix: float,
        caller: str,
        callee: str,
        *,
        guarded: bool = False,
    ) -> None:
        self._marks = marks
        # Where the callee was looked for -> its mark.
        self._made: dict[str, str] = {}
        if marks is None:
            return
        self._call_id = dialog[0]
        self._tag = dialog[1] or ""
        # Within a dialog: the tag of the side that is sent to.
        self._within = dialog[2]
        self._hour = hour_of(unix)
        self._guarded = GUARDED if guarded else 0
        self._caller = caller
        self._callee = callee
        self._target = target
        self._asked_for = uri
        # The Contact line that came last, and its ``address_of``: most answers repeat it.
        self._contact = ("", "")
        # Our line as it left, "" where it was not the only one, and the mark in it; the one that takes its
        # place, with the tag and the target that it was made for.
        self._left = ("", "")
        self._answer = ("", "", "")
        # The line that left on top, to which a phone may join the next one; "" for none.
        self._first = ""
        self._after = after
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
            mark = self._made[who] = marks.make(self._hour | self._guarded, dialog, self._target, who)
        return mark

    def leaves(self, lines: list[str], mark: str) -> None:
        """Note the Record-Route ``lines`` that leave with the callee's ``mark``; the last stands first."""
        if mark and self._marks is not None:
            self._first = lines[-1]
            if len(lines) == 1:
                self._left = lines[0], mark

    def found(self, response: Response) -> str | None:
        """Return the callee's mark as ``response`` repeats it, None where it is not there."""
        lines: Sequence[str] = ()
        if "record-route" in response.keys:
            lines = response.raw_lines("record-route")
        for mark in self._made.values():
            for line in lines:
                if mark in line:
                    return mark
        return None

    def echoed(
        self, line: str | None, tag: str | None, contact: str | None, *, guarded: bool
    ) -> tuple[bool, str | None]:
        """Do as ``answered`` for a response that is not read, with less than status 300.

        ``line`` and ``contact`` are those of Record-Route, one below the other, and Contact. Returns whether
        this was all that had to be looked at, and the text that takes the place of ``line``, None where it
        stays.
        """
        if self._marks is None:
            return True, None
        if self._within is not None:
            return False, None
        if line is None:
            return True, None
        left, mark = self._left
        if line == left:
            # As nearly always.
            target = self._echoed_target(contact)
            if not target:
                return False, None
            tag = tag or ""
            if not guarded and (tag, target) == self._answer[:2]:
                return True, self._answer[2]
            text = left.replace(mark, self._shown_to(mark, tag, target, "", guarded))
            self._answer = ("", "", "") if guarded else (tag, target, text)
            return True, text
        if "," in line and not (self._first and line.startswith(self._first + ",")):
            return False, None
        # RFC 3261 7.3.1: several values may be joined on one line; ours is the first, and stands as it left.
        for mark in self._made.values():
            if mark in line:
                break
        else:
            return True, None
        if mark not in line.partition("\r\n")[0]:
            # What stands before ours decides.
            return False, None
        target = self._echoed_target(contact)
        if not target:
            return False, None
        return True, line.replace(mark, self._shown_to(mark, tag or "", target, "", guarded))

    def _echoed_target(self, contact: str | None) -> str:
        """Return ``address_of`` the line ``contact``, "" where it has to be read."""
        if contact is None:
            return "@"
        known, target = self._contact
        if contact == known:
            return target
        if '"' in contact or "," in contact:
            return ""
        target = address_of(uri_of(contact.partition(":")[2]))
        self._contact = (contact, target)
        return target

    def answered(self, response: Response, *, guarded: bool) -> None:
        """Shape our values in ``response`` for the caller; it is no 100.

        ``guarded``: it comes from a server that only modules send to (``client.guarded``).
        The answer to a target refresh is noted: RFC 3261 12.2.1.2, 12.2.2, RFC 3311 5.
        """
        if self._marks is None:
            return
        if response.status >= 300:
            # RFC 3261 20.30 (table 2): a failure makes no dialog, so it has no route set.
            if self._made and "record-route" in response.keys:
                strip(response, self._made.values())
            return
        mark = self.found(response)
        if mark is None and self._within is None:
            return
        try:
            tag, target = response.to_tag or "", self._target_in(response)
            if self._within is not None:
                self._refreshed(tag, target, guarded)
            if mark is not None:
                lines = response.raw_lines("record-route")
                if len(lines) == 1 and "," not in lines[0]:
                    # Ours alone, as nearly always.
                    shown = self._shown_to(mark, tag, target, "", guarded)
                    response.set_line("record-route", lines[0].replace(mark, shown))
                else:
                    values = response.values("record-route")
                    at = next((index for index, value in enumerate(values) if mark in value), 0)
                    after = address_of(uri_of(values[at - 1])) if at else ""
                    shown = self._shown_to(mark, tag, target, after, guarded)
                    response.substitute("record-route", mark, shown)
        except RemoteProtocolError:
            # No side can follow such a Contact, and the caller must not see the callee's mark.
            response.remove("Record-Route")

    @property
    def _asked(self) -> str:
        return address_of(self._asked_for)

    def _target_in(self, response: Response) -> str:
        """Return ``address_of`` the Contact of ``response``."""
        line = response.first_line("contact")
        if line is None:
            return address_of("")
        if line == self._contact[0]:
            return self._contact[1]
        target = address_of(contact_of(response))
        self._contact = (line, target)
        return target

    def _shown_to(self, mark: str, tag: str, target: str, after: str, guarded: bool) -> str:
        """Return the caller's mark of the dialog with who answered with ``tag`` and Contact ``target``.

        ``after``: the route value next to ours on the callee's side, "" for none.
        """
        marks = self._marks
        assert marks is not None
        self._answer = ("", "", "")
        target = target or self._asked
        known = self._shown.get(tag)
        if known is not None:
            if known[:2] == (target, after):
                return known[2]
            # RFC 3261 13.2.2.4: the remote target is that of the 2xx; the route set may be
            # that of the 180.
            marks.note(self._call_id, self._tag, tag, target, guarded=guarded)
        elif len(self._shown) >= _SHOWN:
            del self._shown[next(iter(self._shown))]
        head = CALLER | self._hour | (GUARDED if guarded else 0)
        shown = marks.make(head, (self._call_id, self._tag, tag, after), target, self._caller)
        self._shown[tag] = target, after, shown
        return shown

    def _refreshed(self, tag: str, target: str, guarded: bool) -> None:
        marks = self._marks
        assert marks is not None
        if self._target:
            sent = bool(self._guarded)
            marks.note(self._call_id, self._within or "", self._tag, self._target, guarded=sent)
        if target and target != self._asked:
            marks.note(self._call_id, self._tag, tag, target, guarded=guarded)


def recording_of(
    marks: Marks | None, request: Request, unix: float, caller: str, callee: str, *, guarded: bool
) -> Recording:
    """Return the ``Recording`` of ``request``, as it was received but without our own Route values."""
    target = after = ""
    if marks is not None:
        target = address_of(contact_of(request))
        if "record-route" in request.keys:
            after = address_of(uri_of(request.values("record-route")[0]))
    dialog = request.call_id, request.from_tag, request.to_tag
    return Recording(marks, dialog, request.uri_text, target, after, unix, caller, callee, guarded=guarded)
