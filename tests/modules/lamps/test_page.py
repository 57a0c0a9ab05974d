"""The settings that docs/modules/lamps.md shows."""

from __future__ import annotations

from pathlib import Path

from sansip.modules.lamps import LampsSettings
from sansip.modules.mailboxes import MailboxesSettings
from sansip.modules.registrations import RegistrationsSettings

PAGE = (Path(__file__).parents[3] / "docs/modules/lamps.md").read_text()


def test_the_settings_of_the_page() -> None:
    """Each key is on the page."""
    for settings in (LampsSettings, MailboxesSettings, RegistrationsSettings):
        for name in settings.__dataclass_fields__:
            assert f"`{name}`" in PAGE
