"""Counts of calls by key: limits hold, and in the end nothing is counted."""

from __future__ import annotations

import random
from typing import Any

from sansip.modules.calls import CallFinished, Calls, CallTried
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from tests.modules.calls.calling import CONTACT, bench, events, invite, within
from tests.rig import ALICE, BOB, reply, request


async def two_at_most(asked: IncomingRequest, calls: Calls) -> None:
    if asked.method == "INVITE" and not asked.in_dialog and not await calls.limit(asked, "bob", 2):
        asked.reply(486)
    else:
        await default_route(asked)


def test_limit() -> None:
    """Of twelve at once two pass; a call that ends makes room for one."""
    rig, calls = bench(two_at_most)
    outs = []
    for number in range(12):
        outs += rig.udp(
            request(
                branch=f"z9hG4bKn{number}", from_tag=f"t{number}", call_id=f"c{number}", headers=[CONTACT]
            )
        )
    arrived = [out for out in outs if out.what == "INVITE"]
    assert len(arrived) == 2
    assert calls.count("bob") == 2
    rig.udp(reply(arrived[0], 486), BOB)
    assert calls.count("bob") == 1
    assert rig.stack.modules.commands["calls.count"].call({}, rig.now) == {"bob": 1}


def test_counts_return_to_zero() -> None:
    """In any order, with any message lost, in the end nothing is counted and nothing is kept."""
    chance = random.Random(7)
    for _ in range(60):
        rig, calls = bench(two_at_most, max_duration=3_000)
        waiting: list[tuple[bytes, Any]] = []
        for number in range(4):
            call_id, tag, branch = f"c{number}", f"t{number}", f"z9hG4bKn{number}"
            data = request(branch=branch, from_tag=tag, call_id=call_id, headers=[CONTACT])
            waiting.append((data, ALICE))
            waiting.append((request("CANCEL", branch=branch, from_tag=tag, call_id=call_id), ALICE))
        while waiting:
            data, source = waiting.pop(chance.randrange(len(waiting)))
            if chance.random() < 0.2:
                continue
            for out in rig.udp(data, source):
                if out.what == "INVITE":
                    waiting += [
                        (reply(out, status), BOB) for status in chance.sample((180, 200, 486, 487, 200), 2)
                    ]
                elif out.what in ("CANCEL", "BYE"):
                    waiting.append((reply(out, 200), BOB))
                elif out.what == "200" and out.message.cseq.method == "INVITE" and out.to == ALICE:
                    names = {"from_tag": out.message.from_tag, "call_id": out.message.call_id}
                    waiting.append((within(rig, "BYE", **names), ALICE))
            rig.wait(chance.choice((0, 0.3, 40)))
        rig.wait(5_000)
        assert len(calls) == 0
        assert len(calls._counts) == 0
        assert len(calls._talks) == 0
        assert events(rig).count(CallFinished) == events(rig).count(CallTried)


def test_a_call_that_rang_out_counts_for_nothing() -> None:
    """A route that goes on after the end of its call cannot count it any more."""

    async def route(asked: IncomingRequest, calls: Calls) -> None:
        if asked.method == "INVITE":
            asked.record_route()
            await asked.relay(await asked.locate())
            calls.hold(asked, "late")
        else:
            await default_route(asked)

    rig, calls = bench(route)
    arrived = invite(rig)
    for _ in range(6):
        rig.wait(110)
        rig.udp(reply(arrived, 180), BOB)
    rig.wait(100)
    assert (len(calls), calls.count("late")) == (0, 0)
