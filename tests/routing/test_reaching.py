"""Requests that name a gateway themselves: refused, but within its calls. On a virtual clock.

The attacks on a running server are in ``interop/test_attack_gateway.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import Account
from sansip.b2bua import Policy
from sansip.client.guarded import Guard
from sansip.events import DestinationRefused
from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.proxy import ProxyConfig, Target
from sansip.routing import IncomingRequest, TrustedPeer
from sansip.wire import parse_uri
from tests.rig import BOB, BOB_URI, Out, Rig, only, reply, request, what

GATEWAY = ("192.0.2.21", 5060)
DEAR = "sip:88213@192.0.2.21"


def bench(route: Any = None, *, direct: bool = False, refer: bool = True, **options: Any) -> Rig:
    settings = DispatcherSettings(
        [Destination("sip:192.0.2.21")], probe_interval=0.0, direct=direct, refer=refer
    )
    rig = Rig(route, modules=[Use(Dispatcher, settings), Use(Calls, CallsSettings())], **options)
    rig.wait(0.01)
    while rig.asks:
        rig.answer([])
    return rig


def sent(method: str = "INVITE", uri: str = DEAR, **options: Any) -> bytes:
    headers = [("Contact", "<sip:alice@192.0.2.1>"), *options.pop("headers", [])]
    return request(method, uri, headers=headers, **{"to": f"<{uri}>", **options})


def refusals(rig: Rig) -> list[DestinationRefused]:
    return [event for event in rig.events if isinstance(event, DestinationRefused)]


def as_asked(request: IncomingRequest) -> None:
    request.record_route()
    request.relay()


def none_to_gateway(outs: list[Out]) -> None:
    assert not [out for out in outs if out.to == GATEWAY]


def test_as_asked() -> None:
    """The Request-URI of a sender: 403, and one event that names the cause."""
    rig = bench(as_asked)
    outs = rig.udp(sent())
    none_to_gateway(outs)
    assert what(outs)[-1] == "403"
    assert refusals(rig) == [
        DestinationRefused(
            "192.0.2.1", "INVITE", "192.0.2.21:5060", "destination sip:192.0.2.21", "dispatcher.direct"
        )
    ]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_without_state(method: str) -> None:
    """A request that is forwarded without state is dropped (RFC 3261 16.11)."""
    rig = bench(lambda request: request.relay(stateless=True))
    assert what(rig.udp(sent(method))) == []
    assert len(refusals(rig)) == 1


def test_a_route_chooses() -> None:
    """A route's own text, or a target that says so, is the operator's choice; a URI of the request is not."""
    targets: list[Any] = [
        DEAR,
        Target(parse_uri(DEAR), chosen=True),
        parse_uri(DEAR),
        Target(parse_uri(DEAR)),
    ]
    rig = bench(lambda request: request.relay(targets.pop(0)))
    for number, allowed in enumerate((True, True, False, False)):
        names = {"branch": f"z9hG4bK{number}", "call_id": f"c{number}"}
        outs = rig.udp(sent(uri="sip:bob@biloxi.test", **names))
        assert ("INVITE" in what(outs)) is allowed, number


def test_opened() -> None:
    """The setting opens it."""
    assert only(bench(as_asked, direct=True).udp(sent()), "INVITE").to == GATEWAY


@pytest.mark.parametrize("relay", [True, False])
def test_trusted_peers(relay: bool) -> None:
    """A peer that may have requests relayed anywhere may name a gateway, too."""
    rig = bench(as_asked, trusted=[TrustedPeer("192.0.2.1", relay=relay)])
    assert ("INVITE" in what(rig.udp(sent()))) is relay


def test_a_fork() -> None:
    """One of a user's Contacts is the gateway: the other phone rings."""
    rig = bench()
    rig.register(BOB_URI)
    rig.register(DEAR, source=("192.0.2.9", 5060))
    outs = rig.udp(sent(uri="sip:bob@biloxi.test"))
    none_to_gateway(outs)
    assert only(outs, "INVITE").to == BOB
    assert len(refusals(rig)) == 1


