"""The table [lcr] and its gateways: what is wrong is refused with its name."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.lcr import Gateway, LcrSettings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"failover": [486]}, "failover: 486"),
        ({"failover": [603]}, "failover: 603"),
        ({"attempts": 0}, "attempts"),
        ({"currency": "euro"}, "three capital letters"),
        ({"currencies": {"USD": 0.0}}, "currencies.USD"),
        ({"currencies": {"USD": float("inf")}}, "currencies.USD"),
        ({"answer": 0.0}, "answer"),
        ({"quality_step": 0.0}, "quality_step"),
        ({"gateways": [Gateway("a", "sip:h"), Gateway("a", "sip:i")]}, "gateway a stands twice"),
    ],
)
def test_wrong_settings(options: dict[str, Any], said: str) -> None:
    """Each is refused with its name."""
    with pytest.raises(ValueError, match=said):
        LcrSettings(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uri": "sip:user@host"}, "without a user"),
        ({"uri": "tel:+49"}, "no SIP URI"),
        ({"uri": "::"}, "no SIP URI"),
        ({"name": "a,b"}, "without a comma"),
        ({"strip": -1}, "strip"),
        ({"add": "++"}, "add is"),
        ({"max_calls": -1}, "max_calls"),
        ({"max_rate": 0.5}, "max_rate"),
    ],
)
def test_wrong_gateways(options: dict[str, Any], said: str) -> None:
    """So is a gateway."""
    with pytest.raises(ValueError, match=said):
        Gateway(**{"name": "one", "uri": "sip:192.0.2.31", **options})
