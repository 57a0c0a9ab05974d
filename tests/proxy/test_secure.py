"""sips at a proxy (RFC 5630 5.3, RFC 3261 16.6 steps 4, 7), and TLS to others without a listener for it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.proxy import ProxyConfig
from sansip.routing.trust import TrustedPeer
from tests.proxy.test_flow_tokens import Phone
from tests.proxy.test_flow_tokens import rig as phones
from tests.rig import BOB, HOST, LISTENERS, Out, Rig, only, reply, request, what

TLS = [*LISTENERS, ListenerConfig(7, "tls", HOST, 5061)]
# The server makes it so without a listener for TLS: it opens connections, and accepts none.
OPENING = [*LISTENERS, ListenerConfig(7, "tls", HOST, 5060, shares=1, accepts=False)]
SECURE_BOB = "sips:bob@192.0.2.2:5061"


def plain(values: list[str]) -> list[str]:
    """Record-Route values without the dialog's mark."""
    return [value.strip("<>").partition(";d=")[0] for value in values]


def relaying(*targets: str) -> Any:
    def route(incoming: Any) -> None:
        incoming.record_route()
        incoming.relay(list(targets) or None)

    return route


def calling(target: str) -> Any:
    """Relays what begins a dialog to ``target``, and the rest by its Route."""

    def route(incoming: Any) -> None:
        incoming.record_route()
        incoming.relay(None if incoming.in_dialog else target)

    return route


def invited(bench: Rig, data: bytes) -> tuple[Out, Out]:
    """The connection that an INVITE asked for, and the messages sent over it."""
    connect = only(bench.udp(data), "Connect")
    return connect, only(bench.opened(connect), "INVITE")


def registered(contact: str) -> tuple[Rig, Phone]:
    """Bob's phone, on TLS, with ``contact``."""
    bench = phones()
    bob = Phone(bench, "tls")
    bob.contact = contact
    aor = "<sip:bob@biloxi.test>"
    assert what(bob.request("REGISTER", "sips:biloxi.test", "r", sender=aor, to=aor, call_id="b")) == ["200"]
    return bench, bob


# --- a sip request, a sips Contact


def test_a_sips_contact_loses_its_s_for_a_sip_caller() -> None:
    """RFC 5630 5.3: the rest of the URI stays as it is, and the way is TLS."""
    connect, invite = invited(
        Rig(relaying(f"{SECURE_BOB};transport=tcp;x=y"), listeners=TLS), request("INVITE")
    )
    assert (connect.action.transport, connect.to) == ("tls", ("192.0.2.2", 5061))
    assert invite.message.uri_text == "sip:bob@192.0.2.2:5061;transport=tcp;x=y"
    assert invite.message.via.transport == "TLS"


def test_it_is_not_recorded_as_sips() -> None:
    """RFC 3261 16.6 step 4: neither Request-URI nor Route is sips, so the dialog must not look secure."""
    _, invite = invited(Rig(relaying(SECURE_BOB), listeners=TLS), request("INVITE"))
    assert plain(invite.message.values("record-route")) == [
        f"sip:{HOST}:5061;transport=tls;lr",
        f"sip:{HOST}:5060;lr",
    ]


def test_its_connection_is_used() -> None:
    """Registered over TLS: the sip caller's request goes down that connection."""
    bench, bob = registered("sips:bob@10.0.0.5:5061")
    invite = only(bench.udp(request()), "INVITE")
    assert (invite.to, invite.message.uri_text) == (bob.conn, "sip:bob@10.0.0.5:5061")


def test_sips_required() -> None:
    """RFC 5630 5.3: 480 with Warning 381 where no TLS connection can be made."""
    out = only(Rig(relaying(SECURE_BOB)).udp(request()), "480")
    assert out.message.get("warning") == '381 sansip "SIPS Required"'


def test_a_name_behind_a_sips_contact_is_asked_for_as_secure() -> None:
    """RFC 3263 4.1: only services that are TLS count, though the URI reads sip by now."""
    bench = Rig(relaying("sips:bob@biloxi.example"), listeners=TLS)
    bench.udp(request())
    assert bench.asks[0].question.secure
    connect = only(bench.answer([("tls", "192.0.2.2", 5061)]), "Connect")
    assert (connect.action.transport, connect.action.name) == ("tls", "biloxi.example")