@pytest.mark.parametrize("long", [False, True])
def test_the_quick_ways(long: bool) -> None:
    """Where no module looks at requests a call passes as octets: not to a gateway either."""
    rig = Rig()
    guard = Guard("192.0.2.21", 5060, "gateway", "lcr.direct")
    rig.stack.proxy.client.guarded.replace("lcr", [guard])
    rig.register(DEAR, source=("192.0.2.9", 5060))
    headers = [("X-Large", "x")] if long else []
    outs = rig.udp(sent(uri="sip:bob@biloxi.test", headers=headers))
    none_to_gateway(outs)
    assert what(outs)[-1] == "403"
    rig.register(BOB_URI, aor="sip:carol@biloxi.test")
    assert (
        only(rig.udp(sent(uri="sip:carol@biloxi.test", call_id="c", branch="z9hG4bKc")), "INVITE").to == BOB
    )


def test_a_flow_of_its_own() -> None:
    """A gateway that registered over a connection of its own gets its calls; UDP can be forged."""
    rig = bench()
    conn = rig.accept(("192.0.2.21", 40_001))
    headers = [("Contact", "<sip:bob@192.0.2.21:40001;transport=tcp>"), ("Expires", "600")]
    rig.tcp(
        conn,
        request(
            "REGISTER",
            "sip:biloxi.test",
            source=("192.0.2.21", 40_001),
            transport="TCP",
            to="<sip:bob@biloxi.test>",
            sender="<sip:bob@biloxi.test>",
            headers=headers,
        ),
    )
    assert only(rig.udp(sent(uri="sip:bob@biloxi.test")), "INVITE").to == conn
    rig = bench()
    rig.register("sip:bob@192.0.2.21", source=GATEWAY)
    none_to_gateway(rig.udp(sent(uri="sip:bob@biloxi.test")))


@pytest.mark.parametrize("proved", [True, False])
def test_a_user_on_the_gateways_machine(proved: bool) -> None:
    """A connection from there is the gateway's own, but not where a user has proved to be there."""

    def relay(request: IncomingRequest) -> None:
        # As ``authenticate`` does.
        request.authenticated = proved
        request.relay()

    rig = bench(relay)
    conn = rig.accept(("192.0.2.21", 40_001))
    outs = rig.tcp(conn, sent(source=("192.0.2.21", 40_001), transport="TCP"))
    assert bool([out for out in outs if out.to == GATEWAY]) is not proved
    assert len(refusals(rig)) == proved


@pytest.mark.parametrize("how", ["relay", "bridge", "a route's own choice"])
def test_another_port_of_a_carrier(how: str) -> None:
    """It is no gateway of ours, but the account there is: it answers for no sender who names that port."""
    account = Account((GATEWAY[0],), "carrier.test", "trunk", "secret")
    dear = f"{DEAR}:5080"

    def route(request: IncomingRequest) -> None:
        if how == "relay":
            request.relay()
        elif how == "bridge":
            request.bridge(request.uri)
        else:
            request.relay(dear)

    rig = bench(route, accounts=[account])
    place = (GATEWAY[0], 5080)
    outs = rig.udp(sent(uri=dear if how != "a route's own choice" else "sip:bob@biloxi.test"))
    invite = only(outs, "INVITE")
    assert invite.to == place
    headers = [("Proxy-Authenticate", 'Digest realm="carrier.test", nonce="n", algorithm=MD5')]
    outs = rig.udp(reply(invite, 407, headers=headers), place)
    answered = [out for out in outs if out.what == "INVITE" and out.message.has("proxy-authorization")]
    assert bool(answered) is (how == "a route's own choice")


def test_a_redirection() -> None:
    """RFC 3261 16.7 step 4: the contacts of a 302 are the callee's choice."""
    rig = bench(proxy=ProxyConfig(recurse=True))
    rig.register(BOB_URI)
    ringing = only(rig.udp(sent(uri="sip:bob@biloxi.test")), "INVITE")
    outs = rig.udp(reply(ringing, 302, headers=[("Contact", f"<{DEAR}>")]), BOB)
    none_to_gateway(outs)
    assert len(refusals(rig)) == 1


