"""A plain OPTIONS or REGISTER in brief: what an answer needs of it, read in one pass.

Theory of operation: one pattern reads a whole head in which each field has its usual spelling, stands once
and has the simplest form, and takes out the parts that an answer is made of. The reader accepts all that it
accepts, with the same values (``tests/wire/test_brief.py``), and reads everything else. This costs half of a
message, and makes no object but the texts. Where the C module is there, it does the same and accepts a few
more spellings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, WORD, compiled
from sansip.wire.head import read_parts

if TYPE_CHECKING:
    from sansip.limits import Limits

__all__ = ["Brief", "read_brief"]


class Brief(NamedTuple):
    """The parts of a request, as written; None for what is not there.

    Attributes:
        method: ``"OPTIONS"`` or ``"REGISTER"``.
        host, port: of the Request-URI, which has no parameters; ``user``: its user.
        via: the line of the only Via, with ``sent_host``, ``sent_port`` and ``branch``, which begins as
            RFC 3261 8.1.1.7 wants; ``rport`` is the flag before the branch, ``rport_behind`` that behind it.
        from_: the line of From; ``from_host`` of its URI.
        to: the line of To, which has no tag; ``to_user``, ``to_host`` and ``to_port`` of its URI.
        call_id_line, call_id, cseq_line, cseq: the CSeq is that of the method.
        contact_line: the only Contact, a sip URI ``contact`` in brackets with ``contact_user``,
            ``contact_host``, ``contact_port`` and ``contact_params`` (one at most); only
            ``contact_expires`` may follow.
        expires: digits.
        length: Content-Length is there, and 0.
        agent, supported: values of User-Agent and Supported, white space around them.
    """

    method: str
    user: str | None
    host: str
    port: str | None
    via: str
    sent_host: str
    sent_port: str | None
    rport: str | None
    branch: str
    rport_behind: str | None
    from_: str
    from_host: str
    to: str
    to_user: str | None
    to_host: str
    to_port: str | None
    call_id_line: str
    call_id: str
    cseq_line: str
    cseq: str
    contact_line: str | None
    contact: str
    contact_user: str | None
    contact_host: str
    contact_port: str | None
    contact_params: str
    contact_expires: str | None
    expires: str | None
    length: str | bool | None
    agent: str | None
    supported: str | None


_TEXT: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
_PARAM: Final = r"[\w\-.!~*'()\[\]/:&+$]++"
_ONE_PARAM: Final = rf"(?:;{_PARAM}(?:={_PARAM})?+)?+"
# Neither comma nor semicolon: what is counted by limits.
_USER: Final = r"[\w\-.!~*'()&=+$/]++"
_DISPLAY: Final = rf'(?:"[^"\\\x00-\x08\x0a-\x1f\x7f]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
_TAG: Final = rf"(?:;tag={TOKEN})?+"
_LASTS: Final = "(?:;expires=([0-9]{1,9}))?"
# Those that are read, in any spelling, and those by which others than the server itself would decide.
_NAMED: Final = (
    "via|v|from|f|to|t|call-id|i|cseq|max-forwards|contact|m|expires|content-length|l|user-agent|supported|k"
    "|route|require|proxy-require|path"
)
_LINES: Final = (
    rf"(Via: SIP/2\.0/[A-Z]++ ({PLAIN_HOST})(?::({PLAIN_PORT}))?(;rport)?;branch=(z9hG4bK{TOKEN})(;rport)?)",
    rf"(From: {_DISPLAY}<sip:(?:{_USER}@)?+({PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+{_ONE_PARAM}>{_TAG})",
    rf"(To: {_DISPLAY}<sip:(?:([\w\-.+]++)@)?({PLAIN_HOST})(?::({PLAIN_PORT}))?{_ONE_PARAM}>)",
    rf"(Call-ID: ({WORD}(?:@{WORD})?+))",
    r"(CSeq: ([0-9]{1,9}) \1)",
    # RFC 3261 16.3 step 3: 0 is refused.
    "Max-Forwards: [1-9][0-9]?+",
    rf"(Contact: {_DISPLAY}<(sip:(?:({_USER})@)?({PLAIN_HOST})(?::({PLAIN_PORT}))?({_ONE_PARAM}))>{_LASTS})",
    "Expires: ([0-9]{1,9})",
    r"(Content-Length: *+0)",
    rf"User-Agent:({_TEXT})",
    rf"Supported:({_TEXT})",
    rf"(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{_TEXT}",
)
_START: Final = rf"(OPTIONS|REGISTER) sip:(?:({_USER})@)?({PLAIN_HOST})(?::({PLAIN_PORT}))? SIP/2\.0"
# A failure goes back line by line, each of which has one reading: linear time. (Possessive, the repeat loses
# groups: a fault of Python's ``re``.)
_head: Final = compiled(rf"{_START}\r\n(?:(?:{'|'.join(_LINES)})\r\n)+").fullmatch
_names: Final = compiled(
    r"\n(Via|From|To|Call-ID|CSeq|Max-Forwards|Contact|Expires|Content-Length|User-Agent|Supported):"
).findall
_new_tuple: Final = tuple.__new__
# Groups of the lines that an answer copies (RFC 3261 8.2.6.2), and of Content-Length.
_VIA, _FROM, _TO, _CALL_ID, _CSEQ, _LENGTH = 5, 11, 13, 17, 19, 29


def read_brief(data: bytes, limits: Limits) -> tuple[Brief, tuple[str, ...]] | None:
    """Return the request in ``data``, and the lines that its answer copies, in order.

    None where it is not plain, has a body, or is near a limit.
    """
    size = len(data)
    if (
        size > limits.header_parts
        or size > limits.header_size
        or size > limits.head_size
        or size > limits.uri_size
        or size > limits.message_size
        or data[-4:] != b"\r\n\r\n"
    ):
        return None
    found = _read_plainly(data) if read_parts is None else read_parts(data)
    if found is None:
        return None
    parts, lines, most = found
    if (
        most > limits.header_count
        or most > limits.via_count
        or most > limits.route_count
        or most > limits.contact_count
    ):
        return None
    return _new_tuple(Brief, parts), lines


def _read_plainly(data: bytes) -> tuple[tuple[str | None, ...], tuple[str, ...], int] | None:
    """Return the values of a ``Brief``, the lines that its answer copies, and how many fields and commas."""
    try:
        head = data[:-2].decode()
    except UnicodeDecodeError:
        return None
    match = _head(head)
    # RFC 3261 18.3: a body may be there where no length is.
    if match is None or match.start(_LENGTH) < 0:
        return None
    names = _names(head)
    if len(set(names)) != len(names):
        # RFC 3261 7.3.1: a field that stands twice.
        return None
    start = match.start
    # -1 where the line is not there.
    if 0 < start(_VIA) < start(_FROM) < start(_TO) < start(_CALL_ID) < start(_CSEQ):
        lines = match.group(_VIA, _FROM, _TO, _CALL_ID, _CSEQ)
    else:
        order = sorted((_VIA, _FROM, _TO, _CALL_ID, _CSEQ), key=start)
        if start(order[0]) < 0:
            return None
        lines = match.group(*order)
    return match.groups(), lines, head.count("\n") + head.count(",")