# --- a sips request, a sip Contact


@pytest.mark.parametrize("target", ["sip:bob@192.0.2.2;transport=tls", "tel:+15551234"])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_sips_not_allowed(target: str, method: str) -> None:
    """RFC 5630 5.3: 480 with Warning 380, whatever the route would like; TLS on a hop is not sips."""
    out = only(Rig(relaying(target), listeners=TLS).udp(request(method, "sips:bob@biloxi.test")), "480")
    assert out.message.get("warning") == '380 sansip "SIPS Not Allowed"'


def test_only_its_sips_contacts_are_tried() -> None:
    """One phone that can be reached securely is enough."""
    bench = Rig(relaying("sip:bob@192.0.2.9", SECURE_BOB), listeners=TLS)
    outs = bench.udp(request(uri="sips:bob@biloxi.test"))
    assert what(outs) == ["100", "Connect"]
    assert outs[1].to == ("192.0.2.2", 5061)


def test_an_ack_for_sips_never_leaves_as_sip() -> None:
    """No answer can tell the caller of an ACK, so it is dropped."""
    data = request("ACK", "sips:bob@biloxi.test", to_tag="b")
    assert Rig(relaying("sip:bob@192.0.2.2"), listeners=TLS).udp(data) == []


def test_nobody_there_is_404() -> None:
    """Warning 380 is for a user who is there; for an absent one it would tell too much."""
    outs = phones(proxy=ProxyConfig(plain_sips=True)).udp(request(uri="sips:bob@biloxi.test"))
    assert (outs[-1].what, outs[-1].message.get("warning")) == ("404", None)


# --- the boundary


def test_a_sips_route_for_a_sip_request() -> None:
    """16.6 step 4: our value towards the sips Route is sips; towards the caller, by UDP, it stays sip.

    RFC 5658 3: two values, each for one side.
    """
    data = request(uri="sip:bob@other.test", headers=[("Route", "<sips:192.0.2.77;lr>")])
    connect, invite = invited(Rig(relaying(), listeners=TLS), data)
    assert (connect.action.transport, connect.to) == ("tls", ("192.0.2.77", 5061))
    assert plain(invite.message.values("record-route")) == [f"sips:{HOST}:5061;lr", f"sip:{HOST}:5060;lr"]


def test_both_values_where_both_sides_are_one_listener() -> None:
    """Received over TLS for a sip URI, sent to a sips Route: the two sides still differ."""
    bench = Rig(relaying(), listeners=TLS)
    conn = bench.accept(("192.0.2.1", 40001), 7, "tls")
    data = request(uri="sip:bob@other.test", transport="TLS", headers=[("Route", "<sips:192.0.2.77;lr>")])
    invite = only(bench.opened(only(bench.tcp(conn, data), "Connect")), "INVITE")
    assert plain(invite.message.values("record-route")) == [
        f"sips:{HOST}:5061;lr",
        f"sip:{HOST}:5061;transport=tls;lr",
    ]


# --- TLS without a listener for it


def test_tls_without_a_listener() -> None:
    """RFC 3261 26.3.1: the way out is TLS, and requests of the dialog come back to where we do listen."""
    connect, invite = invited(Rig(relaying("sip:bob@192.0.2.2;transport=tls"), listeners=OPENING), request())
    assert (connect.action.transport, connect.action.listener, connect.to) == ("tls", 7, ("192.0.2.2", 5061))
    assert invite.message.via.sent_by == f"{HOST}:5060"
    assert invite.message.via.transport == "TLS"
    top, bottom = plain(invite.message.values("record-route"))
    assert (top, bottom) == (f"sip:{HOST}:5060;transport=tcp;lr", f"sip:{HOST}:5060;lr")


