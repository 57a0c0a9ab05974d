"""A usual subscription gets its NOTIFY at once, as octets; any other the way that looks at everything."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.events import telling
from tests.modules.events.weather import bench, body, change, watcher, weather
from tests.rig import reply


@pytest.fixture
def took(monkeypatch: Any) -> list[bool]:
    """What ``Telling.tell`` returned."""
    tell, found = telling.Telling.tell, []

    def seen(*given: Any) -> bool:
        found.append(tell(*given))
        return found[-1]

    monkeypatch.setattr(telling.Telling, "tell", seen)
    return found


def test_one_of_two_is_unanswered(took: list[bool]) -> None:
    """RFC 6665 4.2.2: one NOTIFY is under way; who is slow gets the newest state when he answers."""
    rig = bench()
    weather(rig).interval = 0.0
    quick, slow = watcher(rig, user="a"), watcher(rig, user="b", name="w2")
    assert (quick.subscribe(), slow.subscribe()) == (200, 200)
    slow.answer = None
    for word in ("rain", "snow", "hail"):
        change(rig, word, quick, slow)
    assert took == [True, True, True, False, True, False]
    assert [body(one) for one in quick.notifies[1:]] == ["1 rain", "2 snow", "3 hail"]
    slow.answer = 200
    slow.take(rig.udp(reply(slow.notifies[-1], 200, tag=None), slow.source))
    assert [body(one) for one in slow.notifies[1:]] == ["1 rain", "2 hail"]


def test_a_failing_package(took: list[bool], monkeypatch: Any) -> None:
    """The NOTIFY leaves without a body, and others get theirs."""
    rig = bench()
    one = watcher(rig)
    assert one.subscribe() == 200
    rig.wait(6.0)

    def content(*given: Any) -> Any:
        raise ValueError("no content")

    monkeypatch.setattr(weather(rig), "content", content)
    change(rig, "rain", one)
    assert took == [True]
    assert (body(one.notifies[-1]), one.notifies[-1].has("content-type")) == ("", False)
