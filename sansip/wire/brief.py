"""A plain OPTIONS or REGISTER in brief: what an answer needs of it, read in one pass.

Theory of operation: a head in which each field has its usual spelling, stands once and has the simplest form
is read line by line, each line by its own pattern, which takes out the parts that an answer is made of. Lines
that many phones write alike (the Request-Line, Expires, User-Agent) are read once and remembered. The reader
accepts all that is accepted here, with the same values (``tests/wire/test_brief.py``), and reads everything
else. This costs a third of a message, and makes no object but the texts. Where the C module is there, it does
the same and accepts a few more spellings.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, compiled
from sansip.wire.head import read_parts
from sansip.wire.plain_head import BEHIND_HOST, CALL_ID, DISPLAY, ONE_PARAM, TEXT, USER, VIA

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
        sent_by: ``sent_host`` in small letters, and ``sent_port`` as a number.
        key: that of its transaction (RFC 3261 17.2.3).
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
    sent_by: str
    key: str


_TAG: Final = rf"(?:;tag={TOKEN})?+"
_LASTS: Final = "(?:;expires=([0-9]{1,9}))?"
# Those that are read, in any spelling, and those by which others than the server itself would decide.
_NAMED: Final = (
    "via|v|from|f|to|t|call-id|i|cseq|max-forwards|contact|m|expires|content-length|l|user-agent|supported|k"
    "|route|require|proxy-require|path"
)
# Lines that differ from phone to phone, by the name of their field. A failure leaves a line at once: each
# has one reading, so the time is linear.
_OWN: Final = {
    name: compiled(pattern).fullmatch
    for name, pattern in {
        "Via": VIA,
        "From": rf"From: {DISPLAY}<sip:(?:{USER}@)?+({PLAIN_HOST}){BEHIND_HOST}>{_TAG}",
        "To": rf"To: {DISPLAY}<sip:(?:([\w\-.+]++)@)?({PLAIN_HOST})(?::({PLAIN_PORT}))?{ONE_PARAM}>",
        "Call-ID": CALL_ID,
        "CSeq": r"CSeq: ([0-9]{1,9}) (OPTIONS|REGISTER)",
        "Contact": rf"Contact: {DISPLAY}"
        rf"<(sip:(?:({USER})@)?({PLAIN_HOST})(?::({PLAIN_PORT}))?({ONE_PARAM}))>{_LASTS}",
    }.items()
}
_shared_line: Final = compiled(
    # RFC 3261 16.3 step 3: Max-Forwards 0 is refused.
    "(?:(Max-Forwards): ([1-9][0-9]?+)|(Expires): ([0-9]{1,9})|(Content-Length): *+(0)"
    rf"|(User-Agent):({TEXT})|(Supported):({TEXT})|(?!(?i:{_NAMED})[ \t]*+:){TOKEN}:{TEXT})"
).fullmatch
_start_line: Final = compiled(
    rf"(OPTIONS|REGISTER) sip:(?:({USER})@)?({PLAIN_HOST})(?::({PLAIN_PORT}))? SIP/2\.0"
).fullmatch
# Lines remembered, of messages of at most so many octets: two megabytes at the most.
_REMEMBERED: Final = 1_024
_MEMORABLE: Final = 1_024
_NO_CONTACT: Final = (None,) * 7
_new_tuple: Final = tuple.__new__


def read_brief(data: bytes, limits: Limits) -> tuple[Brief, tuple[str, ...]] | None:
    """Return the request in ``data``, and the lines that its answer copies, in order.

    None where it is not plain, has a body, or is near a limit.
    """
    size = len(data)
    # The least of the limits of a head and its fields.
    if (
        size > limits.plain_size
        or size > limits.uri_size
        or size > limits.message_size
        or data[-4:] != b"\r\n\r\n"
    ):
        return None
    found = _read_plainly(data) if read_parts is None else read_parts(data)
    if found is None:
        return None
    parts, lines, most = found
    if most > limits.plain_count:
        return None
    return _new_tuple(Brief, parts), lines


def _read_plainly(data: bytes) -> tuple[tuple[str | bool | None, ...], tuple[str, ...], int] | None:
    """Return the values of a ``Brief``, the lines that its answer copies, and how many lines and commas."""
    try:
        head = data[:-4].decode()
    except UnicodeDecodeError:
        return None
    lines = head.split("\r\n")
    memorable = len(data) <= _MEMORABLE
    start = _start(lines[0]) if memorable else _read_start(lines[0])
    if start is None:
        return None
    own: dict[str, re.Match[str]] = {}
    shared: dict[str, str] = {}
    copied: list[str] = []
    for line in lines[1:]:
        name = line[: line.find(":")]
        read = _OWN.get(name)
        if read is not None:
            match = read(line)
            if match is None or name in own:
                # RFC 3261 7.3.1: a field that stands twice.
                return None
            own[name] = match
            if name != "Contact":
                copied.append(line)
            continue
        other = _other(line) if memorable else _read_other(line)
        if other is None:
            return None
        name, value = other
        if name:
            if name in shared:
                return None
            shared[name] = value
    # RFC 3261 18.3: a body may be there where no length is.
    if len(copied) != 5 or "Content-Length" not in shared:
        return None
    via, sender, to, call_id, cseq = own["Via"], own["From"], own["To"], own["Call-ID"], own["CSeq"]
    number, method = cseq.groups()
    if method != start[0]:
        return None
    contact = own.get("Contact")
    sent_host, sent_port, _, branch, _ = values = via.groups()
    sent_by = sent_host.lower() if sent_port is None else f"{sent_host.lower()}:{int(sent_port)}"
    parts = (
        *start,
        via.string, *values,
        sender.string, *sender.groups(),
        to.string, *to.groups(),
        call_id.string, *call_id.groups(),
        cseq.string, number,
        *(_NO_CONTACT if contact is None else (contact.string, *contact.groups())),
        shared.get("Expires"), True, shared.get("User-Agent"), shared.get("Supported"),
        sent_by, f"{branch} {sent_by}",
    )  # fmt: skip
    return parts, tuple(copied), len(lines) + head.count(",")


def _read_start(line: str) -> tuple[str | None, ...] | None:
    """Return method, user, host and port of a Request-Line; None where it is not plain."""
    match = _start_line(line)
    return None if match is None else match.groups()


def _read_other(line: str) -> tuple[str, str] | None:
    """Return name and value of a line that phones share, ("", "") where no answer needs it.

    None where it is not plain, or a field by which others than the server itself would decide.
    """
    match = _shared_line(line)
    if match is None:
        return None
    at = match.lastindex
    return ("", "") if at is None else (match[at - 1], match[at])


_start: Final = lru_cache(_REMEMBERED)(_read_start)
_other: Final = lru_cache(_REMEMBERED)(_read_other)
