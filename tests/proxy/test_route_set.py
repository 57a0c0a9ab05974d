"""RFC 3261 16.4 and 16.6 step 6 through a stack: loose and strict routers, maddr, our own Route values."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from tests.rig import ALICE, BOB, HOST, TCP, Rig, only, request, sent, what


def as_it_is(incoming: Any) -> None:
    """Forward by Route and Request-URI alone."""
    incoming.relay()


def forwarded(rig: Rig, uri: str, *routes: str, conn: int | None = None) -> Any:
    """Send a MESSAGE and return what the stack sent on."""
    data = request("MESSAGE", uri, headers=[("Route", value) for value in routes])
    return only(rig.udp(data) if conn is None else rig.tcp(conn, data), "MESSAGE")


@pytest.fixture
def rig() -> Rig:
    return Rig(as_it_is)


def test_our_own_value_goes(rig: Rig) -> None:
    """16.4: the first value is removed where it names us."""
    out = forwarded(rig, "sip:bob@192.0.2.2", f"<sip:{HOST};lr>")
    assert not out.message.has("route")
    assert out.to == BOB


def test_another_one_stays(rig: Rig) -> None:
    """16.6 step 7: and decides the next hop, not the Request-URI."""
    out = forwarded(rig, "sip:bob@192.0.2.2", "<sip:192.0.2.77;lr>, <sip:192.0.2.78;lr>")
    assert out.message.values("route") == ["<sip:192.0.2.77;lr>", "<sip:192.0.2.78;lr>"]
    assert out.message.uri_text == "sip:bob@192.0.2.2"
    assert out.to == ("192.0.2.77", 5060)


@pytest.mark.parametrize(
    "own", [f"<sip:{HOST};lr>", f"<sip:{HOST}:5060;lr>", "<sip:biloxi.test;lr>", f"<sip:{HOST}>"]
)
def test_names_of_ours(rig: Rig, own: str) -> None:
    """16.4: by address, by address and port, by domain; with or without lr (it is our own)."""
    assert forwarded(rig, "sip:bob@192.0.2.2", own).to == BOB


@pytest.mark.parametrize(
    "other", [f"<sip:{HOST}:5070;lr>", "<sip:other.test;lr>", "<sip:biloxi.test:5070;lr>"]
)
def test_names_of_others(rig: Rig, other: str) -> None:
    """Another port at our address is another server."""
    data = request("MESSAGE", "sip:bob@192.0.2.2", headers=[("Route", other)])
    outs = rig.udp(data)
    assert not any(out.to == BOB for out in outs)


def test_values_on_one_line_and_on_several(rig: Rig) -> None:
    """7.3.1: both are the same list."""
    first, second, third = f"<sip:{HOST};lr>", "<sip:192.0.2.77;lr>", "<sip:192.0.2.78;lr>"
    for routes in ([first, second, third], [f"{first}, {second},{third}"], [first, f"{second} , {third}"]):
        out = forwarded(Rig(as_it_is), "sip:bob@192.0.2.2", *routes)
        assert out.message.values("route") == [second, third]


def test_the_next_hop_is_a_strict_router(rig: Rig) -> None:
    """16.6 step 6: its URI becomes the Request-URI, and the Request-URI the last Route value."""
    out = forwarded(rig, "sip:bob@192.0.2.2;x=y", "<sip:192.0.2.77>", "<sip:192.0.2.78;lr>")
    assert out.message.uri_text == "sip:192.0.2.77"
    assert out.message.values("route") == ["<sip:192.0.2.78;lr>", "<sip:bob@192.0.2.2;x=y>"]
    assert out.to == ("192.0.2.77", 5060)


def test_the_previous_hop_is_a_strict_router(rig: Rig) -> None:
    """16.4: our value stands in the Request-URI, so the last Route value is the real one."""
    out = forwarded(rig, f"sip:{HOST};lr", "<sip:192.0.2.77;lr>", "<sip:bob@192.0.2.2>")
    assert out.message.uri_text == "sip:bob@192.0.2.2"
    assert out.message.values("route") == ["<sip:192.0.2.77;lr>"]
    assert out.to == ("192.0.2.77", 5060)


def test_between_two_strict_routers(rig: Rig) -> None:
    """Both at once: in from a strict router, out to a strict router."""
    out = forwarded(rig, f"sip:{HOST};lr", "<sip:192.0.2.77>", "<sip:bob@192.0.2.2>")
    assert out.message.uri_text == "sip:192.0.2.77"
    assert out.message.values("route") == ["<sip:bob@192.0.2.2>"]


def test_a_user_at_our_address_is_no_strict_router(rig: Rig) -> None:
    """A Request-URI with a user is an address-of-record; our Record-Route values have none."""
    out = forwarded(rig, f"sip:bob@{HOST};lr", "<sip:192.0.2.77;lr>")
    assert out.message.uri_text == f"sip:bob@{HOST};lr"
    assert out.message.values("route") == ["<sip:192.0.2.77;lr>"]


def test_a_strict_router_without_a_target(rig: Rig) -> None:
    """Our own value in the Request-URI and no Route: nothing to replace it by, and no exception."""
    data = request("MESSAGE", "sip:192.0.2.10;lr")
    assert rig.udp(data)


def test_both_values_of_a_double_record_route_go() -> None:
    """RFC 5658: a proxy between UDP and TCP recorded both of its sides."""
    rig = Rig(as_it_is)
    out = forwarded(rig, "sip:bob@192.0.2.2", f"<sip:{HOST};transport=tcp;lr>", f"<sip:{HOST};lr>")
    assert not out.message.has("route")
    assert out.to == BOB


def test_a_malformed_route() -> None:
    """16.3 step 1: what forwarding needs must be well formed. 20.34: name-addr only."""
    rig = Rig(as_it_is)
    outs = rig.udp(request("MESSAGE", "sip:bob@192.0.2.2", headers=[("Route", "sip:192.0.2.77;lr")]))
    assert what(outs) == ["400"]


# --- 16.4: maddr


@pytest.mark.parametrize(
    ("uri", "left"),
    [
        (f"sip:bob@biloxi.test;maddr={HOST}", "sip:bob@biloxi.test"),
        (f"sip:bob@biloxi.test:5060;maddr={HOST};transport=udp", "sip:bob@biloxi.test"),
        ("sip:bob@192.0.2.2;maddr=biloxi.test", "sip:bob@192.0.2.2"),
        ("sip:bob@192.0.2.2;maddr=BILOXI.test;user=phone", "sip:bob@192.0.2.2;user=phone"),
    ],
)
def test_an_maddr_of_ours_is_stripped(rig: Rig, uri: str, left: str) -> None:
    """16.4: with any port and transport other than the default."""
    data = request("MESSAGE", uri, headers=[("Route", "<sip:192.0.2.77;lr>")])
    assert only(rig.udp(data), "MESSAGE").message.uri_text == left


@pytest.mark.parametrize(
    "uri",
    [
        "sip:bob@biloxi.test;maddr=192.0.2.99",
        f"sip:bob@biloxi.test:5070;maddr={HOST}",
        f"sip:bob@biloxi.test;maddr={HOST};transport=tcp",
        "sip:bob@biloxi.test;maddr",
        "sip:bob@biloxi.test;maddr=not!a!host",
    ],
)
def test_an_maddr_of_others_stays(rig: Rig, uri: str) -> None:
    """16.4: another address, and ours on a port or transport that the request did not come by."""
    data = request("MESSAGE", uri, headers=[("Route", "<sip:192.0.2.77;lr>")])
    assert only(rig.udp(data), "MESSAGE").message.uri_text == uri


def test_an_maddr_for_the_transport_it_came_by() -> None:
    """16.4: the request came by TCP, as the URI says."""
    rig = Rig(as_it_is)
    uri = f"sip:bob@biloxi.test;maddr={HOST};transport=tcp"
    data = request("MESSAGE", uri, transport="TCP", headers=[("Route", "<sip:192.0.2.77;lr>")])
    assert only(rig.tcp(rig.accept(listener=TCP), data), "MESSAGE").message.uri_text == "sip:bob@biloxi.test"


def test_an_maddr_is_where_to_send(rig: Rig) -> None:
    """19.1.1: maddr overrides the host as the address to send to."""
    out = forwarded(rig, "sip:bob@192.0.2.2:5070;maddr=192.0.2.99")
    assert out.to == ("192.0.2.99", 5070)


def test_the_route_wins_over_the_request_uri_on_retransmission(rig: Rig) -> None:
    """17.2.2: a repeated request is absorbed, so nothing is forwarded twice."""
    data = request("MESSAGE", "sip:bob@192.0.2.2", headers=[("Route", f"<sip:{HOST};lr>")])
    assert sent(rig.udp(data, ALICE)) == [("MESSAGE", BOB)]
    assert rig.udp(data, ALICE) == []


# --- many values


def of_many_values(rig: Rig, count: int, *, one_line: bool) -> float:
    """Seconds of processor time, the least of a few tries, for a Route of ``count`` values that name us."""
    values = [f"<sip:{HOST};lr>"] * count
    routes = [", ".join(values)] if one_line else values
    best = float("inf")
    for number in range(3):
        data = request(
            "MESSAGE",
            "sip:bob@192.0.2.2",
            branch=f"z9hG4bK{count}{number}",
            headers=[("Route", value) for value in routes],
        )
        begin = process_time()
        out = only(rig.udp(data), "MESSAGE")
        best = min(best, process_time() - begin)
        assert not out.message.has("route")
    return best


@pytest.mark.parametrize("one_line", [True, False])
def test_the_cost_of_a_value_does_not_grow(one_line: bool) -> None:
    """A datagram of 26 KB stalled the server for 1.3 s: the line was parsed again for each value."""
    rig = Rig(
        as_it_is,
        limits={"route_count": 10_000, "header_count": 10_000, "header_size": 60_000, "head_size": 60_000}
        | {"header_parts": 10_000},
    )
    small = of_many_values(rig, 300, one_line=one_line)
    large = of_many_values(rig, 1_200, one_line=one_line)
    assert large < 8 * small


def test_values_taken_from_several_lines(rig: Rig) -> None:
    """16.4: ours are taken off wherever the lines end, and the others stay as they were written."""
    ours, theirs = f"<sip:{HOST};lr>", "<sip:192.0.2.77;lr>"
    for routes in (
        [f"{ours}, {ours}", f"{ours} ,{theirs};x=y,  <sip:192.0.2.78;lr>", theirs],
        [ours, ours, ours, f"{theirs};x=y", "<sip:192.0.2.78;lr>", theirs],
    ):
        out = forwarded(Rig(as_it_is), "sip:bob@192.0.2.2", *routes)
        assert out.message.values("route") == [f"{theirs};x=y", "<sip:192.0.2.78;lr>", theirs]
