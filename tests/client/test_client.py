"""Where a request goes first (RFC 3261 8.1.2), what stands in it, and the ACK of a 2xx (13.2.2.4)."""

from __future__ import annotations

import pytest

from sansip.transport import Flow, Resolve
from sansip.wire import parse_uri
from tests.client.desk import Desk, a_request
from tests.rig import BOB, CAROL, TCP, TCP6, only, reply, sent, what


def test_a_request_leaves_with_what_it_needs() -> None:
    """RFC 3261 8.1.1: Via, Max-Forwards and Content-Length are added; the Contact may follow the listener."""
    desk = Desk()
    sending, outs = desk.send(a_request("OPTIONS"))
    out = only(outs, "OPTIONS")
    assert out.to == BOB
    message = out.message
    assert message.via.sent_by == "192.0.2.10:5060"
    assert (message.get("max-forwards"), message.get("content-length")) == ("70", "0")
    assert message.get("contact") == "<sip:us@192.0.2.10:5060>"
    assert sending.request.get("contact") == "<sip:us@192.0.2.10:5060>"
    desk.rig.udp(reply(out, 200), BOB)
    assert desk.told == [200, "ended"]
    desk.rig.run_out()
    assert desk.rig.empty


def test_the_request_given_stays_as_it_was() -> None:
    """A dialog may use the request again: additions on the way go to a copy."""
    desk, request = Desk(), a_request()
    before = request.to_bytes()
    desk.send(request)
    assert request.to_bytes() == before


@pytest.mark.parametrize(
    ("headers", "to"),
    [
        ((), BOB),
        # RFC 3261 8.1.2: the first Route, where there is one.
        ((("Route", "<sip:192.0.2.3;lr>"),), CAROL),
        ((("Route", "<sip:192.0.2.3;lr>, <sip:192.0.2.4;lr>"),), CAROL),
    ],
)
def test_the_next_hop(headers: tuple[tuple[str, str], ...], to: tuple[str, int]) -> None:
    desk = Desk()
    _, outs = desk.send(a_request("OPTIONS", "sip:bob@192.0.2.2", *headers))
    assert sent(outs) == [("OPTIONS", to)]
    assert outs[0].message.uri_text == "sip:bob@192.0.2.2"


def test_a_hop_that_the_caller_names() -> None:
    """For a strict router in the Request-URI: we do not follow the Route behind it."""
    desk = Desk()
    request = a_request("BYE", "sip:192.0.2.2", ("Route", "<sip:192.0.2.3;lr>, <sip:bob@192.0.2.4>"))
    _, outs = desk.send(request, hop=parse_uri("sip:192.0.2.2"))
    assert sent(outs) == [("BYE", BOB)]


def test_sips_means_tls() -> None:
    """RFC 3261 8.1.2, 26.2.2: and without a listener for it nothing leaves; a 503 is made."""
    desk = Desk()
    route = ("Route", "<sip:192.0.2.3;lr>")
    sending, outs = desk.send(a_request("OPTIONS", "sips:bob@192.0.2.2", route))
    assert (outs, desk.told) == ([], [])
    desk.rig.wait(0)
    assert (desk.told, sending.made) == ([503, "ended"], True)


@pytest.mark.parametrize(("uri", "status"), [("tel:+123", 416), ("sip:bob@192.0.2.2;transport=xyz", 503)])
def test_a_uri_that_leads_nowhere(uri: str, status: int) -> None:
    """The answer is made here, after ``send`` has returned, so the asker has its object."""
    desk = Desk()
    sending, outs = desk.send(a_request("OPTIONS", uri))
    assert (outs, desk.told, sending.flow) == ([], [], None)
    desk.rig.wait(0)
    assert (desk.told, sending.made) == ([status, "ended"], True)
    assert desk.rig.empty


def test_a_name_is_a_question() -> None:
    """RFC 3263 4: nothing leaves before its answer."""
    desk = Desk()
    _, outs = desk.send(a_request("OPTIONS", "sip:bob@phone.test"))
    assert outs == []
    assert [ask.question for ask in desk.rig.asks] == [Resolve("phone.test", 5060, "udp")]
    assert sent(desk.rig.answer([("udp", *BOB)])) == [("OPTIONS", BOB)]


def test_a_flow() -> None:
    """A phone behind a NAT is reached over the connection that it opened, whatever its URI says."""
    desk = Desk()
    conn = desk.rig.accept()
    flow = Flow("tcp", TCP, ("192.0.2.1", 40001), conn)
    sending, outs = desk.send(a_request("OPTIONS", "sip:bob@10.0.0.1"), hop=flow)
    assert sent(outs) == [("OPTIONS", conn)]
    assert sending.flow is flow
    # Once it is gone the URI is followed.
    desk.rig.tcp(conn, reply(outs[0], 200))
    desk.rig.closed(conn)
    _, outs = desk.send(a_request("OPTIONS", "sip:bob@192.0.2.2"), hop=flow)
    assert sent(outs) == [("OPTIONS", BOB)]


def test_the_listener_may_be_chosen() -> None:
    """``prefer`` where it fits; an address of the other family has another."""
    desk = Desk()
    _, outs = desk.send(a_request("OPTIONS", "sip:bob@[2001:db8::2];transport=tcp"), prefer=TCP)
    assert outs[0].action.listener == TCP6


# --- the ACK of a 2xx


def test_an_ack_is_a_request_of_its_own() -> None:
    """RFC 3261 13.2.2.4, 17.1.1.3: another branch, no transaction, the same octets again."""
    desk = Desk()
    sending, outs = desk.send(a_request())
    invite = only(outs, "INVITE")
    desk.rig.udp(reply(invite, 200), BOB)
    ack, outs = desk.ack(a_request("ACK"))
    first = only(outs, "ACK")
    assert first.to == BOB
    assert first.message.via.branch != invite.message.via.branch
    # The 2xx comes again: it is told again, and the ACK sent again.
    desk.rig.udp(reply(invite, 200), BOB)
    assert desk.told == [200, 200]
    ack.again(desk.rig.now)
    assert desk.outs()[0].data == first.data
    desk.rig.run_out()
    assert desk.told == [200, 200, "ended"]
    assert sending.flow is not None
    assert desk.rig.empty


def test_an_ack_to_a_name_waits_for_its_address() -> None:
    """A repetition meanwhile sends nothing; the first does, once the address is known."""
    desk = Desk()
    ack, outs = desk.ack(a_request("ACK", "sip:bob@phone.test"))
    ack.again(desk.rig.now)
    assert outs + desk.outs() == []
    assert sent(desk.rig.answer([("udp", *CAROL)])) == [("ACK", CAROL)]
    ack.again(desk.rig.now)
    assert what(desk.outs()) == ["ACK"]


def test_an_ack_that_leads_nowhere() -> None:
    """No user waits for the result of an ACK."""
    desk = Desk()
    ack, outs = desk.ack(a_request("ACK", "tel:+123"))
    ack.again(desk.rig.now)
    assert outs + desk.outs() == []
    _, outs = desk.ack(a_request("ACK", "sip:bob@phone.test"))
    assert outs + desk.rig.answer(LookupError("no such host")) == []
