"""The package that docs/modules/publications.md shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings
from sansip.modules.publications import Publications, PublicationsSettings
from tests.modules.events.weather import Stored
from tests.modules.publications.test_module import publish
from tests.modules.watching import Watcher

PAGE = Path(__file__).parents[3] / "docs/modules/publications.md"


def test_the_package_of_the_page() -> None:
    """A reader can copy it: what is published reaches the watcher, and a broken body is a 400."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    scope: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), scope)
    modules = [
        Use(Events, EventsSettings(open=True)),
        Use(Publications, PublicationsSettings(open=True)),
        Use(scope["Stations"]),
    ]
    rig = Stored(modules=modules)
    rig.take(rig.stack.time_passed(rig.now))
    one = Watcher(rig, event="weather")
    assert one.subscribe() == 200
    assert one.last.body == b"unknown"
    assert publish(rig, b"rain", type="text/plain").status == 200
    one.wait(5)
    assert one.last.body == b"rain"
    assert publish(rig, "Föhn".encode(), type="text/plain").status == 400


def test_the_settings_of_the_page() -> None:
    """Each key is on the page."""
    text = PAGE.read_text()
    for name in PublicationsSettings.__dataclass_fields__:
        assert f"`{name}`" in text
