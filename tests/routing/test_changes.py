"""The queue of each address-of-record: changes of one node never compete, nodes take turns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sansip.limits import DEFAULT
from sansip.location import SharedRead, SharedRecord, SharedWrite
from sansip.registrar import RegistrarConfig
from sansip.routing.change import Change, NotStored
from tests.rig import ALICE, BOB, Out, only, what
from tests.routing.test_shared import AOR, WebPhone, fetch, registration
from tests.shelf import Cluster


def phone(number: int) -> tuple[str, int]:
    return f"192.0.2.{100 + number}", 5060


def register(cluster: Cluster, name: str, number: int, cseq: int, expires: int = 600) -> list[Out]:
    """One REGISTER of phone ``number`` at node ``name``; its questions stay open."""
    source = phone(number)
    data = registration(cseq, f"<sip:bob@{source[0]}>", source, expires=expires)
    return cluster.rigs[name].udp(data, source)


def test_what_waits_is_one_write() -> None:
    """Forty phones at once cost two trips: the first one's, and one for all the others."""
    cluster = Cluster("a", limits={"bindings_per_aor": 40}, registrar=RegistrarConfig(max_contacts=40))
    before = cluster.shelf.trips
    for number in range(40):
        assert register(cluster, "a", number, 1) == []
    assert what(cluster.settle("a")) == ["200"] * 40
    assert cluster.shelf.trips - before == 2
    assert len(cluster.shelf.records[AOR].bindings) == 40


def test_each_answer_is_its_own() -> None:
    """RFC 3261 10.3 step 8: merged, too, each plan is made upon the one before, and each is answered."""
    cluster = Cluster("a")
    register(cluster, "a", 0, 1)
    register(cluster, "a", 1, 1)
    register(cluster, "a", 2, 1)
    register(cluster, "a", 1, 2, expires=0)
    rig = cluster.rigs["a"]
    rig.udp(fetch(), ALICE)
    outs = cluster.settle("a")
    counts = [(out.to, len(out.message.get_all("contact"))) for out in outs]
    assert counts == [(phone(0), 1), (phone(1), 2), (phone(2), 3), (phone(1), 2), (ALICE, 2)]
    # RFC 3261 10.3 step 7: an older CSeq changes nothing, in a batch as well.
    register(cluster, "a", 0, 5)
    register(cluster, "a", 0, 4)
    register(cluster, "a", 2, 2)
    assert what(cluster.settle("a")) == ["200", "500", "200"]


def test_one_that_loops_does_not_starve_the_others() -> None:
    """Issue 23: a phone that registers without end at one node, and twenty more at another one.

    Node a has the shorter way: each of its writes arrives before the answer to b's last
    one has reached b. So b loses until a leaves it room.
    """
    cluster = Cluster("a", "b", limits={"bindings_per_aor": 40}, registrar=RegistrarConfig(max_contacts=40))
    b = cluster.rigs["b"]
    answers: list[str] = []
    for number in range(20):
        register(cluster, "b", 1 + number, 1)
    late: list[tuple[Any, Any]] = []
    for cseq in range(1, 200):
        register(cluster, "a", 0, cseq)
        cluster.settle("a")
        # b's question is answered a step later than it was asked.
        answers += [out.what for ask, found in late for out in b.answer(found, ask)]
        late = [(ask, cluster.shelf.answer(ask.question)) for ask in b.asks]
        b.asks.clear()
        cluster.wait("a", 0.005)
        b.wait(0.005)
        if len(answers) == 20:
            break
    assert answers == ["200"] * 20
    assert cseq < DEFAULT.change_attempts
    assert len(cluster.shelf.records[AOR].bindings) == 21


def test_a_loop_is_merged() -> None:
    """A hundred REGISTERs of one phone in a second are a handful of writes, and each is answered."""
    cluster = Cluster("a")
    before, answered = cluster.shelf.trips, 0
    for cseq in range(1, 101):
        register(cluster, "a", 0, cseq)
        answered += what(cluster.wait("a", 0.01)).count("200")
    answered += what(cluster.wait("a", 1.0)).count("200")
    assert (answered, cluster.shelf.trips - before) == (100, 8)


def test_the_pause_is_forgotten() -> None:
    """Phones that refresh now and then never wait, and nothing is kept of them."""
    cluster = Cluster("a")
    for cseq in range(1, 20):
        assert what(cluster.udp("a", registration(cseq), BOB)) == ["200"]
        cluster.wait("a", 1.0)
    changes = cluster.rigs["a"].stack.changes
    assert changes is not None
    assert len(changes) == 0


