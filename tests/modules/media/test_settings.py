"""The table [[media.relays]]: what could not be reached is refused."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ng:example.com:2223", "numeric"),
        ("ng:300.1.1.1:2223", "no address"),
        ("ng:127.0.0.1:70000", "no port"),
        ("udp:127.0.0.1:1", "write ng"),
    ],
)
def test_relay_settings(text: str, problem: str) -> None:
    """A relay that could not be reached is refused with what to write."""
    from sansip.modules.media import RelaySettings

    with pytest.raises(ValueError, match=problem):
        RelaySettings(text)
    assert RelaySettings("ng:[2001:db8::1]:2223").host == "2001:db8::1"
