"""Whether a loop is held, by its beats on a clock of the test's."""

from __future__ import annotations

from sansip_sockets.loop_state import ENDED, HEEDED, PATIENCE, TICK, LoopState, Sight

DRAIN = 32.0


class Looks:
    """A look each ``TICK``, at a loop that beats when the test says so."""

    def __init__(self) -> None:
        self.state = LoopState(DRAIN)
        self.now = 100.0
        self.beats = 1
        self.look()

    def look(self, after: float = TICK) -> Sight:
        self.now += after
        return self.state.look(self.beats, self.now)

    def seen(self, seconds: float) -> list[Sight]:
        """Return the messages of the looks of ``seconds``; a look that says nothing adds nothing."""
        looks = [self.look() for _ in range(round(seconds / TICK))]
        return [one for one in looks if one is not Sight.QUIET]

    def beat(self) -> Sight:
        self.beats += 1
        return self.look()


def test_an_idle_loop_is_asked() -> None:
    """It beats when it is woken, which is all that is wanted of it."""
    looks = Looks()
    for _ in range(100):
        assert looks.look() is Sight.QUIET
        assert looks.beat() is Sight.FREE


def test_a_held_loop_is_told_once() -> None:
    """The log tells the end of the hold as well, and how long it took."""
    looks = Looks()
    assert looks.seen(PATIENCE) == []
    assert looks.seen(5) == [Sight.HELD]
    assert looks.beat() is Sight.FREED
    assert round(looks.state.held, 2) == PATIENCE + 5
    assert looks.seen(PATIENCE + 2 * TICK) == [Sight.HELD]


def test_who_looks_too_late_judges_nothing() -> None:
    """A machine that slept for an hour, or was busy with others: the loop had no chance either."""
    looks = Looks()
    assert looks.look(3600.0) is Sight.STOPPED
    assert looks.state.held == 3600.0
    assert looks.seen(PATIENCE - TICK) == []


def test_a_signal_that_is_heard() -> None:
    """The loop comes round and drains; it is given the time for that."""
    looks = Looks()
    looks.state.end_asked(looks.beats, looks.now)
    assert looks.look() is Sight.QUIET
    assert looks.beat() is Sight.FREE
    assert looks.seen(DRAIN) == [Sight.HELD]


def test_a_signal_that_is_not_heard() -> None:
    """The process ends without its loop, a second after the signal, however long it was held before."""
    looks = Looks()
    assert looks.seen(60) == [Sight.HELD]
    looks.state.end_asked(looks.beats, looks.now)
    assert looks.seen(HEEDED - 2 * TICK) == []
    assert Sight.ABANDON in looks.seen(3 * TICK)


def test_a_beat_from_before_the_signal() -> None:
    """It came round, was held, and the signal came, all between two looks: it has not heard of it."""
    looks = Looks()
    looks.beats += 1
    looks.state.end_asked(looks.beats, looks.now)
    assert Sight.ABANDON in looks.seen(HEEDED + 3 * TICK)


def test_a_loop_that_is_held_while_it_drains() -> None:
    """An operator rarely sends a second signal: when the time for draining is over, the process ends."""
    looks = Looks()
    looks.state.end_asked(looks.beats, looks.now)
    looks.beat()
    assert looks.seen(DRAIN + ENDED - 2 * TICK) == [Sight.HELD]
    assert Sight.ABANDON in looks.seen(4 * TICK)


def test_a_machine_that_slept_after_the_signal() -> None:
    """The second begins anew, or every suspended laptop would lose what is draining."""
    looks = Looks()
    looks.state.end_asked(looks.beats, looks.now)
    assert looks.look(3600.0) is Sight.STOPPED
    assert looks.look() is Sight.QUIET
    assert looks.beat() is Sight.FREE
