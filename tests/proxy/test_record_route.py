"""RFC 3261 16.6 step 4 and RFC 5658: staying on the path, on both sides of a proxy with two sides."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.proxy import ProxyConfig
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    HOST,
    HOST6,
    LISTENERS,
    TCP,
    UDP6,
    Rig,
    only,
    reply,
    request,
    sent,
    what,
)

ALICE6, BOB6 = ("2001:db8::1", 5060, 0, 0), ("2001:db8::2", 5060)


CONTACT = [("Contact", "<sip:alice@192.0.2.1>")]


def recording(*targets: Any) -> Any:
    """A route that records and relays initial requests, and follows Route within dialogs it knows."""

    def route(incoming: Any) -> None:
        if not incoming.in_dialog:
            incoming.record_route()
            incoming.relay(list(targets))
        elif incoming.from_dialog:
            incoming.relay()
        elif incoming.method != "ACK":
            incoming.reply(481)

    return route


def plain(value: str) -> str:
    """Without the token of the dialog."""
    return value.partition(";d=")[0].rstrip(">")


def recorded(rig: Rig, outs: Any) -> list[str]:
    return [plain(value) for value in only(outs, "INVITE").message.values("record-route")]


# --- step 4


def test_one_value() -> None:
    """Before any existing value, a SIP URI with lr, of the listener that the request leaves by."""
    rig = Rig(recording(BOB_URI))
    outs = rig.udp(request(headers=[("Record-Route", "<sip:192.0.2.88;lr>")]))
    assert recorded(rig, outs) == [f"<sip:{HOST}:5060;lr", "<sip:192.0.2.88;lr"]


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "REFER", "NOTIFY", "UPDATE"])
def test_methods_with_dialogs(method: str) -> None:
    """Requests that may make or refresh a dialog."""
    rig = Rig(recording(BOB_URI))
    assert only(rig.udp(request(method)), method).message.has("record-route")


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "REGISTER", "PUBLISH", "BYE"])
def test_methods_without(method: str) -> None:
    """It would mean nothing to the endpoints."""
    rig = Rig(recording(BOB_URI))
    assert not only(rig.udp(request(method)), method).message.has("record-route")


def test_not_where_it_is_turned_off() -> None:
    """ProxyConfig.record_route."""
    rig = Rig(recording(BOB_URI), proxy=ProxyConfig(record_route=False))
    assert not only(rig.udp(request()), "INVITE").message.has("record-route")


def test_an_advertised_address() -> None:
    """It must resolve to us from outside: a server behind a NAT says its public address."""
    listener = ListenerConfig(0, "udp", HOST, 5060, "Proxy.Example.COM", 5999)
    rig = Rig(recording(BOB_URI), listeners=[listener])
    branch = only(rig.udp(request()), "INVITE")
    assert plain(branch.message.values("record-route")[0]) == "<sip:proxy.example.com:5999;lr"
    assert branch.message.via.sent_by == "proxy.example.com:5999"
    # And what comes back to that address is ours.
    assert sent(rig.udp(reply(branch, 200), BOB)) == [("200", ALICE)]
    route = [("Route", rig.route())]
    bye = request("BYE", BOB_URI, branch="z9hG4bKbye", to_tag="bob", headers=route)
    assert sent(rig.udp(bye)) == [("BYE", BOB)]


# --- RFC 5658: two values


def test_from_udp_to_tcp() -> None:
    """RFC 5658 6.2: the transport changes, so each side gets its own value, the far one on top."""
    rig = Rig(recording("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request(headers=CONTACT)), "Connect")
    outs = rig.opened(connect)
    conn = connect.action.conn
    assert recorded(rig, outs) == [f"<sip:{HOST}:5060;transport=tcp;lr", f"<sip:{HOST}:5060;lr"]
    branch = only(outs, "INVITE")
    rig.tcp(conn, reply(branch, 200))
    route = rig.route()
    bye = request(
        "BYE",
        "sip:bob@192.0.2.2;transport=tcp",
        branch="z9hG4bKbye",
        to_tag="bob",
        headers=[("Route", route)],
    )
    out = only(rig.udp(bye), "BYE")
    assert (out.to, out.message.has("route")) == (conn, False)
    route = ", ".join(branch.message.values("record-route"))
    bye = request(
        "BYE",
        "sip:alice@192.0.2.1",
        branch="z9hG4bKbye2",
        to_tag="alice",
        from_tag="bob",
        headers=[("Route", route)],
    )
    out = only(rig.tcp(conn, bye), "BYE")
    assert (out.to, out.message.has("route")) == (ALICE, False)


def test_from_tcp_to_udp() -> None:
    """The other way round."""
    rig = Rig(recording(BOB_URI))
    conn = rig.accept(ALICE)
    contact = [("Contact", "<sip:alice@192.0.2.1;transport=tcp>")]
    outs = rig.tcp(conn, request(transport="TCP", headers=contact))
    assert recorded(rig, outs) == [f"<sip:{HOST}:5060;lr", f"<sip:{HOST}:5060;transport=tcp;lr"]
    branch = only(outs, "INVITE")
    rig.udp(reply(branch, 200), BOB)
    route = ", ".join(branch.message.values("record-route"))
    bye = request(
        "BYE",
        "sip:alice@192.0.2.1;transport=tcp",
        branch="z9hG4bKbye",
        to_tag="alice",
        from_tag="bob",
        headers=[("Route", route)],
    )
    assert only(rig.udp(bye, BOB), "BYE").to == conn


def test_from_ipv4_to_ipv6() -> None:
    """RFC 5658 5.1: the address family changes; figure 3, message by message."""
    rig = Rig(recording("sip:bob@[2001:db8::2]"))
    outs = rig.udp(request(headers=CONTACT))
    branch = only(outs, "INVITE")
    assert branch.action.listener == UDP6
    assert recorded(rig, outs) == [f"<sip:[{HOST6}]:5060;lr", f"<sip:{HOST}:5060;lr"]
    assert branch.message.via.sent_by == f"[{HOST6}]:5060"
    assert sent(rig.udp(reply(branch, 200), BOB6, UDP6)) == [("200", ALICE)]
    # F5 and F6: the ACK of UA1 passes through both of our values.
    route = rig.route()
    ack = request(
        "ACK", "sip:bob@[2001:db8::2]", branch="z9hG4bKack", to_tag="bob", headers=[("Route", route)]
    )
    out = only(rig.udp(ack), "ACK")
    assert (out.to, out.action.listener, out.message.has("route")) == (BOB6, UDP6, False)
    # F7 and F8: the BYE of UA2.
    route = ", ".join(branch.message.values("record-route"))
    bye = request(
        "BYE",
        "sip:alice@192.0.2.1",
        source=("2001:db8::2", 5060),
        branch="z9hG4bKbye",
        to_tag="alice",
        from_tag="bob",
        headers=[("Route", route)],
    )
    out = only(rig.udp(bye, BOB6, UDP6), "BYE")
    assert (out.to, out.message.has("route")) == (ALICE, False)


def test_from_ipv6_to_ipv4_over_tcp() -> None:
    """Both change at once."""
    rig = Rig(recording("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request(source=("2001:db8::1", 5060)), ALICE6, UDP6), "Connect")
    assert connect.action.listener == TCP
    assert recorded(rig, rig.opened(connect)) == [
        f"<sip:{HOST}:5060;transport=tcp;lr",
        f"<sip:[{HOST6}]:5060;lr",
    ]


def test_one_value_where_nothing_changes() -> None:
    """RFC 5658 is about proxies with two sides; in and out by one listener is one value."""
    rig = Rig(recording("sip:bob@[2001:db8::2]"))
    outs = rig.udp(request(source=("2001:db8::1", 5060)), ALICE6, UDP6)
    assert recorded(rig, outs) == [f"<sip:[{HOST6}]:5060;lr"]


def test_each_branch_records_its_own_sides() -> None:
    """16.6 step 4: the URI may be different for each destination of a fork."""
    rig = Rig(recording(BOB_URI, "sip:carol@[2001:db8::3]"))
    bob, carol = (out.message for out in rig.udp(request()) if out.what == "INVITE")
    assert len(bob.values("record-route")) == 1
    assert len(carol.values("record-route")) == 2


def test_two_interfaces() -> None:
    """A request leaves by the listener that it came in by, where that reaches."""
    listeners = [*LISTENERS, ListenerConfig(9, "udp", "198.51.100.10", 5060)]
    rig = Rig(recording(BOB_URI), listeners=listeners)
    out = only(rig.udp(request(), ALICE, 9), "INVITE")
    assert out.action.listener == 9
    assert out.message.via.sent_by == "198.51.100.10:5060"


class TwoInterfaces:
    """A server between two networks, Alice on one and Bob on the other, both on UDP (RFC 5658 figure 1)."""

    INSIDE = 9

    def __init__(self) -> None:
        listeners = [*LISTENERS, ListenerConfig(self.INSIDE, "udp", "10.9.0.10", 5060)]
        self.rig = Rig(listeners=listeners)
        headers = [("Contact", "<sip:bob@10.9.0.2>"), ("Expires", "3600")]
        register = request(
            "REGISTER",
            "sip:biloxi.test",
            source=INSIDE_BOB,
            branch="z9hG4bKr",
            sender="<sip:bob@biloxi.test>",
            headers=headers,
        )
        assert what(self.rig.udp(register, INSIDE_BOB, self.INSIDE)) == ["200"]
        self.branch = only(self.rig.udp(request(headers=[("Contact", "<sip:alice@192.0.2.1>")])), "INVITE")


INSIDE_BOB = ("10.9.0.2", 5060)


def test_a_phone_is_reached_from_where_it_registered() -> None:
    """Behind a symmetric NAT the phone hears only this flow, and hosts of another network cannot reach it."""
    two = TwoInterfaces()
    assert (two.branch.to, two.branch.action.listener) == (INSIDE_BOB, two.INSIDE)
    assert two.branch.message.via.sent_by == "10.9.0.10:5060"
    assert [plain(value) for value in two.branch.message.values("record-route")] == [
        "<sip:10.9.0.10:5060;lr",
        f"<sip:{HOST}:5060;lr",
    ]
    answer = reply(two.branch, 200, headers=[("Contact", "<sip:bob@10.9.0.2>")])
    (out,) = two.rig.udp(answer, INSIDE_BOB, two.INSIDE)
    assert (out.what, out.to, out.action.listener) == ("200", ALICE, 0)


@pytest.mark.parametrize("method", ["ACK", "BYE"])
def test_a_dialog_crosses_between_two_interfaces(method: str) -> None:
    """RFC 5658 3: the second of our values says by which side the request leaves."""
    two = TwoInterfaces()
    rig = two.rig
    rig.udp(reply(two.branch, 200, headers=[("Contact", "<sip:bob@10.9.0.2>")]), INSIDE_BOB, two.INSIDE)
    values = two.branch.message.values("record-route")
    data = request(
        method,
        "sip:bob@10.9.0.2",
        branch="z9hG4bKx",
        to_tag="bob",
        headers=[("Route", rig.route())],
    )
    out = only(rig.udp(data), method)
    assert (out.to, out.action.listener) == (INSIDE_BOB, two.INSIDE)
    back = request(
        "BYE",
        "sip:alice@192.0.2.1",
        source=INSIDE_BOB,
        branch="z9hG4bKy",
        from_tag="bob",
        to_tag="alice",
        headers=[("Route", value) for value in values],
    )
    out = only(rig.udp(back, INSIDE_BOB, two.INSIDE), "BYE")
    assert (out.to, out.action.listener) == (ALICE, 0)


def test_another_spelling_of_our_values() -> None:
    """The same where an endpoint wrote our URIs anew."""
    two = TwoInterfaces()
    rig = two.rig
    rig.udp(reply(two.branch, 200, headers=[("Contact", "<sip:bob@10.9.0.2>")]), INSIDE_BOB, two.INSIDE)
    route = rig.route().replace(";lr", ";x=y;LR")
    data = request("BYE", "sip:bob@10.9.0.2", branch="z9hG4bKx", to_tag="bob", headers=[("Route", route)])
    out = only(rig.udp(data), "BYE")
    assert (out.to, out.action.listener) == (INSIDE_BOB, two.INSIDE)


# --- sips

TLS = [*LISTENERS, ListenerConfig(7, "tls", HOST, 5061)]


def test_a_sips_request_is_recorded_as_sips() -> None:
    """16.6 step 4: if the Request-URI contains a SIPS URI, so must our value."""
    rig = Rig(recording("sips:bob@192.0.2.2"), listeners=TLS)
    conn = rig.accept(("192.0.2.1", 40001), 7, "tls")
    connect = only(rig.tcp(conn, request(uri="sips:bob@biloxi.test", transport="TLS")), "Connect")
    assert (connect.action.transport, connect.to) == ("tls", ("192.0.2.2", 5061))
    branch = only(rig.opened(connect), "INVITE")
    assert [plain(value) for value in branch.message.values("record-route")] == [f"<sips:{HOST}:5061;lr"]
    rig.tcp(connect.action.conn, reply(branch, 200))
    bye = request(
        "BYE",
        "sips:bob@192.0.2.2",
        transport="TLS",
        branch="z9hG4bKbye",
        to_tag="bob",
        headers=[("Route", rig.route())],
    )
    out = only(rig.tcp(conn, bye), "BYE")
    assert (out.to, out.message.has("route")) == (connect.action.conn, False)


def test_a_sip_request_is_not() -> None:
    """16.6 step 4: received over TLS, sent without a SIPS URI: a value that is not sips."""
    rig = Rig(recording(BOB_URI), listeners=TLS)
    conn = rig.accept(("192.0.2.1", 40001), 7, "tls")
    outs = rig.tcp(conn, request(transport="TLS"))
    assert recorded(rig, outs) == [f"<sip:{HOST}:5060;lr", f"<sip:{HOST}:5061;transport=tls;lr"]


def test_a_sips_request_uri_decides_whatever_route_says() -> None:
    """16.6 step 7: the procedures are followed as if the Route value were a SIPS URI."""

    def route(incoming: Any) -> None:
        incoming.relay()

    for value in (
        "<sip:192.0.2.77;lr>",
        "<sip:192.0.2.77;transport=udp;lr>",
        "<sip:192.0.2.77;transport=tcp;lr>",
    ):
        rig = Rig(route, listeners=TLS)
        connect = only(rig.udp(request(uri="sips:bob@other.test", headers=[("Route", value)])), "Connect")
        assert (connect.action.transport, connect.to) == ("tls", ("192.0.2.77", 5061))


def test_sips_is_never_sent_over_udp() -> None:
    """26.2.2: not even where the URI says transport=udp; without TLS it fails."""

    def route(incoming: Any) -> None:
        incoming.relay()

    uri = "sips:bob@192.0.2.2;transport=udp"
    assert what(Rig(route, listeners=TLS).udp(request(uri=uri))) == ["100", "Connect"]
    assert what(Rig(route).udp(request(uri=uri))) == ["100", "500"]


# --- dialog tokens


class Call:
    """A call that was set up through the default route."""

    def __init__(self, **options: Any) -> None:
        self.rig = Rig(**options)
        self.rig.register(BOB_URI)
        self.branch = only(self.rig.udp(request()), "INVITE")
        self.rig.udp(reply(self.branch, 200, headers=[("Contact", f"<{BOB_URI}>")]), BOB)
        self.route = self.rig.route()

    def send(self, method: str = "BYE", route: str | None = None, **changes: Any) -> list[Any]:
        headers = [("Route", self.route if route is None else route)]
        values: dict[str, Any] = {
            "branch": f"z9hG4bK{method}",
            "to_tag": "bob",
            "cseq": 2,
            "headers": headers,
        }
        values.update(changes)
        return self.rig.udp(request(method, values.pop("uri", BOB_URI), **values))


def test_a_request_of_the_dialog_goes_through() -> None:
    """The token in the Route value is that of the Call-ID: the dialog was set up here."""
    assert sent(Call().send()) == [("BYE", BOB)]


@pytest.mark.parametrize(
    "forged",
    [
        f"<sip:{HOST}:5060;lr>",
        f"<sip:{HOST};lr;d=0123456789abcdef>",
        f"<sip:{HOST}:5060;lr;d>",
        "<sip:biloxi.test;lr>",
    ],
)
def test_a_forged_route_is_not_relayed(forged: str) -> None:
    """Or anybody could relay anything anywhere by adding a To tag and our address."""
    assert what(Call().send(route=forged, uri="sip:victim@203.0.113.1")) == ["481"]


def test_the_token_of_another_dialog() -> None:
    """It is bound to the Call-ID."""
    call = Call()
    assert what(call.send(call_id="another@192.0.2.1")) == ["481"]


def test_an_ack_with_a_forged_route_is_dropped() -> None:
    """An ACK never gets an answer."""
    assert Call().send("ACK", route=f"<sip:{HOST};lr>") == []


def test_no_route_at_all() -> None:
    """A request within a dialog that bypasses us is for no user here."""
    call = Call()
    assert what(call.rig.udp(request("BYE", BOB_URI, branch="z9hG4bKx", to_tag="bob"))) == ["481"]


def test_a_preloaded_route_proves_nothing() -> None:
    """Without a To tag a request is an initial one, whatever its Route says."""
    call = Call()
    outs = call.rig.udp(
        request("INVITE", "sip:victim@203.0.113.1", branch="z9hG4bKx", headers=[("Route", call.route)])
    )
    assert what(outs) == ["403"]


def test_the_same_secret_after_a_restart() -> None:
    """StackConfig.secret: running dialogs go on."""
    first = Call(secret=b"a secret of the site", seed=b"seed number one!")
    again = Rig(secret=b"a secret of the site", seed=b"seed number two!")
    bye = request("BYE", BOB_URI, branch="z9hG4bKx", to_tag="bob", headers=[("Route", first.route)])
    assert sent(again.udp(bye)) == [("BYE", BOB)]
    other = Rig(secret=b"some other site here", seed=b"seed number two!")
    assert what(other.udp(bye)) == ["481"]


def test_without_tokens() -> None:
    """ProxyConfig.dialog_tokens = False: any Route of ours with a To tag will do."""
    call = Call(proxy=ProxyConfig(dialog_tokens=False))
    assert ";d=" not in call.route
    assert sent(call.send()) == [("BYE", BOB)]


def test_a_strict_router_brings_the_token_in_the_request_uri() -> None:
    """16.4: then our value stands in the Request-URI, and it proves as much."""
    call = Call()
    own = call.route.strip("<>")
    assert sent(call.send(route=f"<{BOB_URI}>", uri=own)) == [("BYE", BOB)]
    assert what(Call().send(route="<sip:victim@203.0.113.1>", uri=f"sip:{HOST};lr")) == ["481"]


def test_unmarked_dialogs_where_there_are_no_strangers() -> None:
    """ProxyConfig.unmarked_dialogs: ours are still marked, and a hand-made Route of ours is followed."""
    call = Call(proxy=ProxyConfig(unmarked_dialogs=True))
    assert ";d=" in call.route
    assert sent(call.send(route=f"<sip:{HOST};lr>")) == [("BYE", BOB)]
