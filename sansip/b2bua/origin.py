"""The o= line that one phone sees, whichever phone the description comes from (RFC 3264 8).

Theory of operation: a phone may treat an offer whose o= line names another session as an error, or ignore it
if the version is not higher. While the far side stays the same, its descriptions pass octet for octet. After
a transfer, or if another phone of a fork answers, they come from another phone. Then user, session and
address of the first o= line stay, and the version goes up by one with each change.
"""

from __future__ import annotations

from sansip.ua.sdp import is_sdp

__all__ = ["Origin"]


class Origin:
    """The o= lines that one leg was sent so far."""

    __slots__ = ("_fields", "_last", "_moved", "_shown", "_version")

    def __init__(self) -> None:
        # The o= line without its version: user, session, and the rest.
        self._fields: tuple[bytes, bytes, bytes] | None = None
        self._version = 0
        # Whether the version is one that we made.
        self._moved = False
        # The description that came last, and the form in which it was sent.
        self._last = self._shown = b""

    def keep(self, body: bytes, content_type: str | None = "application/sdp") -> bytes:
        """Return ``body`` as this leg may see it; unchanged if it is no SDP or has no o= line."""
        if not body or not is_sdp(content_type):
            return body
        if body == self._last:
            return self._shown
        found = _origin(body)
        if found is None:
            return body
        begin, end, fields, version = found
        same = self._fields is None or fields == self._fields
        if same and (version > self._version or (version == self._version and not self._moved)):
            # One that keeps its version though it says something else is its phone's own business.
            self._fields, self._version = fields, version
            shown = body
        else:
            assert self._fields is not None
            self._moved = True
            self._version += 1
            user, session, rest = self._fields
            line = b" ".join((user, session, str(self._version).encode(), rest))
            shown = body[:begin] + line + body[end:]
        self._last, self._shown = body, shown
        return shown


def _origin(body: bytes) -> tuple[int, int, tuple[bytes, bytes, bytes], int] | None:
    """Return where the value of o= begins and ends, its fields without the version, and the version."""
    begin = 2 if body.startswith(b"o=") else body.find(b"\no=", 0, 4096) + 3
    if begin == 2 and not body.startswith(b"o="):
        return None
    end = body.find(b"\n", begin)
    end = len(body) if end < 0 else end
    if body[end - 1 : end] == b"\r":
        end -= 1
    fields = body[begin:end].split(b" ", 3)
    if len(fields) != 4 or not fields[2].isdigit() or len(fields[2]) > 19:
        return None
    return begin, end, (fields[0], fields[1], fields[3]), int(fields[2])
