"""The first inputs of fuzzing: the kept corpus, torture messages, examples of RFCs, some per target."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.targets.story import SEPARATOR
from tests.sdp.texts import BROWSER, PHONE
from tests.wire.head_messages import MESSAGES

__all__ = ["CORPUS", "kept", "seeds"]

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
DATA = ROOT / "conformance" / "sansip_conformance" / "data"
TRACES = ROOT / "conformance" / "sansip_conformance" / "traces"


def kept(target: str) -> list[Path]:
    """Return the inputs kept for ``target``: what once broke it, and what reaches far into it."""
    return sorted((CORPUS / target).glob("*"))


def seeds(target: str) -> list[bytes]:
    """Return the inputs that are mutated for ``target``."""
    own = _OWN.get(target)
    return [path.read_bytes() for path in kept(target)] + (_messages() if own is None else own())


def _messages() -> list[bytes]:
    patterns = ("rfc4475/messages/*.dat", "rfc5118/messages/*.dat", "rfc-examples/*/*.sip")
    return [path.read_bytes() for pattern in patterns for path in sorted(DATA.glob(pattern))]


def _story() -> list[bytes]:
    def message(method: str, to: str, number: int, extra: str = "") -> bytes:
        end = ";tag=peer" if method in ("BYE", "ACK") else ""
        return (
            f"{method} sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:{to}>{end}\r\nCall-ID: c\r\n"
            f"CSeq: {number} {method}\r\nContact: <sip:a@192.0.2.9>\r\n{extra}Content-Length: 0\r\n\r\n"
        ).encode()

    register = message("REGISTER", "example.com", 1).replace(
        b"To: <sip:example.com>", b"To: <sip:b@example.com>"
    )
    two = register.replace(
        b"Contact: <sip:a@192.0.2.9>", b"Contact: <sip:b@192.0.2.10>, <sip:b@far.test>;q=0.5"
    )
    invite = message("INVITE", "b@example.com", 2)
    cancel = message("CANCEL", "b@example.com", 2)
    ring, answer, busy, gone = b"\x01", b"\x04", b"\x0a", b"\x0c"
    calls = [
        [b"\0\0" + register, b"\0\2" + invite, b"\7\2" + ring, b"\7\3" + answer, b"\x06\0", b"\2\2"],
        [b"\0\0" + two, b"\0\2" + invite, b"\7\2" + busy, b"\2\3", b"\7\2" + gone, b"\0\6"],
        [b"\0\0" + two, b"\0\2" + invite, b"\7\2" + ring, b"\0\3" + cancel, b"\7\2\x0b", b"\7\2" + answer],
        [
            b"\3\0" + register,
            b"\3\2" + invite,
            b"\5\2",
            b"\x08\3",
            b"\0\7" + message("OPTIONS", "b@example.com", 3),
        ],
        [
            b"\4\0" + register,
            b"\4\2" + invite,
            b"\7\3" + answer,
            b"\4\2" + message("BYE", "b@example.com", 4),
        ],
        [b"\x81\0" + register, b"\x80\2" + invite, b"\x80\2" + cancel],
    ]
    return [SEPARATOR.join(events) for events in calls] + [b"\0\0" + one for one in _messages()]


def _digest() -> list[bytes]:
    full = (
        b'Digest username="alice", realm="biloxi.test", nonce="NONCE", uri="sip:biloxi.test", qop=auth, '
        b'nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", algorithm=MD5'
    )
    return [
        full,
        full.replace(b"MD5", b"SHA-256"),
        full.replace(b"=auth,", b"=auth-int,") + b', opaque="x\\"y"',
        b'Digest realm="biloxi.test", qop="auth,auth-int", nonce="NONCE", stale=TRUE, algorithm=SHA-256-sess',
        b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        b"Digest username*=UTF-8''J%C3%A4s, userhash=true, realm=\"biloxi.test\"\nBearer abc",
    ]


def _websocket() -> list[bytes]:
    masked = bytes(octet ^ 0x11 for octet in b"OPTIONS sip:a SIP/2.0\r\n\r\n")
    head = bytes((0x80 | len(masked),)) + b"\x11" * 4
    return [
        b"\x81" + head + masked,
        b"\x01" + head + masked + b"\x89\x80\x11\x11\x11\x11" + b"\x80" + head + masked,
        b"\x82" + head + masked + b"\x88\x82\x11\x11\x11\x11" + bytes((0x03 ^ 0x11, 0xE8 ^ 0x11)),
        b"\x81\xfe\x01\x00\x11\x11\x11\x11" + masked * 10,
        b"GET /chat HTTP/1.1\r\nHost: a.test\r\nOrigin: https://a.test\r\nUpgrade: websocket\r\n\r\n",
    ]


def _http() -> list[bytes]:
    head = b"POST /rpc HTTP/1.1\r\nHost: a.test\r\n"
    get = b"GET /health HTTP/1.1\r\nHost: a.test\r\n\r\n"
    post = head + b"Content-Length: 4\r\n\r\nbody"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0\r\nX: y\r\n\r\n"
    return [
        get + post + chunked + get,
        chunked.replace(b"chunked", b"gzip, chunked") + get,
        head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get,
        head + b"Content-Length: 4, 4\r\nExpect: 100-continue\r\n\r\nbody" + get,
        get.replace(b"1.1", b"1.0").replace(b"GET", b"HEAD") + get,
        get.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n") + b"\x81\x80abcd",
        head + b"X: " + b"a" * 600 + b"\r\n\r\n",
        b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\nabc" + get,
    ]


def _dns() -> list[bytes]:
    naptr = b"\xc0\x0c\x00\x23\x00\x01\x00\x00\x00\x3c\x00\x17"
    naptr += b"\x00\x32\x00\x32\x01s\x07SIP+D2U\x00\x04_sip\xc0\x0c"
    srv = b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0c\x00\x0a\x00\x01\x13\xc4\x03one\xc0\x0c"
    a = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x09"
    cname = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03two\xc0\x0c"
    head = b"\x01\x01\x00\x00\x00\x80"
    answers = [head + one for one in (naptr, srv, a, cname)]
    truncated = b"\x01\x00\x00\x00\x02\x00"
    missing = b"\x01\x00\x00\x00\x00\x03"
    return [
        SEPARATOR.join([missing, answers[2]]),
        SEPARATOR.join([answers[0], answers[1], answers[2], answers[2]]),
        SEPARATOR.join([truncated, answers[3], truncated, answers[2], b"\0\0\0\0"]),
        SEPARATOR.join([answers[2]] * 12),
    ]


def _traces() -> list[bytes]:
    found = []
    for path in sorted(TRACES.glob("*.trace")):
        # One trace each with its head: small inputs are mutated faster.
        head, *rest = path.read_bytes().split(b"\ntrace ")
        found += [head + b"\ntrace " + one for one in rest[:4]]
    return found


def _heads() -> list[bytes]:
    return [*MESSAGES, *_messages()]


def _sdp() -> list[bytes]:
    return [BROWSER, PHONE, PHONE.replace(b"\r\n", b"\n"), BROWSER + PHONE[5:]]


def _relay_reply() -> list[bytes]:
    usual = b"c_1 d3:sdp%d:%b6:result2:oke" % (len(PHONE), PHONE)
    return [
        usual,
        b"c_1 d6:result4:ponge",
        b"c_1 d12:error-reason3:abc6:result5:errore",
        b"c_1 d7:createdi1e6:result2:ok4:tagsd1:ald3:ssri5eeeee",
    ]


_OWN = {
    "sdp": _sdp,
    "relay_reply": _relay_reply,
    "heads": _heads,
    "story": _story,
    "digest": _digest,
    "websocket": _websocket,
    "http": _http,
    "dns": _dns,
    "trace": _traces,
}
