"""A call with a password, asked for and proved from the octets, leaves and ends as on the long way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.auth import AuthConfig, compute_response, ha1
from sansip.auth.bearer import BearerConfig
from sansip.limits import Limits
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from tests.proxy.sides import (
    BUSY,
    CALLEE,
    CANCEL,
    REQUEST,
    RINGS,
    TAKES,
    WITHIN,
    Side,
    compare,
    known,
    wire,
)
from tests.routing.test_openings import Counted as CountedOpenings

Make = Callable[[Side], bytes]
DIGEST = {"username": "alice", "realm": "biloxi.test", "nc": "00000001", "cnonce": "c", "qop": "auth"}


def proof(side: Side, method: str, uri: str, body: bytes = b"", **changes: str) -> str:
    """Return a line Proxy-Authorization that answers the last challenge to the caller."""
    text = side.told.decode()
    found = re.findall(r'Digest realm="([^"]*)", nonce="([^"]+)"', text)
    if found:
        side.nonce = found[-1][1]
    values = {**DIGEST, "uri": uri, "algorithm": "MD5", "password": "secret", "field": "Proxy-Authorization"}
    values |= {"nonce": side.nonce, **changes}
    field, password = values.pop("field"), values.pop("password")
    key = ha1(values["username"], values["realm"], password, values["algorithm"])
    qop = values["qop"] or None
    values["response"] = compute_response(
        key,
        method,
        values["uri"],
        values["nonce"],
        algorithm=values["algorithm"],
        qop=qop,
        nc=values["nc"],
        cnonce=values["cnonce"],
        body=body,
    )
    if qop is None:
        for name in ("qop", "nc", "cnonce"):
            del values[name]
    bare = ("nc", "qop", "algorithm")
    pairs = [f"{name}={value}" if name in bare else f'{name}="{value}"' for name, value in values.items()]
    return f"{field}: Digest {', '.join(pairs)}\n"


def ours(text: str) -> str:
    """Return ``text`` as a user of this server sends it."""
    return text.replace("alice@atlanta.test", "alice@biloxi.test")


def invite(number: int, *lines: str, old: str = "", new: str = "", **changes: str) -> Make:
    """Return what makes the INVITE with this CSeq; ``lines``: "{}" is the proof, {} of it."""

    def make(side: Side) -> bytes:
        made = ours(REQUEST.format(method="INVITE", more="{more}"))
        made = made.replace("CSeq: 1", f"CSeq: {number}").replace("z9hG4bKa", f"z9hG4bKa{number}")
        if old:
            assert old in made
            made = made.replace(old, new)
        uri = made.split(" ")[1]
        line = proof(side, "INVITE", **{"uri": uri, **changes}, body=b"body") if lines else ""
        return wire(made.replace("{more}", "".join(one.format(line) for one in lines)))

    return make


def within(method: str, *lines: str, **changes: str) -> Make:
    """Return what makes a request within the dialog, with these lines."""

    def make(side: Side) -> bytes:
        uri = "sip:bob@192.0.2.2:5060"
        line = proof(side, method, uri, **changes)
        more = "".join(one.format(line) for one in lines)
        return wire(ours(WITHIN.format(method=method, more=more, route=side.route or "<sip:192.0.2.99;lr>")))

    return make


def ends(number: int, old: str = "", new: str = "") -> Make:
    """Return what makes the ACK of the failure of that INVITE (RFC 3261 17.1.1.3)."""

    def make(side: Side) -> bytes:
        head = side.told.decode().partition("\r\n\r\n")[0].split("\r\n")
        to = next((line for line in head if line.startswith("To: ")), "To: <sip:bob@biloxi.test>;tag=r-1")
        text = ours(REQUEST.format(method="ACK", more="")).partition("Contact")[0]
        text = text.replace("CSeq: 1", f"CSeq: {number}").replace("z9hG4bKa", f"z9hG4bKa{number}")
        text = text.replace("To: <sip:bob@biloxi.test>", to).replace(old, new or old)
        return wire(f"{text}Content-Length: 0\n\n")

    return make


ASKS = [("made", invite(1)), ("made", ends(1))]
CALLS = [*ASKS, ("made", invite(2, "{}"))]
TALKS = [("made", within("ACK", "{}")), ("made", within("BYE", "{}", nc="00000002")), ("last",)]
OK_BYE = ("response", "200 OK", "", CALLEE, True)


class Counted:
    """Counts which ACKs and BYEs pass."""

    def __init__(self, passages: Any) -> None:
        self.passages = passages
        self.count = 0

    def sends(self, *given: Any) -> bool:
        sent: bool = self.passages.sends(*given)
        self.count += sent
        return sent


def taken(steps: list[tuple[Any, ...]], **more: Any) -> tuple[int, int]:
    """Return how many INVITEs and how many other requests of a play pass as octets."""
    side = Side(None, **more)
    openings: Any = CountedOpenings(side.stack.reception.openings)
    passages: Any = Counted(side.stack.reception.passages)
    side.stack.reception.openings, side.stack.reception.passages = openings, passages
    for one in steps:
        side.play(one)
    return openings.count, passages.count


AUTH: dict[str, Any] = {"auth": AuthConfig(), "recall": known}


def test_a_call_with_a_password_stays_octets() -> None:
    """Without this the comparisons below would prove nothing. Challenge, proof, both ACKs, and the BYE."""
    assert taken([*CALLS, RINGS, TAKES, *TALKS, OK_BYE], **AUTH) == (2, 3)


def test_no_state_is_kept_of_a_caller_who_has_proved_nothing() -> None:
    """RFC 3261 8.2.7, 26.3.2.4: a stranger's INVITE costs one 407 of its own size or so, and nothing else."""
    side = Side(None, **AUTH)
    before = [*side.stack.transactions.servers]
    (sent,) = side.play(ASKS[0])
    assert sent[1].startswith(b"SIP/2.0 407 ")
    assert [*side.stack.transactions.servers] == before
    assert side.stack.proxy.pending.sources == {}
    # A retransmission is asked again, with the same To tag; the ACK ends here.
    (again,) = side.play(ASKS[0])
    tags = [re.findall(rb"\r\nTo: [^\r]*;tag=([^\r]*)", one[1]) for one in (sent, again)]
    assert tags[0] == tags[1] != []
    assert side.play(ASKS[1]) == []
    assert [*side.stack.transactions.servers] == before


