"""DNS messages as octets (RFC 1035 4), through dnspython's codec.

Theory of operation: dnspython imports sockets and threads for parts that are not used here, so it is imported
by ``load``, when a resolver is built, and not by ``import sansip``. The codec reduces a reply to the needed
records and matches it with its query. It does not accept a reply with any fault.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any

from sansip.transport.dns.records import Naptr, Record, Srv

__all__ = ["NOERROR", "NXDOMAIN", "Reply", "build_query", "load", "normal_name", "read_reply"]

NOERROR, FORMERR, NOTIMP, NXDOMAIN = 0, 1, 4, 3

# RFC 6891 6.2.5 and the operators' common choice: fits every path unfragmented.
PAYLOAD = 1_232

# Nearly every name matches: it has no character that would have to be escaped.
_PLAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII)
_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _TRUNCATED = 0x8000, 0x0200


@dataclass(slots=True)
class Reply:
    """A reply to a query. ``answers`` are (owner, type, TTL, record) of the answer section.

    ``negative_ttl`` is how long "there is none" holds (RFC 2308 5), None without an SOA.
    """

    rcode: int
    truncated: bool
    answers: list[tuple[str, str, int, Record]] = field(default_factory=list)
    negative_ttl: int | None = None


def load() -> None:
    """Import the codec with the record types that are asked for, once and for all."""
    import dns.message
    import dns.rdtypes.ANY.CNAME
    import dns.rdtypes.ANY.PTR
    import dns.rdtypes.ANY.SOA
    import dns.rdtypes.ANY.TXT
    import dns.rdtypes.IN.A
    import dns.rdtypes.IN.AAAA
    import dns.rdtypes.IN.NAPTR
    import dns.rdtypes.IN.SRV  # noqa: F401 (imported for its effect)


def normal_name(name: str) -> str | None:
    """Return ``name`` as it is compared and cached, or None where it cannot be a name."""
    plain = name.lower()
    if _PLAIN.fullmatch(plain) and len(plain) <= 253:
        return plain
    import dns.exception
    import dns.name

    try:
        return _text(dns.name.from_text(name.encode("ascii").decode("ascii")))
    except (dns.exception.DNSException, UnicodeError, ValueError):
        return None


def build_query(number: int, name: str, kind: str, *, edns: bool) -> bytes:
    """Return a recursive query for ``name``, which is written as given."""
    import dns.flags
    import dns.message
    import dns.name
    import dns.rdataclass
    import dns.rdatatype

    message = dns.message.QueryMessage(id=number)
    message.flags |= dns.flags.RD
    kind_number = dns.rdatatype.from_text(kind)
    message.find_rrset(
        message.question,
        dns.name.from_text(name),
        dns.rdataclass.IN,
        kind_number,
        create=True,
        force_unique=True,
    )
    if edns:
        message.use_edns(0, 0, PAYLOAD)
    return message.to_wire()


def read_reply(data: bytes, number: int, name: str, kind: str, most: int) -> Reply | None:
    """Return the reply to the query with these values, or None if ``data`` is not that.

    The name must have come back as it was sent, letter by letter. ``most``
    bounds the records that are taken.
    """
    import dns.message
    import dns.name
    import dns.rdataclass
    import dns.rdatatype

    if len(data) < _HEADER.size:
        return None
    given, flags, questions, _, _, _ = _HEADER.unpack_from(data)
    if given != number or not flags & _RESPONSE or flags & 0x7800:
        return None
    rcode = flags & 0xF
    if questions == 0:
        # Some servers that cannot read EDNS repeat nothing (RFC 6891 7).
        return Reply(rcode, False) if rcode in (FORMERR, NOTIMP) else None
    truncated = bool(flags & _TRUNCATED)
    try:
        message = dns.message.from_wire(data, question_only=truncated, ignore_trailing=truncated)
    except Exception:  # a peer's octets: whatever the codec dislikes about them
        return None
    if len(message.question) != 1:
        return None
    asked = message.question[0]
    if (
        asked.rdclass != dns.rdataclass.IN
        or asked.rdtype != dns.rdatatype.from_text(kind)
        or asked.name.labels != dns.name.from_text(name).labels
    ):
        return None
    reply = Reply(rcode, truncated)
    if truncated:
        return reply
    for rrset in message.answer:
        if rrset.rdclass != dns.rdataclass.IN:
            continue
        text = dns.rdatatype.to_text(rrset.rdtype)
        owner = _text(rrset.name)
        for rdata in rrset:
            record = _record(text, rdata)
            if record is not None and len(reply.answers) < most:
                reply.answers.append((owner, text, rrset.ttl, record))
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            # RFC 2308 5: the lesser of the SOA's own TTL and its last field.
            reply.negative_ttl = min(rrset.ttl, rrset[0].minimum)
    return reply


def _record(kind: str, rdata: Any) -> Record | None:
    if kind in ("A", "AAAA"):
        return str(rdata.address)
    if kind in ("CNAME", "PTR"):
        return _text(rdata.target)
    if kind == "SRV":
        return Srv(rdata.priority, rdata.weight, rdata.port, _text(rdata.target))
    if kind == "NAPTR":
        return Naptr(
            rdata.order,
            rdata.preference,
            rdata.flags.decode("latin-1"),
            rdata.service.decode("latin-1"),
            rdata.regexp.decode("utf-8", "replace"),
            _text(rdata.replacement),
        )
    if kind == "TXT":
        return b"".join(rdata.strings).decode("utf-8", "replace")
    return None


def _text(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text.lower()
