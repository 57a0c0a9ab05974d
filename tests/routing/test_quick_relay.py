"""The quick way relays what the default route would relay, as it would; whatever else there is, it leaves."""

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
from sansip.routing.quick_relay import QuickRelay
from tests.proxy.sides import INVITE, RINGS, TAKES, Side, compare, leave_only

CALL = [INVITE, RINGS, TAKES, ("within", "ACK", ""), ("within", "BYE", "")]


class Counted:
    """Counts what the quick way has relayed; it is compiled in one build, so nothing derives from it."""

    def __init__(self, quick: QuickRelay) -> None:
        self.quick = quick
        self.count = 0

    def relays(self, *given: Any) -> bool:
        relayed = self.quick.relays(*given)
        self.count += relayed
        return relayed

    def decides(self, *given: Any) -> bool:
        relayed = self.quick.decides(*given)
        self.count += relayed
        return relayed


class Looks(Module):
    """Screens each request."""

    name = "looks"

    @step("screen")
    async def look(self, request: Any) -> None: ...


def taken(steps: list[tuple[Any, ...]], **more: Any) -> int:
    """Return how many requests of a play go the quick way."""
    side = Side(None, **more)
    leave_only(side)
    quick: Any = Counted(QuickRelay(side.stack))
    side.stack.reception.quick = quick
    for one in steps:
        side.play(one)
    return quick.count


def test_an_ordinary_call_goes_the_quick_way() -> None:
    """INVITE, ACK and BYE: without this the comparisons below would prove nothing."""
    assert taken(CALL) == 3


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    # RFC 3261 22: who calls itself a user of ours has to prove it; a stranger need not.
    "passwords": {"auth": AuthConfig()},
    # RFC 3325: a trust domain
    "trusted peer": {"trusted": [TrustedPeer("192.0.2.1", "carrier")]},
    "no marks": {"proxy": ProxyConfig(dialog_tokens=False)},
    "unmarked dialogs": {"proxy": ProxyConfig(unmarked_dialogs=True)},
    "not recorded": {"proxy": ProxyConfig(record_route=False)},
    "by TCP where large": {"proxy": ProxyConfig(tcp_above=600)},
    "source is full": {"limits": Limits(pending_per_source=1)},
    "callee is full": {"limits": Limits(pending_per_callee=1)},
    "table is full": {"limits": Limits(transactions=3)},
    "table is crowded": {"limits": Limits(transactions=8, transactions_reserved=50)},
    "a module looks": {"modules": [Use(Looks)]},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_count_on_both_ways(name: str) -> None:
    """Limits, trust and policy of the operator hold, whichever way a request goes."""
    compare([*CALL, ("within", "INFO", ""), ("request", "MESSAGE", ""), *CALL], None, **CONFIGS[name])


@pytest.mark.parametrize("name", ["no marks", "a module looks"])
def test_policy_that_the_route_knows_is_left_to_it(name: str) -> None:
    """Unmarked dialogs, and steps of modules, are for the route to judge."""
    assert taken(CALL, **CONFIGS[name]) < 3


@pytest.mark.parametrize("name", ["table is crowded", "source is full", "callee is full"])
def test_no_limit_is_passed_on_the_quick_way(name: str) -> None:
    """Where a limit is reached the route answers and tells the operator: the second request is for it."""
    many = {"table is crowded": {"limits": Limits(transactions=6, transactions_reserved=50)}}
    waiting = [INVITE, RINGS, ("request", "MESSAGE", "")]
    assert taken(waiting, **(many.get(name) or CONFIGS[name])) == 1


URIS = (
    "sip:bob@biloxi.test",
    "sip:BOB@biloxi.test",
    "sip:bob@BILOXI.TEST:5060;transport=udp",
    "sip:bob@192.0.2.99",
    "sip:nobody@biloxi.test",
    "sip:biloxi.test",
    "sip:bob@elsewhere.test",
    "sips:bob@biloxi.test",
    "tel:+123",
    "sip:bob@biloxi.test;gr=x",
    "sip:bob@biloxi.test;GR=x",
    "sip:bob@biloxi.test;%67r=x",
    "sip:bob@biloxi.test;maddr=192.0.2.99",
    "sip:bob@biloxi.test?Subject=x",
    "sip:b%6Fb@biloxi.test",
    "sip:bob@192.0.2.2:5060",
    "sip:bob@192.0.2.2:5060;x=1;method=INVITE",
    "sip:bob@192.0.2.3:5060",
)
FIELDS = (
    "",
    "Require: 100rel\n",
    "Proxy-Require: x\n",
    'Proxy-Authorization: Digest realm="biloxi.test"\n',
    "P-Asserted-Identity: <sip:boss@biloxi.test>\n",
    "Alert-Info: <http://x.test>\n",
    "Max-Breadth: 2\n",
    "Max-Breadth: x\n",
    "Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKloop.00000000\n",
    "Route: <sip:192.0.2.99;lr>\n",
    "Route: <sip:192.0.2.7;lr>\n",
    "Record-Route: <sip:192.0.2.7;lr>\n",
    "Authorization: Basic x\n",
)
METHODS = ("INVITE", "ACK", "BYE", "MESSAGE", "OPTIONS", "PUBLISH", "SUBSCRIBE", "INFO", "UPDATE", "X")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.sampled_from(URIS),
    st.sampled_from(FIELDS),
    st.sampled_from(["70", "1", "0", ""]),
    st.sampled_from(
        ["<sip:alice@atlanta.test>;tag=a", "<sip:alice@biloxi.test>;tag=a", "<sip:a@b", "<tel:1>"]
    ),
    st.sampled_from(["plain", "passwords", "trusted peer"]),
)
def test_first_requests_end_alike(
    method: str, uri: str, field: str, hops: str, sender: str, name: str
) -> None:
    """Whatever a stranger writes into a request, the quick way does not decide otherwise than the route."""
    compare([("raw", method, uri, field, hops, sender, "")], None, **CONFIGS[name])


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.sampled_from(URIS),
    st.sampled_from(FIELDS),
    st.sampled_from(["70", "1", "0"]),
    st.sampled_from(["<sip:alice@atlanta.test>;tag=a", "<sip:x@biloxi.test>;tag=a", "<sip:x@a.test>;tag=x"]),
    st.sampled_from(["whole", "cut", "twice", "upper", "none"]),
)
def test_requests_with_a_tag_end_alike(
    method: str, uri: str, field: str, hops: str, sender: str, route: str
) -> None:
    """RFC 3261 12.2: only a whole mark of ours leads on, and only to where the dialog leads."""
    compare([INVITE, RINGS, TAKES, ("raw", method, uri, field, hops, sender, route)])
