"""What operators do to destinations by command: it needs no reload, and lasts over a restart."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sansip.modules.dispatcher import Dispatcher
from tests.modules.dispatcher.farm import GATEWAYS, URIS, Farm, call, probed, settings, states
from tests.rig import only, reply, request


def test_drain() -> None:
    """Calls stay, new ones go elsewhere; it outlives a reload and a restart, and OPTIONS do not lift it."""
    rig = Farm(settings(probe_interval=1.0))
    arrived = only(call(rig), "INVITE")
    rig.udp(reply(arrived, 200), GATEWAYS[0])
    rig.command("dispatcher.set", group="default", uri=URIS[0], state="draining")
    rig.stack.modules.get(Dispatcher).configure(settings(probe_interval=1.0), rig.now)
    probed(rig, dict.fromkeys(GATEWAYS, 200), 10)
    assert {only(call(rig, number), "INVITE").to for number in range(1, 7)} == set(GATEWAYS[1:])
    names = {"from_tag": "t0", "to_tag": "bob", "call_id": "call0", "cseq": 2, "branch": "z9hG4bKbye"}
    headers = [("Route", rig.route())]
    bye = request("BYE", arrived.message.uri_text, to="<sip:4711@biloxi.test>", headers=headers, **names)
    assert only(rig.udp(bye), "BYE").to == GATEWAYS[0]
    again = Farm(settings(), store=rig.store)
    assert states(again) == ["draining", "up", "up"]
    again.command("dispatcher.set", group="default", uri=URIS[0], state="active")
    assert states(again) == ["up"] * 3


def test_live_changes() -> None:
    """Added, weighed and removed without a reload; what stands in the file stays out once it is removed."""
    rig = Farm(settings())
    rig.command("dispatcher.add", group="default", uri="sip:192.0.2.24", weight=3)
    rig.command("dispatcher.weigh", group="default", uri=URIS[0], weight=2)
    assert rig.command("dispatcher.remove", group="default", uri=URIS[1])
    counts = Counter(only(call(rig, number), "INVITE").to[0] for number in range(60))
    assert counts == {"192.0.2.21": 20, "192.0.2.23": 10, "192.0.2.24": 30}
    rig.dispatcher.configure(settings(), rig.now)
    assert [row["uri"] for row in rig.command("dispatcher.list")] == [URIS[0], URIS[2], "sip:192.0.2.24"]
    rig.command("dispatcher.remove", group="default", uri="sip:192.0.2.24")
    assert len(rig.command("dispatcher.list")) == 2


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("dispatcher.set", {"group": "pbx", "uri": "sip:x"}, "there is no group 'pbx'; there are default"),
        ("dispatcher.set", {"group": "default", "uri": "sip:x"}, "dispatcher.list"),
        ("dispatcher.add", {"group": "default", "uri": "tel:1"}, "no SIP URI"),
        ("dispatcher.add", {"group": "default", "uri": "sip:a.test", "weight": -1}, "weight must be"),
        ("dispatcher.explain", {"call_id": "none"}, "among the last 0"),
    ],
)
def test_what_operators_get_wrong(command: str, given: dict[str, Any], said: str) -> None:
    """The error names cause and fix."""
    assert said in str(Farm(settings()).command(command, **given))


def test_dry_run() -> None:
    """`dispatcher.try` names the destination that would be asked, and changes no turn."""
    rig = Farm(settings(algorithm="hash"))
    tried = rig.command("dispatcher.try", key="call0")["tried"]
    assert f"sip:{only(call(rig), 'INVITE').to[0]}" == tried[0]["uri"]
