"""sansip_server.workers.keeper: one owner decides, and all workers have a binding before the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.limits import Limits
from sansip.location import Binding, LocationUpdate, SharedRecord, SharedWrite
from sansip_server.workers.keeper import Keeper
from sansip_server.workers.records import packed, unpacked

AOR = "sip:bob@example.com"


def record(contact: str = "sip:bob@192.0.2.2", until: float = 600.0, cseq: int = 1) -> Any:
    return packed((Binding(AOR, contact, until, "c", cseq),))


class Bench:
    """A keeper with workers; ``sent`` has what each got and was not looked at yet."""

    def __init__(self, count: int = 2, limits: Limits | None = None, store: bool = False) -> None:
        self.sent: dict[int, list[Any]] = {number: [] for number in range(count)}
        self.saved: list[tuple[LocationUpdate, Callable[[Any], None]]] = []
        save = (lambda update, done: self.saved.append((update, done))) if store else None
        self.keeper = Keeper(
            lambda number, message: self.sent[number].append(message), limits or Limits(), save
        )
        for number in range(count):
            list(self.keeper.state(number))

    def write(
        self,
        number: int,
        expected: str,
        version: str,
        bindings: Any,
        question: int = 1,
        aor: str = AOR,
        last: float = 600.0,
    ) -> None:
        message = ("write", question, aor, expected, version, last, bindings)
        assert self.keeper.received(number, message, 0.0)

    def take(self, number: int) -> list[Any]:
        taken, self.sent[number] = self.sent[number], []
        return taken

    def has(self, number: int) -> None:
        """Have the worker say that it has all that it was told."""
        for message in self.take(number):
            if message[0] == "facts" and message[1]:
                self.keeper.received(number, ("has", message[1]), 0.0)


def test_an_answer_waits_for_all_workers() -> None:
    """A 200 that leaves before a sibling knows the phone is a call that is lost."""
    bench = Bench(3)
    bench.write(1, "", "v1", record())
    # The answer tells the one that asked.
    assert bench.take(1) == []
    bench.has(0)
    assert bench.take(1) == []
    bench.has(2)
    assert bench.take(1) == [("written", 1)]


def test_answers_wait_for_the_changes_before_them() -> None:
    """Two workers ask at once: each is answered when the other has its change, and in order."""
    bench = Bench(2)
    bench.write(0, "", "v1", record(), question=1)
    bench.write(1, "", "v2", record(), question=2, aor="sip:carol@example.com")
    told = bench.take(0)
    bench.keeper.received(0, ("has", told[0][1]), 0.0)
    # The first change is not at worker 1 yet.
    assert bench.take(0) == []
    bench.keeper.received(1, ("has", bench.take(1)[0][1]), 0.0)
    assert (bench.take(0), bench.take(1)) == ([("written", 1)], [("written", 2)])


def test_a_worker_that_dies_holds_nobody_up() -> None:
    """Else each registration of that second would wait for ever."""
    bench = Bench(2)
    bench.write(1, "", "v1", record())
    bench.has(1)
    bench.keeper.gone(0)
    assert bench.take(1) == [("written", 1)]


def test_the_next_process_in_a_place_gets_no_answer_of_the_last_one() -> None:
    """It counts its questions anew: it would take the answer for its own, and send a false 200."""
    bench = Bench(2)
    bench.write(1, "", "v1", record())
    bench.write(1, "", "v2", record(cseq=2), question=2)
    bench.keeper.gone(1)
    bench.take(1)
    list(bench.keeper.state(1))
    bench.has(0)
    assert bench.take(1) == []
    # Its own changes go on.
    bench.write(1, "v1", "v3", record(cseq=3))
    bench.has(0)
    assert bench.take(1) == [("written", 1)]


def test_the_next_process_in_a_place_hears_what_the_last_one_wrote() -> None:
    """It was told everything before the store had that change, and did not ask for the change itself."""
    bench = Bench(2, store=True)
    bench.write(1, "", "v1", record())
    bench.keeper.gone(1)
    list(bench.keeper.state(1))
    bench.saved[0][1](None)
    [(kind, _, facts)] = bench.take(1)
    assert (kind, [fact[:3] for fact in facts]) == ("facts", [("record", AOR, "v1")])


def test_the_slower_of_two_plans_again() -> None:
    """RFC 3261 10.3: a change is planned from what stands; an old CSeq must not undo a newer one."""
    bench = Bench(2)
    bench.write(0, "", "v1", record(cseq=2))
    bench.has(0)
    bench.has(1)
    bench.take(0)
    bench.write(1, "", "v2", record(cseq=1), question=9)
    assert bench.take(1) == [("stands", 9, "v1", record(cseq=2))]


def test_changes_of_one_user_wait_for_each_other() -> None:
    """Answers and facts to one worker must not cross: the older record would stay."""
    bench = Bench(2)
    bench.write(0, "", "v1", record())
    bench.write(1, "", "v2", record("sip:other@192.0.2.3"), question=5)
    bench.has(0)
    bench.has(1)
    assert bench.take(1)[-1] == ("stands", 5, "v1", record())
    assert bench.take(0) == [("written", 1)]


def test_an_expired_record_is_none() -> None:
    """Workers forget an expired record by themselves, and write as if there were none."""
    bench = Bench(2)
    bench.write(0, "", "v1", record(until=-1.0), last=-1.0)
    for number in (0, 1):
        bench.has(number)
    bench.write(1, "", "v2", record())
    bench.has(0)
    assert bench.take(1) == [("written", 1)]
    bench.keeper.time_passed(1_000.0)
    assert len(bench.keeper) == 0


def test_a_location_of_several_nodes_decides() -> None:
    """Another node may have been quicker: what stands there is planned from."""
    shared: list[tuple[SharedWrite, Callable[[Any], None]]] = []
    bench = Bench(2)
    bench.keeper = Keeper(
        lambda number, message: bench.sent[number].append(message), Limits(), None,
        lambda write, done: shared.append((write, done)),
    )  # fmt: skip
    for number in range(2):
        list(bench.keeper.state(number))
    # What the keeper knows is no reason to refuse: the worker may have read a newer record.
    bench.write(1, "of another node", "v2", record())
    write, done = shared.pop()
    assert (write.aor, write.expected, write.version) == (AOR, "of another node", "v2")
    stands = unpacked(AOR, record("sip:bob@192.0.2.9", cseq=7))
    done(SharedRecord("v9", stands))
    assert bench.take(1)[-1] == ("stands", 1, "v9", packed(stands))
    # Without waiting for others: nothing was acknowledged.
    assert bench.take(0) == [("facts", 1, [("record", AOR, "v9", packed(stands))])]
    bench.write(1, "v9", "v3", record(), question=2)
    _, done = shared.pop()
    done(None)
    assert bench.take(1) == []
    bench.has(0)
    assert bench.take(1) == [("written", 2)]
    bench.write(0, "v3", "v4", record(), question=3)
    _, done = shared.pop()
    done(OSError("gone"))
    assert bench.take(0)[-1] == ("failed", 3, "gone")


def test_limits_aors() -> None:
    """``limits.aors`` bounds the memory of all, and a user who is known may still refresh."""
    bench = Bench(2, Limits(aors=1))
    bench.write(0, "", "v1", record())
    for number in (0, 1):
        bench.has(number)
    bench.take(0)
    bench.write(0, "", "v1", record(), aor="sip:eve@example.com", question=2)
    assert bench.take(0) == [("failed", 2, "too many addresses-of-record (limits.aors)")]
    bench.write(0, "v1", "v2", record(cseq=2), question=3)
    bench.has(1)
    assert bench.take(0) == [("written", 3)]


def test_the_store_comes_first() -> None:
    """What was acknowledged is on disk; what the store refuses is at no worker."""
    bench = Bench(2, store=True)
    bench.write(0, "", "v1", record())
    assert bench.take(1) == []
    [(update, done)] = bench.saved
    assert (update.before, update.after[0].contact) == ((), "sip:bob@192.0.2.2")
    done(OSError("disk full"))
    assert bench.take(0) == [("failed", 1, "disk full")]
    bench.write(0, "", "v1", record(), question=2)
    bench.saved[1][1](None)
    assert bench.take(1)[0][2][0][:3] == ("record", AOR, "v1")


def test_the_store_hears_of_what_changed_alone() -> None:
    """A binding that stays is the same object in both: the store writes the others."""
    bench = Bench(1, store=True)
    one, other = (unpacked(AOR, record(contact)) for contact in ("sip:bob@192.0.2.2", "sip:bob@192.0.2.3"))
    bench.write(0, "", "v1", packed(one))
    bench.saved[0][1](None)
    bench.has(0)
    bench.write(0, "v1", "v2", packed((*one, *other)))
    update = bench.saved[1][0]
    assert [binding.contact for binding in update.stored] == ["sip:bob@192.0.2.3"]
    assert update.removed == ()


def test_a_new_worker_gets_everything_first() -> None:
    """It must know connections before the bindings over them, and all of it before it reads a socket."""
    bench = Bench(2)
    bench.keeper.received(0, ("tell", [("opened", 7, "tcp", 1, ("192.0.2.2", 4))]), 0.0)
    bench.write(0, "", "v1", record())
    for number in (0, 1):
        bench.has(number)
    bench.keeper.gone(1)
    messages = list(bench.keeper.state(1))
    assert messages == [
        ("facts", 0, [("opened", 7, "tcp", 1, ("192.0.2.2", 4))]),
        ("facts", 0, [("record", AOR, "v1", record())]),
        ("begin", None),
    ]


def test_connections_of_a_dead_worker_close() -> None:
    """RFC 5626 7: one of the others removes their bindings from what all hold."""
    bench = Bench(3)
    bench.keeper.received(1, ("tell", [("opened", 7, "tcp", 1, ("192.0.2.2", 4))]), 0.0)
    assert bench.take(0) == bench.take(2)
    bench.keeper.gone(1)
    assert bench.take(0) == [("facts", 0, [("closed", 7, "its worker died", True)])]
    assert bench.take(2) == [("facts", 0, [("closed", 7, "its worker died", False)])]


def test_what_a_store_had_is_told() -> None:
    """After a restart of the server the bindings of the store are at every worker."""
    bench = Bench(0)
    assert bench.keeper.restore([Binding(AOR, "sip:bob@192.0.2.2", 60.0, "c", 1)], 0.0, 5.0) == 1
    messages = list(bench.keeper.state(0))
    assert messages[1][2][0][:2] == ("record", AOR)
    assert messages[-1] == ("begin", 5.0)
    assert bench.keeper.standing(AOR)[0].cseq == 1


def test_other_messages_are_the_parents() -> None:
    """The keeper must not swallow the reply to an operator."""
    assert not Bench(1).keeper.received(0, ("reply", 1, b""), 0.0)
