"""The engine of event packages against RFC 6665, with a package of one word, on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.modules.events import (
    Events,
)
from sansip.testing import check_module
from tests.modules.events.weather import (
    RESOURCE,
    Reports,
    Weather,
    bench,
    body,
    change,
    engine,
    watcher,
    weather,
)
from tests.rig import reply


def test_contract() -> None:
    """The contract of every module."""
    check_module(Events)


def test_refresh_and_end() -> None:
    """RFC 6665 4.2.1.4: a refresh has a new time and a NOTIFY; Expires 0 ends it with a last NOTIFY."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    one.wait(500)
    assert one.subscribe(600) == 200
    assert (one.state, body(one.last)) == ("active;expires=600", "1 sun")
    assert one.subscribe(0) == 200
    assert one.state == "terminated;reason=timeout"
    assert len(engine(rig)) == 0
    assert rig.rows.count(engine(rig).tables[0]) == 0
    # RFC 6665 4.1.2.2
    assert one.subscribe(600) == 481
    rig.run_out()
    assert rig.empty


def test_it_expires() -> None:
    """RFC 6665 4.2.1.4: without a refresh it ends with a NOTIFY, reason timeout."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(60)
    (notify,) = one.wait(60)
    assert (notify.get("subscription-state"), len(engine(rig))) == ("terminated;reason=timeout", 0)
    assert rig.stack.modules.get(Reports).heard == ["subscribe", "timeout"]


def test_a_refresh_out_of_order() -> None:
    """RFC 3261 12.2.2: a lower CSeq is refused and changes nothing."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600, cseq=10)
    assert one.subscribe(60, cseq=9) == 500
    (sub,) = engine(rig).of("weather", RESOURCE)
    assert sub.usage.expires_at == rig.now + 600


@pytest.mark.parametrize("tag", ["e-" + "0" * 32, "e-short", "other"])
def test_forged_tags(tag: str) -> None:
    """RFC 3261 12.2.2: a dialog that never was is a 481, and the store is not asked for it."""
    rig = bench()
    before = rig.questions
    one = watcher(rig)
    assert one.subscribe(600, to_tag=tag, uri="sip:192.0.2.10:5060") == 481
    assert rig.questions == before


def test_other_methods_in_the_dialog() -> None:
    """RFC 3261 8.2.1: only SUBSCRIBE makes sense in it."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    assert one.subscribe(600, method="INFO") == 405
    assert one.response is not None
    assert one.response.get("allow") == "SUBSCRIBE"


def test_another_event_in_the_dialog() -> None:
    """RFC 6665 4.5.2: one subscription for a dialog; another event finds none."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    assert one.subscribe(600, [("Event", "weather;id=2")]) == 481


def test_a_refresh_while_the_row_is_deleted() -> None:
    """RFC 6665 4.1.2.2: a subscription that has ended is not taken over by the row that is still there."""
    rig = bench()
    one = watcher(rig, answer=None)
    assert one.subscribe(600) == 200
    rig.holds = True
    rig.udp(reply(one.last, 481, tag=None), one.source)
    assert len(engine(rig)) == 0
    one.subscribe(600)
    # The store is quicker to read than to delete.
    rig.held.reverse()
    one.take(rig.release())
    assert one.status == 481


def test_many_watchers_in_groups() -> None:
    """A change with many watchers is told in groups: what else arrives is served between them."""
    rig = bench(unanswered=10_000)
    watchers = [watcher(rig, name=f"w{number}", user=f"u{number}") for number in range(100)]
    for one in watchers:
        one.subscribe(600)
    rig.now += 10
    weather(rig).words[RESOURCE] = "rain"
    engine(rig).changed("weather", RESOURCE, rig.now)
    first = rig.take(rig.stack.time_passed(rig.now))
    assert len([out for out in first if out.what == "NOTIFY"]) <= 64
    assert rig.stack.next_deadline() == rig.now
    for out in (first, rig.wait(0.1)):
        for one in watchers:
            one.take(out)
    assert {body(one.last) for one in watchers} == {"1 rain"}


def test_commands() -> None:
    """An operator sees subscriptions, and ends one."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    results: list[Any] = []

    def do(name: str, **given: Any) -> Any:
        one.take(
            rig.take(rig.stack.command(name, given, rig.now, lambda result, now: results.append(result)))
        )
        return results[-1]

    (row,) = do("events.list", resource=RESOURCE)
    assert (row["event"], row["watcher"], row["state"]) == ("weather", "sip:alice@biloxi.test", "active")
    assert do("events.count") == {"weather": 1, "steps": 0}
    assert do("events.end", id=row["id"]) is True
    # RFC 6665 4.1.3
    assert one.state == "terminated;reason=deactivated"
    assert "no subscription" in str(do("events.end", id="x"))


def test_the_pace_never_stands_still() -> None:
    """A time that is rounded down does not make the engine wait for it again and again."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(3600)
    for number in range(200):
        rig.now += 0.1 + number / 997
        change(rig, str(number), one)
        # Each deadline makes progress: without that this would not end.
        one.wait(5.3)
        assert body(one.last).endswith(f" {number}")


def test_a_module_comes_back() -> None:
    """A reload that takes a package's module away and brings it back goes on with the same subscriptions."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(3600)
    again = Weather()
    again.words[RESOURCE] = "fog"
    engine(rig).add(again, rig.now)
    engine(rig).changed("weather", RESOURCE, rig.now)
    one.wait(6)
    assert body(one.last).endswith(" fog")
    with pytest.raises(LocalProtocolError, match="two modules"):
        engine(rig).add(Other(), rig.now)


class Other(Weather):
    """Another package of the same name."""
