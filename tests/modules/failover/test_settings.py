"""Settings that modules share which try one server after the other."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.dispatcher import DispatcherSettings
from sansip.modules.failover.settings import FailoverSettings, place_of
from sansip.modules.lcr import LcrSettings


@pytest.mark.parametrize("kind", [FailoverSettings, DispatcherSettings, LcrSettings])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"answer": 0.0}, "answer must be a number of seconds above 0"),
        ({"rest": float("nan")}, "rest must be a number of seconds above 0"),
        ({"probe_timeout": -1.0}, "probe_timeout must be"),
        ({"attempts": 0}, "attempts must be"),
        ({"eject_after": -1}, "eject_after must be 0 or more"),
        ({"not_alive": [200]}, "not_alive: 200 is no status"),
    ],
)
def test_wrong_settings(kind: Any, options: dict[str, Any], said: str) -> None:
    """Each module refuses what could not work, in the same words."""
    with pytest.raises(ValueError, match=said):
        kind(**options)


@pytest.mark.parametrize("text", ["192.0.2.1", "tel:+49", "sip:bob@192.0.2.1", "sip:192.0.2.1?Route=x"])
def test_places(text: str) -> None:
    """RFC 3261 19.1.1: header fields and a user in a server's URI would go into requests of others."""
    with pytest.raises(ValueError, match="uri"):
        place_of(text)


def test_defaults() -> None:
    """Of a group four are asked, of gateways eight; the rest is the same."""
    assert (DispatcherSettings().attempts, LcrSettings().attempts) == (4, 8)
    assert DispatcherSettings().thresholds == LcrSettings().thresholds == FailoverSettings().thresholds
