"""Profiles of phones (RFC 6080): which URL a phone is told, who is told it, and that it changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings
from sansip.modules.profiles import Profiles, ProfilesSettings
from sansip.routing.trust import TrustedPeer
from sansip.testing import check_module
from tests.modules.events.weather import Stored
from tests.modules.presence.test_module import command
from tests.modules.watching import Watcher

ALICE = "sip:alice@biloxi.test"
USER = "https://cfg.biloxi.test/{domain}/{name}?v={vendor}&m={model}&r={version}"
PHONE = 'vendor="vendor.example.net";model="Z 100";version="1.2"'
DEVICE = "sip:urn%3auuid%3a00000000-0000-1000-0000-00FF8D82EDCB@biloxi.test"


def bench(**settings: Any) -> Stored:
    settings.setdefault("user", USER)
    rig = Stored(
        modules=[Use(Events, EventsSettings()), Use(Profiles, ProfilesSettings(**settings))],
        trusted=[TrustedPeer("192.0.2.0/24")],
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def phone(rig: Stored, kind: str = "user", resource: str = ALICE, **options: Any) -> Watcher:
    return Watcher(
        rig,
        resource,
        headers=[("Event", f"ua-profile;profile-type={kind};{PHONE}"), ("Accept", "message/external-body")],
        **options,
    )


def url(one: Watcher) -> str:
    found = re.findall(r'URL="([^"]*)"', one.last.get("content-type") or "")
    return str(found[0])


def content_id(one: Watcher) -> str:
    return re.findall(r"Content-ID: <(.*)>", one.last.body.decode())[0]


def test_contract() -> None:
    """What every module promises."""
    check_module(Profiles, others=[Use(Events)])


def test_the_profile_of_a_user() -> None:
    """RFC 6080 6.5, 6.7: a URL of the user and the phone, with the type and the id of what is there."""
    rig = bench(type="application/x-z100")
    one = phone(rig)
    assert one.subscribe() == 200
    assert url(one) == "https://cfg.biloxi.test/biloxi.test/alice?v=vendor.example.net&m=Z%20100&r=1.2"
    assert (one.last.get("content-type") or "").startswith('message/external-body;access-type="URL";')
    assert b"Content-Type: application/x-z100\r\n" in one.last.body


def test_a_change() -> None:
    """RFC 6080 5.2.2: another Content-ID says it; a refresh keeps the id."""
    rig = bench()
    one = phone(rig)
    one.subscribe()
    first = content_id(one)
    one.subscribe()
    assert content_id(one) == first
    assert command(rig, "profiles.changed", one, user=ALICE) == 1
    one.wait(5.0)
    second = content_id(one)
    assert second != first
    assert command(rig, "profiles.changed", one) == 1
    one.wait(5.0)
    assert content_id(one) not in (first, second)
    assert command(rig, "profiles.changed", one, user="sip:nobody@biloxi.test") == 0


def test_the_profile_of_a_device() -> None:
    """RFC 6080 7.1: the name of the device is in the URL, so that it cannot leave its place there."""
    rig = bench(device="https://cfg.biloxi.test/d/{name}")
    one = phone(rig, "device", DEVICE)
    assert one.subscribe() == 200
    assert url(one).startswith("https://cfg.biloxi.test/d/urn%3A")
    assert "/" not in url(one).partition("/d/")[2]


@pytest.mark.parametrize("kind", ["device", "local-network", "other"])
def test_what_there_is_not(kind: str) -> None:
    """RFC 6080 6.6: 404."""
    assert phone(bench(), kind).subscribe() == 404


def test_who_is_told() -> None:
    """The profile of a user is for that user's phones alone."""
    assert phone(bench(), user="bob").subscribe() == 403


def test_bodies_and_types() -> None:
    """RFC 6080 6.3: a body is ignored; 6.5: a phone that takes no URLs gets a 406."""
    rig = bench()
    assert phone(rig).subscribe(headers=[("Content-Type", "text/plain")], body=b"x") == 200
    one = Watcher(rig, ALICE, headers=[("Event", f"ua-profile;profile-type=user;{PHONE}")], name="w2")
    assert one.subscribe(headers=[("Accept", "text/plain")]) == 406


@pytest.mark.parametrize(
    "settings",
    [{"user": "ftp://x"}, {"device": "https://x/{mac}"}, {"user": 'https://x/"'}, {"type": "text"}],
)
def test_settings(settings: dict[str, str]) -> None:
    """What cannot be is refused."""
    with pytest.raises(ValueError):
        ProfilesSettings(**settings)


def test_the_settings_of_the_page() -> None:
    """Each key is on docs/modules/lamps.md."""
    page = (Path(__file__).parents[2] / "docs/modules/lamps.md").read_text().partition("## Profiles")[2]
    for name in ProfilesSettings.__dataclass_fields__:
        assert f"`{name}`" in page