def test_the_callee_does_not_see_the_credentials() -> None:
    """RFC 3261 22.3: they are for this server; a callee could try passwords on them."""
    side = Side(None, **AUTH)
    for step in [*CALLS, RINGS, TAKES, *TALKS]:
        side.play(step)
    assert [one.partition(b" ")[0] for one in side.sent] == [b"INVITE", b"ACK", b"BYE"]
    assert not [one for one in side.sent if b"uthorization" in one]


CONFIGS: dict[str, dict[str, Any]] = {
    "passwords": AUTH,
    "asked": {"auth": AuthConfig()},
    "users": {"auth": AuthConfig(), "users": known},
    "algorithms": {
        "auth": AuthConfig(algorithms=("SHA-256", "MD5"), qop=("auth", "auth-int")),
        "recall": known,
    },
    "short nonces": {"auth": AuthConfig(nonce_lifetime=30.0, authentication_info=True), "recall": known},
    "any uri": {"auth": AuthConfig(match_uri=False), "recall": known},
    "one failure": {"auth": AuthConfig(failures_per_user=1, failures_per_source=2), "recall": known},
    "trusted": {**AUTH, "trusted": [TrustedPeer("192.0.2.1", "carrier")]},
    "trusted callee": {**AUTH, "trusted": [TrustedPeer("192.0.2.2", "carrier")]},
    "tokens": {**AUTH, "bearer": BearerConfig("https://idp.biloxi.test")},
    "no marks": {**AUTH, "proxy": ProxyConfig(dialog_tokens=False)},
    "rport always": {**AUTH, "proxy": ProxyConfig(force_rport="always")},
    "by TCP where large": {**AUTH, "proxy": ProxyConfig(tcp_above=600)},
    "source is full": {**AUTH, "limits": Limits(pending_per_source=1)},
    "callee is full": {**AUTH, "limits": Limits(pending_per_callee=1)},
    "table is full": {**AUTH, "limits": Limits(transactions=3)},
    "table is crowded": {**AUTH, "limits": Limits(transactions=8, transactions_reserved=50)},
    "three a second": {**AUTH, "limits": Limits(source_rate=1, source_burst=3)},
    "no name": {**AUTH, "server_name": ""},
}
OTHER_CHALLENGE = 'Proxy-Authenticate: Digest realm="x.test", nonce="y"'
ENDS: dict[str, list[tuple[Any, ...]]] = {
    "taken": [RINGS, TAKES, *TALKS, OK_BYE],
    "silent": [("wait", 40.0)],
    "busy": [RINGS, BUSY, ("wait", 3.0), ("made", ends(2))],
    "moved": [("response", "302 Moved", "b", CALLEE, True)],
    "asked by the callee": [
        ("response", "407 Who", "b", CALLEE, True, 'Proxy-Authenticate: Digest realm="x"')
    ],
    "given up": [RINGS, ("made", lambda side: invite(2)(side).replace(b"INVITE", b"CANCEL")), BUSY],
    "again": [("wait", 0.6), ("made", invite(2, "{}")), RINGS, TAKES, ("made", invite(2, "{}"))],
    "replayed": [TAKES, ("made", invite(3, "{}")), ("made", invite(4, "{}", nc="00000002"))],
    "stale": [TAKES, ("wait", 350.0), ("made", invite(3, "{}", nc="00000002"))],
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_any_end_on_any_settings(name: str, end: str) -> None:
    """Limits, trust and policy of the operator hold, and what is unusual goes its way."""
    compare([*CALLS, *ENDS[end], ("made", invite(7))], None, **CONFIGS[name])


ODD: tuple[dict[str, str], ...] = (
    {"password": "wrong"},
    {"username": "carol"},
    {"username": "alice@biloxi.test"},
    {"username": ""},
    {"realm": "elsewhere.test"},
    {"uri": "sip:bob@biloxi.test:5060"},
    {"uri": "sip:carol@biloxi.test"},
    {"uri": "sip:biloxi.test"},
    {"uri": ""},
    {"algorithm": "SHA-256"},
    {"algorithm": "SHA-512-256"},
    {"algorithm": "MD5-sess"},
    {"algorithm": "md5"},
    {"qop": "auth-int"},
    {"qop": ""},
    {"nc": "1"},
    {"nc": "ffffffff"},
    {"cnonce": ""},
    {"nonce": "x"},
    {"field": "Authorization"},
    {"field": "proxy-authorization"},
)


@pytest.mark.parametrize("name", ["passwords", "asked", "algorithms", "one failure", "any uri"])
@pytest.mark.parametrize("changes", ODD, ids=str)
def test_other_credentials(name: str, changes: dict[str, str]) -> None:
    """Wrong ones get what the route gives them, ban included; odd ones are read by the route."""
    odd = [("made", invite(number, "{}", **changes)) for number in range(2, 6)]
    compare(
        [*ASKS, *odd, RINGS, TAKES, *TALKS, ("made", invite(9, "{}", nc="0000000a"))], None, **CONFIGS[name]
    )


OTHERS = 'Proxy-Authorization: Digest username="a", realm="x.test", nonce="y", uri="sip:x", response="z"\n'


@pytest.mark.parametrize("name", ["passwords", "algorithms", "tokens", "trusted callee"])
@pytest.mark.parametrize(
    "lines",
    [
        ("{}", "{}"),
        ("{}", OTHERS),
        (OTHERS, "{}"),
        (OTHERS,),
        ("Proxy-Authorization: Basic Ym9iOnNlY3JldA==\n",),
        ("Proxy-Authorization: Bearer abc\n",),
        ("Proxy-Authorization: \n",),
        ("Proxy-Authorization: Digest\n",),
        ("Proxy-Authorizations: x\n", "{}"),
        ("X-Text: Proxy-Authorization: Digest\n", "{}"),
        ("{}", "Authorization: Digest x=y\n"),
        ("Route: <sip:192.0.2.99;lr>\n", "{}"),
        ("{}", "Route: <sip:192.0.2.99;lr>\n"),
        ("{}", "P-Asserted-Identity: <sip:boss@biloxi.test>\n"),
    ],
    ids=str,
)
def test_other_fields_of_credentials(name: str, lines: tuple[str, ...]) -> None:
    """Two fields, other schemes, realms and orders; on the INVITE, and within its dialog."""
    more = CONFIGS[name]
    talks = [("made", within("ACK", *lines)), ("made", within("BYE", *lines)), ("last",), OK_BYE]
    compare([*ASKS, ("made", invite(2, *lines)), RINGS, TAKES, *talks], None, **more)
    compare([*CALLS, RINGS, TAKES, *talks], None, **more)


@pytest.mark.parametrize("realm", ["biloxi.test", "BILOXI.test", "x.test"])
@pytest.mark.parametrize("name", ["passwords", "trusted callee"])
def test_credentials_of_another_server_within_a_dialog(name: str, realm: str) -> None:
    """RFC 3261 22.3: those of other realms go on; those in our realm do not, with any nonce."""
    foreign = OTHERS.replace("x.test", realm)
    talks = [("made", within("ACK", foreign)), ("made", within("BYE", foreign)), ("last",), OK_BYE]
    compare([*CALLS, RINGS, TAKES, *talks], None, **CONFIGS[name])
    side = Side(None, **AUTH)
    for step in [*CALLS, RINGS, TAKES, *talks]:
        side.play(step)
    passed = [b"Proxy-Authorization" in one for one in side.sent]
    assert passed == [False, realm == "x.test", realm == "x.test"]


SPELLINGS = (
    ("alice@biloxi.test", "ALICE@biloxi.test"),
    ("alice@biloxi.test", "al%69ce@biloxi.test"),
    ("alice@biloxi.test", "alice@BILOXI.test"),
    ("alice@biloxi.test", "alice@192.0.2.99:5060"),
    ("<sip:alice@biloxi.test>", '"<sip:bob@biloxi.test>" <sip:alice@biloxi.test>'),
    ("<sip:alice@biloxi.test>", "<sip:biloxi.test>"),
    ("<sip:alice@biloxi.test>", "<sip:biloxi.test;x=y>"),
    ("<sip:alice@biloxi.test>", "<sip:alice@atlanta.test>"),
    ("<sip:alice@biloxi.test>", "<sip:carol@biloxi.test>"),
    ("sip:bob@biloxi.test SIP", "sip:bob@BILOXI.test:5060 SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;transport=udp SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;maddr=192.0.2.99 SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@elsewhere.test SIP"),
    ("sip:bob@biloxi.test SIP", "sip:nobody@biloxi.test SIP"),
    ("192.0.2.1:5060;branch", "10.0.0.7:5060;branch"),
    ("192.0.2.1:5060;branch", "phone.test;branch"),
    ("192.0.2.1:5060;branch", "192.0.2.99:5060;branch"),
    (";rport", ""),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: <sip:alice@10.0.0.7:5060>"),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: <sip:alice@192.0.2.1:5060;gr>"),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: <sip:alice@192.0.2.1:5060;ob>"),
    ("Max-Forwards: 70", "Max-Forwards: 0"),
    ("Content-Length: 4", "Content-Length: 3"),
)


