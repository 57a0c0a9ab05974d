"""The three rules of the route set, against the paragraphs of RFC 3261 12 (the matrix has all requests)."""

from __future__ import annotations

import pytest

from sansip.dialog import aim, record_routes_to_copy, route_set_of_uac, route_set_of_uas
from sansip.errors import RemoteProtocolError
from sansip.wire import Request, parse_uri
from tests.dialog.messages import answer, invite

RECORDED = [("Record-Route", "<sip:p2;lr>;x=1, <sip:p1;lr;ftag=9>"), ("Record-Route", '"A" <sip:p0;lr>')]


def test_the_side_that_answers_takes_the_values_in_order() -> None:
    """A route set turned round sends every later request to the wrong end of the path first."""
    # RFC 3261 12.1.1
    routes = route_set_of_uas(invite(headers=RECORDED))
    assert [str(one) for one in routes] == ["<sip:p2;lr>;x=1", "<sip:p1;lr;ftag=9>", '"A" <sip:p0;lr>']


def test_the_side_that_asked_takes_them_in_reverse() -> None:
    """The last proxy that recorded itself is the nearest to the callee, not to us."""
    # RFC 3261 12.1.2
    routes = route_set_of_uac(answer(invite(), headers=RECORDED))
    assert [str(one) for one in routes] == ['"A" <sip:p0;lr>', "<sip:p1;lr;ftag=9>", "<sip:p2;lr>;x=1"]


def test_no_record_route_is_the_empty_set() -> None:
    """The set is empty, not the one used before: a preloaded Route holds for the first request only."""
    # RFC 3261 12.1.1, 12.1.2: "even if empty, overrides any pre-existing route set".
    assert route_set_of_uas(invite(headers=[("Route", "<sip:edge;lr>")])) == ()
    assert route_set_of_uac(answer(invite())) == ()


def test_the_answer_repeats_all_values_as_they_came() -> None:
    """The value beside a proxy's URI is that proxy's state: a user agent that drops it breaks the proxy."""
    # RFC 3261 12.1.1: parameters known or unknown, in their order.
    assert record_routes_to_copy(invite(headers=RECORDED)) == RECORDED


def test_the_example_of_the_rfc() -> None:
    """RFC 3261 12.2.1.1 writes this one out, strict router first."""
    routes = route_set_of_uas(
        invite(headers=[("Record-Route", "<sip:proxy1>,<sip:proxy2>,<sip:proxy3;lr>,<sip:proxy4>")])
    )
    uri, route = aim(parse_uri("sip:user@remoteua"), routes)
    assert str(uri) == "sip:proxy1"
    assert route == ["<sip:proxy2>", "<sip:proxy3;lr>", "<sip:proxy4>", "<sip:user@remoteua>"]


@pytest.mark.parametrize("recorded", [(), ("<sip:p;lr>",), ("<sip:p>",)])
def test_what_a_request_uri_cannot_hold_is_left_out(recorded: tuple[str, ...]) -> None:
    """A Contact with header fields would otherwise put them into each of our requests."""
    # RFC 3261 19.1.1, table 1: no method parameter, no header fields; 12.2.1.1: "stripping".
    routes = route_set_of_uas(invite(headers=[("Record-Route", one) for one in recorded]))
    target = parse_uri("sip:bob@192.0.2.4;transport=tcp;method=BYE;x=1?Subject=hello")
    uri, route = aim(target, routes)
    assert "sip:bob@192.0.2.4;transport=tcp;x=1" in (str(uri), route[-1][1:-1] if route else "")
    assert "?" not in "".join([str(uri), *route])
    assert "method" not in "".join([str(uri), *route])


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("sip:bob@h;method=BYE", "sip:bob@h"),
        ("sip:bob@h?Subject=a", "sip:bob@h"),
        # Nothing to leave out: octet for octet as the peer wrote it.
        ("sip:%62ob@BILOXI.com:5060;x=%31", "sip:%62ob@BILOXI.com:5060;x=%31"),
        ("tel:+358-555-1234567", "tel:+358-555-1234567"),
    ],
)
def test_what_is_left_out_of_the_target(target: str, uri: str) -> None:
    """Each of the two goes by itself, and nothing else is written anew: proxies compare."""
    # RFC 3261 19.1.1
    assert str(aim(parse_uri(target), ())[0]) == uri


def test_a_strict_router_loses_its_method_and_header_fields() -> None:
    """Its URI becomes the Request-URI, where they are not allowed."""
    # RFC 3261 12.2.1.1
    routes = route_set_of_uas(invite(headers=[("Record-Route", "<sip:strict;method=INVITE;a=b?Subject=x>")]))
    assert str(aim(parse_uri("sip:bob@192.0.2.4"), routes)[0]) == "sip:strict;a=b"


def test_a_record_route_that_is_no_sip_uri_is_refused() -> None:
    """A request cannot be routed to a telephone number: better refused now than lost later."""
    # RFC 3261 20.30
    request: Request = invite(headers=[("Record-Route", "<tel:+1234>")])
    with pytest.raises(RemoteProtocolError) as caught:
        route_set_of_uas(request)
    assert caught.value.status == 400
