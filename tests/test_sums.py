"""sansip.sums: limits that hold in sum over workers, told in steps."""

from __future__ import annotations

from typing import Any

from sansip.limits import Limits
from sansip.sums import SharedPending
from tests.rig import BOB, request
from tests.test_siblings import Crew, invite, register

LIMITS = Limits(pending_per_source=32, pending_per_callee=0, transactions=64, transactions_reserved=0)


def test_steps_are_few_and_nothing_stays() -> None:
    """Most calls cost no message; and a count of calls that are over must not refuse others for ever."""
    told: list[Any] = []
    other = SharedPending(LIMITS, lambda key, change: None)

    def tell(key: str, change: int) -> None:
        told.append(change)
        assert other.hear(key, change)

    pending = SharedPending(LIMITS, tell)
    pending.add("a", "")
    pending.remove("a", "")
    assert told == []
    for _ in range(9):
        pending.add("a", "bob")
    assert (pending.total, other.total) == (9, 0)
    assert other.sources["a"] == 8
    assert other.callees["bob"] == 9
    for _ in range(9):
        pending.remove("a", "bob")
    assert (other.sources, other.callees, pending.sources) == ({}, {}, {})
    assert not other.hear("\0transactions", 1)


def test_what_waits_here_is_not_taken_back() -> None:
    """A worker that took back too much made the next end of a call here raise KeyError."""
    pending = SharedPending(LIMITS, lambda key, change: None)
    pending.add("a", "bob")
    pending.hear("\0source a", -5)
    pending.hear("\0callee bob", -5)
    pending.remove("a", "bob")
    assert (pending.sources, pending.callees) == ({}, {})


def busy(crew: Crew, worker: int, count: int) -> list[int]:
    """Send INVITEs for bob's phone, which rings; return the statuses that come back but 100."""
    statuses = []
    for number in range(count):
        call = invite().replace(b"z9hG4bK", f"z9hG4bK{worker}x{number}".encode())
        call = call.replace(b"call@", f"{worker}.{number}@".encode())
        for _, action in crew.datagram(worker, call):
            if action.data.startswith(b"SIP/2.0 ") and not action.data.startswith(b"SIP/2.0 100"):
                statuses.append(int(action.data[8:11]))
    return statuses


def test_pending_per_source_holds_in_sum() -> None:
    """A stranger who sends from many ports had the limit once at each worker."""
    crew = Crew(2, LIMITS)
    crew.datagram(0, register(), BOB)
    assert busy(crew, 0, 20) == []
    refused = busy(crew, 1, 20)
    # Each tells in steps of a 16th of 32: the sum is exact to two for each worker.
    assert 6 <= refused.count(503) <= 12


def test_transactions_hold_in_sum() -> None:
    """They are memory of one machine; and the room is there again when they are over."""
    crew = Crew(
        2, Limits(pending_per_source=0, pending_per_callee=0, transactions=64, transactions_reserved=0)
    )
    crew.datagram(0, register(), BOB)
    assert busy(crew, 0, 24) == []
    assert crew.stacks[0].snapshot()["pending"] == 24
    refused = busy(crew, 1, 30)
    assert refused.count(503) >= 12
    assert crew.stacks[1].transactions.limit == 64
    # RFC 3261 17.1.1.2: timer B ends them; the others hear of it.
    for second in range(0, 300, 2):
        crew.now = float(second)
        for number in (0, 1):
            crew.perform(number, crew.stacks[number].time_passed(crew.now))
    assert [len(stack.transactions) for stack in crew.stacks] == [0, 0]
    assert [stack.transactions._elsewhere for stack in crew.stacks] == [0, 0]
    answer = crew.datagram(1, request("OPTIONS", "sip:example.com", branch="z9hG4bKend", call_id="end"))
    assert b"200 OK" in answer[0][1].data
