"""What presence costs: ``python -m benchmarks.presence_core [--rounds N] [--restored N]``, on virtual time.

Theory of operation: the stack is driven as an adapter drives it, and only processor time is counted: of a
PUBLISH with ten watchers (the NOTIFYs and their answers included), of a SUBSCRIBE that refreshes, of a
first SUBSCRIBE, and of the start of a process with many subscriptions in its rows; and the memory of a
subscription.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from typing import Any

from sansip import ListenerConfig, Stack, StackConfig
from sansip.actions import Ask, SendDatagram
from sansip.limits import Limits
from sansip.module import Use
from sansip.modules.documents import Documents
from sansip.modules.events import Events, EventsSettings
from sansip.modules.presence import Presence, PresenceSettings
from sansip.modules.publications import Publications, PublicationsSettings
from sansip.rows import Change, MemoryRows, Read, Scan, Write
from sansip_sockets.memory import tune_gc

HERE = ("192.0.2.10", 5060)


class Bench:
    """One stack with presence, and the phones around it.

    ``open``: whether strangers may watch and publish; ``given``: more of the ``StackConfig``.
    """

    def __init__(
        self, rows: MemoryRows | None = None, now: float = 100.0, open: bool = True, **given: Any
    ) -> None:
        self.rows = MemoryRows() if rows is None else rows
        self.now = now
        many = 10_000_000
        events = EventsSettings(
            open=open,
            unanswered=many,
            most=many,
            most_of_watcher=many,
            most_of_resource=many,
            restore_rate=many,
        )
        self.stack = Stack(
            StackConfig(
                [ListenerConfig(0, "udp", *HERE)],
                ["biloxi.test"],
                modules=[
                    Use(Documents),
                    Use(Events, events),
                    Use(Presence, PresenceSettings(interval=0.0)),
                    Use(Publications, PublicationsSettings(open=open)),
                ],
                limits=Limits(source_rate=0, transactions=many),
                secret=b"the same secret for every life",
                wall_offset=1_000_000.0,
                **given,
            ),
            b"seed of the benchmark",
        )
        self.number = 0
        self.notified = 0
        self.do(self.stack.time_passed(self.now))

    def do(self, actions: list[Any]) -> str:
        """Perform actions; phones answer each NOTIFY. Return the last response."""
        answer = ""
        todo = list(actions)
        while todo:
            action = todo.pop()
            if isinstance(action, Ask) and isinstance(action.question, Read | Scan | Write):
                todo += self.stack.answer(action.id, self.rows.answer(action.question), self.now)
            elif isinstance(action, SendDatagram):
                text = action.data.decode()
                if text.startswith("NOTIFY"):
                    self.notified += 1
                    todo += self.stack.datagram_received(0, ok(text), action.address, self.now)
                else:
                    answer = text
        return answer

    def send(
        self,
        method: str,
        user: str,
        headers: str,
        body: str = "",
        *,
        call_id: str = "",
        tag: str = "",
        cseq: int = 1,
    ) -> str:
        self.number += 1
        call_id = call_id or f"c{self.number}"
        to = f"<sip:{user}@biloxi.test>" + (f";tag={tag}" if tag else "")
        uri = "sip:192.0.2.10:5060" if tag else f"sip:{user}@biloxi.test"
        data = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{self.number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:watcher@biloxi.test>;tag=w\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:watcher@192.0.2.1>\r\nEvent: presence\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        return self.do(self.stack.datagram_received(0, data.encode(), ("192.0.2.1", 5060), self.now))

    def subscribe(self, user: str, call_id: str = "", tag: str = "", cseq: int = 1) -> str:
        answer = self.send("SUBSCRIBE", user, "Expires: 3600\r\n", call_id=call_id, tag=tag, cseq=cseq)
        assert answer.startswith("SIP/2.0 200"), answer
        return answer

    def publish(self, user: str, etag: str, basic: str) -> str:
        match = f"SIP-If-Match: {etag}\r\n" if etag else ""
        body = (
            f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:{user}@biloxi.test">'
            f'<tuple id="a"><status><basic>{basic}</basic></status></tuple></presence>'
        )
        answer = self.send("PUBLISH", user, f"{match}Content-Type: application/pidf+xml\r\n", body)
        assert answer.startswith("SIP/2.0 200"), answer
        return answer.partition("SIP-ETag: ")[2].partition("\r\n")[0]

    def rest(self) -> None:
        """Let transactions end."""
        self.now += 40
        self.do(self.stack.time_passed(self.now))


def ok(notify: str) -> bytes:
    wanted = ("Via", "From", "To", "Call-ID", "CSeq")
    lines = [line for line in notify.split("\r\n\r\n")[0].split("\r\n") if line.partition(":")[0] in wanted]
    return "\r\n".join(["SIP/2.0 200 OK", *lines, "Content-Length: 0", "", ""]).encode()


def spent(count: int, work: Any) -> float:
    """Return the microseconds of one of ``count`` runs of ``work``."""
    gc.collect()
    begin = time.process_time()
    for number in range(count):
        work(number)
    return (time.process_time() - begin) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2_000)
    parser.add_argument("--restored", type=int, default=100_000)
    given = parser.parse_args()
    bench = Bench()
    answers: dict[int, str] = {}
    first = spent(given.rounds, lambda n: answers.__setitem__(n, bench.subscribe(f"u{n}", f"s{n}")))
    print(f"first SUBSCRIBE, its NOTIFY and the answer: {first:.0f} µs")
    tags = {
        n: text.partition("To: ")[2].partition("tag=")[2].partition("\r\n")[0] for n, text in answers.items()
    }
    bench.rest()
    again = spent(given.rounds, lambda n: bench.subscribe(f"u{n}", f"s{n}", tags[n], 2))
    print(f"SUBSCRIBE refresh, its NOTIFY and the answer: {again:.0f} µs")
    bench.rest()
    for _ in range(10):
        bench.subscribe("bob")
    etag, before = "", bench.notified

    def publish(number: int) -> None:
        nonlocal etag
        etag = bench.publish("bob", etag, "open" if number % 2 else "closed")

    cost = spent(given.rounds // 2, publish)
    told = (bench.notified - before) / (given.rounds // 2)
    print(f"PUBLISH with 10 watchers, {told:.1f} NOTIFYs and their answers: {cost:.0f} µs")
    bench = Bench()
    tracemalloc.start()
    for number in range(2_000):
        bench.subscribe(f"m{number}")
    bench.rest()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    for number in range(2_000, 4_000):
        bench.subscribe(f"m{number}")
    bench.rest()
    gc.collect()
    rows = bench.rows.count(Events.tables[0])
    each = (tracemalloc.get_traced_memory()[0] - held) / 2_000
    print(f"memory of a subscription, its row in memory included: {each:.0f} octets")
    tracemalloc.stop()
    assert rows == 4_000
    table = Events.tables[0]
    (row,) = bench.rows.scan(Scan(table, ("presence",), None, 1))
    many = MemoryRows()
    place = table.names.index("id")
    change = [(*row[:place], f"{row[place]}{number}", *row[place + 1 :]) for number in range(given.restored)]
    many.write(Write((Change(table, tuple(change), ()),)))
    # As `sansip serve` sets the collector before it reads rows.
    with tune_gc():
        begin = time.process_time()
        bench = Bench(many, now=200.0)
        spent_on_it = time.process_time() - begin
    print(f"{len(bench.stack.modules.get(Events))} subscriptions restored: {spent_on_it:.1f} s")


if __name__ == "__main__":
    main()
