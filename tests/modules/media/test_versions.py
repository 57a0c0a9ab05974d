"""Relays from before the fix of 2025 are named, by upstream's version and by Debian's."""

from __future__ import annotations

import pytest

from sansip.modules.media import Media, MediaSettings, RelaySettings
from sansip.modules.media.versions import doubt, is_fixed, version_in


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ("13.4.1.1", True),
        ("mr13.4.1.1", True),
        ("mr13.5.1", True),
        ("14.0", True),
        ("Version: 13.5.1.2", True),
        ("Version: 10.5.3.5-1+deb12u1", True),
        ("13.4.1", False),
        ("mr13.4.0.3", False),
        ("12.5.1.35", False),
        ("10.5.3.5-1", False),
        ("10.5.3.5-1+deb12u1", True),
        ("10.5.3.5-1+deb12u2", True),
        ("10.5.3.5-1+deb12ux", False),
        ("trunk", None),
        ("1" * 400, None),
    ],
)
def test_is_fixed(version: str, fixed: bool | None) -> None:
    """CVE-2025-53399: mr13.4.1.1, and Debian's package of an older one."""
    assert is_fixed(version) is fixed


def test_doubts() -> None:
    """Old, unknown and unreadable versions; rtpproxy is another program."""
    assert "update it" in doubt(RelaySettings("ng:192.0.2.1:1", version="12.5.1"))
    assert "no version" in doubt(RelaySettings("ng:192.0.2.1:1"))
    assert "does not look like a version" in doubt(RelaySettings("ng:192.0.2.1:1", version="latest"))
    assert doubt(RelaySettings("ng:192.0.2.1:1", version="mr13.5.1")) == ""
    assert doubt(RelaySettings("rtpproxy:192.0.2.1:1")) == ""
    # Over WebSocket it is asked, and what it tells counts.
    over = RelaySettings("ng+ws:192.0.2.1:1", version="mr13.5.1")
    assert doubt(RelaySettings("ng+ws:192.0.2.1:1")) == doubt(over) == ""
    assert "update it" in doubt(over, "12.5.1")
    (text,) = Media(MediaSettings([RelaySettings("ng:192.0.2.1:1")])).doubts()
    assert text.startswith("media.relays: ng:192.0.2.1:1")


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b'{"name":"rtpengine Janus interface","version_string":"10.5.3.5-1+deb12u1"}', "10.5.3.5-1+deb12u1"),
        (b'{"version_string":"1.2\\nup"}', "1.2?up"),
        (b'{"version_string":"' + b"9" * 500 + b'"}', "9" * 40),
        (b'{"version_string":7}', ""),
        (b"[" * 100_000, ""),
        (b'["version_string"]', ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_version_in(data: bytes, version: str) -> None:
    """Whatever answers there: a short text for a log line, or nothing."""
    assert version_in(data) == version
