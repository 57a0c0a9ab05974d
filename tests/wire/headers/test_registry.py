"""Every header field that has a type: an example, and malformed values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.wire import (
    DISPLAY,
    STAR,
    ContentType,
    CSeq,
    Event,
    Identity,
    Parametered,
    RAck,
    Reason,
    Replaces,
    Request,
    RetryAfter,
    SessionExpires,
    SubscriptionState,
    TargetDialog,
    Timestamp,
    UriInfo,
    Warn,
)
from sansip.wire.headers.registry import PARSERS, is_list

TAGS = {"from-tag": "f", "to-tag": "t"}
PASSPORT = "eyJhbGciOiJFUzI1NiJ9.eyJvcmlnIjp7fX0.c2ln_-"

# name, value, what it is: compared by ==, or by its text where it has no equality.
GOOD: list[tuple[str, str, Any]] = [
    ("Accept", "text/*;q=0.5, */*", [ContentType("text", "*", {"q": "0.5"}), ContentType("*", "*")]),
    ("Accept", "", []),
    ("Accept-Encoding", "gzip;q=1, *", [Parametered("gzip", {"q": "1"}), Parametered("*")]),
    (
        "Accept-Language",
        "da, en-gb;q=0.8, *",
        [Parametered("da"), Parametered("en-gb", {"q": "0.8"}), Parametered("*")],
    ),
    ("Allow", "INVITE, ACK", ["INVITE", "ACK"]),
    ("Allow", "", []),
    ("Authentication-Info", 'nextnonce="47364", qop=auth', {"nextnonce": "47364", "qop": "auth"}),
    ("Call-ID", "f81d@h", "f81d@h"),
    ("Content-Disposition", "session;handling=optional", Parametered("session", {"handling": "optional"})),
    ("Content-Encoding", "gzip, tar", ["gzip", "tar"]),
    ("Content-Language", "fr, en-US", ["fr", "en-US"]),
    ("Content-Length", "349", 349),
    ("Content-Type", "text/html; charset=ISO-8859-4", ContentType("text", "html", {"charset": "ISO-8859-4"})),
    ("CSeq", "4711 INVITE", CSeq(4711, "INVITE")),
    ("Date", "Sat, 13 Nov 2010 23:29:00 GMT", datetime(2010, 11, 13, 23, 29, tzinfo=UTC)),
    ("Expires", "5", 5),
    ("In-Reply-To", "70710@saturn, 17320@saturn", ["70710@saturn", "17320@saturn"]),
    ("Max-Forwards", "6", 6),
    ("Min-Expires", "60", 60),
    ("MIME-Version", "1.0", "1.0"),
    ("Organization", "Boxes by Bob, Inc.", "Boxes by Bob, Inc."),
    ("Priority", "emergency", "emergency"),
    ("Proxy-Require", "foo", ["foo"]),
    ("Require", "100rel", ["100rel"]),
    ("Retry-After", "18000;duration=3600", RetryAfter(18000, "", 3600, {"duration": "3600"})),
    ("Retry-After", "120 (I'm (in) a \\) meeting)", RetryAfter(120, "I'm (in) a \\) meeting")),
    ("Server", "HomeServer v2 (x)", "HomeServer v2 (x)"),
    ("Subject", "Need, more", "Need, more"),
    ("Supported", "100rel", ["100rel"]),
    ("Timestamp", "54.2 0.5", Timestamp(54.2, 0.5)),
    ("Timestamp", "54", Timestamp(54.0)),
    ("Timestamp", "54. .5", Timestamp(54.0, 0.5)),
    ("Unsupported", "foo", ["foo"]),
    ("User-Agent", "Softphone Beta1.5", "Softphone Beta1.5"),
    (
        "Warning",
        '307 isi.edu "Session, not" , 301 [::1]:5060 "x"',
        [Warn(307, "isi.edu", "Session, not"), Warn(301, "[::1]:5060", "x")],
    ),
    ("RSeq", "988789", 988789),
    ("RAck", "776656 1 INVITE", RAck(776656, 1, "INVITE")),
    ("Privacy", "id; Header", ["id", "header"]),
    ("Reason", 'SIP;cause=200;text="Call, done", Q.850;cause=16', None),
    (
        "Security-Client",
        "ipsec-ike; q=0.1, tls",
        [Parametered("ipsec-ike", {"q": "0.1"}), Parametered("tls")],
    ),
    ("Accept-Contact", '*;audio;+sip.x="<a,b>";explicit', None),
    ("Request-Disposition", "proxy, recurse", ["proxy", "recurse"]),
    (
        "Replaces",
        "a@b;to-tag=t;from-tag=f;early-only",
        Replaces("a@b", "t", "f", True, {**TAGS, "early-only": None}),
    ),
    ("Join", "a@b;from-tag=f;to-tag=t", Replaces("a@b", "t", "f", False, TAGS)),
    ("Target-Dialog", "a@b;local-tag=x", TargetDialog("a@b", "x", None, {"local-tag": "x"})),
    ("SIP-ETag", "dx200xyz", "dx200xyz"),
    ("SIP-If-Match", "dx200xyz", "dx200xyz"),
    ("Session-Expires", "4000;refresher=UAC", SessionExpires(4000, "uac", {"refresher": "UAC"})),
    ("Min-SE", "90", SessionExpires(90)),
    ("Resource-Priority", "DSN.flash, wps.3", ["dsn.flash", "wps.3"]),
    ("Refer-Sub", "false", Parametered("false")),
    ("Answer-Mode", "Manual;require", Parametered("Manual", {"require": None})),
    ("Max-Breadth", "60", 60),
    ("Flow-Timer", "126", 126),
    (
        "P-Asserted-Service",
        "urn:urn-7:3gpp-service.ims.icsi.mmtel",
        ["urn:urn-7:3gpp-service.ims.icsi.mmtel"],
    ),
    ("Info-Package", "foo", Parametered("foo")),
    ("Recv-Info", "", []),
    ("Event", "Presence.WInfo;id=7", Event("presence.winfo", {"id": "7"})),
    ("Allow-Events", "presence, refer", ["presence", "refer"]),
    (
        "Subscription-State",
        "Terminated;reason=Timeout;retry-after=5;expires=0",
        SubscriptionState(
            "terminated", "timeout", 0, 5, {"reason": "Timeout", "retry-after": "5", "expires": "0"}
        ),
    ),
    ("Feature-Caps", '*;+g.x="1"', [Parametered("*", {"+g.x": '"1"'})]),
    ("P-Visited-Network-ID", '"Visited network, 1"', [Parametered("Visited network, 1")]),
    ("P-Access-Network-Info", "IEEE-802.11;x=1", [Parametered("IEEE-802.11", {"x": "1"})]),
    ("P-Charging-Vector", "icid-value=1;orig-ioi=h", {"icid-value": "1", "orig-ioi": "h"}),
    ("User-to-User", "56a3;encoding=hex", [Parametered("56a3", {"encoding": "hex"})]),
    ("Session-ID", "ab30;remote=00", Parametered("ab30", {"remote": "00"})),
    (
        "Identity",
        f"{PASSPORT};info=<https://c.example/p>;alg=ES256",
        [Identity(PASSPORT, "https://c.example/p", {"info": "<https://c.example/p>", "alg": "ES256"})],
    ),
    ("Identity", '"Y2xhc3NpYw=="', [Identity("Y2xhc3NpYw==")]),
    ("Contact", "*", STAR),
]

ADDRESSES = """
From To Reply-To Refer-To Referred-By P-Asserted-Identity P-Preferred-Identity Record-Route Route
Path Service-Route History-Info Diversion P-Associated-URI P-Called-Party-ID P-Served-User
P-Profile-Key Contact Remote-Party-ID Permission-Missing
"""
URI_INFOS = "Alert-Info Call-Info Error-Info Geolocation P-User-Database Refer-Events-At"

BAD = [
    ("Accept", "text"),
    ("Accept-Language", "1"),
    ("Alert-Info", "http://h"),
    ("Alert-Info", "<not a uri>"),
    ("Allow", "IN VITE"),
    ("Allow", ","),
    ("Authentication-Info", "nextnonce"),
    ("Authentication-Info", "a=1,"),
    ("Authentication-Info", "a=1, A=2"),
    ("Authorization", ""),
    ("Authorization", "Digest a"),
    ("Authorization", "Digest a=1 b=2"),
    ("Contact", "*, <sip:h>"),
    ("Contact", "<sip:h>, *"),
    ("Contact", ""),
    ("Content-Language", "*"),
    ("Content-Type", "text/"),
    ("Content-Type", "text/plain;"),
    ("Date", "yesterday"),
    ("Event", ";id=1"),
    ("Feature-Caps", "x"),
    ("Identity", "a;info=x>"),
    ("Identity", ""),
    ("Identity", "a;alg=1;alg=2"),
    ("In-Reply-To", "a b"),
    ("MIME-Version", "1"),
    ("Max-Breadth", "many"),
    ("P-Charging-Vector", "icid-value=1;icid-value=2"),
    ("Privacy", "a b"),
    ("RAck", "1 INVITE"),
    ("RAck", "4294967296 1 INVITE"),
    ("RSeq", "0"),
    ("Reason", "SIP;cause=x"),
    ("Reason", "SIP;cause"),
    ("Replaces", "a"),
    ("Resource-Priority", "a.b.c"),
    ("Retry-After", "soon"),
    ("Retry-After", "1 (open"),
    ("Retry-After", "1;duration"),
    ("Route", "sip:h"),
    ("Session-Expires", "x"),
    ("Subscription-State", "active;expires=x"),
    ("Timestamp", "x"),
    ("Timestamp", "9" * 65),
    ("Warning", '1812 overture "In Progress"'),
    ("Warning", "307 isi.edu text"),
]


def typed(name: str, *values: str) -> Any:
    return Request.build("OPTIONS", "sip:h", [(name, value) for value in values]).typed(name)


@pytest.mark.parametrize(("name", "value", "expected"), GOOD, ids=lambda part: str(part)[:20])
def test_examples(name: str, value: str, expected: Any) -> None:
    """The examples of the RFCs, and the odd corner of each grammar."""
    found = typed(name, value)
    if expected is not None:
        assert found == expected


@pytest.mark.parametrize("name", ADDRESSES.split())
def test_address_fields(name: str) -> None:
    """name-addr with parameters; a list where the field is one."""
    value = '"A, B" <sip:a@h;lr>;x=1'
    found = typed(name, value)
    if is_list(name.lower()):
        (found,) = found
        assert len(typed(name, value, f"{value}, {value}")) == 3
    assert (found.display, str(found.uri), found.params) == ("A, B", "sip:a@h;lr", {"x": "1"})


@pytest.mark.parametrize("name", URI_INFOS.split())
def test_uri_fields(name: str) -> None:
    """A URI in angle brackets with parameters."""
    found = typed(name, "<http://www.example.com/a,b>;purpose=icon")
    found = found[0] if isinstance(found, list) else found
    assert isinstance(found, UriInfo)
    assert str(found.uri) == "http://www.example.com/a,b"
    assert found.params == {"purpose": "icon"}


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda part: str(part)[:20])
def test_malformed(name: str, value: str) -> None:
    """The error names the field and the section that defines it."""
    with pytest.raises(RemoteProtocolError) as caught:
        typed(name, value)
    error = caught.value
    assert error.field == name
    assert error.reason.startswith(f"{name}: ")
    assert error.section


def test_reason_and_features() -> None:
    """RFC 3326 2, RFC 3841 9.2: lists with quoted commas."""
    sip, q850 = typed("Reason", 'SIP;cause=200;text="Call, done", Q.850;cause=16')
    assert isinstance(sip, Reason)
    assert (sip.protocol, sip.cause, sip.text) == ("SIP", 200, "Call, done")
    assert (q850.protocol, q850.cause, q850.text) == ("Q.850", 16, None)
    (features,) = typed("Accept-Contact", '*;audio;+sip.x="<a,b>";explicit')
    assert features.params == {"audio": None, "+sip.x": '"<a,b>"', "explicit": None}


@pytest.mark.parametrize("key", sorted(PARSERS))
def test_every_parser(key: str) -> None:
    """Known under its usual name; never anything but a value or a RemoteProtocolError."""
    assert key in DISPLAY
    for text in (
        "",
        "*",
        "x",
        "1",
        "a=b",
        "<sip:h>",
        '"q"',
        "a/b;c=d",
        ",",
        ";",
        "<",
        '"',
        "(",
        "é",
        "\udcff",
        "\x00",
    ):
        for lines in ([text], [text, text]):
            try:
                PARSERS[key](lines)
            except RemoteProtocolError as error:
                assert error.field, error.reason  # noqa: PT017 (the exception is the answer)


@pytest.mark.parametrize("name", ["Date", "Subject", "Event", "CSeq", "Replaces", "Content-Type"])
def test_single_fields_are_single(name: str) -> None:
    """RFC 3261 7.3.1: two lines of a field that is no list."""
    with pytest.raises(RemoteProtocolError, match="more than once"):
        typed(name, "a", "a")


def test_quality() -> None:
    """RFC 3261 20.1: q is 1 unless it says otherwise."""
    high, low, odd = typed("Accept", "a/b, a/c;q=0.2, a/d;q=x")
    assert (high.q, low.q, odd.q) == (1.0, 0.2, 1.0)
    assert low.value == "a/c"
    assert str(low) == "a/c;q=0.2"
    assert typed("Accept-Encoding", "gzip;q=9")[0].q == 1.0
    assert typed("Event", "presence").id is None
    assert str(typed("CSeq", "1 A")) == "1 A"
    assert str(STAR) == "*"
    assert repr(STAR) == "STAR"
