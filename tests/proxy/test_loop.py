"""RFC 3261 16.3 step 4 and RFC 5393 4.2: loops are refused, spirals go on."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.proxy import ProxyConfig
from tests.rig import ALICE, BOB, BOB_URI, HOST, Rig, only, relay_to, reply, request, sent, what

US = (HOST, 5060)


@pytest.fixture
def rig() -> Rig:
    return Rig(relay_to(BOB_URI))


def test_a_loop(rig: Rig) -> None:
    """4.2.2: the same request comes back with our Via: 482."""
    out = only(rig.udp(request("MESSAGE")), "MESSAGE")
    # Bob's server sends it back as it received it but for its own Via.
    line = b"MESSAGE sip:bob@biloxi.test SIP/2.0\r\n"
    back = line + b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKb1\r\n" + out.data.partition(b"\r\n")[2]
    assert sent(rig.udp(back, BOB)) == [("482", BOB)]


def test_a_spiral(rig: Rig) -> None:
    """16.3 step 4: it comes back with another Request-URI, so it is decided anew."""
    out = only(rig.udp(request("MESSAGE")), "MESSAGE")
    back = out.data.replace(b"MESSAGE sip:bob@192.0.2.2", b"MESSAGE sip:carol@biloxi.test")
    back = back.replace(b"Via: ", b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKb1\r\nVia: ", 1)
    assert what(rig.udp(back, BOB)) == ["MESSAGE"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Max-Forwards: 69", b"Max-Forwards: 42"),
        (b"Max-Breadth: 60", b"Max-Breadth: 30"),
        (b"Subject: a", b"Subject: b"),
    ],
)
def test_what_changes_from_hop_to_hop_makes_no_spiral(rig: Rig, old: bytes, new: bytes) -> None:
    """4.2.1: the hash depends on what decides the routing and on nothing else."""
    out = only(rig.udp(request("MESSAGE", headers=[("Subject", "a")])), "MESSAGE")
    back = out.data.replace(b"MESSAGE sip:bob@192.0.2.2", b"MESSAGE sip:bob@biloxi.test")
    assert old in back
    back = back.replace(old, new).replace(
        b"Via: ", b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKb1\r\nVia: ", 1
    )
    assert what(rig.udp(back, BOB)) == ["482"]


@pytest.mark.parametrize(
    "field",
    [b"Route: <sip:192.0.2.77;lr>", b'Proxy-Authorization: Digest realm="x"', b"Proxy-Require: known"],
)
def test_fields_that_decide_make_a_spiral(field: bytes) -> None:
    """16.6 step 8: Route, Proxy-Require and Proxy-Authorization are part of the second half of the branch."""
    rig = Rig(relay_to(BOB_URI), proxy=ProxyConfig(extensions=frozenset({"known"})))
    out = only(rig.udp(request("MESSAGE")), "MESSAGE")
    back = out.data.replace(b"MESSAGE sip:bob@192.0.2.2", b"MESSAGE sip:bob@biloxi.test")
    back = back.replace(b"Via: ", field + b"\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKb1\r\nVia: ", 1)
    assert what(rig.udp(back, BOB)) == ["MESSAGE"]


def test_our_via_deep_below(rig: Rig) -> None:
    """4.2.2: each Via whose sent-by is ours is looked at, wherever it stands."""
    out = only(rig.udp(request("MESSAGE")), "MESSAGE")
    back = out.data.replace(b"MESSAGE sip:bob@192.0.2.2", b"MESSAGE sip:bob@biloxi.test")
    others = b"".join(b"Via: SIP/2.0/UDP 192.0.2.%d;branch=z9hG4bKb%d\r\n" % (n, n) for n in range(100, 140))
    assert what(rig.udp(back.replace(b"Via: ", others + b"Via: ", 1), BOB)) == ["482"]


def test_on_one_line(rig: Rig) -> None:
    """7.3.1: another element may have joined the values with commas."""
    out = only(rig.udp(request("MESSAGE")), "MESSAGE")
    back = out.data.replace(b"MESSAGE sip:bob@192.0.2.2", b"MESSAGE sip:bob@biloxi.test")
    back = back.replace(b"Via: ", b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKb1, ", 1)
    assert what(rig.udp(back, BOB)) == ["482"]


def test_the_method_is_not_part_of_it(rig: Rig) -> None:
    """16.6 step 8: CANCEL and ACK have the branch of their INVITE."""
    invite = only(rig.udp(request()), "INVITE").message.via.branch
    message = only(rig.udp(request("MESSAGE", branch="z9hG4bKa2")), "MESSAGE").message.via.branch
    assert invite.partition(".")[2] == message.partition(".")[2] != ""


def test_others_with_our_branch(rig: Rig) -> None:
    """Only Via values with our sent-by count."""
    out = only(rig.udp(request("MESSAGE")), "MESSAGE")
    back = out.data.replace(b"MESSAGE sip:bob@192.0.2.2", b"MESSAGE sip:bob@biloxi.test")
    back = back.replace(b"Via: SIP/2.0/UDP 192.0.2.10:5060", b"Via: SIP/2.0/UDP 192.0.2.11:5060", 1)
    assert what(rig.udp(back, BOB)) == ["MESSAGE"]


def test_another_proxys_secret() -> None:
    """Two stacks with one sent-by (a standby) do not take each other's hashes for loops by chance."""
    first, second = Rig(relay_to(BOB_URI), seed=b"a" * 16), Rig(relay_to(BOB_URI), seed=b"b" * 16)
    out = only(first.udp(request("MESSAGE")), "MESSAGE")
    back = out.data.replace(b"MESSAGE sip:bob@192.0.2.2", b"MESSAGE sip:bob@biloxi.test")
    back = back.replace(b"Via: ", b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKb1\r\nVia: ", 1)
    assert what(second.udp(back, BOB)) == ["MESSAGE"]


@pytest.mark.parametrize("below", [b'x;y="a,b"', b'SIP/2.0/UDP h;flag;q="\\"";branch=odd', b";;;"])
def test_other_elements_strange_vias(rig: Rig, below: bytes) -> None:
    """4.2.4: a Via of others must not make the check fail, whatever it holds."""
    data = request("MESSAGE").replace(b"Max-Forwards", b"Via: " + below + b"\r\nMax-Forwards", 1)
    assert what(rig.udp(data)) in (["MESSAGE"], ["400"])


def test_two_aors_that_forward_to_each_other() -> None:
    """RFC 5393 3: the request ends by itself, without help from Max-Forwards."""
    bounce: dict[str, Any] = {
        "sip:a@biloxi.test": "sip:b@biloxi.test",
        "sip:b@biloxi.test": "sip:a@biloxi.test",
    }

    def route(incoming: Any) -> None:
        if incoming.validate():
            incoming.message.set_uri(bounce[incoming.message.uri_text])
            incoming.relay(f"{incoming.message.uri_text};maddr={HOST}")

    rig = Rig(route)
    outs = rig.udp(request("MESSAGE", "sip:a@biloxi.test"), ALICE)
    hops = 0
    while outs and outs[0].to == US:
        hops += 1
        outs = rig.udp(outs[0].data, US)
    assert hops <= 10
    assert "482" in what(rig.log) + what(outs)


def test_a_call_through_us_twice_works(rig: Rig) -> None:
    """A spiral's responses find their way back through both of our transactions."""

    def route(incoming: Any) -> None:
        if incoming.validate():
            again = incoming.uri.user == "alias"
            incoming.relay(f"sip:bob@biloxi.test;maddr={HOST}" if again else BOB_URI)

    rig = Rig(route)
    outs = rig.udp(request(uri="sip:alias@biloxi.test"), ALICE)
    spiral = only(outs, "INVITE")
    assert spiral.to == US
    outs = rig.udp(spiral.data, US)
    branch = only(outs, "INVITE")
    assert branch.to == BOB
    inner = rig.udp(reply(branch, 200), BOB)
    assert sent(inner) == [("200", US)]
    assert sent(rig.udp(inner[0].data, US)) == [("200", ALICE)]
