"""Hostile spelling: a sound message, changed as a stranger might, in one place or a few.

Theory of operation: a message is a list of lines and a body. Each change takes one line, or the list, and
writes it as the grammar allows but hardly a phone does, as the grammar forbids, or as an attacker would like
it to be read. The changes are chosen by a seeded generator, so that a message is the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

__all__ = ["spell"]

_COMPACT = {
    "via": "v", "from": "f", "to": "t", "call-id": "i", "contact": "m", "content-length": "l",
    "supported": "k", "subject": "s", "content-type": "c", "event": "o",
}  # fmt: skip
_URIS = (
    "sip:bob@biloxi.test", "SIP:bob@biloxi.test", "sip:BOB@biloxi.test", "sip:bob@BILOXI.TEST:5060",
    "sip:biloxi.test", "sip:bob@192.0.2.99", "sip:bob@192.0.2.99:5060", "sip:bob@192.0.2.99:5061",
    "sip:bob@192.0.2.2:5060", "sip:bob@192.0.2.2", "sip:bob@192.0.2.002:5060", "sip:bob@192.0.2.3:5060",
    "sip:bob@999.0.2.2:5060", "sip:bob@elsewhere.test", "sips:bob@biloxi.test", "sips:bob@192.0.2.2:5060",
    "tel:+1-201;phone-context=x", "tel:+1", "sip:b%6fb@biloxi.test", "sip:b%6Fb@192.0.2.2:5060",
    "sip:bob:secret@biloxi.test", "sip:bob;x=y@biloxi.test", "sip:bob@biloxi.test;user=phone",
    "sip:bob@biloxi.test;transport=tcp", "sip:bob@biloxi.test;transport=udp", "sip:bob@biloxi.test;lr",
    "sip:bob@biloxi.test;maddr=192.0.2.99", "sip:bob@biloxi.test;gr", "sip:bob@biloxi.test;gr=x",
    "sip:bob@biloxi.test;%67r", "sip:bob@biloxi.test;x=%41", "sip:bob@biloxi.test;ttl=1",
    "sip:bob@biloxi.test;method=BYE", "sip:bob@biloxi.test;a=1;b=2", "sip:bob@biloxi.test;a=1;a=2",
    "sip:bob@biloxi.test;", "sip:bob@biloxi.test?Subject=x", "sip:bob@biloxi.test;ob",
    "sip:bob@192.0.2.2:5060;transport=udp", "sip:bob@192.0.2.2:5060;line=4f", "sip:bob@192.0.2.2:5060;lr",
    "sip:bob@192.0.2.2:5060;maddr=192.0.2.3", "sip:bob@192.0.2.2:0", "sip:bob@192.0.2.2:65535",
    "sip:bob@192.0.2.2:65536", "sip:bob@192.0.2.2:05060", "sip:bob@[2001:db8::2]:5060", "sip:bob@[::1]",
    "sip:alice@192.0.2.1:5060", "sip:alice@biloxi.test", "sip:alice@atlanta.test", "sip:@biloxi.test",
    "sip:bob@bob@biloxi.test", "sip:", "sip:bob@", "sip:bob@biloxi.test.", "sip:bob@-x.test", "urn:x",
    "mailto:bob@biloxi.test", "http://biloxi.test", "*", "sip:bob@biloxi.test;transport=UDP;lr",
    "sip:bob@192.0.2.2:5060;ob", "sip:bob@10.0.0.2:5060", "sip:bob@127.0.0.1:5060", "sip:bob@x_y",
    "sip:bob@biloxi.test:", "sip:b\xf6b@biloxi.test", "sip:bob@b\xefloxi.test",
    "sip:bob@192.0.2.2:5060;ob=x",
)  # fmt: skip
_PARAMS = (
    "rport", "rport=", "rport=5060", "rport=1", "RPORT", "Rport", "rport;rport", "received=192.0.2.9",
    "received=192.0.2.1", "received=x", "received=", "RECEIVED=192.0.2.1", "maddr=192.0.2.9", "ttl=1",
    "ttl=256", "branch=z9hG4bKtwo", "BRANCH=z9hG4bKtwo", "branch=", "branch", "tag=x", "tag=", "tag",
    "TAG=x", 'tag="x"', "tag=a", "tag=b", "tag=-", "alias", "keep", "oc", "x", "x=y", 'x="y;z"', 'x="a,b"',
    "x=y z", "x=[::1]", "x=\xe9", "expires=60", "expires=0", "Expires=60", "expires=4294967296", "expires=x",
    "q=0.5", 'reg-id=1;+sip.instance="<urn:uuid:1>"', "lr", "", " ", "transport=tcp", "x=%41",
    "comp=sigcomp",
)  # fmt: skip
_NUMBERS = (
    "0", "1", "2", "00", "01", "007", "69", "70", "070", "71", "100", "255", "256", "999", "1000",
    "2147483647", "2147483648", "999999999", "1000000000", "4294967295", "4294967296", "9" * 30, "-1", "+1",
    "1.0", "x", "", " ", "\u0661", "1_0", "0x1", "1 1",
)  # fmt: skip
_FIELDS = (
    "Require: 100rel", "Require: no-such", "Require: path", "Proxy-Require: no-such",
    "Proxy-Require: sec-agree", "Supported: path, outbound, gruu", "Supported: gruu", "Supported:",
    "Path: <sip:192.0.2.50;lr>", "Route: x", "Route: <sip:192.0.2.99;lr>", "Route: <sip:192.0.2.99:5060;lr>",
    "Route: <sip:192.0.2.99:5060;transport=udp;lr>", "Route: <sip:192.0.2.7;lr>",
    "Route: <sip:192.0.2.99;lr>, <sip:192.0.2.7;lr>", "Route: <sip:biloxi.test;lr>",
    "Route: <sip:192.0.2.99>", "ROUTE: <sip:192.0.2.99;lr>", "Record-Route: <sip:192.0.2.7;lr>",
    "Record-Route: x", "Max-Breadth: 0", "Max-Breadth: 1", "Max-Breadth: x", "Max-Forwards: 5", "Expires: 0",
    "Expires: 60", "Expires: 4294967296", "Expires: x", "Timestamp: 5", "Timestamp: 5 .5", "Date: x",
    "Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKloop", "Via: SIP/2.0/UDP 192.0.2.50;branch=z9hG4bKx",
    "Via: x", "v: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bK1.2", "Contact: <sip:third@192.0.2.3>",
    "m: <sip:third@192.0.2.3>", "Contact: *", "Content-Length: 0", "l: 0", "f: <sip:x@y>;tag=z",
    "t: <sip:x@y>", "i: other", "CSeq: 1 INVITE", "P-Asserted-Identity: <sip:boss@biloxi.test>",
    "Privacy: id", "P-Preferred-Identity: <sip:boss@biloxi.test>", "Remote-Party-ID: <sip:boss@biloxi.test>",
    "Alert-Info: <http://x.test>", "p-asserted-identity : <sip:boss@biloxi.test>", "Subject: x, y",
    "Authorization: Basic x", 'Authorization: Digest realm="biloxi.test"', "Proxy-Authorization: Digest x",
    'Proxy-Authorization: Digest username="alice", realm="biloxi.test", nonce="x", uri="x", response="x"',
    "Session-Expires: 90", "x: 90", "Min-SE: 90", "User-Agent: phone", "User-Agent:", "Server: x",
    "Event: x", "Content-Type: application/sdp", "Content-Encoding: gzip", "Replaces: a;to-tag=b;from-tag=a",
    "RAck: 1 1 INVITE", "RSeq: 1", "Reason: SIP;cause=200", "Accept-Contact: *",
    "Request-Disposition: no-fork", "Join: x", "Security-Verify: x", "Identity: x",
    "History-Info: <sip:x@y>", "P-: x", ": x", "X", "X : y", "X\xe9: y", "X:" + "y" * 900, "X: " + "," * 300,
    "X: " + ";a" * 300, "Warning: 399 x", "WWW-Authenticate: Digest x", "Proxy-Authenticate: Digest x",
    "Authentication-Info: x", "Retry-After: 5", "Unsupported: x", "Allow: x",
)  # fmt: skip
_OCTETS = (
    b"\0", b"\xff", b"\xc3\x28", "\xe9".encode(), "\u2028".encode(), "\x85".encode(), b"\x7f", b"\x0b",
    b"\x0c", b"\x1c", b"\r", b"\n", b"\t", b" ", b'"', b"\\", b"<", b">", b",", b";", b":", b"@", b"%", b"=",
    b"?", b"[", b"\r\n", b"\r\n\r\n", b"\r\n ", "\ufeff".encode(), "\u0130".encode(), "\u212a".encode(),
    "\u017f".encode(),
)  # fmt: skip
_VIAS = (
    "SIP/2.0/UDP 192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1", "SIP/2.0/UDP 192.0.2.1:5061",
    "SIP/2.0/UDP 10.0.0.1:5060", "SIP/2.0/UDP 192.0.2.99:5060", "SIP/2.0/UDP 192.0.2.99",
    "SIP/2.0/UDP biloxi.test", "SIP/2.0/UDP phone.test:5060", "SIP/2.0/UDP [2001:db8::1]:5060",
    "SIP/2.0/TCP 192.0.2.1:5060", "SIP/2.0/TLS 192.0.2.1:5060", "sip/2.0/udp h",
    "SIP / 2.0 / UDP 192.0.2.1:5060", "SIP/2.0/udp 192.0.2.1:5060", "SIP/3.0/UDP 192.0.2.1:5060",
    "SIP/2.0/X-Y 192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1 : 5060", "SIP/2.0/UDP 192.0.2.1:0",
    "SIP/2.0/UDP 192.0.2.1:99999", "SIP/2.0/UDP 192.0.2.1:05060", "SIP/2.0/UDP  192.0.2.1:5060",
    "SIP/2.0/UDP", "SIP/2.0/UDP 192.0.2.01:5060", "SIP/2.0/UDP PHONE.test", "SIP/2.0/UDP x_y.test",
    "SIP/2.0/UDP 192.0.2.1:",
)  # fmt: skip
_STARTS = (
    ("SIP/2.0", "SIP/3.0"), ("SIP/2.0", "sip/2.0"), ("SIP/2.0", "SIP/2.00"), (" ", "  "), (" SIP", "\tSIP"),
    (" SIP", "  SIP"), ("BYE", "Bye"), ("ACK", "BYE"), ("BYE", "ACK"), ("INVITE", "INVITe"), ("BYE", "BYEE"),
    ("INVITE", "UPDATE"), ("REGISTER", "OPTIONS"), ("OPTIONS", "REGISTER"), ("200", "299"), ("200", "0200"),
    ("200 OK", "200 "), ("200 OK", "200"), ("180", "183"), ("180", "199"), ("180", "100"), ("180", "099"),
    ("200", "202"), ("200", "700"), ("200", "300"), ("200", "603"), ("180 ", "180 \u00e9"),
)  # fmt: skip


def spell(data: bytes, chance: Random, times: int) -> bytes:
    """Return ``data``, a sound message, with ``times`` changes."""
    for _ in range(times):
        head, empty, body = data.partition(b"\r\n\r\n")
        change = chance.choice(_CHANGES)
        if change is _octet:
            data = _octet(data, chance)
            continue
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        change(lines, chance)
        data = "\r\n".join(lines).encode("utf-8", "surrogateescape") + empty + body
        if change is _body:
            data = _other_body(data, chance)
    return data


def _at(lines: list[str], chance: Random) -> int:
    return chance.randrange(1, len(lines)) if len(lines) > 1 else 0


def _line(lines: list[str], chance: Random, *names: str) -> int:
    """Return the place of one of the lines of ``names``, of any line where there is none."""
    found = [at for at, line in enumerate(lines) if at and line.partition(":")[0].strip().lower() in names]
    return chance.choice(found) if found else _at(lines, chance)


def _fold(lines: list[str], chance: Random) -> None:
    """RFC 3261 7.3.1: a line may go on in the next one."""
    at = _at(lines, chance)
    places = [place for place, one in enumerate(lines[at]) if one in " ;,"]
    if places:
        place = chance.choice(places)
        lines[at] = f"{lines[at][:place]}\r\n {lines[at][place:].lstrip(' ')}"


def _rename(lines: list[str], chance: Random) -> None:
    """RFC 3261 7.3.1, 7.3.3: names in any case, or in one letter, with white space behind."""
    at = _at(lines, chance)
    name, colon, value = lines[at].partition(":")
    forms = (
        _COMPACT.get(name.lower(), name),
        name.upper(),
        name.lower(),
        f"{name} ",
        f"{name}\t",
        f" {name}",
    )
    lines[at] = f"{chance.choice(forms)}{colon}{value}"


def _space(lines: list[str], chance: Random) -> None:
    at = _at(lines, chance)
    place = chance.choice((len(lines[at]), lines[at].find(":") + 1, chance.randrange(len(lines[at]) + 1)))
    lines[at] = lines[at][:place] + chance.choice((" ", "  ", "\t", " \t ")) + lines[at][place:]


def _unspace(lines: list[str], chance: Random) -> None:
    at = _at(lines, chance)
    places = [place for place, one in enumerate(lines[at]) if one == " "]
    if places:
        place = chance.choice(places)
        lines[at] = lines[at][:place] + lines[at][place + 1 :]


def _double(lines: list[str], chance: Random) -> None:
    lines.insert(_at(lines, chance), lines[_at(lines, chance)])


def _drop(lines: list[str], chance: Random) -> None:
    del lines[_at(lines, chance)]


def _shuffle(lines: list[str], chance: Random) -> None:
    rest = lines[1:]
    chance.shuffle(rest)
    lines[1:] = rest


def _join(lines: list[str], chance: Random) -> None:
    """RFC 3261 7.3.1: several values on one line."""
    at = _line(lines, chance, "via", "route", "contact", "record-route", "supported")
    value = lines[at].partition(":")[2].strip()
    more = chance.choice(
        (value, "<sip:192.0.2.7;lr>", "SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bKz", "", "x")
    )
    between = chance.choice((", ", ",", " , ", ",\r\n "))
    pair = (value, more) if chance.random() < 0.7 else (more, value)
    lines[at] = f"{lines[at].partition(':')[0]}: {between.join(pair)}"


def _number(lines: list[str], chance: Random) -> None:
    at = _line(lines, chance, "max-forwards", "cseq", "content-length", "expires", "via")
    name, colon, value = lines[at].partition(":")
    number = chance.choice(_NUMBERS)
    first, space, rest = value.strip().partition(" ")
    lines[at] = (
        f"{name}{colon} {number}{space}{rest}" if first.isdigit() else lines[at].replace("5060", number)
    )


def _length(lines: list[str], chance: Random) -> None:
    at = _line(lines, chance, "content-length", "l")
    name, colon, value = lines[at].partition(":")
    lines[at] = (
        f"{name}{colon}{chance.choice((' ', '', '     ', chr(9), ' 0', ' 000', ' 1', ' +'))}{value.strip()}"
    )


def _field(lines: list[str], chance: Random) -> None:
    lines.insert(chance.randrange(1, len(lines) + 1), chance.choice(_FIELDS))


def _uri(lines: list[str], chance: Random) -> None:
    """Another URI, in the Request-URI or in an address."""
    uri = chance.choice(_URIS)
    parts = lines[0].split(" ")
    if chance.random() < 0.5 and len(parts) == 3 and not lines[0].startswith("SIP"):
        parts[1] = uri
        lines[0] = " ".join(parts)
        return
    at = _line(lines, chance, "from", "to", "contact", "route", "record-route")
    before, bracket, rest = lines[at].partition("<")
    if bracket:
        form = chance.choice(
            ("{0}<{1}>{2}", "{0}<{1}>{2}", '{0}"x \\" y" <{1}>{2}', "{0}x y <{1}>{2}", "{0}{1}{2}")
        )
        lines[at] = form.format(before, uri, rest.partition(">")[2])


def _param(lines: list[str], chance: Random) -> None:
    """One more parameter, of a URI or behind it."""
    at = _line(lines, chance, "via", "from", "to", "contact", "route")
    param = f";{chance.choice(_PARAMS)}"
    where = chance.randrange(3)
    line = lines[at]
    if where == 0 and ">" in line:
        lines[at] = line.replace(">", f"{param}>", 1)
    elif where == 1 and ";" in line:
        first, _, rest = line.partition(";")
        lines[at] = f"{first}{param};{rest}"
    else:
        lines[at] = line + param


def _unparam(lines: list[str], chance: Random) -> None:
    """One parameter less: a tag, a branch, rport."""
    at = _line(lines, chance, "via", "from", "to")
    parts = lines[at].split(";")
    if len(parts) > 1:
        del parts[chance.randrange(1, len(parts))]
        lines[at] = ";".join(parts)


def _case(lines: list[str], chance: Random) -> None:
    at = chance.randrange(len(lines))
    line = lines[at]
    begin = chance.randrange(len(line) + 1)
    end = min(len(line), begin + chance.choice((1, 5, 20)))
    lines[at] = line[:begin] + line[begin:end].swapcase() + line[end:]


def _via(lines: list[str], chance: Random) -> None:
    at = _line(lines, chance, "via")
    _, semicolon, params = lines[at].partition(";")
    params = params.replace("z9hG4bK", chance.choice(("z9hG4bK", "z9hG4bK", "Z9hG4bK", "old", "")))
    lines[at] = f"Via: {chance.choice(_VIAS)}{semicolon}{params}"


def _start(lines: list[str], chance: Random) -> None:
    fitting = [pair for pair in _STARTS if pair[0] in lines[0]]
    if fitting:
        old, new = chance.choice(fitting)
        lines[0] = lines[0].replace(old, new, 1)
        if chance.random() < 0.5:
            lines[:] = [line.replace(old, new, 1) if line.startswith("CSeq") else line for line in lines]


def _octet(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_OCTETS) + data[at + chance.randrange(2) :]


def _body(lines: list[str], chance: Random) -> None:
    """The body differs from what Content-Length says, or both change."""


def _other_body(data: bytes, chance: Random) -> bytes:
    head, empty, body = data.partition(b"\r\n\r\n")
    body = chance.choice(
        (b"", body + b"\r\n", b"v=0\r\n", b"\r\n\r\n", bytes(range(256)), body[:1], b"x" * 900)
    )
    if chance.random() < 0.7:
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        head = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)])
    return head + empty + body


_CHANGES: tuple[Callable[..., object], ...] = (
    _fold, _rename, _space, _unspace, _double, _drop, _shuffle, _join, _number, _length, _field, _field, _uri,
    _uri, _param, _param, _unparam, _case, _via, _start, _octet, _octet, _body,
)  # fmt: skip
