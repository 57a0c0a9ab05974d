"""Everything in a message that can be made longer, as functions of a number of octets.

Theory of operation: ``FIELDS`` has a value for each field that the reader knows, so that
the list of them cannot fall behind (``test_cost`` compares). Each is lengthened in every way that its
grammar, and none, allows: as a list on one line, over many lines, by parameters, by
folds, and by what nests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sansip.limits import DEFAULT
from sansip.wire.names import DISPLAY
from tests.rig import HOST

__all__ = ["FIELDS", "GROWING", "READ", "Growing", "Lines"]

# Header lines.
Lines = list[tuple[str, str]]

OURS = f"<sip:{HOST};lr>"
_BY_VALUE = {
    OURS: "route record-route path service-route",
    "<sip:bob@192.0.2.2>": (
        "contact alert-info call-info error-info from to reply-to p-asserted-identity p-preferred-identity "
        "refer-to referred-by p-user-database p-profile-key permission-missing p-served-user diversion "
        "geolocation history-info p-associated-uri p-called-party-id refer-events-at remote-party-id"
    ),
    "token": (
        "accept-encoding accept-language allow content-disposition content-encoding content-language "
        "priority proxy-require require supported unsupported privacy security-client security-server "
        "security-verify "
        "request-disposition sip-etag sip-if-match refer-sub p-early-media answer-mode priv-answer-mode "
        "suppress-if-match info-package recv-info geolocation-routing geolocation-error event allow-events "
        "subscription-state p-visited-network-id p-access-network-info user-to-user"
    ),
    "text/plain": "accept content-type",
    "1": (
        "content-length expires max-forwards min-expires retry-after timestamp rseq session-expires min-se "
        "max-breadth flow-timer cseq rack date mime-version"
    ),
    'Digest username="a", realm="biloxi.test", nonce="n", uri="sip:x", response="0"': (
        "authorization proxy-authorization authentication-info proxy-authentication-info"
    ),
    'Digest realm="biloxi.test", nonce="n"': "www-authenticate proxy-authenticate",
    "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKq": "via",
    '399 sansip "text"': "warning",
    "a@b": "call-id in-reply-to",
    "SIP;cause=200": "reason",
    "some words": "organization server subject user-agent p-asserted-service p-preferred-service",
    "a@b;to-tag=1;from-tag=2": "replaces join target-dialog",
    '*;audio="TRUE"': "accept-contact reject-contact feature-caps",
    "dsn.flash": "resource-priority accept-resource-priority",
    "ccf=1": "p-charging-function-addresses p-charging-vector",
    "a5085e3a43d14df5bc8a1ef7e4a8c6a2;remote=1": "session-id",
    "abc;info=<https://a.test>": "identity",
}
# key -> a value that its parser takes
FIELDS: dict[str, str] = {key: value for value, keys in _BY_VALUE.items() for key in keys.split()}
# Fields that the core itself looks at, edits, copies or counts.
_READ = (
    "via route record-route path service-route contact from to call-id cseq require proxy-require supported "
    "unsupported allow authorization proxy-authorization www-authenticate proxy-authenticate expires "
    "max-forwards max-breadth content-length content-type event reason p-asserted-identity remote-party-id "
    "warning retry-after"
)
READ = frozenset(_READ.split())


@dataclass(frozen=True)
class Growing:
    """Something that grows. ``key`` is its field, "" for the body or the start line.

    ``lines(octets)`` has about so many octets, of at most ``most``; ``body`` and ``uri`` the same.
    """

    name: str
    key: str
    most: int
    lines: Callable[[int], Lines] = lambda octets: []
    body: Callable[[int], bytes] = lambda octets: b""
    uri: Callable[[int], str] = lambda octets: ""
    type: str = ""


LINE = DEFAULT.header_size - 200
HEAD = DEFAULT.head_size - 2_000


def _field(key: str, value: str) -> list[Growing]:
    name = DISPLAY.get(key, key)
    unit = f"{value}, "
    escaped = '\\"'

    def over_lines(octets: int) -> Lines:
        return [(name, value)] * min(octets // (len(name) + len(value) + 4), DEFAULT.header_count - 20)

    def params(octets: int) -> Lines:
        return [(name, value + "".join(f";p{number:04}=v" for number in range(octets // 8)))]

    def quoted(octets: int) -> Lines:
        return [(name, f'{value};q="{escaped * (octets // 2)}"')]

    return [
        Growing(f"{key} list", key, LINE, lambda octets: [(name, unit * (octets // len(unit)) + value)]),
        Growing(f"{key} lines", key, HEAD, over_lines),
        Growing(f"{key} params", key, LINE, params),
        Growing(f"{key} folds", key, LINE, lambda octets: [(name, value + "\r\n ," * (octets // 4))]),
        Growing(
            f"{key} quoted", key, LINE, lambda octets: [(name, f'{value};q="{escaped * (octets // 2)}"')]
        ),
        Growing(f"{key} open", key, LINE, lambda octets: [(name, value + ', <"(' * (octets // 5))]),
    ]


def _nested() -> list[Growing]:
    def uri(begin: str, unit: str) -> Callable[[int], str]:
        return lambda octets: begin + unit * (octets // len(unit))

    def contact(begin: str, unit: str, end: str = ">") -> Callable[[int], Lines]:
        return lambda octets: [("Contact", begin + unit * (octets // len(unit)) + end)]

    addresses = [
        ("uri headers", "<sip:bob@192.0.2.2?a=b", "&a=b"),
        ("uri params", "<sip:bob@192.0.2.2", ";aa=b"),
        ("escapes", "<sip:", "%41"),
        ("labels", "<sip:a", ".a"),
        ("dashes", "<sip:a", "--a"),
        ("display", '"', "\\\\"),
    ]
    found = [
        Growing(f"contact {name}", "contact", LINE, contact(begin, unit)) for name, begin, unit in addresses
    ]
    most = DEFAULT.uri_size
    for name, begin, unit in (
        ("params", "sip:bob@biloxi.test", ";aa=b"),
        ("headers", "sip:bob@biloxi.test?a=b", "&a=b"),
        ("user", "sip:", "%41"),
        ("labels", "sip:bob@a", ".a"),
    ):
        found.append(Growing(f"request-uri {name}", "", most, uri=uri(begin, unit)))

    def comment(field: str, unit: str) -> Callable[[int], Lines]:
        return lambda octets: [(field, f"1 {unit * (octets // len(unit))}")]

    def lines(name: str, value: str, count: int) -> Callable[[int], Lines]:
        return lambda octets: [(name, value)] * min(octets // (len(name) + len(value) + 4), count)

    comments = {"comments": "(", "closed comments": "()", "quoted pairs": "(\\a)"}
    found += [
        Growing(f"{field} {name}", "retry-after", LINE, comment(field, unit))
        for name, unit in comments.items()
        for field in ("User-Agent", "Retry-After", "Server")
    ]
    found.append(Growing("unknown lines", "x", HEAD, lines("X-Unknown", "y", DEFAULT.header_count - 20)))
    found.append(Growing("one long line", "x", LINE, lambda octets: [("X-Unknown", "y" * octets)]))
    found.append(Growing("compact names", "via", HEAD, lines("v", "SIP/2.0/UDP h", DEFAULT.via_count - 10)))
    return found


def _bodies() -> list[Growing]:
    most = DEFAULT.message_size - 4_000
    sdp = b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\n"
    units = {
        "zeros": ("application/octet-stream", b"", b"\0"),
        "line ends": ("text/plain", b"", b"\r\n"),
        "connection lines": ("application/sdp", sdp, b"c=IN IP4 10.0.0.1\r\n"),
        "almost connection lines": ("application/sdp", sdp, b"c=IN IP"),
        "media": ("application/sdp", sdp, b"m=audio 4000 RTP/AVP 0\r\n"),
        "parts": ("multipart/mixed;boundary=b", b"", b"--b\r\n\r\nx\r\n"),
        "dashes": ("multipart/mixed;boundary=b", b"--b", b"-"),
        "elements": ("application/pidf+xml", b"<?xml version='1.0'?>", b"<a>"),
        "fragments": ("message/sipfrag", b"SIP/2.0 200 OK\r\n", b"Via: x\r\n"),
        "reports": ("message/cpim", b"", b"From: a\r\n"),
    }

    def grown(begin: bytes, unit: bytes) -> Callable[[int], bytes]:
        return lambda octets: begin + unit * (octets // len(unit))

    return [
        Growing(f"body {name}", "", most, body=grown(begin, unit), type=type_)
        for name, (type_, begin, unit) in units.items()
    ]


GROWING: list[Growing] = [
    *(one for key, value in FIELDS.items() for one in _field(key, value)),
    *_nested(),
    *_bodies(),
]
