"""sansip_server.workers.boards: what modules of several workers have in common."""

from __future__ import annotations

from sansip.limits import Limits
from sansip_server.workers.boards import Boards


def test_of_many_at_once_as_many_pass_as_there_is_room() -> None:
    """Kamailio's counters drift: these are those of living workers, and none is counted twice."""
    boards = Boards(Limits())
    assert [boards.admit(number % 2, "a", 2) for number in range(6)] == [True, True] + [False] * 4
    boards.note(1, ("held", "a", -1))
    assert boards.admit(0, "a", 2)
    assert boards.counts() == [("held", "a", 2)]
    # The worker with both calls dies.
    assert boards.gone(0) == [("held", "a", -2)]
    assert boards.counts() == []
    assert boards.gone(1) == []
    assert boards.admit(1, "a", 1)


def test_a_new_worker_hears_the_last_word() -> None:
    """A gateway that is down stays down for a worker that starts."""
    boards = Boards(Limits())
    for word in (1, 2):
        boards.note(0, ("said", "lcr", "a", word))
    boards.note(0, ("own", "lcr", "b", 3))
    boards.note(0, ("said", "lcr", "c", 4))
    boards.note(1, ("said", "lcr", "c", None))
    assert list(boards.words()) == [[("said", "lcr", "a", 2), ("said", "lcr", "b", 3)]]
    # What a worker said about itself goes with it.
    assert boards.gone(0) == [("said", "lcr", "b", None)]
    assert list(boards.words()) == [[("said", "lcr", "a", 2)]]


def test_words_are_read_as_they_stand() -> None:
    """A worker that is told them gets newer ones between: an older one must not come behind."""
    boards = Boards(Limits())
    for number in range(600):
        boards.note(0, ("said", "m", str(number), 0))
    words = boards.words()
    assert len(next(words)) == 500
    boards.note(0, ("said", "m", "599", 1))
    assert next(words)[-1] == ("said", "m", "599", 1)


def test_limits_shared_values() -> None:
    """A module that says a word for each call must not fill the parent."""
    boards = Boards(Limits(shared_values=3))
    for number in range(9):
        boards.note(0, ("said", "m", str(number), number))
    assert [fact[2] for words in boards.words() for fact in words] == ["6", "7", "8"]


def test_words_that_a_worker_took_back_leave_nothing() -> None:
    """A module says a word about each user for as long as he calls: the parent lives for months."""
    boards = Boards(Limits())
    for number in range(9):
        boards.note(0, ("own", "m", str(number), number))
        boards.note(0, ("own", "m", str(number), None))
    assert boards._own == {0: {}}
    assert boards.gone(0) == []


def test_words_beyond_the_limit_are_taken_back_from_the_others() -> None:
    """They have heard them: a call that goes on at a dead worker would use up its user's quota for ever."""
    boards = Boards(Limits(shared_values=1))
    for key in ("a", "b"):
        boards.note(0, ("own", "quotas", key, 1))
    assert boards.gone(0) == [("said", "quotas", key, None) for key in ("a", "b")]
