"""Header fields as they stand in a message: lines with their names known (RFC 3261 7.3).

Theory of operation: two parallel lists hold the key of each header line and the raw line itself, folds
included, and a dict leads from a key to the first line of that key. Reading is unfolding one of these lines;
editing changes the lists and the dict together, and drops the typed value that was made of the field. A field
without edits is written back octet for octet. No edit can add a header field by way of a value: line ends are
refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import LocalProtocolError
from sansip.wire.headers.fields import is_list
from sansip.wire.names import DISPLAY, SPELLINGS, header_key
from sansip.wire.values import line_value, split_values

if TYPE_CHECKING:
    from sansip.wire.headers.name_addr import NameAddr
    from sansip.wire.headers.simple import CSeq
    from sansip.wire.headers.via import Via

__all__ = ["HeaderFields", "encode", "header_line", "header_lines"]


_IN_SLOTS: Final = {"via": "_via", "from": "_from", "to": "_to", "call-id": "_call_id", "cseq": "_cseq"}


def header_lines(headers: Iterable[tuple[str, object]], keys: list[str], lines: list[str]) -> None:
    """Append the key and the line of each of ``headers``. Raises as ``header_line`` does."""
    for name, value in headers:
        keys.append(SPELLINGS.get(name) or header_key(name))
        lines.append(header_line(name, value))


def header_line(name: str, value: object) -> str:
    """Return ``Name: value``, the name in its usual spelling.

    Raises LocalProtocolError when the name is no token, or the value holds a
    line end or cannot be encoded: neither may add a header field of its own.
    """
    key = SPELLINGS.get(name) or header_key(name)
    line = f"{DISPLAY.get(key, name)}: {value}"
    if "\n" in line or "\r" in line:
        raise LocalProtocolError(f"the value of {name} holds a line end")
    if not line.isascii():
        encode(line)
    return line


def encode(text: str) -> bytes:
    """Return ``text`` as octets; raises LocalProtocolError for what UTF-8 cannot carry."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"text that UTF-8 cannot carry: {error.reason}") from None


