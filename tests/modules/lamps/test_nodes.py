"""Lamps at one node of calls that go over another (RFC 4235)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from sansip.module import Use
from sansip.modules.calls import Calls
from sansip.modules.events import Events, EventsSettings
from sansip.modules.lamps import Lamps, LampsSettings
from sansip.modules.lamps.nodes import SHOWN
from tests.modules.events.test_nodes import Nodes as Sharing
from tests.modules.lamps.test_module import BOB_AOR, CONTACT, states
from tests.modules.watching import Watcher
from tests.rig import ALICE, BOB, BOB_URI, DAVE, Out, reply, request


class Nodes(Sharing):
    """Two nodes with lamps, which share values and the location."""

    MODULES = (
        Use(Calls),
        Use(Events, EventsSettings(open=True)),
        Use(Lamps, LampsSettings(interval=0.0, watchers="everyone")),
    )

    def meet(self, *watchers: Any, seconds: float = 2.0) -> None:
        for _ in range(2):
            for name in self.rigs:
                outs = self.wait(name, seconds / 2)
                for one in watchers:
                    if one.rig is self.rigs[name]:
                        one.take(outs)

    def watch(self, name: str) -> Watcher:
        one = Watcher(self.rigs[name], BOB_AOR, "dialog", user="dave", source=DAVE)
        one.subscribe()
        one.take(self.settle(name))
        assert one.status == 200
        return one

    def give(self, name: str, data: bytes, source: Any) -> list[Out]:
        return [*self.udp(name, data, source), *self.settle(name)]


def call(nodes: Nodes) -> Out:
    """Alice calls Bob over n1; return the INVITE at Bob."""
    fields = [("Contact", f"<{BOB_URI}>"), ("Expires", "3600")]
    data = request(
        "REGISTER", "sip:biloxi.test", source=BOB, branch="z9hG4bKr", sender=f"<{BOB_AOR}>",
        to=f"<{BOB_AOR}>", call_id="r", headers=fields,
    )  # fmt: skip
    nodes.give("n1", data, BOB)
    outs = nodes.give("n1", request(headers=[CONTACT]), ALICE)
    (ringing,) = [out for out in outs if out.what == "INVITE"]
    return ringing


def test_a_call_over_another_node() -> None:
    """Dave's key at n2 shows a call that n1 relays: it rings, is answered, and ends."""
    nodes = Nodes("n1", "n2")
    watcher = nodes.watch("n2")
    assert states(watcher.notifies[-1]) == []
    ringing = call(nodes)
    nodes.give("n1", reply(ringing, 180), BOB)
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["early"]
    nodes.give("n1", reply(ringing, 200), BOB)
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["confirmed"]
    nodes.die("n1")
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["terminated"]


def test_a_watcher_who_comes_later() -> None:
    """The first NOTIFY at n2 has what goes on over n1 (RFC 6665 4.2.1.2)."""
    nodes = Nodes("n1", "n2")
    nodes.give("n1", reply(call(nodes), 180), BOB)
    nodes.meet()
    watcher = nodes.watch("n2")
    assert states(watcher.notifies[-1]) == ["early"]


def test_values_that_fail_as_a_call_ends() -> None:
    """The key goes out all the same, once the values can be written again."""
    nodes = Nodes("n1", "n2")
    watcher = nodes.watch("n2")
    ringing = call(nodes)
    nodes.give("n1", reply(ringing, 180), BOB)
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["early"]
    nodes.values_down = True
    nodes.give("n1", reply(ringing, 486), BOB)
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["early"]
    nodes.values_down = False
    nodes.meet(watcher, seconds=4.0)
    assert states(watcher.notifies[-1]) == ["terminated"]


def test_changed_users_that_nobody_watches() -> None:
    """One look at each, not one at all that is watched: 500 keys times 10,000 are half a second."""
    nodes = Nodes("n1", "n2")
    nodes.watch("n2")
    engine: Any = nodes.rigs["n2"].stack.modules.get(Events)
    asked: list[str] = []
    plain = engine.resources

    def resources(event: str) -> list[str]:
        asked.append(event)
        return plain(event)

    engine.resources = resources
    nodes.meet()
    asked.clear()
    for number in range(20):
        nodes.rigs["n1"].stack.modules.get(Lamps)._nodes.tell(
            f"sip:u{number}@biloxi.test", nodes.rigs["n1"].now
        )
    nodes.settle("n1")
    nodes.meet()
    assert asked == []


def test_reads_that_overtake_one_another() -> None:
    """What was read before the call ended does not light the key again."""
    nodes = Nodes("n1", "n2")
    watcher = nodes.watch("n2")
    ringing = call(nodes)
    nodes.give("n1", reply(ringing, 180), BOB)
    nodes.meet(watcher)
    lamps: Any = nodes.rigs["n2"].stack.modules.get(Lamps)
    early = lamps._nodes._reread((BOB_AOR,))
    answer = nodes.values.answer(early.send(None).subject, nodes.rigs["n2"].now)
    nodes.give("n1", reply(ringing, 486), BOB)
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["terminated"]
    with suppress(StopIteration):
        early.send(answer)
    assert lamps._nodes.of(BOB_AOR) == []


def test_a_newer_node_says_more() -> None:
    """Fields that this version does not know are skipped; a value that cannot be read stops no other news."""
    nodes = Nodes("n1", "n2")
    watcher = nodes.watch("n2")
    nodes.give("n1", reply(call(nodes), 180), BOB)
    place = (SHOWN.name, (BOB_AOR, "n1"))
    (user, node, lamps), until = nodes.values._values[place]
    newer = [
        {**one, "mood": "good", **{side: {**one[side], "face": "round"} for side in ("local", "remote")}}
        for one in json.loads(lamps)
    ]
    nodes.values._values[place] = ((user, node, json.dumps(newer)), until)
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["early"]
    nodes.values._values[place] = ((user, node, '[{"id": 7}]'), until)
    nodes.rigs["n1"].stack.modules.get(Lamps)._nodes._news.tell((BOB_AOR,), nodes.rigs["n1"].now)
    nodes.meet(watcher)
    assert states(watcher.notifies[-1]) == ["terminated"]