def test_limits_changes_per_aor() -> None:
    """The sender that fills the queue pays for it: the honest phone that comes last is served."""
    cluster = Cluster("a", limits={"changes_per_aor": 8})
    outs: list[Out] = []
    for cseq in range(1, 12):
        outs += register(cluster, "a", 0, cseq)
    outs += register(cluster, "a", 1, 1)
    # The first is being written and eight wait.
    assert [(out.what, out.to) for out in outs] == [("503", phone(0))] * 3
    assert all(out.message.get("retry-after") for out in outs)
    assert ("200", phone(1)) in [(out.what, out.to) for out in cluster.settle("a")]
    told = [event for event in cluster.rigs["a"].events if type(event).__name__ == "LimitReached"]
    assert [(event.name, event.source) for event in told] == [("changes_per_aor", AOR)]


def test_a_phone_that_is_gone_before_it_is_registered() -> None:
    """RFC 5626 7: its connection ended while the store was asked, so the binding leads nowhere: it goes."""
    cluster = Cluster("a")
    browser = WebPhone(cluster, "a")
    via = "SIP/2.0/WS k3v.invalid;branch=z9hG4bKw1"
    browser.rig.tcp(browser.conn, registration(1, browser.contact, via=via), boundary=True)
    browser.rig.closed(browser.conn)
    cluster.settle("a")
    assert AOR not in cluster.shelf.records
    assert cluster.rigs["a"].stack.location.lookup(AOR, browser.rig.now) == []


def test_the_store_fails_a_batch() -> None:
    """Everybody in it is told 503, and the next one is tried for itself."""
    cluster = Cluster("a")
    for number in range(3):
        register(cluster, "a", number, 1)
    cluster.shelf.down = True
    assert what(cluster.settle("a")) == ["503"] * 3
    cluster.shelf.down = False
    register(cluster, "a", 0, 2)
    assert what(cluster.settle("a")) == ["200"]


def test_a_plan_that_raises() -> None:
    """It fails alone, and its exception is heard."""
    cluster = Cluster("a")
    stack, now = cluster.rigs["a"].stack, cluster.rigs["a"].now
    heard: list[Exception | None] = []

    def broken(stands: Any, now: float) -> Any:
        raise ZeroDivisionError

    stack.ask(Change(stack, AOR, broken, str, now), lambda result, then: heard.append(result), now)
    assert [type(one) for one in heard] == [ZeroDivisionError]
    assert what(cluster.udp("a", registration(1), BOB)) == ["200"]


def test_other_nodes_without_end() -> None:
    """A phone whose change loses again and again is told, and later changes are tried."""
    cluster = Cluster("a")
    rig = cluster.rigs["a"]
    heard: list[Exception | None] = []
    rig.take(rig.stack.datagram_received(0, registration(1), BOB, rig.now))
    for number in range(DEFAULT.change_attempts - 1):
        (ask,) = rig.asks
        rig.asks.clear()
        assert isinstance(ask.question, SharedWrite)
        others = tuple(replace(one, call_id=f"other-{number}") for one in ask.question.bindings)
        stands = cluster.shelf.answer(SharedRead(AOR))
        cluster.shelf.records[AOR] = SharedRecord(f"{number:016d}", others or stands.bindings)
        assert rig.answer(cluster.shelf.answer(ask.question), ask) == []
    rig.stack.ask(
        Change(rig.stack, AOR, lambda stands, now: tuple(stands), str, rig.now),
        lambda result, then: heard.append(result),
        rig.now,
    )
    (ask,) = rig.asks
    rig.asks.clear()
    cluster.shelf.records[AOR] = SharedRecord("x" * 16, cluster.shelf.records[AOR].bindings)
    assert what(rig.answer(cluster.shelf.answer(ask.question), ask)) == ["503"]
    cluster.settle("a")
    assert heard == [None]
    assert not any(isinstance(one, NotStored) for one in heard)


def test_a_change_that_asks_for_another() -> None:
    """A route may do something more once it is registered: it is neither lost nor written twice."""
    cluster = Cluster("a")
    stack, rig = cluster.rigs["a"].stack, cluster.rigs["a"]
    heard: list[str] = []

    def first(result: Any, now: float) -> None:
        heard.append("first")
        stack.ask(
            Change(stack, AOR, lambda stands, now: tuple(stands), str, now),
            lambda result, then: heard.append("second"),
            now,
        )

    stack.ask(Change(stack, AOR, lambda stands, now: tuple(stands), str, rig.now), first, rig.now)
    rig.take(stack.time_passed(rig.now))
    cluster.settle("a")
    assert heard == ["first", "second"]
    assert only(cluster.udp("a", registration(1), BOB), "200")
