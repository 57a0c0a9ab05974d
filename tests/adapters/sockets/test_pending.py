"""Results that are waited for: given before, after, or never."""

from __future__ import annotations

import pytest

from sansip_sockets.inbox import Inbox
from sansip_sockets.pending import Late, Pending
from sansip_sockets.waits import Bell


def test_given_before_and_after() -> None:
    """A waiter that comes after the bell rang hears it at once; a second result changes nothing."""
    rung: list[int] = []
    early: Pending[int] = Pending()
    early.give(1)
    early.give(2)
    early.tell(lambda: rung.append(1))
    late: Pending[int] = Pending()
    work = late.result()
    assert next(work) is late
    late.tell(lambda: rung.append(2))
    late.give(7)
    assert rung == [1, 2]
    with pytest.raises(StopIteration) as end:
        next(work)
    assert end.value.value == 7


def test_late() -> None:
    """The deadline is raised where the result is waited for."""
    work = Pending[int]().result()
    next(work)
    with pytest.raises(Late, match="no answer"):
        work.throw(Late("no answer in 1 s"))


def test_a_bell_rings_in_the_next_turn() -> None:
    """The bell rings in the next turn, so a pump is never entered while another one runs.

    A bell without a waiter is silent.
    """
    inbox = Inbox()
    bell = Bell(inbox)
    heard: list[int] = []
    bell.ring()
    bell.resume = lambda: heard.append(1)
    assert heard == []
    for function, args in inbox.take():
        function(*args)
    assert heard == [1]
    inbox.close()