@pytest.mark.parametrize(("old", "new"), SPELLINGS)
@pytest.mark.parametrize("name", ["passwords", "trusted", "rport always"])
def test_other_spellings_end_alike(name: str, old: str, new: str) -> None:
    """RFC 3261 16.3 to 16.6, 18.2.1, 22: each part that says which user calls, and where answers go."""
    steps = [
        ("made", invite(1, old=old, new=new)),
        ("made", ends(1)),
        ("made", invite(2, "{}", old=old, new=new)),
    ]
    compare([*steps, RINGS, TAKES, *TALKS, OK_BYE], None, **CONFIGS[name])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("z9hG4bKa1", "z9hG4bKx"),
        ("192.0.2.1:5060;", "192.0.2.1:5061;"),
        ("192.0.2.1:5060;", "192.0.2.1;"),
        ("Call-ID: a", "Call-ID: x"),
        (";tag=r-", ";tag=r-0"),
        (";tag=r-", ";tag=R-"),
        ("ACK sip", "BYE sip"),
        ("CSeq: 1 ACK", "CSeq: 1 BYE"),
        ("Max-Forwards: 70\n", "\n"),
    ],
)
def test_an_ack_that_ends_nothing(old: str, new: str) -> None:
    """RFC 3261 17.1.1.3: only the ACK of our own refusal is absorbed; all else is for the route."""
    compare([ASKS[0], ("made", ends(1, old, new)), ASKS[1], ASKS[1]], None, **AUTH)


