"""A direct way is only for what no copy can be needed for."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.auth import AuthConfig
from sansip.proxy.direct import direct_way
from sansip.proxy.target import Target
from sansip.wire import Request, parse_message, parse_uri

HEAD = "Via: SIP/2.0/UDP a.test;branch=z9hG4bK1\nFrom: <sip:a@a.test>;tag=1\nTo: <sip:b@b.test>\nCall-ID: 1\n"


def request(uri: str = "sip:b@b.test", more: str = "") -> Request:
    text = f"INVITE {uri} SIP/2.0\n{HEAD}CSeq: 1 INVITE\n{more}\n"
    message = parse_message(text.replace("\n", "\r\n").encode())
    assert isinstance(message, Request)
    return message


def proxy(**more: Any) -> Any:
    config = StackConfig([ListenerConfig(0, "udp", "192.0.2.99", 5060)], ["b.test"], **more)
    return Stack(config, b"0123456789abcdef").proxy


def target(uri: str, **more: Any) -> Target:
    return Target(parse_uri(uri), **more)


def test_a_numeric_host_is_a_direct_way() -> None:
    """RFC 3263 4.1: it needs no name server. RFC 3261 19.1.1: method and headers stay behind."""
    way = direct_way(proxy(), request(), target("sip:b@192.0.2.2:5070;method=BYE;x=1?Subject=y"), 0)
    assert way is not None
    assert (way.flow.transport, way.flow.listener, way.flow.address) == ("udp", 0, ("192.0.2.2", 5070))
    assert way.text == "sip:b@192.0.2.2:5070;x=1"


@pytest.mark.parametrize(
    ("received", "to"),
    [
        (request(), target("sip:b@name.test")),
        (request(), target("sips:b@192.0.2.2")),
        (request("sips:b@b.test"), target("sip:b@192.0.2.2")),
        (request(), target("tel:+123")),
        (request(), target("sip:b@192.0.2.2;transport=tcp")),
        (request(), target("sip:b@[2001:db8::1]")),
        (request(), target("sip:b@192.0.2.2", path=("<sip:edge.test;lr>",))),
        (request(), target("sip:b@192.0.2.2", only=True)),
        (request(more="Route: <sip:192.0.2.7;lr>\n"), target("sip:b@192.0.2.2")),
    ],
    ids=lambda value: str(value)[:60],
)
def test_whatever_needs_thought_is_none(received: Request, to: Target) -> None:
    """A name, TLS, another transport than we have, a Path, a lost flow, a Route: the long way decides."""
    assert direct_way(proxy(), received, to, 0) is None


@pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "P-Asserted-Identity"])
def test_fields_that_may_be_kept_back_need_a_copy(name: str) -> None:
    """RFC 3325 5, 7: in a trust domain the next hop may have to get less than we got."""
    received = request(more=f"{name}: x\n")
    assert direct_way(proxy(auth=AuthConfig()), received, target("sip:b@192.0.2.2"), 0) is None
    assert direct_way(proxy(), received, target("sip:b@192.0.2.2"), 0) is not None
