"""Kept messages and their store: one that fails, restarts, several nodes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sansip.events import NodeChanged
from sansip.module.core import Core
from sansip.modules.messages.keeping import PAGE
from sansip.modules.messages.row import GIVEN, KEPT
from sansip.rows import Change, MemoryRows, Read, Scan, Write
from sansip.wire import Response
from tests.modules.messages.kept import BOB, answer, begun, come, fetch, made, register, watch, ways, write

pytestmark = pytest.mark.usefixtures("way")


def test_restart() -> None:
    """Rows and marks: nothing is lost, and nothing comes twice."""
    bench = made()
    write(bench, "one")
    write(bench, "two")
    bench = bench.restarted()
    register(bench)
    [got] = come(bench)
    assert got.body == b"one"
    answer(bench, got)
    bench = bench.restarted()
    register(bench, cseq=2)
    assert fetch(bench) == ["two"]


def test_a_store_that_is_down_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone that is registered all the time gets them at its next REGISTER, and counts are right."""
    bench = made(per_user=1)
    write(bench, "one")
    monkeypatch.setattr(MemoryRows, "answer", lambda self, question: OSError("down"))
    bench = bench.restarted()
    monkeypatch.undo()
    bench.wait(10)
    assert bench.command("messages.count") == 1
    assert write(bench, "two") == ["480 Temporarily Unavailable"]


def test_one_that_comes_while_the_last_rows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has said that there are no more: it is read after that, not at the next REGISTER."""
    bench = made(memory=0)
    write(bench, "one")
    bench.sent.clear()
    plain = bench._answer

    def slow(question: Any) -> Any:
        result = plain(question)
        if isinstance(question, Scan) and question.table is KEPT:
            monkeypatch.undo()
            # It waits until it is known that an older one is on its way.
            assert write(bench, "two") == []
        return result

    monkeypatch.setattr(bench, "_answer", slow)
    register(bench)
    answers = [one for one in bench.sent if isinstance(one, Response) and one.cseq.method == "MESSAGE"]
    assert [one.status for one in answers] == [202]
    assert fetch(bench) == ["one", "two"]


def test_a_row_that_cannot_be_sent() -> None:
    """It is told, and stops none behind it."""
    bench = made(memory=0)
    write(bench, "one")
    write(bench, "two")
    [row, _] = bench.store.scan(Scan(KEPT, (BOB,), None, 2))
    broken = KEPT.row_of(row)
    broken.sender = "<sip:a@elsewhere.example>\r\n"
    bench.store.write(Write((Change(KEPT, (KEPT.values_of(broken),)),)))
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["two"]
    assert len(bench.failures) == 1


def test_a_broken_store() -> None:
    """No 202 for what is not kept."""
    bench = made()
    bench.broken = True
    assert write(bench) != ["202 Accepted"]
    bench.broken = False
    assert bench.command("messages.count") == 0


def test_two_nodes() -> None:
    """One store: the phone registers at the other node and has the message once."""
    bench = made(shared=True)
    write(bench, "hello")
    other = bench.beside()
    register(other)
    assert fetch(other) == ["hello"]
    bench.sent.clear()
    register(bench, cseq=2)
    assert fetch(bench) == []


def test_what_one_node_alone_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timers and notices: ``once`` may name another node, which hears of no timer of this one."""
    monkeypatch.setattr(Core, "once", lambda self, name: False)
    bench = made(retry=30.0)
    register(bench)
    at = datetime.fromtimestamp(1_700_000_060, UTC).isoformat()
    assert bench.command("messages.remind", user=BOB, text="the dentist", at=at)
    # The other node might have a timer, too.
    bench.wait(61)
    assert come(bench) == []
    bench.wait(41)
    [first] = come(bench)
    answer(bench, first, "503 Busy")
    bench.wait(31)
    assert fetch(bench) == ["the dentist"]


def test_nothing_is_read_where_nothing_is_kept() -> None:
    """A REGISTER and a message of a user without kept ones cost the store nothing, and no message waits."""
    bench = made()
    asked = watch(bench)
    register(bench)
    write(bench, "hello")
    assert [one.body for one in come(bench)] == [b"hello"]
    questions = [one for one in asked if isinstance(one, Read | Scan | Write)]
    # Where nodes share the rows, another one may have kept some.
    assert bool(questions) is bool(ways["shared"])


