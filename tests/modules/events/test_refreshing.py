"""Which refreshes are answered without a message; ``tests/routing/test_usages.py`` compares the answers."""

from __future__ import annotations

from typing import Any

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings
from tests.modules.events.weather import Reports, Stored, engine
from tests.modules.watching import Watcher
from tests.rig import ALICE, reply


def rig() -> Any:
    one: Any = Stored(modules=[Use(Events, EventsSettings(open=True)), Use(Reports)])
    usages = one.stack.reception.usages
    assert usages is not None
    one.taken = []
    answers = usages.answers

    class Counting:
        def answers(self, *given: Any) -> bool:
            one.taken.append(answers(*given))
            return one.taken[-1]

    counting: Any = Counting()
    one.stack.reception.usages = counting
    return one


def test_a_refresh_reserves_numbers_and_tells_the_whole() -> None:
    """RFC 6665 4.2.1.2: a NOTIFY follows each refresh; its numbers and versions rise by one."""
    server = rig()
    watcher = Watcher(server, event="weather")
    for _ in range(4):
        assert watcher.subscribe() == 200
        watcher.wait(10.0)
    numbers = [one.cseq.number for one in watcher.notifies]
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    assert [one.body for one in watcher.notifies] == [b"0 sun", b"1 sun", b"2 sun", b"3 sun"]
    assert any(server.taken)


def test_a_target_that_moved_is_counted() -> None:
    """A refresh that names another target goes the long way, where the limit of silent targets acts."""
    server = rig()
    watcher = Watcher(server, event="weather")
    assert watcher.subscribe() == 200
    watcher.contact = "<sip:alice@192.0.2.1:5070>"
    assert watcher.subscribe() == 200
    assert not server.taken[-1]


def test_a_target_that_moves_while_the_row_is_written() -> None:
    """A 2xx to a NOTIFY names another one; the refresh has the last word (RFC 3261 12.2.2)."""
    server = rig()
    watcher = Watcher(server, event="weather")
    assert watcher.subscribe() == 200
    watcher.answer = None
    server.now += 10.0
    engine(server).changed("weather", watcher.resource, server.now)
    [notify] = watcher.take(server.take(server.stack.time_passed(server.now)))
    server.holds = True
    assert watcher.subscribe() == 0
    assert server.taken[-1]
    moved = reply(notify, 200, tag=None, headers=[("Contact", "<sip:victim@198.51.100.9>")])
    server.udp(moved, ALICE)
    found = [out.message for out in server.release() if out.what == "NOTIFY"]
    assert [one.uri_text for one in found] == [notify.uri_text]