def within(rig: Rig, answer: Out, method: str, uri: str, cseq: int, route: str) -> list[Out]:
    to = f"<sip:4711@biloxi.test>;tag={answer.message.to_tag}"
    headers = [("Route", route)]
    data = sent(method, uri, to=to, headers=headers, cseq=cseq, branch=f"z9hG4bKw{method}{cseq}")
    return rig.udp(data)


@pytest.mark.parametrize("method", ["INVITE", "INFO", "REFER", "MESSAGE", "ACK", "BYE"])
def test_calls_of_the_module(method: str) -> None:
    """RFC 3261 12.2.1: all requests of a call that the module sent there go on."""
    rig = bench()
    uri = "sip:4711@biloxi.test"
    invite = only(rig.udp(sent(uri=uri)), "INVITE")
    assert invite.to == GATEWAY
    contact = ("Contact", "<sip:gw@192.0.2.21>")
    answer = only(rig.udp(reply(invite, 200, headers=[contact]), GATEWAY), "200")
    outs = within(rig, answer, method, "sip:gw@192.0.2.21", 2, rig.route())
    assert only(outs, method).to == GATEWAY


def test_refer_within_a_call() -> None:
    """RFC 3515 2.4.2: a gateway would call the number in Refer-To, past all limits; its setting allows it."""
    rig = bench(refer=False)
    invite = only(rig.udp(sent(uri="sip:4711@biloxi.test")), "INVITE")
    answer = only(rig.udp(reply(invite, 200, headers=[("Contact", "<sip:gw@192.0.2.21>")]), GATEWAY), "200")
    outs = within(rig, answer, "REFER", "sip:gw@192.0.2.21", 2, rig.route())
    none_to_gateway(outs)
    assert what(outs)[-1] == "403"
    (refusal,) = refusals(rig)
    assert refusal.setting == "dispatcher.direct, or within its calls dispatcher.refer"
    assert only(within(rig, answer, "INVITE", "sip:gw@192.0.2.21", 3, rig.route()), "INVITE").to == GATEWAY


def test_a_gateways_refresh_for_another_gateway() -> None:
    """The user's Contact names a gateway, with any number: what his gateway sends him does not go there."""
    rig = bench()
    contact = ("Contact", f"<{DEAR}>")
    asked = request("INVITE", "sip:4711@biloxi.test", to="<sip:4711@biloxi.test>", headers=[contact])
    invite = only(rig.udp(asked), "INVITE")
    rig.udp(reply(invite, 200, headers=[("Contact", "<sip:gw@192.0.2.21>")]), GATEWAY)
    head = invite.message
    for method, allowed in (("INVITE", False), ("BYE", True)):
        data = request(
            method,
            DEAR,
            source=GATEWAY,
            branch=f"z9hG4bKback{method}",
            sender=str(head.get("to")),
            from_tag="callee",
            to=str(head.get("from")),
            call_id=head.call_id,
            headers=[("Contact", "<sip:gw@192.0.2.21>"), ("Route", rig.callees_route())],
        )
        assert (method in what(rig.udp(data, GATEWAY))) is allowed, method


@pytest.mark.parametrize(
    ("method", "allowed"),
    [("INVITE", False), ("REFER", False), ("MESSAGE", False), ("INFO", True), ("BYE", True)],
)
def test_calls_with_a_friend(method: str, allowed: bool) -> None:
    """The friend names the gateway in Contact: a request that may begin something does not go there.

    RFC 3261 12.2.2: a server may take an INVITE of a dialog that it does not know.
    """
    rig = bench()
    rig.register(BOB_URI)
    invite = only(rig.udp(sent(uri="sip:bob@biloxi.test")), "INVITE")
    answer = only(rig.udp(reply(invite, 200, headers=[("Contact", f"<{DEAR}>")]), BOB), "200")
    outs = within(rig, answer, method, DEAR, 2, rig.route())
    assert (method in what(outs)) is allowed
    assert bool(refusals(rig)) is not allowed


