"""RFC 3261 16.6: the copy that is forwarded."""

from __future__ import annotations

from typing import Any

from sansip.proxy import Target
from sansip.wire import Request, parse_uri
from tests.rig import (
    BOB_URI,
    CAROL_URI,
    HOST,
    Rig,
    only,
    relay_to,
    request,
)


def test_nothing_else_is_touched() -> None:
    """Step 1: all fields, in their order and spelling, and the body."""
    headers = [
        ("s", "compact"),
        ("X-A", "1"),
        ("Contact", "<sip:alice@192.0.2.1>"),
        ("X-A", "2, 3"),
        ("Date", "nonsense"),
        ("Record-Route", "<sip:192.0.2.88;lr>"),
    ]
    data = request("MESSAGE", headers=headers, body=b"\xff\x00 body")
    out = only(Rig(relay_to(BOB_URI)).udp(data), "MESSAGE").data
    lines = out.partition(b"\r\n\r\n")[0].split(b"\r\n")
    ours = [line for line in lines if line.startswith((b"Via: SIP/2.0/UDP 192.0.2.10", b"Max-Breadth"))]
    left = [line for line in lines if line not in ours]
    expected = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    expected[0] = b"MESSAGE sip:bob@192.0.2.2 SIP/2.0"
    expected[2] = b"Max-Forwards: 69"
    assert left == expected
    assert out.endswith(b"\r\n\r\n\xff\x00 body")


def test_the_request_uri_is_the_target() -> None:
    """Step 2: replaced with the URI for this target."""
    out = only(Rig(relay_to("sip:bob@192.0.2.2:5060;x=y;user=phone")).udp(request()), "INVITE")
    assert out.message.uri_text == "sip:bob@192.0.2.2:5060;x=y;user=phone"


def test_what_a_request_uri_may_not_have() -> None:
    """Step 2 with 19.1.1: header fields and the method parameter go."""
    target = Target(parse_uri("sip:bob@192.0.2.2;method=INVITE;x=y?Subject=hi"))
    out = only(Rig(relay_to(target)).udp(request()), "INVITE")
    assert out.message.uri_text == "sip:bob@192.0.2.2;x=y"


def test_an_unchanged_request_uri() -> None:
    """16.5: the Request-URI itself may be the target."""

    def as_it_is(incoming: Any) -> None:
        incoming.relay()

    out = only(Rig(as_it_is).udp(request(uri="sip:Bob%40@192.0.2.2;X=y")), "INVITE")
    assert out.message.uri_text == "sip:Bob%40@192.0.2.2;X=y"


def test_our_via() -> None:
    """Step 8: before the existing ones, with our address, transport and a branch with the cookie."""
    data = request(headers=[("Via", "SIP/2.0/UDP 192.0.2.55;branch=z9hG4bKbelow")])
    out = only(Rig(relay_to(BOB_URI)).udp(data), "INVITE").message
    assert [str(via) for via in out.vias[1:]] == [
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1",
        "SIP/2.0/UDP 192.0.2.55;branch=z9hG4bKbelow",
    ]
    assert out.via.sent_by == f"{HOST}:5060"
    assert out.via.branch.startswith("z9hG4bK")


def test_branches_are_unique() -> None:
    """8.1.1.7: across space and time: two requests, and two stacks, never share one."""
    branches = set()
    for seed in (b"one stack's seed", b"another one seed"):
        rig = Rig(relay_to(BOB_URI), seed=seed)
        for number in range(50):
            out = only(rig.udp(request("MESSAGE", branch=f"z9hG4bK{number}", call_id=str(number))), "MESSAGE")
            branches.add(out.message.via.branch)
    assert len(branches) == 100


def test_the_path_of_a_binding() -> None:
    """RFC 3327 5.4: ahead of the Route values of the request."""

    def route(incoming: Any) -> None:
        path = ("<sip:192.0.2.77;lr>", "<sip:192.0.2.78;lr>")
        incoming.relay(Target(parse_uri(BOB_URI), path=path))

    out = only(Rig(route).udp(request(headers=[("Route", "<sip:192.0.2.79;lr>")])), "INVITE")
    assert out.message.values("route") == [
        "<sip:192.0.2.77;lr>",
        "<sip:192.0.2.78;lr>",
        "<sip:192.0.2.79;lr>",
    ]
    assert out.to == ("192.0.2.77", 5060)
    assert out.message.uri_text == BOB_URI


def test_edits_of_the_route_are_in_every_copy() -> None:
    """16.6 step 5: additional header fields; each branch has its own copy."""

    def route(incoming: Any) -> None:
        incoming.message.set("X-Hop", "sansip")
        incoming.message.remove("Subject")
        incoming.relay([BOB_URI, CAROL_URI])

    outs = Rig(route).udp(request(headers=[("Subject", "gone")]))
    copies = [out.message for out in outs if isinstance(out.message, Request)]
    assert len(copies) == 2
    assert all(copy.get("x-hop") == "sansip" and not copy.has("subject") for copy in copies)
