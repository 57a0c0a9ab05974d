"""An INVITE of a phone behind a NAT, or for one, leaves as octets as it would have on the long way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.auth import AuthConfig
from sansip.limits import Limits
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from tests.proxy.sides import BUSY, CALLEE, CALLER, CANCEL, RINGS, TAKES, Side, compare, known
from tests.routing.test_openings import taken

PRIVATE = ("10.0.0.9", 5060)
# Bob's phone has an address at home, and its packets come from CALLEE all the same.
BEHIND = ("behind", "<sip:bob@10.0.0.2:5060>")
BOBS = "Contact: <sip:bob@10.0.0.2:5060>"
HOME_RINGS = ("response", "180 Ringing", "b", CALLEE, True, BOBS)
HOME_TAKES = ("response", "200 OK", "b", CALLEE, True, BOBS)


def invite(old: str = "", new: str = "", via: str = "10.0.0.1:5060", contact: str = "10.0.0.1:5060") -> Any:
    """Return the step of an INVITE from behind a NAT, with something written otherwise."""

    def make(side: Side) -> bytes:
        text = (
            "INVITE sip:bob@biloxi.test SIP/2.0\n"
            f"Via: SIP/2.0/UDP {via};branch=z9hG4bKa;rport\n"
            "Max-Forwards: 70\n"
            "From: <sip:alice@atlanta.test>;tag=a\n"
            "To: <sip:bob@biloxi.test>\n"
            "Call-ID: a\n"
            "CSeq: 1 INVITE\n"
            f"Contact: <sip:alice@{contact}>\n"
            "Content-Length: 21\n\nc=IN IP4 10.0.0.1\r\n\r\n"
        ).replace(old, new or old)
        head, _, body = text.partition("\n\n")
        return (head.replace("\n", "\r\n") + "\r\n\r\n" + body).encode()

    return "made", make


def within(method: str) -> Any:
    """Return the step of a request within the dialog, by the route set that the answer told."""

    def make(side: Side) -> bytes:
        head = side.told.decode().partition("\r\n\r\n")[0].split("\r\n")
        routes = [line.partition(" ")[2] for line in head if line.startswith("Record-Route")]
        contact = next((line for line in head if line.startswith("Contact")), "<sip:bob@192.0.2.2>")
        lines = [
            f"{method} {contact.partition('<')[2].partition('>')[0]} SIP/2.0",
            f"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method};rport",
            *[f"Route: {one}" for one in reversed(routes)],
            "Max-Forwards: 70",
            "From: <sip:alice@atlanta.test>;tag=a",
            "To: <sip:bob@biloxi.test>;tag=b",
            "Call-ID: a",
            f"CSeq: {2 if method == 'BYE' else 1} {method}",
            "Content-Length: 0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    return "made", make


INVITE = invite()
TALKS = [within("ACK"), within("BYE"), ("last",), ("response", "200 OK", "", CALLEE, True)]
CALL = [INVITE, RINGS, TAKES, *TALKS]
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "passwords": {"auth": AuthConfig(), "recall": known},
    "trusted": {"trusted": [TrustedPeer("192.0.2.1", "carrier")]},
    "no marks": {"proxy": ProxyConfig(dialog_tokens=False)},
    "not recorded": {"proxy": ProxyConfig(record_route=False)},
    "rport always": {"proxy": ProxyConfig(force_rport="always")},
    "by TCP where large": {"proxy": ProxyConfig(tcp_above=700)},
    "source is full": {"limits": Limits(pending_per_source=1)},
    "no forks beyond": {"limits": Limits(early_dialogs=1)},
}


def test_a_call_from_behind_a_nat_passes() -> None:
    """Without this the comparisons below would prove nothing."""
    assert taken([INVITE, RINGS, TAKES]) == 1
    assert taken([BEHIND, ("request", "INVITE", ""), HOME_RINGS, HOME_TAKES]) == 1
    assert taken([BEHIND, INVITE, HOME_RINGS, HOME_TAKES]) == 1
    side = Side()
    for step in (BEHIND, INVITE):
        side.play(step)
    # RFC 5626 5.2: both flows have their names.
    assert side.sent[-1].count(b"Record-Route: <sip:f-") == 2


ENDS: dict[str, list[tuple[Any, ...]]] = {
    "talks": [RINGS, TAKES, *TALKS],
    "talks from home": [HOME_RINGS, HOME_TAKES, *TALKS],
    "moves": [RINGS, HOME_TAKES, *TALKS],
    "forks": [HOME_RINGS, HOME_TAKES, ("response", "200 OK", "c", CALLEE, True, BOBS)],
    "busy": [HOME_RINGS, BUSY],
    "moved": [("response", "302 Moved", "b", CALLEE, True, BOBS), ("wait", 5.0)],
    "silent": [("wait", 40.0)],
    "failed": [("failed",)],
    "given up": [RINGS, CANCEL, BUSY],
    "repeated": [("wait", 0.6), INVITE, HOME_RINGS, INVITE, HOME_TAKES, INVITE],
    "another's route": [
        ("spoiled", "200 OK", "Record-Route: ", "Record-Route: <sip:192.0.2.7;lr>\r\nRecord-Route: "),
        *TALKS,
    ],
    "another's behind": [
        ("spoiled", "200 OK", "From: ", "Record-Route: <sip:192.0.2.7;lr>\r\nFrom: "),
        *TALKS,
    ],
    "joined": [("spoiled", "200 OK", "\r\nRecord-Route: <sip:f", ", <sip:f"), *TALKS],
    "at sign behind": [("spoiled", "200 OK", ";lr;", ";lr;x=a@b;"), *TALKS],
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_any_end_on_any_settings(name: str, end: str) -> None:
    """The caller, the callee, and both behind a NAT: what leads back to each is in its route set."""
    for first in ([INVITE], [BEHIND, ("request", "INVITE", "")], [BEHIND, INVITE]):
        compare([*first, *ENDS[end]], None, **CONFIGS[name])


@pytest.mark.parametrize("source", [CALLER, PRIVATE, ("10.0.0.1", 5060), ("192.0.2.1", 40000)])
@pytest.mark.parametrize("via", ["10.0.0.1:5060", "10.0.0.1", "192.0.2.1:5060", "192.0.2.1", "phone.test"])
@pytest.mark.parametrize(
    "contact",
    [
        *("10.0.0.1:5060", "10.0.0.1:5099", "192.0.2.1", "192.0.2.1:40000", "192.0.2.8:5060", "phone.test"),
        *(
            "10.0.0.1:5060;transport=udp",
            "10.0.0.1;transport=tcp",
            "10.0.0.1:5060;ob",
            "10.0.0.1;maddr=192.0.2.1",
        ),
        *("k3.invalid", "192.0.2.1:5060;x=10.0.0.1"),
    ],
)
def test_what_a_caller_says_of_its_place(source: tuple[str, int], via: str, contact: str) -> None:
    """RFC 3261 18.2.1, RFC 3581: only where a NAT shows does a flow get a name."""
    _, make = invite(via=via, contact=contact)
    compare([("made", make, source), RINGS, TAKES])


@pytest.mark.parametrize("via", ["2.16.1.2:5060", "2.16.1.2"])
@pytest.mark.parametrize("port", [5060, 40000])
@pytest.mark.parametrize("contact", ["172.16.1.2:5060", "2.16.1.2:5060", "2.16.1.2:5099", "2.16.1.20"])
def test_a_source_that_is_the_end_of_the_contact(via: str, port: int, contact: str) -> None:
    """A phone behind a NAT at 2.16.1.2 names 172.16.1.2; no way may take that for its source."""
    _, make = invite(via=via, contact=contact)
    expected = compare([("made", make, ("2.16.1.2", port)), RINGS, TAKES])
    shows = contact.startswith("172") or (port == 40000 and ":" in contact)
    assert ("Record-Route: <sip:f-" in repr(expected[0])) is shows


@pytest.mark.parametrize(
    "contact",
    [
        *("<sip:bob@10.0.0.2:5060;transport=udp>", "<sip:bob@10.0.0.2;line=4>", "<sip:bob@10.0.0.2;ob>"),
        *("<sip:bob@10.0.0.2;transport=tcp>", "<sip:bob@phone.test>", "<sip:bob@192.0.2.7:5060>"),
        *("<sip:bob@10.0.0.2>;q=0.3", '<sip:bob@10.0.0.2>;reg-id=1;+sip.instance="<urn:x>"'),
    ],
)
def test_other_bindings_behind_a_nat(contact: str) -> None:
    """RFC 3261 16.6 step 7: whatever the Contact says, the phone is reached at its source."""
    for first in (("request", "INVITE", ""), INVITE):
        compare([("behind", contact), first, HOME_RINGS, HOME_TAKES, *TALKS])


STEPS = st.sampled_from(
    [
        *(INVITE, RINGS, TAKES, HOME_RINGS, HOME_TAKES, BUSY, CANCEL, ("failed",), BEHIND, *TALKS),
        *(
            ("wait", 0.6),
            ("wait", 33.0),
            ("wait", 190.0),
            ("response", "183 Progress", "c", CALLEE, True, BOBS),
        ),
    ]
)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(CONFIGS)), st.booleans(), st.lists(STEPS, max_size=8))
def test_any_play_ends_alike(name: str, behind: bool, steps: list[tuple[Any, ...]]) -> None:
    """No order of answers, failures and silence tells the octets' way from the long one."""
    compare([*([BEHIND] if behind else []), INVITE, *steps], None, **CONFIGS[name])


def test_near_the_size_for_tcp_it_ends_alike() -> None:
    """RFC 3261 18.1.1: what decides is the size of the copy that leaves, with its tokens."""
    side = Side()
    side.play(BEHIND)
    side.play(INVITE)
    size = len(side.sent[0])
    for above in range(size, size + 60, 9):
        compare([BEHIND, INVITE, HOME_TAKES], None, proxy=ProxyConfig(tcp_above=above))
    for above in range(size - 40, size, 8):
        assert taken([BEHIND, INVITE], proxy=ProxyConfig(tcp_above=above)) == 0
    assert taken([BEHIND, INVITE], proxy=ProxyConfig(tcp_above=size + 300)) == 1
