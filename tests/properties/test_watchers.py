"""Ten thousand watchers on a lossy wire: each ends with the right last state, and sees none out of order.

Theory of operation: the state of a resource is a number that rises. Watchers answer, stay silent for a
while, vanish, or refuse; datagrams are lost both ways; bursts of changes come; in the middle another
process with the same rows takes the place of the first. In the end each watcher that the server still
serves has the last number, and no watcher ever saw a smaller number after a larger one.
"""

from __future__ import annotations

import heapq
import os
import random
import re
from typing import Any

import pytest

from sansip.actions import Ask, SendDatagram
from sansip.module import Module, Use
from sansip.modules.events import Content, Events, EventsSettings, Package, Subscription
from sansip.rows import MemoryRows, Read, Scan, Write
from tests.rig import Rig, request

RESOURCE = "sip:bob@biloxi.test"
# The whole scenario, or a tenth where many tests run.
SOAK = bool(os.environ.get("SANSIP_SOAK"))
WATCHERS = 10_000 if SOAK else 1_000


class Number(Package):
    event = "number"
    types = ("text/plain",)
    interval, burst = 1.0, 2

    def __init__(self) -> None:
        self.value = 0

    def content(self, subscription: Subscription, now: float) -> Content:
        return Content("text/plain", str(self.value).encode())


class Numbers(Module):
    name = "numbers"
    requires = (Events,)

    def start(self, core: Any, now: float) -> None:
        self.package = Number()
        core.module(Events).add(self.package, now)


