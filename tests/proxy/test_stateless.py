"""RFC 3261 16.11: forwarding without a transaction."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL_URI,
    TCP,
    Rig,
    only,
    relay_to,
    reply,
    request,
    sent,
    what,
    within,
)


def stateless(incoming: Any) -> None:
    """Forward without keeping anything."""
    incoming.relay(BOB_URI, stateless=True)


def test_stateless() -> None:
    """Nothing is kept, no 100 is generated, and there are no retransmissions of our own."""
    rig = Rig(stateless)
    assert sent(rig.udp(request())) == [("INVITE", BOB)]
    assert rig.empty
    assert what(rig.wait(100)) == []


def test_retransmissions_are_forwarded_alike() -> None:
    """The same branch and the same octets: a stateless proxy cannot tell a retransmission."""
    rig = Rig(stateless)
    first, second = rig.udp(request()), rig.udp(request())
    assert first[0].data == second[0].data


def test_cancel_and_ack_have_the_branch_of_their_invite() -> None:
    """16.11: computed from the branch received, so the next hop can match them."""
    rig = Rig(stateless)
    invite = request()
    branches = {
        rig.udp(data)[0].message.via.branch
        for data in (invite, within(invite, "CANCEL"), within(invite, "ACK", to_tag="b"))
    }
    assert len(branches) == 1


def test_other_transactions_have_other_branches() -> None:
    """16.11: uniqueness holds for stateless proxies as well."""
    rig = Rig(stateless)
    variants = [request(), request(branch="z9hG4bKa2"), request(source=("192.0.2.9", 5060))]
    assert len({rig.udp(data)[0].message.via.branch for data in variants}) == 3


@pytest.mark.parametrize("branch", [None, "1"])
def test_rfc_2543_peers(branch: str | None) -> None:
    """16.11: without the cookie a hash of what tells transactions apart; some use one branch for all."""
    rig = Rig(stateless)
    variants = [
        request("MESSAGE", branch=branch),
        request("MESSAGE", branch=branch, cseq=2),
        request("MESSAGE", branch=branch, call_id="other"),
        request("MESSAGE", branch=branch, from_tag="other"),
    ]
    outs = [rig.udp(data)[0] for data in variants]
    assert len({out.message.via.branch for out in outs}) == 4
    for out in outs:
        assert sent(rig.udp(reply(out, 200), BOB)) == [("200", ALICE)]


def test_responses_go_back_without_state() -> None:
    """16.11: the top Via is ours, it goes, and the next one says where to."""
    rig = Rig(stateless)
    (out,) = rig.udp(request(via="SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa1"))
    for status in (100, 180, 200, 200):
        assert sent(rig.udp(reply(out, status), BOB)) == [(str(status), ("192.0.2.1", 5070))]
    assert rig.log[-1].message.get_all("via") == ["SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa1"]


def test_by_rport() -> None:
    """RFC 3581 4: to received and rport."""
    rig = Rig(stateless)
    (out,) = rig.udp(request(via="SIP/2.0/UDP phone.test;rport;branch=z9hG4bKa1"), ("192.0.2.1", 40000))
    assert sent(rig.udp(reply(out, 200), BOB)) == [("200", ("192.0.2.1", 40000))]


def test_by_nobodys_maddr() -> None:
    """18.2.2: what maddr named when the request came is nothing to go by."""
    rig = Rig(stateless)
    (out,) = rig.udp(request(via="SIP/2.0/UDP 192.0.2.1:5070;maddr=192.0.2.66;branch=z9hG4bKa1"))
    assert sent(rig.udp(reply(out, 200), BOB)) == [("200", ("192.0.2.1", 5070))]


@pytest.mark.parametrize("change", [("received=192.0.2.1", "received=192.0.2.66"), ("rport=5060", "rport=9")])
def test_who_answers_does_not_say_where_to(change: tuple[str, str]) -> None:
    """16.11, RFC 6026 7.3: our branch seals the source of the request, so no answer chooses where it goes."""
    rig = Rig(stateless)
    (out,) = rig.udp(request(via="SIP/2.0/UDP host.test;rport;branch=z9hG4bKa1"))
    answer = reply(out, 200)
    assert change[0].encode() in answer
    assert rig.udp(answer.replace(change[0].encode(), change[1].encode()), BOB) == []
    assert sent(rig.udp(answer, BOB)) == [("200", ALICE)]


def test_by_the_connection() -> None:
    """18.2.2: a response to a request over TCP goes over the connection while it lives."""
    rig = Rig(stateless)
    conn = rig.accept(("192.0.2.1", 40001))
    (out,) = rig.tcp(conn, request(via="SIP/2.0/TCP 192.0.2.1:40001;branch=z9hG4bKa1"))
    assert sent(rig.udp(reply(out, 200, length=False), BOB)) == [("200", conn)]
    assert rig.log[-1].message.content_length == 0


def test_a_response_that_we_never_asked_for() -> None:
    """RFC 6026 7.3: strays are not forwarded; only a branch that we computed proves that we forwarded."""
    rig = Rig(stateless)
    (out,) = rig.udp(request())
    forged = reply(out, 200).replace(b"z9hG4bKs", b"z9hG4bKsx", 1)
    assert rig.udp(forged, BOB) == []
    moved = reply(out, 200).replace(b"Via: SIP/2.0/UDP 192.0.2.1", b"Via: SIP/2.0/UDP 203.0.113.1", 1)
    assert rig.udp(moved, BOB) == []


@pytest.mark.parametrize(
    "below", [b"", b"Via: nonsense\r\n", b"Via: SIP/2.0/UDP not.an.address;branch=z9hG4bKa1\r\n"]
)
def test_a_response_that_leads_nowhere(below: bytes) -> None:
    """No second Via, a malformed one, or a name that nothing was received from."""
    rig = Rig(stateless)
    (out,) = rig.udp(request())
    data = reply(out, 200)
    second = b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1\r\n"
    assert second in data
    assert rig.udp(data.replace(second, below), BOB) == []


def test_one_target_only() -> None:
    """16.11: a stateless proxy chooses one and only one, the same every time."""

    def route(incoming: Any) -> None:
        incoming.relay([BOB_URI, CAROL_URI], stateless=True)

    assert sent(Rig(route).udp(request())) == [("INVITE", BOB)]


def test_where_the_next_hop_cannot_be_reached() -> None:
    """No sender is left to tell: nothing happens."""

    def route(incoming: Any) -> None:
        incoming.relay("tel:+1555", stateless=True)

    rig = Rig(route)
    assert rig.udp(request()) == []
    rig = Rig(lambda incoming: incoming.relay("sip:bob@nowhere.test", stateless=True))
    rig.udp(request())
    assert rig.answer(LookupError("no such host")) == []
    rig = Rig(lambda incoming: incoming.relay("sip:bob@192.0.2.2;transport=tls", stateless=True))
    assert rig.udp(request()) == []


# --- the ACK for a 2xx


def test_the_ack_of_a_2xx_is_forwarded() -> None:
    """13.2.2.4 and 16.11: a transaction of its own, not answered, not kept, not resent."""
    rig = Rig()
    rig.register("sip:bob@192.0.2.2")
    branch = only(rig.udp(request()), "INVITE")
    rig.udp(reply(branch, 200, headers=[("Contact", "<sip:bob@192.0.2.2>")]), BOB)
    route = rig.route()
    ack = request("ACK", "sip:bob@192.0.2.2", branch="z9hG4bKack", to_tag="bob", headers=[("Route", route)])
    assert sent(rig.udp(ack)) == [("ACK", BOB)]
    # Repeated 2xx are each acknowledged by the caller, and each ACK goes through, alike.
    assert sent(rig.udp(ack)) == [("ACK", BOB)]
    assert rig.log[-1].data == rig.log[-2].data


def test_the_ack_of_a_2xx_with_the_branch_of_its_invite() -> None:
    """RFC 6026 8.9: what an RFC 2543 peer sends matches the INVITE, and is passed on in Accepted."""
    rig = Rig()
    rig.register("sip:bob@192.0.2.2")
    invite = request(branch=None)
    branch = only(rig.udp(invite), "INVITE")
    rig.udp(reply(branch, 200, headers=[("Contact", "<sip:bob@biloxi.test>")]), BOB)
    rig.udp(within(invite, "ACK", to_tag="bob", headers=[("Route", rig.route())]))
    # It went to the route, which forwards it by its Request-URI.
    assert [one.question.host for one in rig.asks] == ["biloxi.test"]
    assert sent(rig.answer([BOB])) == [("ACK", BOB)]


def test_a_relayed_request_needs_its_listener() -> None:
    """Over TCP the request that came by UDP is sent from our TCP address."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request()), "Connect")
    assert connect.action.listener == TCP
    assert only(rig.opened(connect), "INVITE").message.via.transport == "TCP"
