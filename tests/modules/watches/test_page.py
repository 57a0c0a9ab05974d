"""The settings that docs/modules/watches.md shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sansip.modules.watches import WatchesSettings

PAGE = (Path(__file__).parents[3] / "docs/modules/watches.md").read_text()


def test_the_settings_of_the_page() -> None:
    """Each key is on the page."""
    for name in WatchesSettings.__dataclass_fields__:
        assert f"`{name}`" in PAGE


@pytest.mark.parametrize(
    ("key", "value"),
    [("server", "x"), ("server", "tel:+1"), ("expires", 1), ("most", 0), ("rate", 0.0), ("size", 1)],
)
def test_settings_that_cannot_be(key: str, value: Any) -> None:
    """What could not work is refused at the start, with the key in the text."""
    with pytest.raises(ValueError, match=key):
        WatchesSettings(**{key: value})
