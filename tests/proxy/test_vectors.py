"""data/vectors/route_processing.json of sansip_conformance: each request, and the copy that must leave.

RFC 3261 16.12.1, 16.4 and 16.6 step 6, through the two pure steps and then
through a whole stack.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sansip_conformance
from sansip.proxy import postprocess, preprocess
from sansip.wire import Request, SipUri, parse_message, parse_uri, uri_equal
from tests.rig import ALICE, Rig, request

FILE = Path(sansip_conformance.__file__).parent / "data" / "vectors" / "route_processing.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text())["cases"]
each = pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])


def received(case: dict[str, Any], **options: Any) -> bytes:
    routes = [("Route", value) for value in case["in"]["route"]]
    return request(case["in"]["method"], case["in"]["ruri"], headers=routes, **options)


@each
def test_pure(case: dict[str, Any]) -> None:
    """``preprocess`` and ``postprocess`` alone, with the URIs that the case calls its own."""
    message = parse_message(received(case))
    assert isinstance(message, Request)
    own = [parse_uri(text) for text in case["self"]]

    def is_own(uri: SipUri) -> bool:
        return any(
            isinstance(one, SipUri) and (one.host, one.port or 5060) == (uri.host, uri.port or 5060)
            for one in own
        )

    preprocess(message, is_own, ("udp", 5060))
    hop = postprocess(message)
    assert uri_equal(message.uri, parse_uri(case["out"]["ruri"]))
    assert message.values("route") == case["out"]["route"]
    if "next_hop" in case["out"]:
        assert isinstance(hop, SipUri)
        assert hop.host == case["out"]["next_hop"]


@each
def test_through_a_stack(case: dict[str, Any]) -> None:
    """The same through ``Stack``, whose domains are the hosts that the case calls its own."""
    domains = sorted({uri.host for uri in map(parse_uri, case["self"]) if isinstance(uri, SipUri)})

    def route(incoming: Any) -> None:
        incoming.relay()

    rig = Rig(route, domains=domains)
    rig.udp(received(case), ALICE)
    question = rig.asks[0].question
    assert question.host == case["out"].get("next_hop", "p1.example.com")
    outs = rig.answer([("192.0.2.77", 5060)])
    forwarded = next(out.message for out in outs if isinstance(out.message, Request))
    assert uri_equal(forwarded.uri, parse_uri(case["out"]["ruri"]))
    assert forwarded.values("route") == case["out"]["route"]
