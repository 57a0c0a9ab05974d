"""A reload of all workers: the first judges, the others follow, and two never run at once."""

from __future__ import annotations

from typing import Any

from sansip_server.supervisor import Supervisor
from sansip_server.workers.questions import Questions
from sansip_server.workers.reloading import Reloading


class Rig:
    """Two workers, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.told: list[tuple[list[str], list[str]]] = []
        self.questions = Questions(self._send, lambda: [0, 1])
        self.reloading = Reloading(self.questions, Supervisor({}))
        for number in (0, 1):
            self.reloading.started(number)

    def _send(self, number: int, message: tuple[Any, ...]) -> None:
        self.asked.append((number, message[1]))

    def reload(self) -> None:
        self.reloading.reload(lambda done, failed: self.told.append((done, failed)))


def test_the_others_follow_the_first() -> None:
    """What the first worker has read the others read, and those that are started later."""
    rig = Rig()
    rig.reload()
    assert [number for number, _ in rig.asked] == [0]
    rig.questions.replied(0, 1, (["users"], []))
    assert [number for number, _ in rig.asked] == [0, 1]
    assert (rig.told, rig.reloading.count) == ([], 1)
    rig.questions.replied(1, 2, (["users"], ["a fault"]))
    assert rig.told == [(["users"], ["worker 1: a fault"])]


def test_one_that_serves_later() -> None:
    """A worker that was started before a reload, and serves only after it, follows once."""
    rig = Rig()
    assert rig.reloading.started(2) == 0
    rig.reload()
    rig.questions.replied(0, 1, (["users"], []))
    rig.asked.clear()
    rig.reloading.serves(2)
    assert rig.asked == [(2, 3)]
    rig.reloading.serves(2)
    assert rig.reloading.started(2) == 1
    rig.reloading.serves(2)
    assert rig.asked == [(2, 3)]


def test_a_fault_ends_it() -> None:
    """Settings that the first worker refuses reach no other."""
    rig = Rig()
    rig.reload()
    rig.questions.replied(0, 1, ([], ["a fault"]))
    assert [number for number, _ in rig.asked] == [0]
    assert (rig.told, rig.reloading.count) == ([([], ["a fault"])], 0)


def test_two_at_once() -> None:
    """The second is refused while the first runs, and can be had after it."""
    rig = Rig()
    rig.reload()
    rig.reload()
    assert len(rig.told) == 1
    assert "runs already" in rig.told[0][1][0]
    rig.questions.gone(0)
    rig.reload()
    assert len(rig.asked) == 2
