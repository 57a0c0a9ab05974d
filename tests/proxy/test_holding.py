"""sansip.proxy.holding: the answer to a BYE leaves once, when its record is durable or overdue."""

from __future__ import annotations

from sansip.later import Later
from sansip.proxy.holding import hold
from sansip.proxy.proxy import Proxy
from tests.rig import Rig


def bench() -> tuple[Proxy, list[float]]:
    """Return a proxy whose hooks may take 2 s, and the times at which the answer left."""
    return Rig(limits={"hook_time": 2.0}).stack.proxy, []


def test_nothing_to_wait_for() -> None:
    """Without a record, or with one that is durable already, it leaves at once."""
    proxy, sent = bench()
    hold(proxy, None, sent.append, 1.0)
    written: Later[None] = Later()
    written.set(None, 1.0)
    hold(proxy, written, sent.append, 2.0)
    assert sent == [1.0, 2.0]
    assert len(proxy.timers) == 0


def test_durable() -> None:
    """The answer leaves when the record is written, and no second one follows when the time is over."""
    proxy, sent = bench()
    written: Later[None] = Later()
    hold(proxy, written, sent.append, 1.0)
    assert sent == []
    written.set(None, 1.5)
    proxy.timers.fire_due(9.0)
    assert sent == [1.5]


def test_overdue() -> None:
    """A store that hangs holds no answer for ever; the record that is written late sends no second one."""
    proxy, sent = bench()
    written: Later[None] = Later()
    hold(proxy, written, sent.append, 1.0)
    proxy.timers.fire_due(2.9)
    assert sent == []
    proxy.timers.fire_due(3.0)
    written.set(None, 4.0)
    assert sent == [3.0]