class Watching:
    """One watcher: how it behaves, and what it saw."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.number = number
        self.source = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 5060)
        kind = chance.random()
        # Most answer always; some vanish for good, some are silent for a while.
        self.gone_at = chance.uniform(5, 100) if kind < 0.1 else None
        start = chance.uniform(5, 100)
        self.deaf = (start, start + chance.uniform(1, 20)) if 0.1 <= kind < 0.25 else None
        self.seen: list[int] = []
        self.cseq = 0
        self.accepted = False
        self.ended = False

    def hears(self, now: float) -> bool:
        if self.gone_at is not None and now >= self.gone_at:
            return False
        return not (self.deaf is not None and self.deaf[0] <= now < self.deaf[1])

    def subscribe(self) -> bytes:
        return request(
            "SUBSCRIBE",
            RESOURCE,
            source=self.source,
            branch=f"z9hG4bKs{self.number}",
            sender=f"<sip:u{self.number}@biloxi.test>",
            from_tag=f"t{self.number}",
            call_id=f"c{self.number}",
            headers=[("Event", "number"), ("Expires", "3600"), ("Contact", f"<sip:u@{self.source[0]}>")],
        )


class World:
    """The server, the watchers, the wire between them, and their time."""

    def __init__(self, seed: int, count: int, loss: float) -> None:
        self.chance = random.Random(seed)
        self.loss = loss
        self.rows = MemoryRows()
        self.watchers = {
            f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}": Watching(n, self.chance) for n in range(count)
        }
        self.queue: list[tuple[float, int, bytes, Any]] = []
        self.count = 0
        self.now = 100.0
        self.begin()

    def begin(self) -> None:
        """Start a process with the rows of the one before."""
        settings = EventsSettings(open=True, unanswered=100_000, restore_rate=2_000)
        self.rig = Rig(
            modules=[Use(Events, settings), Use(Numbers)],
            now=self.now,
            secret=b"the same secret for every life",
            wall_offset=1_000_000.0,
            limits={"source_rate": 0, "transactions": 400_000},
        )
        self.do(self.rig.stack.time_passed(self.now))

    @property
    def package(self) -> Number:
        return self.rig.stack.modules.get(Numbers).package

    def do(self, actions: list[Any]) -> None:
        todo = list(actions)
        while todo:
            action = todo.pop(0)
            if isinstance(action, Ask) and isinstance(action.question, Read | Scan | Write):
                todo[:0] = self.rig.stack.answer(action.id, self.rows.answer(action.question), self.now)
            elif isinstance(action, SendDatagram):
                self.heard(self.watchers[action.address[0]], action.data.decode())

    def heard(self, one: Watching, text: str) -> None:
        """A datagram reaches a watcher, or does not."""
        if self.chance.random() < self.loss or not one.hears(self.now):
            return
        if text.startswith("SIP/2.0 200") and "SUBSCRIBE" in text:
            one.accepted = True
        if not text.startswith("NOTIFY"):
            return
        head, _, body = text.partition("\r\n\r\n")
        number = int(re.findall(r"\r\nCSeq: (\d+)", head)[0])
        fields = {
            name: re.findall(rf"\r\n({name}: [^\r]*)", head)[0]
            for name in ("Via", "From", "To", "Call-ID", "CSeq")
        }
        status = "200 OK"
        if number < one.cseq:
            # RFC 3261 12.2.2: out of order.
            status = "500 Out Of Order"
        elif number > one.cseq:
            one.cseq = number
            one.accepted = True
            if body:
                one.seen.append(int(body))
            if "Subscription-State: terminated" in head:
                one.ended = True
        if self.chance.random() >= self.loss:
            answer = "\r\n".join(
                [f"SIP/2.0 {status}", *fields.values(), "Content-Length: 0", "", ""]
            ).encode()
            self.later(answer, one.source)

    def later(self, data: bytes, source: Any) -> None:
        self.count += 1
        heapq.heappush(self.queue, (self.now + self.chance.uniform(0.001, 0.3), self.count, data, source))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            due = self.rig.stack.next_deadline()
            packet = self.queue[0][0] if self.queue else None
            at = min((one for one in (due, packet) if one is not None), default=end)
            if at > end:
                break
            self.now = max(self.now, at)
            if packet is not None and packet <= self.now:
                _, _, data, source = heapq.heappop(self.queue)
                self.do(self.rig.stack.datagram_received(0, data, source, self.now))
            else:
                self.do(self.rig.stack.time_passed(self.now))
        self.now = end

    def change(self) -> None:
        self.package.value += 1
        self.rig.stack.modules.get(Events).changed("number", RESOURCE, self.now)
        self.do(self.rig.stack.time_passed(self.now))


def played(seed: int, count: int, loss: float) -> World:
    """Subscribe all, change in bursts, replace the process in the middle, and come to rest."""
    world = World(seed, count, loss)
    for number, one in enumerate(world.watchers.values()):
        # RFC 3261 17.1.2.2: repeated until there is an answer.
        for attempt in range(8):
            heapq.heappush(
                world.queue,
                (
                    world.now + number * 5e-4 + attempt * 0.5,
                    number * 8 + attempt,
                    one.subscribe(),
                    one.source,
                ),
            )
    world.count = count * 8
    world.run(10)
    value = 0
    for burst in range(6):
        for _ in range(world.chance.randrange(1, 6)):
            world.change()
            world.run(world.chance.uniform(0.0, 0.4))
        world.run(world.chance.uniform(1, 15))
        if burst == 2:
            value = world.package.value
            world.begin()
            world.package.value = value
    world.loss = 0.0
    world.run(400)
    return world


@pytest.mark.timeout(1_200 if SOAK else 60)
@pytest.mark.parametrize(("seed", "loss"), [(1, 0.0), (2, 0.1), (3, 0.3)])
def test_watchers(seed: int, loss: float) -> None:
    """In order, without a gap at the end, and nothing held for those that vanished."""
    world = played(seed, WATCHERS, loss)
    last = world.package.value
    served = {one.watcher for one in world.rig.stack.modules.get(Events).of("number", RESOURCE)}
    for one in world.watchers.values():
        assert one.seen == sorted(one.seen), f"watcher {one.number} saw {one.seen}"
        known = f"sip:u{one.number}@biloxi.test" in served
        if known:
            assert one.seen[-1:] == [last], f"watcher {one.number} saw {one.seen}, and not {last}"
        if one.gone_at is not None:
            assert not known, f"watcher {one.number} is gone, and still held"
        elif one.deaf is None and loss == 0.0:
            assert known, f"watcher {one.number} answers, and was given up"
    # RFC 6665 4.2.2: given up is one of which a NOTIFY was lost eleven times, or that was silent so long.
    honest = [one for one in world.watchers.values() if one.gone_at is None and one.deaf is None]
    kept = sum(f"sip:u{one.number}@biloxi.test" in served for one in honest)
    assert kept >= 0.98 * len(honest)