def test_the_ack_of_a_refusal_counts_against_its_sender() -> None:
    """Forged ACKs cost a limit's worth, whichever way they go."""
    limits = {**AUTH, "limits": Limits(source_rate=1, source_burst=3)}
    compare([ASKS[0], *[ASKS[1]] * 4, ("made", invite(2, "{}"))], None, **limits)


def test_a_password_of_another_address() -> None:
    """A proof that was overheard is of no use from elsewhere: the nonce is bound to its address."""
    make = invite(2, "{}", old="192.0.2.1:5060", new="192.0.2.5:5060")
    compare([*ASKS, ("made", make, ("192.0.2.5", 5060))], None, **AUTH)


STEPS = st.sampled_from(
    [
        *[("made", invite(number)) for number in (1, 2, 3)],
        *[("made", ends(number)) for number in (1, 2)],
        *[("made", invite(number, "{}", nc=f"{number:08x}")) for number in (2, 3, 4)],
        ("made", invite(5, "{}", password="no")),
        ("made", invite(6, "{}", OTHERS)),
        RINGS, TAKES, BUSY, CANCEL, *TALKS, ("wait", 0.6), ("wait", 33.0), ("failed",),
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(CONFIGS)), st.lists(STEPS, min_size=1, max_size=9))
def test_any_play_ends_alike(name: str, steps: list[tuple[Any, ...]]) -> None:
    """No order of INVITEs, proofs, answers and silence tells the octets' way from the long one."""
    compare([*ASKS, *steps], None, **CONFIGS[name])
