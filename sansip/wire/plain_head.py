"""The head of a plain message: its lines in their simplest form, and how all messages in brief are read.

Theory of operation: a head is plain where each field that somebody reads has its usual spelling, stands once,
and has the simplest form of its grammar. One pattern then reads all of it, made of the pieces here: a line
that is read is an alternative that fits once, and a field that nobody reads fits the last alternative, unless
its name is among those that are refused in any spelling. The reader (``sansip.wire.reader``) accepts all that
a pattern accepts, with the same values, and reads everything else. It is the reference:
``tests/wire/in_brief.py`` compares each reading with it.

``BriefReader`` is what all of these readings share. The C module reads first, where it is there; octets that
are no ASCII are for the pattern. What is near a limit is not read, so that the reader can say what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, WORD, compiled

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from sansip.limits import Limits

__all__ = [
    "ADDRESS",
    "BEHIND_HOST",
    "CALL_ID",
    "CALL_ID_LINE",
    "DISPLAY",
    "LENGTH_LINE",
    "ONE_PARAM",
    "TEXT",
    "USER",
    "VIA",
    "VIA_LINE",
    "BriefReader",
    "InBrief",
    "RequestInBrief",
    "head_pattern",
    "line",
    "octets_at",
    "value",
]

# The text of a field (RFC 3261 25.1), on one line.
TEXT: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
# Neither comma nor semicolon: what is counted by limits. Nothing here is escaped.
USER: Final = r"[\w\-.!~*'()&=+$/]++"
_PARAM: Final = r"[\w\-.!~*'()\[\]/:&+$]++"
ONE_PARAM: Final = rf"(?:;{_PARAM}(?:={_PARAM})?+)?+"
BEHIND_HOST: Final = rf"(?::(?:{PLAIN_PORT}))?+{ONE_PARAM}"
DISPLAY: Final = rf'(?:"[^"\\\x00-\x08\x0a-\x1f\x7f]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
ADDRESS: Final = rf"{DISPLAY}<sip:(?:{USER}@)?+(?:{PLAIN_HOST}){BEHIND_HOST}>"
# RFC 3581 3: the flag stands before the branch or behind it; twice it is malformed (RFC 3261 7.3.1).
VIA: Final = (
    rf"Via: SIP/2\.0/[A-Z]++ (?P<sent_host>{PLAIN_HOST})(?::(?P<sent_port>{PLAIN_PORT}))?(?P<rport>;rport)?"
    rf";branch=(?P<branch>z9hG4bK{TOKEN})(?(rport)|(?P<rport_behind>;rport)?)"
)
CALL_ID: Final = rf"Call-ID: (?P<call_id>{WORD}(?:@{WORD})?+)"

# How the alternative for a line that stands once begins: it fails where its group has matched.
_ONCE: Final = compiled(r"\(\?\((\w+)\)\(\?!\)\|")

T = TypeVar("T")


def line(name: str, pattern: str) -> str:
    """Return the alternative for a line that stands once and is kept; ``name``: its group."""
    return rf"(?({name})(?!)|(?P<{name}>{pattern}))"


def value(name: str, field: str, pattern: str) -> str:
    """Return the alternative for a line that stands once, of which the value behind ``field`` is kept."""
    return rf"(?({name})(?!)|{field}(?P<{name}>{pattern}))"


VIA_LINE: Final = line("via", VIA)
CALL_ID_LINE: Final = line("call_id_line", CALL_ID)
# RFC 3261 20.14: with the spaces that SIPp writes.
LENGTH_LINE: Final = value("length", "Content-Length: *+", "[0-9]{1,7}")


def head_pattern(start: str, lines: tuple[str, ...], named: str, needs: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of a head: ``start``, and ``lines`` in any order, each the alternative for one.

    ``named``: names of fields, in small letters, that no other line may have; ``needs``: groups that match.
    """
    # A failure goes back line by line, each of which has one reading: linear time.
    other = rf"(?!(?i:{named})[ \t]*+:){TOKEN}:{TEXT}"
    there = "".join([f"(?({name})|(?!))" for name in needs])
    text = rf"{start}\r\n(?:(?:{'|'.join((*lines, other))})\r\n)+{there}"
    # A condition may name by its number alone a group that stands behind it.
    numbers = compiled(_ONCE.sub("(?:", text)).groupindex
    return compiled(_ONCE.sub(lambda found: f"(?({numbers[found[1]]})(?!)|", text))


def octets_at(head: str, places: tuple[int, ...]) -> tuple[int, ...]:
    """Return where the characters at ``places`` of ``head`` stand in its octets."""
    return tuple([len(head[:at].encode()) for at in places])