class HeaderFields:
    """The header fields of one message. The lists are for reading: edit by the methods.

    Attributes:
        keys: per header line, the full name in lower case (``"via"``, ``"call-id"``).
        lines: per header line, the raw text, folds included, no final CRLF.
    """

    __slots__ = ("_call_id", "_cseq", "_first", "_from", "_to", "_typed", "_unread", "_via", "keys", "lines")

    keys: list[str]
    lines: list[str]
    # key → first raw line of that key
    _first: dict[str, str]
    # The typed values that are read of every message: top Via, From, To, Call-ID, CSeq.
    _via: Via | None
    _from: NameAddr | None
    _to: NameAddr | None
    _call_id: str | None
    _cseq: CSeq | None
    # key → typed value, for all others
    _typed: dict[str, Any]
    # Of a message that nobody has read yet: what reads it (``sansip.wire.unread``).
    _unread: Any

    def _take_lines(self, keys: list[str], lines: list[str]) -> None:
        self.keys = keys
        self.lines = lines
        first = dict(zip(keys, lines, strict=True))
        if len(first) != len(keys):
            # The last line of a key has won: let the first one.
            first = dict(zip(reversed(keys), reversed(lines), strict=True))
        self._first = first

    def _take_headers(self, headers: Iterable[tuple[str, object]], size: int) -> None:
        """Write ``headers``, and a Content-Length of ``size`` when they have none."""
        keys: list[str] = []
        lines: list[str] = []
        for name, value in headers:
            keys.append(SPELLINGS.get(name) or header_key(name))
            lines.append(header_line(name, value))
        if "content-length" not in keys:
            keys.append("content-length")
            lines.append(f"Content-Length: {size}")
        self._take_lines(keys, lines)

    # --- raw values

    def get(self, name: str) -> str | None:
        """Return the value of the first ``name`` line, unfolded and stripped, or None."""
        line = self._first.get(SPELLINGS.get(name) or header_key(name))
        if line is None or "\r" in line:
            return None if line is None else line_value(line)
        return line[line.find(":") + 1 :].strip(" \t")

    def first_line(self, key: str) -> str | None:
        """Return the first raw line of ``key`` (full name in lower case), or None."""
        return self._first.get(key)

    def raw_lines(self, key: str) -> list[str]:
        """Return the raw lines of ``key`` (full name in lower case), in order."""
        keys = self.keys
        several = keys.count(key)
        if several == 0:
            return []
        at = keys.index(key)
        # The lines of a field nearly always stand together.
        lines = self.lines[at : at + several]
        if keys[at : at + several].count(key) == several:
            return lines
        return [line for one, line in zip(keys, self.lines, strict=True) if one == key]

    def get_all(self, name: str) -> list[str]:
        """Return the value of each ``name`` line, unfolded and stripped, in order."""
        key = SPELLINGS.get(name) or header_key(name)
        if key not in self._first:
            return []
        return [line_value(line) for at, line in zip(self.keys, self.lines, strict=True) if at == key]

    def values(self, name: str) -> list[str]:
        """Return every comma-separated value over all ``name`` lines, in order.

        A field that is no list (Date, Subject, WWW-Authenticate, …) gives one value
        per line. Empty elements, which the grammar does not have, are left out.
        """
        key = SPELLINGS.get(name) or header_key(name)
        raw = self.get_all(key)
        if not is_list(key):
            return raw
        return [value for line in raw for value in split_values(line) if value]

    def has(self, name: str) -> bool:
        """Return whether there is a ``name`` line."""
        return (SPELLINGS.get(name) or header_key(name)) in self._first

    # --- editing

    def _forget(self, key: str) -> None:
        """Drop the typed value of ``key``, which has been edited."""
        if key in self._typed:
            del self._typed[key]
        if key in _IN_SLOTS:
            setattr(self, _IN_SLOTS[key], None)

    def set(self, name: str, value: object) -> None:
        """Replace all ``name`` lines by one, in place of the first, else at the end."""
        key = SPELLINGS.get(name) or header_key(name)
        line = header_line(name, value)
        keys = self.keys
        if key in self._first:
            at = keys.index(key)
            self.lines[at] = line
            if keys.count(key) > 1:
                self._drop(key, at + 1)
        else:
            keys.append(key)
            self.lines.append(line)
        self._first[key] = line
        self._forget(key)

    def set_line(self, key: str, line: str) -> None:
        """Put ``line``, known to be well formed, in place of the one line of ``key``, else at the end.

        The way for the proxy's own fields: without a check.
        """
        if key in self._first:
            self.lines[self.keys.index(key)] = line
        else:
            self.keys.append(key)
            self.lines.append(line)
        self._first[key] = line
        self._forget(key)

    def prepend_line(self, key: str, line: str) -> None:
        """Add ``line``, known to be well formed, before the first of ``key``, else at the top."""
        at = self.keys.index(key) if key in self._first else 0
        self.keys.insert(at, key)
        self.lines.insert(at, line)
        self._first[key] = line
        self._forget(key)

    def substitute(self, key: str, old: str, new: str) -> None:
        """Put ``new`` in place of ``old`` in the lines of ``key``; the lines stay well formed by it."""
        lines = self.lines
        for at, one in enumerate(self.keys):
            if one == key:
                lines[at] = lines[at].replace(old, new)
        if key in self._first:
            self._first[key] = lines[self.keys.index(key)]
            self._forget(key)

    def append(self, name: str, value: object) -> None:
        """Add a line after the last ``name`` line, else at the end."""
        key = SPELLINGS.get(name) or header_key(name)
        line = header_line(name, value)
        keys = self.keys
        if key in self._first:
            at = len(keys)
            while keys[at - 1] != key:
                at -= 1
            keys.insert(at, key)
            self.lines.insert(at, line)
        else:
            keys.append(key)
            self.lines.append(line)
            self._first[key] = line
        self._forget(key)

    def prepend(self, name: str, value: object) -> None:
        """Add a line before the first ``name`` line, else at the top."""
        key = SPELLINGS.get(name) or header_key(name)
        line = header_line(name, value)
        at = self.keys.index(key) if key in self._first else 0
        self.keys.insert(at, key)
        self.lines.insert(at, line)
        self._first[key] = line
        self._forget(key)

    def remove(self, name: str) -> None:
        """Remove all ``name`` lines."""
        key = SPELLINGS.get(name) or header_key(name)
        if key in self._first:
            self._drop(key, self.keys.index(key))
            del self._first[key]
            self._forget(key)

    def keep_only(self, wanted: frozenset[str]) -> None:
        """Remove all lines but those of the keys ``wanted`` (full names in lower case)."""
        gone = self._first.keys() - wanted
        kept = [at for at, key in enumerate(self.keys) if key in wanted]
        self.keys = [self.keys[at] for at in kept]
        self.lines = [self.lines[at] for at in kept]
        for key in gone:
            del self._first[key]
            self._forget(key)

    def _drop(self, key: str, start: int) -> None:
        """Remove the lines of ``key`` from index ``start`` on."""
        keys, lines = self.keys, self.lines
        kept = [at for at in range(start, len(keys)) if keys[at] != key]
        keys[start:] = [keys[at] for at in kept]
        lines[start:] = [lines[at] for at in kept]

    def pop_first_value(self, name: str) -> str | None:
        """Remove the first comma-separated value and return it; None when there is none.

        A line whose last value goes is removed.
        """
        key = SPELLINGS.get(name) or header_key(name)
        while key in self._first:
            value = self._swap_first(key, None)
            if value:
                return value
        return None

    def drop_line(self, key: str) -> bool:
        """Remove the first line of ``key``, which is there, if it has one value; return whether it had."""
        line = self._first[key]
        if "," in line or "\r" in line:
            return False
        keys = self.keys
        at = keys.index(key)
        del keys[at], self.lines[at]
        if key in keys:
            self._first[key] = self.lines[keys.index(key)]
        else:
            del self._first[key]
        self._forget(key)
        return True

    def restore_line(self, at: int, key: str, line: str) -> None:
        """Put the only line of ``key``, which was removed, back where it stood."""
        self.keys.insert(at, key)
        self.lines.insert(at, line)
        self._first[key] = line
        self._forget(key)

    def drop_first_values(self, key: str, count: int) -> None:
        """Remove the first ``count`` comma-separated values of ``key`` (full name in lower case).

        This takes one pass, whatever the count. It removes lines that become empty.
        """
        if key not in self._first or count < 1:
            return
        keys: list[str] = []
        lines: list[str] = []
        first: str | None = None
        for at, line in zip(self.keys, self.lines, strict=True):
            if at == key:
                if count:
                    values = [value for value in split_values(line_value(line)) if value]
                    kept = values[count:]
                    count -= len(values) - len(kept)
                    if not kept:
                        continue
                    line = f"{line[: line.index(':')]}: {', '.join(kept)}"
                first = line if first is None else first
            keys.append(at)
            lines.append(line)
        self.keys, self.lines = keys, lines
        if first is None:
            del self._first[key]
        else:
            self._first[key] = first
        self._forget(key)

    def replace_first_value(self, name: str, value: object) -> None:
        """Replace the first comma-separated value; add a line when there is none."""
        key = SPELLINGS.get(name) or header_key(name)
        if key in self._first:
            self._swap_first(key, header_line(name, value))
        else:
            self.prepend(name, value)

    def _swap_first(self, key: str, new: str | None) -> str:
        """Put header line ``new`` in place of the first value of ``key``; return the old value."""
        line = self._first[key]
        at = self.keys.index(key)
        if new is None and "," not in line and "\r" not in line:
            # One value, as nearly always: its line goes.
            self._remove_at(at, key)
            return line[line.find(":") + 1 :].strip(" \t")
        # Without a comma there is one value, and no text to keep.
        values = split_values(line_value(line)) if is_list(key) and "," in line else [line_value(line)]
        rest = ", ".join(values[1:])
        if new is not None:
            self._put(at, key, f"{new}, {rest}" if rest else new)
        elif rest:
            self._put(at, key, f"{line[: line.index(':')]}: {rest}")
        else:
            self._remove_at(at, key)
            return values[0]
        self._forget(key)
        return values[0]

    def _remove_at(self, at: int, key: str) -> None:
        """Remove line ``at``, the first of ``key``."""
        del self.keys[at], self.lines[at]
        if key in self.keys:
            self._first[key] = self.lines[self.keys.index(key)]
        else:
            del self._first[key]
        self._forget(key)

    def _put(self, at: int, key: str, line: str) -> None:
        self.lines[at] = self._first[key] = line

    def note_rport(self, host: str, port: int) -> bool:
        """Fill the flag ``rport`` of an ordinary top Via and add ``received`` (RFC 3581 4).

        Returns False, having done nothing, where the Via is not alone on its line
        or has other parameters: then ``replace_first_value`` has to do it.
        """
        line = self._first["via"]
        before, rport, after = line.partition(";rport")
        if (
            # RFC 3261 7.3.1: a name may be in capitals.
            not rport
            or "," in line
            or line.count(";") != 2
            or ";branch=" not in line
            or (after and after[0] != ";")
        ):
            return False
        line = f"{before};rport={port};received={host}{after}"
        self.lines[self.keys.index("via")] = self._first["via"] = line
        via = self._via
        self._forget("via")
        if via is not None:
            self._via = via.noted(host, str(port))
        return True
