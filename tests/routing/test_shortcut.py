"""The shortcut for OPTIONS and REGISTER does what the default route does, octet for octet, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.config import Reconfiguration
from sansip.module import Module, Use
from sansip.modules.calls import Calls
from sansip.modules.keepalive import Keepalive
from sansip.registrar import RegistrarConfig
from tests.routing.twice_answered import BEHIND_NAT, CONFIGS, CONTACT, LOCAL, PHONE, Pair, config, message


def test_it_takes_ordinary_requests() -> None:
    """If it took none, the comparisons below would prove nothing."""
    pair = Pair()
    pair.feed(message("OPTIONS", to="<sip:biloxi.test>"))
    pair.feed(message(more=(CONTACT,), branch="z9hG4bK2"))
    pair.feed(message(more=(CONTACT, "Expires: 600", "User-Agent: x"), number=2, branch="z9hG4bK3"))
    pair.feed(message(more=(f"{CONTACT};expires=60",), number=3, branch="z9hG4bK4"), BEHIND_NAT)
    assert pair.taken.count == 4
    assert pair.briefs.count == 4
    # A retransmission is for the transaction.
    pair.feed(message(more=(f"{CONTACT};expires=60",), number=3, branch="z9hG4bK4"), BEHIND_NAT)
    assert pair.taken.count == 4
    # Timer J.
    pair.feed(message("OPTIONS", branch="z9hG4bK5"), after=33.0)
    assert pair.short.snapshot()["server_transactions"] == 0


URIS = (
    "sip:biloxi.test",
    "sip:BILOXI.test",
    "sip:biloxi.test:5060",
    "sip:biloxi.test;transport=udp",
    "sip:192.0.2.1:5060",
    "sip:192.0.2.1:5099",
    "sips:biloxi.test",
    "sip:bob@biloxi.test",
    "sip:elsewhere.test",
    "sip:biloxi.test;maddr=192.0.2.9",
    "sip:biloxi.test;%6daddr=192.0.2.9",
    "sip:bob@biloxi.test;gr=x",
    "tel:+1",
)
TOS = (
    "<sip:bob@biloxi.test>",
    "sip:bob@biloxi.test",
    '"B \\"x\\"" <sip:bob@biloxi.test;user=phone>',
    "<sip:b%6fb@biloxi.test>;x=1",
    "<sip:bob@biloxi.test>;tag=9",
    "<sip:biloxi.test>",
    "<sips:bob@biloxi.test>",
    "<sip:bob@elsewhere.test>",
    "<sip:bob@192.0.2.1>",
    "<tel:+1>",
)
VIAS = (
    "SIP/2.0/UDP 192.0.2.7:5060;branch={};rport",
    "SIP/2.0/UDP 192.0.2.7:5060;branch={}",
    "SIP/2.0/UDP 192.0.2.7;rport;branch={}",
    "SIP/2.0/UDP 10.0.0.7:5099;branch={}",
    "SIP/2.0/UDP 10.0.0.7:5060;branch={};rport",
    "SIP/2.0/UDP phone.test;branch={};received=192.0.2.99",
    "SIP/2.0/UDP 192.0.2.7:5060;branch={}, SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx",
    "SIP/2.0/UDP 192.0.2.1:5060;branch={}",
    "SIP/2.0/UDP 192.0.2.7:5060;branch=old{};maddr=192.0.2.8",
)
CONTACTS = (
    "sip:bob@192.0.2.7:5060",
    "sip:bob@192.0.2.7:5060;transport=udp",
    "sip:bob@192.0.2.7:5060;transport=TCP",
    "sip:bob@192.0.2.7:5060;maddr=192.0.2.1",
    "sip:bob@192.0.2.7:5060;a=1;b=2",
    "sip:bob@10.0.0.7:5060",
    "sip:bob@PHONE.test",
    "sip:bob@192.0.2.1:5060",
    "sip:bob@192.0.2.1:5099",
    "sip:bob@192.0.2.1:5061;transport=tls",
    "sip:bob@biloxi.test",
    "sip:bob@127.0.0.1:5070",
    "sip:bob@localhost.",
    "sip:bob@224.0.1.75",
    "sip:b%6fb@192.0.2.7:5060",
    "sips:bob@192.0.2.7",
    "tel:+1",
    "mailto:bob@biloxi.test",
    "http://biloxi.test",
)
AFTER = (
    "",
    ";expires=0",
    ";expires=5",
    ";expires=60",
    ";expires=999999999",
    ";Expires=60",
    "; expires=60",
    ";expires=x",
    ";q=0.5",
    ";tag=x",
    ";expires=60;expires=70",
    ';+sip.instance="<urn:uuid:1>"',
    ';+sip.instance="<urn:uuid:1>";reg-id=1',
    ";mobility=fixed",
    ", <sip:second@192.0.2.8>",
)
MORE = (
    "Expires: 0",
    "Expires: 30",
    "Expires: soon",
    "Expires: 99999999999",
    "Expires: 30\r\n ",
    "User-Agent: phone",
    "User-Agent: " + "ä" * 200,
    "Supported: path, outbound, gruu",
    "Supported: GRUU",
    "k: path",
    "Require: gruu",
    "Require: no-such",
    "Proxy-Require: no-such",
    "Path: <sip:192.0.2.50;lr>",
    "Route: <sip:192.0.2.1;lr>",
    "Route: <sip:elsewhere.test;lr>",
    "Authorization: Digest x",
    "P-Asserted-Identity: <sip:alice@biloxi.test>",
    "X-Own: 1",
    "Max-Breadth: 0",
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc",
    "m: <sip:third@192.0.2.9>",
    "Timestamp: 5",
)
HOPS = ("Max-Forwards: 70", "max-forwards : 1", "Max-Forwards: 0", "")

ordinary = st.sampled_from
# The ordinary value comes often: with many odd ones at once no request would be taken.
request = st.fixed_dictionaries(
    {
        "method": ordinary(("REGISTER", "REGISTER", "REGISTER", "OPTIONS", "MESSAGE")),
        "uri": st.one_of(st.just(URIS[0]), ordinary(URIS)),
        "to": st.one_of(st.just(TOS[0]), ordinary(TOS)),
        "number": st.integers(1, 6),
        "branch": st.integers(1, 40).map("z9hG4bK{}".format),
        "call_id": ordinary(("one@192.0.2.7", "two")),
        "via": st.one_of(st.just(VIAS[0]), ordinary(VIAS)),
        "hops": st.one_of(st.just(HOPS[0]), ordinary(HOPS)),
    }
)
contact = st.tuples(
    st.one_of(ordinary(CONTACTS[:3]), ordinary(CONTACTS)),
    st.one_of(st.just(""), st.just(";expires=60"), ordinary(AFTER)),
    ordinary(("<{}>{}", '"Bob" <{}>{}', "<{}>{}", "{}{}")),
)


@given(
    st.sampled_from(sorted(CONFIGS)),
    st.lists(
        st.tuples(
            request,
            st.lists(contact, max_size=1),
            st.one_of(st.just(()), st.lists(ordinary(MORE), max_size=2).map(tuple)),
            ordinary((PHONE, PHONE, BEHIND_NAT, LOCAL)),
            ordinary((0.0, 0.3, 1.0, 70.0)),
        ),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=400, deadline=None)
def test_it_does_what_the_route_does(name: str, inputs: list[Any]) -> None:
    """Any sequence of requests gives the same actions, bindings, transactions and timers."""
    pair = Pair(CONFIGS[name])
    for given_request, contacts, more, source, after in inputs:
        lines = tuple(f"Contact: {form.format(uri, behind)}" for uri, behind, form in contacts)
        pair.feed(message(**given_request, more=(*lines, *more)), source, after)


@pytest.mark.parametrize("name", sorted(CONFIGS))
@pytest.mark.parametrize("line", MORE)
def test_each_further_field(name: str, line: str) -> None:
    """A field that makes the route decide otherwise does so with the shortcut too."""
    pair = Pair(CONFIGS[name])
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message(more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    pair.feed(message("OPTIONS", more=(line,), branch="z9hG4bK3"))


@pytest.mark.parametrize("behind", AFTER)
@pytest.mark.parametrize("uri", CONTACTS)
def test_each_contact(uri: str, behind: str) -> None:
    """Contacts that must not be bound, and those with values of their own."""
    pair = Pair()
    for number, source in enumerate((PHONE, BEHIND_NAT, LOCAL), 1):
        pair.feed(
            message(more=(f"Contact: <{uri}>{behind}",), number=number, branch=f"z9hG4bK{number}"), source
        )


def test_another_contact_of_the_same_user() -> None:
    """Two phones of one user: both stay, the 200 lists them by rank."""
    pair = Pair(CONFIGS["wall"])
    pair.feed(message(more=(CONTACT,)))
    second = "Contact: <sip:bob@192.0.2.8:5060>"
    pair.feed(message(more=(second,), call_id="two", branch="z9hG4bK2"), ("192.0.2.8", 5060))
    before = pair.taken.count
    pair.feed(message(more=(CONTACT,), number=2, branch="z9hG4bK3"))
    pair.feed(message(more=(second,), call_id="two", number=2, branch="z9hG4bK4"), ("192.0.2.8", 5060))
    assert pair.taken.count == before + 2
    assert [one.contact for one in pair.short.location.lookup("sip:bob@biloxi.test", pair.now)] == [
        "sip:bob@192.0.2.8:5060",
        "sip:bob@192.0.2.7:5060",
    ]


class Asked(Module):
    """Sees each new request."""

    name = "asked"
    seen = 0

    def request_received(self, request: Any) -> bool:
        self.seen += 1
        return False


def test_modules_see_everything() -> None:
    """A module whose hook sees requests sees those as well; so the shortcut is not taken."""
    pair = Pair(lambda: config(modules=[Use(Asked)]))
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message("OPTIONS", branch="z9hG4bK2"))
    assert pair.taken.count == pair.briefs.count == 0
    assert [next(iter(stack.modules)).seen for stack in pair.stacks] == [2, 2, 2]


class AskedOfInvites(Module):
    """Acts on INVITEs, and says so."""

    name = "asked_of_invites"
    methods = frozenset(("INVITE",))

    def request_received(self, request: Any) -> bool:
        return False

    def response_leaving(self, request: Any, response: Any) -> None: ...


@pytest.mark.parametrize("kind", [AskedOfInvites, Keepalive, Calls])
def test_modules_that_act_on_other_methods(kind: type[Module]) -> None:
    """A usual server has some of those: its OPTIONS and REGISTERs are answered as fast."""
    pair = Pair(lambda: config(modules=[Use(kind)]))
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message(more=(CONTACT,), number=2, branch="z9hG4bK2"))
    pair.feed(message("OPTIONS", branch="z9hG4bK3"))
    # The first input starts the modules.
    assert (pair.taken.count, pair.briefs.count) == (3, 2)


def test_a_route_of_ones_own_decides() -> None:
    """The shortcut stands for the default route alone."""
    pair = Pair(lambda: config(route=lambda request: request.reply(486)))
    pair.feed(message(more=(CONTACT,)))
    assert pair.taken.count == pair.briefs.count == 0


def test_it_follows_new_settings() -> None:
    """After a reload the answers have the new values (RFC 3261 10.3)."""
    pair = Pair()
    for stack in pair.stacks:
        change = Reconfiguration(
            server_name="other", registrar=RegistrarConfig(path="ignore", max_expires=4000)
        )
        stack.configure(change, 1000.0)
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message("OPTIONS", branch="z9hG4bK2"))
    for stack in pair.stacks:
        stack.configure(Reconfiguration(server_name="", domains=["atlanta.test"]), pair.now)
    pair.feed(message(more=(CONTACT,), number=2, branch="z9hG4bK3"))
    pair.feed(message("OPTIONS", branch="z9hG4bK4"))
    pair.feed(message("OPTIONS", "sip:atlanta.test", branch="z9hG4bK5"))
    assert pair.taken.count == pair.briefs.count == 3


def test_a_server_that_drains_takes_no_more() -> None:
    """RFC 3261 21.5.4: 503, as from the route."""
    pair = Pair()
    for stack in pair.stacks:
        stack.drain(1000.0)
    pair.feed(message("OPTIONS"))
    assert pair.taken.count == pair.briefs.count == 0