class InBrief:
    """A message in brief whose octets are kept.

    Subclasses set ``_came``, the octets, and ``_body``, where the body begins in them.
    """

    __slots__ = ("_body", "_came")

    _body: int
    _came: bytes

    @property
    def body(self) -> bytes:
        """The octets of the body."""
        return self._came[self._body :]

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether ``pattern`` is found in the head."""
        return pattern.search(self._came[: self._body].decode()) is not None


class RequestInBrief(InBrief):
    """A request in brief that is sent on: what a proxy needs of each, and which of its octets change.

    Attributes:
        uri, host, port: of the Request-URI, a sip URI with one parameter at most.
        via: the line of the only Via; ``sent_host``, ``sent_port`` and ``branch`` of it; ``rport``: whether
            it has that flag; ``sent_by``: the first two as one text.
        key: that of its transaction (RFC 3261 17.2.3).
        from_, to, call_id_line, cseq_line: the lines; from_tag, call_id, cseq: what is in them.
        credentials: the line of the only Proxy-Authorization, or None.
    """

    __slots__ = (
        "_cut",
        "_hops",
        "_hops_end",
        "_left",
        "_proof",
        "_proof_end",
        "_route",
        "_route_end",
        "_via",
        "_via_end",
        "call_id",
        "credentials",
        "cseq",
        "from_tag",
        "host",
        "key",
        "port",
        "rport",
        "sent_by",
        "sent_host",
        "sent_port",
        "uri",
        "via",
    )

    uri: str
    host: str
    port: int | None
    via: str
    sent_host: str
    sent_port: int | None
    rport: bool
    sent_by: str
    key: str
    from_tag: str
    call_id: str
    cseq: int
    credentials: str | None
    # What the C module has kept of it, in the place of all that follows; None where the pattern has read.
    _cut: Any
    _left: int
    _via: int
    _via_end: int
    _hops: int
    _hops_end: int
    _route: int
    _route_end: int
    _proof: int
    _proof_end: int

    @property
    def hops(self) -> int:
        """Max-Forwards."""
        cut = self._cut
        left: int = self._left if cut is None else cut.left
        return left + 1

    @property
    def _is_route_first(self) -> bool:
        """Whether Route stands before the credentials."""
        cut = self._cut
        before: bool = self._route < self._proof if cut is None else cut.route < cut.proof
        return before


class BriefReader(Generic[T]):
    """Reads messages of one kind in brief.

    ``make(octets, parts)`` makes what is returned. ``pattern`` is that of a head, of which ``keeps`` names
    two groups or more, that of Content-Length first. ``parts_of(match, kept, head, body)`` returns the parts,
    or None after a closer look; ``kept`` are the texts of those groups, ``body`` is where the body begins.
    The last two parts are how many fields and commas there are, and ``body``. ``asks``: whether the message
    has a Request-URI.

    Attributes:
        scan: the function of the C module that returns the parts, or None without it.
    """

    __slots__ = ("_asks", "_keeps", "_make", "_matches", "_parts_of", "scan")

    def __init__(
        self,
        make: Callable[[bytes, tuple[Any, ...]], T],
        pattern: re.Pattern[str],
        keeps: tuple[str, ...],
        parts_of: Callable[[re.Match[str], tuple[Any, ...], str, int], tuple[Any, ...] | None],
        scan: Any,
        asks: bool = True,
    ) -> None:
        self._make = make
        self._matches = pattern.fullmatch
        self._keeps = tuple([pattern.groupindex[name] for name in keeps])
        self._parts_of = parts_of
        self.scan = scan
        self._asks = asks

    def read(self, data: bytes, limits: Limits) -> T | None:
        """Return what is read of ``data``, a datagram; None where it is not plain, or near a limit."""
        parts = self.parts(data, limits)
        return None if parts is None else self._make(data, parts)

    def parts(self, data: bytes, limits: Limits) -> tuple[Any, ...] | None:
        """Return the parts of what ``read`` returns."""
        if len(data) > limits.message_size:
            return None
        most: int = limits.plain_size
        if self._asks:
            longest: int = limits.uri_size
            if longest < most:
                most = longest
        scan = self.scan
        parts: tuple[Any, ...] | None = None if scan is None else scan(data)
        if parts is None:
            if scan is not None and data.isascii():
                return None
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > most:
                return None
            try:
                head = data[: end + 2].decode()
            except UnicodeDecodeError:
                return None
            match = self._matches(head)
            if match is None:
                return None
            kept = match.group(*self._keeps)
            body = end + 4
            if int(kept[0]) != len(data) - body:
                return None
            parts = self._parts_of(match, kept, head, body)
            if parts is None:
                return None
        # The head ends before an empty line.
        begins: int = parts[-1]
        count: int = parts[-2]
        if begins - 4 > most or count > limits.plain_count:
            return None
        return parts
