"""The document and the settings that docs/modules/lists.md shows."""

from __future__ import annotations

import re
from pathlib import Path

from sansip.modules.lists import ListsSettings
from sansip.modules.lists.services import parse_services

PAGE = (Path(__file__).parents[3] / "docs/modules/lists.md").read_text()


def test_the_document_of_the_page() -> None:
    """It is read as it stands."""
    (body,) = re.findall(r"```xml\n(.*?)```", PAGE, re.DOTALL)
    (service,) = parse_services(body.encode()).values()
    assert [one.name for one in service.members] == ["Bob", ""]


def test_the_settings_of_the_page() -> None:
    """Each key is on the page."""
    for name in ListsSettings.__dataclass_fields__:
        assert f"`{name}`" in PAGE