@pytest.mark.parametrize("how", ["time", "command"])
def test_many_are_removed_together(how: str) -> None:
    """Each write waits for the time of its batch: a thousand of them one by one would be half a minute."""
    bench = made(per_user=1_000, per_sender=1_000)
    for number in range(PAGE + 10):
        write(bench, str(number), "bob", "Expires: 100")
    register(bench)
    [first] = come(bench)
    answer(bench, first)
    asked = watch(bench)
    if how == "time":
        bench.wait(200)
    else:
        assert bench.command("messages.remove", user=BOB) == PAGE + 10
    writes = [one for one in asked if isinstance(one, Write) and any(each.deleted for each in one.changes)]
    assert [len(one.changes[0].deleted) for one in writes] == [PAGE, 10]
    assert bench.command("messages.count") == bench.store.count(KEPT) == bench.store.count(GIVEN) == 0


def test_one_that_comes_while_rows_are_read() -> None:
    """Nothing is kept: the message goes to the phone, though the look at the rows was still under way."""
    bench = made(shared=True)
    plain = bench._answer
    wrote: list[list[str]] = []

    def slow(question: Any) -> Any:
        result = plain(question)
        if isinstance(question, Scan) and question.table is KEPT and not wrote:
            wrote.append([])
            wrote[0] += write(bench, "hello")
        return result

    bench._answer = slow  # type: ignore[method-assign]  # the test's own in its place
    register(bench)
    assert wrote == [[]]
    assert [one.body for one in come(bench)] == [b"hello"]
    assert bench.command("messages.count") == 0


def test_a_write_that_failed_may_have_happened() -> None:
    """The store answered too late, and has the row: it is delivered, though this node had given it up."""
    bench = made()
    plain = bench._answer

    def late(question: Any) -> Any:
        result = plain(question)
        return TimeoutError("too late") if isinstance(question, Write) else result

    bench._answer = late  # type: ignore[method-assign]  # the test's own in its place
    assert write(bench, "hello") != ["202 Accepted"]
    bench._answer = plain  # type: ignore[method-assign]  # its own again
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["hello"]
    # Then the counts are right again.
    bench.wait(10)
    assert bench.command("messages.count") == 1


def test_rows_that_fail_during_a_delivery() -> None:
    """The phone stays registered for long: what it did not get is tried again as after a phone's failure."""
    bench, got = begun("one", "two", retry=60.0)
    bench.broken = True
    answer(bench, got)
    assert come(bench) == []
    bench.broken = False
    bench.wait(70)
    # RFC 3261 8.2.2.2: the phone knows the first one by its Call-ID.
    assert fetch(bench) == ["one", "two"]


def test_a_write_that_fails_while_rows_are_counted() -> None:
    """What was counted before it does not say that nothing is kept: the row may be there all the same."""
    bench = made()
    plain = bench._answer
    failing = [True]

    def late(question: Any) -> Any:
        if isinstance(question, Scan) and not question.prefix and failing:
            failing.clear()
            # Counting has read all rows, and its answer comes behind this.
            found = plain(question)
            bench._answer = lost  # type: ignore[method-assign]  # the test's own in its place
            assert write(bench, "one") != ["202 Accepted"]
            bench._answer = plain  # type: ignore[method-assign]  # its own again
            return found
        return plain(question)

    def lost(question: Any) -> Any:
        answer = plain(question)
        return OSError("too late") if isinstance(question, Write) else answer

    bench._answer = late  # type: ignore[method-assign]  # the test's own in its place
    bench.module._keeping.complete = False
    bench.module._lost()
    bench.wait(5.5)
    assert not failing
    assert not bench.module._keeping.has_none(BOB)
    bench.wait(10)
    assert bench.command("messages.count") == 1


def test_what_a_node_kept_that_is_gone() -> None:
    """The phone is registered all the time at another one, which has not counted that message."""
    bench = made(shared=True)
    other = bench.beside()
    register(other)
    assert write(bench, "hello") == ["202 Accepted"]
    other.sent.clear()
    register(other, cseq=2)
    assert come(other) == []
    other.module.core.tell(NodeChanged("n1", "gone"), other.now)
    other.wait(6)
    [got] = come(other)
    assert got.body == b"hello"
