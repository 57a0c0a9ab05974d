"""The rules and the settings that docs/modules/presence.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sansip.modules.documents import DocumentsSettings
from sansip.modules.events import Verdict
from sansip.modules.presence import PresenceSettings
from sansip.modules.presence.rules import judge, parse_rules
from sansip.modules.pua import PuaSettings

PAGE = (Path(__file__).parents[3] / "docs/modules/presence.md").read_text()


@pytest.mark.parametrize(
    ("watcher", "verdict"),
    [
        ("sip:alice@example.com", Verdict.ALLOW),
        ("sip:carol@example.com", Verdict.BLOCK),
        ("sip:alice@elsewhere.example", Verdict.BLOCK),
    ],
)
def test_the_rules_of_the_page(watcher: str, verdict: Verdict) -> None:
    """They are read as they stand, and mean what the page says."""
    (body,) = re.findall(r"```xml\n(.*?)```", PAGE, re.DOTALL)
    assert judge(parse_rules(body.encode()), watcher, "", 0.0)[0] is verdict


def test_the_settings_of_the_page() -> None:
    """Each key is on the page."""
    for settings in (PresenceSettings, DocumentsSettings, PuaSettings):
        for name in settings.__dataclass_fields__:
            assert f"`{name}`" in PAGE
