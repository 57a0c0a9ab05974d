"""sansip_sockets.mesh: messages between workers, on real sockets that one turn of a pump empties."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sansip.actions import PassOn
from sansip.seat import Seat
from sansip_sockets.mesh import LONGEST, Mesh, inboxes

BOB = ("192.0.2.2", 5060)


class Bench:
    """Two workers; ``taken`` is what the second one got, and ``reports`` its faults."""

    def __init__(self) -> None:
        self.pairs = inboxes(2)
        self.taken: list[bytes] = []
        self.reports: list[str] = []
        writers = [writer for _, writer in self.pairs]
        self.meshes = [
            Mesh(self._hub(), Seat(number, 2, 1, 0, None), self.pairs[number][0], writers)
            for number in range(2)
        ]
        for pump in self._pumps:
            next(pump)

    _pumps: list[Any]

    def _hub(self) -> Any:
        self._pumps = getattr(self, "_pumps", [])

        def passed_on(*given: Any) -> list[Any]:
            self.taken.append(given[2])
            return []

        driver = SimpleNamespace(stack=SimpleNamespace(passed_on=passed_on), outgoing=lambda out, now: out)
        return SimpleNamespace(
            driver=driver,
            clock=lambda: 0.0,
            perform=lambda out, now: None,
            perform_by=lambda ways: None,
            spawn=self._pumps.append,
            report=lambda text, error: self.reports.append(text),
        )

    def turn(self) -> list[bytes]:
        """Let the second worker read; return what it got."""
        self._pumps[1].send(True)
        taken, self.taken = self.taken, []
        return taken

    def close(self) -> None:
        for pair in self.pairs:
            for sock in pair:
                sock.close()


@pytest.fixture
def bench() -> Any:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("size", [1, 100_000, 300_000])
def test_message_comes_whole(bench: Bench, size: int) -> None:
    """Up to what an operator may set as limits.message_size, while the system takes it."""
    bench.meshes[0]._pass_on(PassOn(1, 0, 0, b"x" * size, BOB))
    if not bench.meshes[0].dropped:
        assert bench.turn() == [b"x" * size]
    bench.meshes[0]._pass_on(PassOn(1, 0, 0, b"y", BOB))
    assert bench.turn() == [b"y"]


def test_one_that_is_too_long_is_dropped_and_counted(bench: Bench) -> None:
    """A message that the reader would cut off must not leave: what is behind it is read all the same."""
    bench.meshes[0]._pass_on(PassOn(1, 0, 0, b"x" * (LONGEST + 1), BOB))
    assert bench.meshes[0].dropped == 1
    bench.meshes[0]._pass_on(PassOn(1, 0, 0, b"y", BOB))
    assert bench.turn() == [b"y"]


def test_octets_that_are_no_message_end_nothing(bench: Bench) -> None:
    """A worker that stops to read its inbox would lose every message of the others, for good."""
    bench.pairs[1][1].send(b"\xff")
    bench.meshes[0]._pass_on(PassOn(1, 0, 0, b"y", BOB))
    assert bench.turn() == [b"y"]
    assert bench.reports == ["a message from another worker"]
