"""Requests out of dialogs as they are written: From, To, and the outbound proxy."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.ua import UserAgentConfig
from sansip.ua.drafting import drafted

PROXY = UserAgentConfig(outbound="sip:192.0.2.9;transport=tcp")


def draft(uri: Any, config: UserAgentConfig, headers: Any = (), **given: str) -> Any:
    from_, to = given.get("from_", ""), given.get("to", "")
    return drafted("OPTIONS", uri, headers, b"", from_, to, config, "biloxi.test", "call", "tag")


def test_who_is_who() -> None:
    """RFC 3261 8.1.1.2, 8.1.1.3, 19.1.1: From is our identity, To the target without what To may not have."""
    request, hop = draft("sip:bob@192.0.2.2;transport=tcp", UserAgentConfig(display="Box"))
    assert hop is None
    assert request.get("from") == "Box <sip:biloxi.test>;tag=tag"
    assert request.get("to") == "<sip:bob@192.0.2.2>"
    assert request.uri_text == "sip:bob@192.0.2.2;transport=tcp"
    request, _ = draft("sip:bob@192.0.2.2", UserAgentConfig(), from_="sip:a@b", to="<sip:c@d>")
    assert (request.get("from"), request.get("to")) == ("<sip:a@b>;tag=tag", "<sip:c@d>")


def test_outbound() -> None:
    """RFC 3261 8.1.2: the outbound proxy is a route set of one, and a loose router."""
    request, _ = draft("sip:bob@192.0.2.2", PROXY)
    assert request.get_all("route") == ["<sip:192.0.2.9;transport=tcp;lr>"]


def test_a_route_of_its_own() -> None:
    """A request with a Route, or for a phone that is registered here, does not pass the outbound proxy."""

    class Phone:
        uri = "sip:bob@192.0.2.2"
        path: tuple[str, ...] = ("<sip:edge.test;lr>",)
        flow = None

    request, _ = draft(Phone(), PROXY)
    assert request.get_all("route") == ["<sip:edge.test;lr>"]

    class Near(Phone):
        uri = "sip:bob@192.0.2.2?Subject=x"
        path = ()

    request, _ = draft(Near(), PROXY)
    assert request.get_all("route") == []
    # RFC 3261 19.1.1, table 1
    assert request.uri_text == "sip:bob@192.0.2.2"
    request, _ = draft("sip:bob@192.0.2.2", PROXY, [("Route", "<sip:other.test;lr>")])
    assert request.get_all("route") == ["<sip:other.test;lr>"]


def test_no_uri() -> None:
    """A mistake of the program is told to it."""
    with pytest.raises(LocalProtocolError):
        draft("bob", UserAgentConfig())
