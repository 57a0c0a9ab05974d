"""How fast servers are, as calls show. On a virtual clock."""

from __future__ import annotations

import pytest

from tests.modules.dispatcher.farm import GATEWAYS, Farm, call, refused, settings
from tests.rig import only, reply


def test_latency_of_calls() -> None:
    """The 100 of a server says how fast it is; the ringing behind it does not."""
    rig = Farm(settings(1))
    invite = only(call(rig), "INVITE")
    rig.now += 0.03
    rig.udp(reply(invite, 100), GATEWAYS[0])
    rig.now += 5
    rig.udp(reply(invite, 180), GATEWAYS[0])
    rig.now += 5
    rig.udp(reply(invite, 486), GATEWAYS[0])
    (row,) = rig.command("dispatcher.list")
    assert (row["latency"], row["p95"]) == (pytest.approx(0.03), pytest.approx(0.03))
    invite = only(call(rig, 1), "INVITE")
    rig.now += 0.11
    rig.udp(reply(invite, 486), GATEWAYS[0])
    (row,) = rig.command("dispatcher.list")
    # An eighth of the new one (RFC 6298 2.3).
    assert (row["latency"], row["p95"]) == (pytest.approx(0.04), pytest.approx(0.11))


def test_least_latency_learns_from_calls() -> None:
    """Without OPTIONS the faster of two gets the calls once both were tried."""
    rig = Farm(settings(1, 1, algorithm="least-latency"))
    for number, seconds in enumerate((0.2, 0.05)):
        invite = only(call(rig, number), "INVITE")
        rig.now += seconds
        rig.udp(reply(invite, 486), invite.to)
    assert [refused(rig, number) for number in range(2, 6)] == [GATEWAYS[1]] * 4