def test_a_call_over_it() -> None:
    """The answer comes back over the connection; ACK and BYE find it again by our two Route values."""
    bench = Rig(calling("sip:bob@192.0.2.2;transport=tls"), listeners=OPENING)
    connect, invite = invited(bench, request(headers=[("Contact", "<sip:alice@192.0.2.1>")]))
    conn = connect.action.conn
    answer = reply(invite, 200, headers=[("Contact", "<sip:bob@192.0.2.2;transport=tls>")])
    assert what(bench.tcp(conn, answer)) == ["200"]
    routes = ", ".join(reversed(invite.message.values("record-route")))
    for method in ("ACK", "BYE"):
        data = request(
            method,
            "sip:bob@192.0.2.2;transport=tls",
            branch=f"z9hG4bK{method}",
            to_tag="bob",
            cseq=2,
            headers=[("Route", routes)],
        )
        out = only(bench.udp(data), method)
        assert (out.to, out.message.has("route")) == (conn, False)


def test_a_sips_dialog_needs_a_listener() -> None:
    """16.6 step 4 wants a sips URI in Record-Route, and no phone could follow it: refused."""
    outs = Rig(relaying(SECURE_BOB), listeners=OPENING).udp(request(uri="sips:bob@biloxi.test"))
    assert what(outs) == ["100", "500"]


def test_a_sips_request_outside_a_dialog_does_not() -> None:
    """Nothing is recorded for a MESSAGE, so it goes."""
    bench = Rig(relaying(SECURE_BOB), listeners=OPENING)
    outs = bench.udp(request("MESSAGE", "sips:bob@biloxi.test"))
    assert only(outs, "Connect").to == ("192.0.2.2", 5061)


def test_plain_calls_do_not_see_it() -> None:
    """UDP to UDP is as it was: one value, one listener."""
    out = only(Rig(relaying("sip:bob@192.0.2.2"), listeners=OPENING).udp(request()), "INVITE")
    assert out.to == BOB
    assert plain(out.message.values("record-route")) == [f"sip:{HOST}:5060;lr"]


# --- what arrives


ARRIVALS = {"udp": "UDP", "tcp": "TCP", "ws": "WS", "tls": "TLS", "wss": "WSS"}


def arrives(
    transport: str, method: str = "OPTIONS", uri: str = "sips:biloxi.test", **options: Any
) -> list[str]:
    """The messages that follow a request for a sips URI that comes over ``transport``."""
    listeners = [
        *LISTENERS,
        *(ListenerConfig(20 + n, name, HOST, 9000 + n) for n, name in enumerate(ARRIVALS)),
    ]
    bench = Rig(listeners=listeners, **options)
    data = request(method, uri=uri, transport=ARRIVALS[transport])
    if transport == "udp":
        return what(bench.udp(data))
    number = 20 + list(ARRIVALS).index(transport)
    return what(bench.tcp(bench.accept(("192.0.2.1", 40_001), number, transport), data))


@pytest.mark.parametrize("transport", list(ARRIVALS))
@pytest.mark.parametrize(("method", "good"), [("OPTIONS", "200"), ("INVITE", "404")])
def test_sips_arrives_over_tls(method: str, good: str, transport: str) -> None:
    """26.2.2: each hop is TLS, also the last one to the domain; a sender in the clear is told."""
    uri = "sips:biloxi.test" if method == "OPTIONS" else "sips:bob@biloxi.test"
    assert arrives(transport, method, uri) == ([good] if transport in ("tls", "wss") else ["403"])


def test_a_sips_ack_in_the_clear_goes_nowhere() -> None:
    """It has no answer, and must not be relayed either."""
    assert arrives("tcp", "ACK", "sips:bob@192.0.2.2") == []


@pytest.mark.parametrize("transport", ["udp", "tcp", "ws"])
def test_where_tls_ends_in_front_of_us(transport: str) -> None:
    """A load balancer that is trusted, or, where it cannot be told from others, proxy.plain_sips."""
    assert arrives(transport, trusted=[TrustedPeer("192.0.2.1")]) == ["200"]
    assert arrives(transport, trusted=[TrustedPeer("192.0.2.9")]) == ["403"]
    assert arrives(transport, proxy=ProxyConfig(plain_sips=True)) == ["200"]
