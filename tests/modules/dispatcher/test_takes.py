"""Which requests the module takes where the operator writes no route (``takes``), and whose."""

from __future__ import annotations

import pytest

from sansip.auth import AuthConfig
from tests.modules.dispatcher.farm import GATEWAYS, Farm, call, settings
from tests.rig import BOB, BOB_URI, only, request, what


def test_registered_users_first() -> None:
    """``takes = "unregistered"``: phones that are here are called here."""
    rig = Farm(settings())
    rig.register(BOB_URI)
    assert only(rig.udp(request()), "INVITE").to == BOB
    assert only(call(rig), "INVITE").to == GATEWAYS[0]


def test_all_calls() -> None:
    """``takes = "calls"``: to the farm, registered or not; what the farm sends goes to the phones."""
    rig = Farm(settings(takes="calls"))
    rig.register(BOB_URI)
    assert only(rig.udp(request()), "INVITE").to == GATEWAYS[0]
    back = request(source=GATEWAYS[1], branch="z9hG4bKback", call_id="back", sender="<sip:x@elsewhere.test>")
    assert only(rig.udp(back, GATEWAYS[1]), "INVITE").to == BOB


def test_everything() -> None:
    """A load balancer before registrars passes REGISTER on, with its Path (RFC 3327)."""
    rig = Farm(settings(takes="everything", algorithm="hash", key="to"))
    data = request(
        "REGISTER", "sip:biloxi.test", headers=[("Contact", "<sip:bob@192.0.2.2>"), ("Supported", "path")]
    )
    passed = only(rig.udp(data), "REGISTER")
    assert passed.to in GATEWAYS
    assert passed.message.has("path")


def test_no_loop() -> None:
    """A gateway that asks for an unknown user gets 404, and not its own request."""
    rig = Farm(settings())
    back = request(uri="sip:4711@biloxi.test", source=GATEWAYS[1], sender="<sip:x@elsewhere.test>")
    assert what(rig.udp(back, GATEWAYS[1])) == ["404"]


@pytest.mark.parametrize("strangers", [False, True])
def test_strangers(strangers: bool) -> None:
    """A caller who has proved nothing gets no gateway that costs money, unless the settings allow it."""
    rig = Farm(settings(strangers=strangers), auth=AuthConfig())
    outs = rig.udp(request(uri="sip:0044900@biloxi.test", sender="<sip:x@evil.example>"))
    assert ("INVITE" in what(outs)) is strangers
