"""Lamps over a restart (``[calls] keep = true``): they show the calls that go on, and go out with them."""

from __future__ import annotations

from typing import Any

from sansip.module import Use
from sansip.module.xml import read_xml
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.events import Events, EventsSettings
from sansip.modules.lamps import Lamps, LampsSettings
from sansip.routing.trust import TrustedPeer
from sansip.rows import MemoryRows
from tests.modules.events.weather import Stored
from tests.modules.lamps.test_module import ALICE_AOR, NS, answer, bye, invite, states, watch
from tests.modules.watching import Watcher
from tests.rig import BOB, BOB_URI, CAROL, CAROL_URI, only

ANSWER = [("Contact", f"<{BOB_URI}>")]


def bench(
    rows: MemoryRows | None = None, now: float = 100.0, keep: bool = True, holds: bool = False
) -> Stored:
    rig = Stored(
        rows,
        modules=[
            Use(Calls, CallsSettings(keep=keep)),
            Use(Events, EventsSettings()),
            Use(Lamps, LampsSettings(interval=0.0)),
        ],
        trusted=[TrustedPeer("192.0.2.0/24")],
        now=now,
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.holds = holds
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def target(dialog: Any, side: str) -> str | None:
    found = dialog.find(f"{NS}{side}/{NS}target")
    return None if found is None else found.get("uri")


def talk(rig: Stored, *watchers: Watcher) -> None:
    arrived = only(invite(rig, *watchers), "INVITE")
    answer(rig, arrived, 180, *watchers)
    answer(rig, arrived, 200, *watchers, headers=ANSWER)


def again(rig: Stored, *watchers: Watcher, **options: Any) -> Stored:
    """The next process, ten seconds later; the watchers hear what it tells."""
    after = bench(rig.rows, rig.now + 10, **options)
    after.log = [*rig.log, *after.log]
    for one in watchers:
        one.rig = after
        one.take(after.log)
        one.wait(1.0)
    return after


def test_a_call_that_goes_on() -> None:
    """RFC 4235 3.7: confirmed, with the id, tags and targets that the phone knows, until it ends."""
    rig = bench()
    rig.register(BOB_URI)
    callee, caller = watch(rig), watch(rig, ALICE_AOR, name="w2")
    talk(rig, callee, caller)
    before = [read_xml(one.last.body)[0] for one in (callee, caller)]
    rig = again(rig, callee, caller)
    for one, old in zip((callee, caller), before, strict=True):
        root = read_xml(one.last.body)
        assert root.get("state") == "full"
        assert states(one.last) == ["confirmed"]
        (new,) = root
        assert dict(new.attrib) == dict(old.attrib)
        for side in ("local", "remote"):
            assert new.findtext(f"{NS}{side}/{NS}identity") == old.findtext(f"{NS}{side}/{NS}identity")
            assert target(new, side) == target(old, side)
        assert int(new.findtext(f"{NS}duration")) >= 10
    bye(rig, callee, caller)
    assert states(callee.last) == states(caller.last) == ["terminated"]


def test_a_watcher_that_comes_after_the_restart() -> None:
    """It sees the call at once."""
    rig = bench()
    rig.register(BOB_URI)
    talk(rig)
    rig = again(rig)
    assert states(watch(rig).last) == ["confirmed"]


def test_only_the_phone_that_answered() -> None:
    """A phone that rang and lost has no lamp, before as after."""
    rig = bench()
    rig.register(BOB_URI)
    rig.register(CAROL_URI)
    one = watch(rig)
    arrived = invite(rig, one)
    bob, carol = (next(out for out in arrived if out.to == where) for where in (BOB, CAROL))
    answer(rig, carol, 180, one, source=CAROL)
    answer(rig, bob, 200, one, headers=ANSWER)
    again(rig, one)
    assert states(one.last) == ["confirmed"]


def test_no_lamp_goes_out_meanwhile() -> None:
    """While the calls are being read nobody is told that there are none."""
    rig = bench()
    rig.register(BOB_URI)
    one = watch(rig)
    talk(rig, one)
    known = len(one.notifies)
    after = bench(rig.rows, rig.now + 10, holds=True)
    one.rig = after
    one.wait(1.0)
    one.take(after.release())
    one.wait(1.0)
    bodies = [notify.body for notify in one.notifies[known:]]
    assert bodies
    assert all(b"confirmed" in body for body in bodies if body)
    assert b"confirmed" in bodies[-1]


def test_a_store_that_is_away() -> None:
    """New calls are told although the old ones cannot be read."""
    after = bench(bench().rows, 200.0, holds=True)
    assert not after.stack.modules.get(Calls).is_read
    after.broken = True
    after.release()
    assert after.stack.modules.get(Calls).is_read


def test_without_keep_they_are_dark() -> None:
    """As before: nothing is known of the calls."""
    rig = bench(keep=False)
    rig.register(BOB_URI)
    one = watch(rig)
    talk(rig, one)
    again(rig, one, keep=False)
    assert states(one.last) == []
