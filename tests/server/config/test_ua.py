"""The ``[ua]`` table."""

from __future__ import annotations

import pytest

from sansip.dialog import SessionTimerSettings
from sansip.ua import UserAgentConfig
from sansip_server.config.load import settings_of
from sansip_server.config.ua import UaSettings, check_identity, ua_config


def test_defaults() -> None:
    """Without the table it is what a stack does by itself."""
    assert ua_config(UaSettings()) == UserAgentConfig()


def test_all_keys() -> None:
    """Each key arrives where the core reads it."""
    settings, faults = settings_of(
        {
            "ua": {
                "identity": "sip:box@biloxi.test",
                "display": "Box",
                "user": "box",
                "outbound": "sip:192.0.2.1;transport=tcp",
                "redirects": 3,
                "replaces": "anyone",
                "transfers": "accept",
                "session_interval": 600,
                "session_min": 120,
                "session_refresher": "uas",
            }
        }
    )
    assert faults == []
    assert settings is not None
    assert ua_config(settings.ua) == UserAgentConfig(
        identity="sip:box@biloxi.test",
        display="Box",
        user="box",
        outbound="sip:192.0.2.1;transport=tcp",
        redirects=3,
        replaces="anyone",
        transfers="accept",
        session=SessionTimerSettings(600, 120, "uas"),
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("identity", "box", "URI"),
        ("identity", "<sip:box@biloxi.test>", "display"),
        ("session_min", 60, "90 seconds"),
        ("session_interval", 80, "session_min"),
        ("redirects", -1, "0"),
        ("replaces", "all", "known"),
    ],
)
def test_faults(key: str, value: object, said: str) -> None:
    """A fault names its key, and the expected value."""
    _, faults = settings_of({"ua": {key: value}})
    assert [fault.path for fault in faults] == [f"ua.{key}"]
    assert said in f"{faults[0].problem} {faults[0].suggestion}"


def test_check_identity() -> None:
    """A URI alone."""
    check_identity("sips:box@biloxi.test")
