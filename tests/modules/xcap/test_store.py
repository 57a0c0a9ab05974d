"""A store that takes its time, that fails, that two nodes share: of two writers one wins."""

from __future__ import annotations

from typing import Any

from sansip.actions import Ask
from sansip.module import WebRequest, WebResponse
from sansip.modules.xcap import Xcap
from sansip.rows import Write
from sansip.testing import ModuleBench
from tests.modules.xcap.served import (
    BASE,
    BILL,
    FRIENDS,
    JOE,
    LISTS,
    SERVICES,
    TYPES,
    Client,
    client,
    etag,
    said,
    service,
)


class Slow:
    """Requests to a server whose store answers when ``go_on`` says so."""

    def __init__(self, server: ModuleBench[Xcap]) -> None:
        self.server = server
        self.waiting: list[Any] = []
        self.statuses: dict[int, int] = {}

    def put(self, number: int, body: bytes, tag: str) -> None:
        headers = (("if-match", tag), ("content-type", TYPES["resource-lists"]))
        request = WebRequest("PUT", LISTS, "", headers, body, user=BILL)

        def answered(answer: WebResponse, now: float) -> None:
            self.statuses[number] = answer.status

        self.waiting += self.server.stack.web_received(number, request, self.server.now, answered)

    def go_on(self, *until: type) -> None:
        """Answer the questions of the stack, up to one of the kinds ``until``."""
        stack = self.server.stack
        while self.waiting and not (
            isinstance(self.waiting[0], Ask) and isinstance(self.waiting[0].question, until)
        ):
            action = self.waiting.pop(0)
            if isinstance(action, Ask):
                answer = self.server._answer(action.question)
                self.waiting += stack.answer(action.id, answer, self.server.now)


def test_two_nodes_that_share_the_rows() -> None:
    """Each sees what the other wrote; of two that write with one tag one wins; modules hear in a second."""
    here = client()
    there = Client(here.bench.beside())
    first = etag(here.put(LISTS, BASE))
    assert etag(there.get(LISTS)) == first
    # A client may go on at the other node with the tag that it got here, although that node was never asked.
    second = etag(here.put(LISTS, FRIENDS, if_match=first))
    assert there.put(LISTS, BASE, if_match=first).status == 412
    third = etag(there.put(LISTS, BASE, if_match=second))
    assert here.put(LISTS, FRIENDS, if_match=second).status == 412
    assert etag(here.get(LISTS)) == third
    slow, other = Slow(here.bench), Slow(there.bench)
    slow.put(1, FRIENDS, third)
    other.put(2, FRIENDS, third)
    slow.go_on(Write)
    other.go_on(Write)
    slow.go_on()
    other.go_on()
    assert sorted([*slow.statuses.values(), *other.statuses.values()]) == [200, 412]
    # A service that was made there is taken here a second later, and free a second after it is gone.
    joe = Client(there.bench, JOE)
    assert joe.put(SERVICES.replace(BILL, JOE), service()).status == 201
    there.bench.wait(1.5)
    here.bench.wait(1.5)
    assert said(here.put(SERVICES, service())) == "uniqueness-failure"
    assert joe("DELETE", SERVICES.replace(BILL, JOE)).status == 200
    there.bench.wait(1.5)
    here.bench.wait(1.5)
    assert here.put(SERVICES, service()).status == 201


def test_eight_at_once_with_one_tag() -> None:
    """RFC 4825 7.11: exactly one wins, also while the store takes its time."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE))
    slow = Slow(bill.bench)
    for number in range(8):
        slow.put(number, BASE.replace(b"Three", b"%d" % number), tag)
    slow.go_on(Write)
    assert slow.statuses == {}
    slow.go_on()
    assert sorted(slow.statuses.values()) == [200] + [412] * 7
    (winner,) = (number for number, status in slow.statuses.items() if status == 200)
    assert f">{winner}<".encode() in bill.get(LISTS).body


def test_changes_that_wait_are_bounded() -> None:
    """While the store takes its time, clients that come and go leave no more than so many bodies."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE))
    slow = Slow(bill.bench)
    for number in range(80):
        slow.put(number, BASE.replace(b"Three", b"%d" % number), tag)
    slow.go_on(Write)
    assert list(slow.statuses.values()) == [503] * 15
    slow.go_on()
    assert sorted(slow.statuses.values()) == [200] + [412] * 64 + [503] * 15


def test_a_client_that_goes_while_the_store_writes() -> None:
    """What is being written is there afterwards, also in the rows, and the next client has its turn."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE))
    slow = Slow(bill.bench)
    slow.put(1, BASE.replace(b"Three", b"gone"), tag)
    slow.put(2, BASE.replace(b"Three", b"second"), "*")
    slow.go_on(Write)
    slow.waiting += bill.bench.stack.web_closed(1, bill.bench.now)
    slow.go_on()
    assert slow.statuses == {2: 200}
    assert b">second<" in bill.get(LISTS).body
    bill.bench = bill.bench.restarted()
    assert b">second<" in bill.get(LISTS).body


def test_a_store_that_fails() -> None:
    """What was not stored is not there, and the client hears that it may try again."""
    bill = client()
    before = bill.put(LISTS, BASE)
    bill.bench.broken = True
    assert bill.put(LISTS, FRIENDS).status == 503
    bill.bench.broken = False
    assert etag(bill.get(LISTS)) == etag(before)
    assert bill.put(LISTS, FRIENDS).status == 200