def test_a_call_from_the_gateway() -> None:
    """A user of ours was called by the gateway, and holds the call: the re-INVITE goes back to it."""
    rig = bench()
    rig.register(BOB_URI)
    came = request(
        uri="sip:bob@biloxi.test", source=GATEWAY, headers=[("Contact", "<sip:gw@192.0.2.21>")], from_tag="g"
    )
    invite = only(rig.udp(came, GATEWAY), "INVITE")
    rig.udp(reply(invite, 200, headers=[("Contact", f"<{BOB_URI}>")]), BOB)
    head = invite.message
    data = request(
        "INVITE",
        "sip:gw@192.0.2.21",
        source=BOB,
        branch="z9hG4bKback",
        sender=str(head.get("to")),
        from_tag="callee",
        to=str(head.get("from")),
        call_id=head.call_id,
        headers=[("Contact", f"<{BOB_URI}>"), ("Route", rig.callees_route())],
    )
    assert only(rig.udp(data, BOB), "INVITE").to == GATEWAY


def test_a_bridge() -> None:
    """Our own INVITE for a sender's target is refused as well; a redirection to it, too."""
    rig = bench(lambda request: request.bridge(request.uri) and None)
    outs = rig.udp(sent()) + rig.wait(0.01)
    none_to_gateway(outs)
    assert "403" in what(outs)
    rig = bench(lambda request: request.bridge("sip:bob@192.0.2.2", Policy(redirect="follow")) and None)
    calling = only(rig.udp(sent(uri="sip:bob@biloxi.test")), "INVITE")
    outs = rig.udp(reply(calling, 302, headers=[("Contact", f"<{DEAR}>")]), BOB)
    none_to_gateway(outs)
    assert len(refusals(rig)) == 1


@pytest.mark.parametrize(("method", "allowed"), [("INVITE", False), ("MESSAGE", False), ("INFO", True)])
def test_a_bridge_to_a_friend(method: str, allowed: bool) -> None:
    """The friend names the gateway in the Contact of a 200: what we send within that call is not for it.

    Of a call that a module sent to a gateway everything goes on.
    """
    for target, contact, came_from, expected in (
        (BOB_URI, DEAR, BOB, allowed),
        (DEAR, "sip:gw@192.0.2.21", GATEWAY, True),
    ):
        rig = bench(lambda request, target=target: request.bridge(target) and None)
        calling = only(rig.udp(sent(uri="sip:bob@biloxi.test")), "INVITE")
        outs = rig.udp(reply(calling, 200, headers=[("Contact", f"<{contact}>")]), came_from)
        answer = only(outs, "200").message
        ours, to = str(answer.contacts[0].uri), f"<sip:bob@biloxi.test>;tag={answer.to_tag}"
        rig.udp(sent("ACK", ours, to=to, branch="z9hG4bKa"))
        outs = rig.udp(sent(method, ours, to=to, cseq=2, branch="z9hG4bKr"))
        assert bool([out for out in outs if out.to == GATEWAY]) is expected
        assert bool(refusals(rig)) is not expected


@pytest.mark.parametrize("friend", [True, False])
def test_a_call_that_moves(friend: bool) -> None:
    """Our own re-INVITE, for media on another relay: not where a friend's Contact says, but to a gateway."""
    rig = bench()
    rig.register(BOB_URI)
    calls = rig.stack.modules.get(Calls)
    uri, place = ("sip:bob@biloxi.test", BOB) if friend else ("sip:4711@biloxi.test", GATEWAY)
    calling = only(rig.udp(sent(uri=uri)), "INVITE")
    rig.udp(reply(calling, 200, headers=[("Contact", f"<{DEAR}>")]), place)
    (call,) = calls
    (talk,) = call.talks.values()
    calls.reinvite(call, talk, False, b"v=0\r\n").put(lambda result, now: None, rig.now)
    outs = rig.wait(1.0)
    assert bool([out for out in outs if out.to == GATEWAY]) is not friend
    assert len(refusals(rig)) == friend
