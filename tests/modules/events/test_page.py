"""The package that docs/modules/events.md shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings
from tests.modules.events.weather import Stored
from tests.modules.watching import Watcher

PAGE = Path(__file__).parents[3] / "docs/modules/events.md"


def test_the_package_of_the_page() -> None:
    """A reader can copy it: a watcher is told, and told again when a command changes the word."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    scope: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), scope)
    rig = Stored(modules=[Use(Events, EventsSettings(open=True)), Use(scope["WeatherReports"])])
    rig.take(rig.stack.time_passed(rig.now))
    one = Watcher(rig, event="weather")
    assert one.subscribe() == 200
    assert one.last.body == b"unknown"
    given = {"user": "sip:bob@biloxi.test", "word": "rain"}
    one.take(rig.take(rig.stack.command("weather_reports.set", given, rig.now, lambda result, now: None)))
    one.wait(5)
    assert one.last.body == b"rain"


def test_the_settings_of_the_page() -> None:
    """Each key is on the page."""
    text = PAGE.read_text()
    for name in EventsSettings.__dataclass_fields__:
        assert f"`{name}`" in text
