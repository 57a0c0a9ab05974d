"""An INVITE that is sent on from its octets leaves and ends as it would have on the long way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.auth import AuthConfig
from sansip.limits import Limits
from sansip.module import Module, Use, step
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from sansip.routing.openings import Openings
from tests.proxy.sides import BUSY, CALLEE, CANCEL, INVITE, OTHER, RINGS, TAKES, TRIES, Side, compare

WITHIN = [("within", "ACK", ""), ("within", "BYE", "")]


class Counted:
    """Counts what has passed; the class is compiled in one build, so nothing derives from it."""

    def __init__(self, openings: Openings) -> None:
        self.openings = openings
        self.count = 0

    def sends(self, *given: Any) -> bool:
        sent = self.openings.sends(*given)
        self.count += sent
        return sent


def taken(steps: list[tuple[Any, ...]], **more: Any) -> int:
    """Return how many INVITEs of a play pass as octets."""
    side = Side(None, **more)
    openings = side.stack.reception.openings
    assert openings is not None
    counted: Any = Counted(openings)
    side.stack.reception.openings = counted
    for one in steps:
        side.play(one)
    return int(counted.count)


class Looks(Module):
    """Screens each request."""

    name = "looks"

    @step("screen")
    async def look(self, request: Any) -> None: ...


def test_an_ordinary_invite_passes() -> None:
    """Without this the comparisons below would prove nothing; a retransmission is for the transaction."""
    assert taken([INVITE, INVITE, RINGS, TAKES, *WITHIN]) == 1


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "passwords": {"auth": AuthConfig()},
    "trusted peer": {"trusted": [TrustedPeer("192.0.2.1", "carrier")]},
    "no marks": {"proxy": ProxyConfig(dialog_tokens=False)},
    "not recorded": {"proxy": ProxyConfig(record_route=False)},
    "rport always": {"proxy": ProxyConfig(force_rport="always")},
    "by TCP where large": {"proxy": ProxyConfig(tcp_above=600)},
    "source is full": {"limits": Limits(pending_per_source=1)},
    "callee is full": {"limits": Limits(pending_per_callee=1)},
    "table is full": {"limits": Limits(transactions=3)},
    "table is crowded": {"limits": Limits(transactions=8, transactions_reserved=50)},
    "one a second": {"limits": Limits(source_rate=1, source_burst=2)},
    "no breadth": {"limits": Limits(max_breadth=1)},
    "no forks beyond": {"limits": Limits(early_dialogs=1)},
    "a module looks": {"modules": [Use(Looks)]},
}
ENDS: dict[str, list[tuple[Any, ...]]] = {
    "taken": [RINGS, TAKES, *WITHIN],
    "taken twice": [TAKES, ("response", "200 OK", "c", CALLEE, True), TAKES],
    "failed": [("failed",)],
    "failed while it rings": [RINGS, ("failed",)],
    # RFC 3261 17.1.1.2
    "silent": [("wait", 40.0)],
    "repeated": [("wait", 0.6), INVITE, RINGS, INVITE, TAKES, INVITE],
    # RFC 3261 16.7 steps 4 to 6
    "busy": [TRIES, RINGS, BUSY, BUSY, ("wait", 3.0)],
    "moved": [("response", "302 Moved", "b", CALLEE, True)],
    "declined": [("response", "603 Decline", "b", CALLEE, True)],
    # RFC 3261 9.1, 16.10
    "given up at once": [CANCEL, RINGS, ("response", "487 Gone", "b", CALLEE, True)],
    "given up": [RINGS, CANCEL, ("response", "487 Gone", "b", CALLEE, True)],
    "given up too late": [RINGS, TAKES, CANCEL],
    # RFC 3261 16.8
    "rings for ever": [RINGS, ("wait", 100.0), RINGS, ("wait", 300.0)],
    "from elsewhere": [("response", "180 Ringing", "b", OTHER, True), TAKES],
    "without the caller's Via": [("response", "180 Ringing", "b", CALLEE, False), TAKES],
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_any_end_of_a_call_on_any_settings(name: str, end: str) -> None:
    """Limits, trust and policy of the operator hold, and what is unusual goes its way."""
    again = ("raw", "INVITE", "sip:bob@biloxi.test", "", "70", "<sip:c@atlanta.test>;tag=c", "")
    compare([INVITE, *ENDS[end], again], None, **CONFIGS[name])


@pytest.mark.parametrize("name", ["a module looks", "table is full"])
def test_what_the_route_has_to_judge_is_left_to_it(name: str) -> None:
    """Steps of modules are taken, and limits have their refusals."""
    again = ("raw", "INVITE", "sip:bob@biloxi.test", "", "70", "<sip:c@atlanta.test>;tag=c", "")
    assert taken([INVITE, again], **CONFIGS[name]) < 2


SPELLINGS = (
    (";rport", ""),
    ("192.0.2.1:5060;branch", "192.0.2.1;branch"),
    ("192.0.2.1:5060;branch", "192.0.2.1:5099;branch"),
    ("192.0.2.1:5060;branch", "phone.test;branch"),
    ("192.0.2.1:5060;branch", "192.0.2.99:5060;branch"),
    ("UDP 192.0.2.1:5060", "TCP 192.0.2.1:5060"),
    ("z9hG4bK", "old"),
    ("sip:bob@biloxi.test SIP", "sip:bob@BILOXI.test:5060 SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@192.0.2.99 SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@192.0.2.99:5061 SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@elsewhere.test SIP"),
    ("sip:bob@biloxi.test SIP", "sip:b%6fb@biloxi.test SIP"),
    ("sip:bob@biloxi.test SIP", "sip:nobody@biloxi.test SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;transport=UDP SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;transport=tcp SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;user=phone SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;gr SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;maddr=192.0.2.99 SIP"),
    ("sip:bob@biloxi.test SIP", "sip:bob@biloxi.test;lr SIP"),
    ("alice@atlanta.test", "alice@biloxi.test"),
    (";tag=a", ""),
    (">;tag=a", ">;tag=a;x=y"),
    ("<sip:bob@biloxi.test>", "<sip:bob@biloxi.test>;tag=b"),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: sip:alice@192.0.2.1:5060"),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: <sip:alice@10.0.0.1:5060>"),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: <sip:alice@192.0.2.1:5060;ob>"),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: <sip:alice@192.0.2.1:5060;OB>"),
    ("Contact: <sip:alice@192.0.2.1:5060>", 'Contact: "x" <sip:alice@192.0.2.1:5060>'),
    ("Contact: <sip:alice@192.0.2.1:5060>", "Contact: <sip:alice@192.0.2.1:5060>, <sip:a@192.0.2.1>"),
    ("Contact: <sip:alice@192.0.2.1:5060>\r\n", ""),
    ("Max-Forwards: 70", "Max-Forwards: 0"),
    ("Max-Forwards: 70", "Max-Forwards: 1"),
    ("Max-Forwards: 70\r\n", ""),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nRecord-Route: <sip:192.0.2.7;lr>"),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nRoute: <sip:192.0.2.99;lr>"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99:5060;lr>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99:5060;transport=udp;lr>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99:5060;lr;transport=UDP>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99:5060;lr;d=1>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99:5060;lr;transport=tcp>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99:5061;lr>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:biloxi.test;lr>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.7;lr>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99;lr>, <sip:192.0.2.7;lr>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Route: <sip:192.0.2.99;lr>\r\nRoute: <sip:192.0.2.99;lr>\r\nMax-Forwards: 70"),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nP-Asserted-Identity: <sip:boss@biloxi.test>"),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nSubject: x\r\n y"),
    ("Content-Length: 4", "Content-Length: 5"),
    ("Content-Length: 4\r\n", ""),
)


@pytest.mark.parametrize(("old", "new"), SPELLINGS)
@pytest.mark.parametrize("name", ["plain", "passwords", "rport always"])
def test_other_spellings_end_alike(name: str, old: str, new: str) -> None:
    """RFC 3261 16.3 to 16.6, 18.2.1, RFC 3581: each part of a request that decides where it goes."""
    for end in ([RINGS, TAKES, *WITHIN], [RINGS, CANCEL, BUSY]):
        compare([("first", old, new), *end], None, **CONFIGS[name])


CONTACTS = (
    "<sip:bob@192.0.2.2>",
    "<sip:192.0.2.2:5060>",
    "<sip:bob@192.0.2.2:05060>",
    "<sip:bob@192.0.2.2:65535>",
    "<sip:bob@192.0.2.2:5060;transport=udp>",
    "<sip:bob@192.0.2.2:5060;Transport=UDP>",
    "<sip:bob@192.0.2.2;transport=udp>",
    "<sip:bob@192.0.2.2:5060;transport=tcp>",
    "<sip:bob@192.0.2.2:5060;line=4f2a>",
    "<sip:bob@192.0.2.2:5060;line=4f2a;transport=udp>",
    "<sip:bob@192.0.2.2:5060;maddr=192.0.2.3>",
    "<sip:bob@192.0.2.2:5060;method=BYE>",
    "<sip:bob@192.0.2.2:5060;user=phone>",
    "<sip:bob@192.0.2.2:5060;lr>",
    "<sip:bob@192.0.2.2:5060;ob>",
    "<sip:b,c@192.0.2.2:5060>",
    "<sip:bob@10.0.0.2:5060>",
    "<sip:bob@phone.test>",
    "<sip:bob@192.0.2.2:5060>;q=0.5",
    '<sip:bob@192.0.2.2:5060>;reg-id=1;+sip.instance="<urn:x>"',
    "<sip:bob@192.0.2.2:5060>, <sip:bob@192.0.2.3:5060>",
    "<sips:bob@192.0.2.2:5060>",
    "<tel:1>",
)


def binds_only(contact: str) -> tuple[str, str]:
    """Return the step that binds ``contact`` in place of the first one."""
    return "binds", f"<sip:bob@192.0.2.2:5060>;expires=0, {contact}"


@pytest.mark.parametrize("contact", CONTACTS)
def test_another_binding_alone_ends_alike(contact: str) -> None:
    """RFC 3261 16.5, 16.6 step 7: a phone whose only contact it is."""
    compare([binds_only(contact), INVITE, RINGS, TAKES, *WITHIN, INVITE])


@pytest.mark.parametrize("contact", CONTACTS)
def test_other_bindings_end_alike(contact: str) -> None:
    """RFC 3261 16.5, 16.6 step 7: where the phone is, however it has said so."""
    compare([("binds", contact), INVITE, RINGS, TAKES, *WITHIN, ("binds", contact), INVITE])


@pytest.mark.parametrize("params", [";transport=udp", ";transport=UDP", ";line=4f2a"])
def test_a_contact_as_phones_write_it_passes(params: str) -> None:
    """Snom writes ``line``, most others their transport: calls to them take the quick way, too."""
    assert taken([binds_only(f"<sip:bob@192.0.2.2:5060{params}>"), INVITE, RINGS, TAKES]) == 1


@pytest.mark.parametrize("uri", ["192.0.2.99", "192.0.2.99:5060;transport=udp", "192.0.2.99:5060"])
def test_an_outbound_proxy_costs_no_quick_way(uri: str) -> None:
    """RFC 3261 16.4: baresip and linphone name this server in Route, wherever the call goes."""
    assert taken([("request", "INVITE", f"Route: <sip:{uri};lr>\n"), RINGS, TAKES]) == 1
    within = ("request", "INVITE", f"Route: <sip:{uri};lr>\n")
    compare([within, RINGS, TAKES, *WITHIN])
    compare([within, RINGS, CANCEL, ("response", "487 Gone", "b", CALLEE, True)])
    # RFC 3261 16.7 step 4: what is left for another try has no Route of ours.
    compare([within, ("response", "302 Moved", "b", CALLEE, True), BUSY])


@pytest.mark.parametrize("record_route", [True, False])
def test_near_the_size_for_tcp_it_ends_alike(record_route: bool) -> None:
    """RFC 3261 18.1.1: what decides is the size of the copy that leaves, to the octet."""
    side = Side(None, proxy=ProxyConfig(record_route=record_route))
    side.play(INVITE)
    size = len(side.sent[0])
    for above in range(size, size + 80, 9):
        proxy = ProxyConfig(tcp_above=above, record_route=record_route)
        compare([INVITE, RINGS, TAKES, *WITHIN], None, proxy=proxy)
    for above in range(size - 40, size):
        assert taken([INVITE], proxy=ProxyConfig(tcp_above=above, record_route=record_route)) == 0
    assert taken([INVITE], proxy=ProxyConfig(tcp_above=size + 50, record_route=record_route)) == 1


def test_the_invite_of_a_phone_is_not_large() -> None:
    """Phones offer many codecs: their INVITEs have 900 to 1,000 octets, and 1,300 may go by UDP."""
    padding = f"X-Codecs: {'x' * 700}\n"
    side = Side()
    side.play(("request", "INVITE", padding))
    assert 1_100 < len(side.sent[0]) < 1_300
    assert taken([("request", "INVITE", padding), RINGS, TAKES]) == 1


STEPS = st.one_of(
    st.sampled_from([INVITE, CANCEL, RINGS, TAKES, BUSY, TRIES, ("failed",), *WITHIN]),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 4.0, 33.0, 100.0, 190.0])),
    st.tuples(
        st.just("response"),
        st.sampled_from(["100 Trying", "183 Progress", "200 OK", "302 Moved", "408 Timeout", "503 Busy"]),
        st.sampled_from(["b", "c", ""]),
        st.sampled_from([CALLEE, OTHER]),
        st.booleans(),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(CONFIGS)), st.sampled_from(SPELLINGS), st.lists(STEPS, max_size=7))
def test_any_play_ends_alike(name: str, spelled: tuple[str, str], steps: list[tuple[Any, ...]]) -> None:
    """No order of responses, failures, CANCELs and silence tells the octets' way from the long one."""
    compare([INVITE, *steps, ("first", *spelled), *steps], None, **CONFIGS[name])


WIDE = Limits(
    header_count=999, via_count=999, route_count=999, contact_count=999, header_parts=9_999, uri_size=9_999
)


@pytest.mark.parametrize("end", [[BUSY], [RINGS, CANCEL, BUSY], [TAKES]])
def test_limits_that_an_operator_has_raised(end: list[tuple[Any, ...]]) -> None:
    """What was within them is read again without any: an exception left the stack."""
    more: dict[str, Any] = {"limits": WIDE, "proxy": ProxyConfig(tcp_above=0)}
    large = ("request", "INVITE", "".join(f"X{number}: a\n" for number in range(300)))
    assert taken([large, *end], **more) == 1
    compare([large, *end], None, **more)
