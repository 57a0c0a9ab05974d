"""Datagrams that wait, by source: in which order they are served, and how much of each is held."""

from __future__ import annotations

import pytest

from sansip.actions import Address
from sansip_sockets.backlog import CROWD, OVERHEAD, Backlog

HONEST = ("192.0.2.1", 5060)


def backlog(room: int = 10_000_000, crowd: str = "") -> Backlog:
    return Backlog(room, lambda source: source[0] == crowd)


def flood(waiting: Backlog, host: str, count: int, size: int = 100) -> int:
    """Have ``count`` datagrams of ``host`` wait, each from a port of its own; return how many do."""
    return sum(not waiting.put((b"x" * size, (host, 1024 + number))) for number in range(count))


@pytest.mark.parametrize("floods", [1, 3, 10])
def test_who_asks_once_waits_for_one_of_each_flooder(floods: int) -> None:
    """However many datagrams came before: as many are served first as there are sources."""
    waiting = backlog()
    for number in range(floods):
        assert flood(waiting, f"198.51.100.{number}", 400) == 400
    waiting.put((b"honest", HONEST))
    served = waiting.take(floods + 1)
    assert served[-1] == (b"honest", HONEST)
    # The next one that comes waits no longer than the first.
    waiting.put((b"again", HONEST))
    assert (b"again", HONEST) in waiting.take(floods + 1)


def test_those_of_one_source_stay_in_their_order() -> None:
    """A CANCEL must not overtake its INVITE, from whatever port it comes."""
    waiting = backlog()
    flood(waiting, "198.51.100.1", 50)
    ports = [4000, 4001, 4000, 4002]
    for number, port in enumerate(ports):
        waiting.put((b"%d" % number, (HONEST[0], port)))
    taken: list[tuple[bytes, Address]] = []
    while waiting:
        taken += waiting.take(7)
    assert [data for data, source in taken if source[0] == HONEST[0]] == [b"0", b"1", b"2", b"3"]
    assert len(taken) == 54


def test_datagram_backlog() -> None:
    """limits.datagram_backlog: one source alone gets half of the room, so another source finds some."""
    one = 100 + OVERHEAD
    waiting = backlog(100 * one)
    held = [flood(waiting, f"198.51.100.{number}", 1_000) for number in range(5)]
    assert held == [50, 25, 13, 6, 3]
    assert waiting.dropped == 5_000 - sum(held)
    assert waiting.put((b"x", HONEST)) == ""
    # Served datagrams make room again.
    while waiting:
        waiting.take(16)
    assert flood(waiting, "198.51.100.1", 1_000) == 50


def test_many_sources_fill_no_more_than_the_room() -> None:
    """Sources can be forged: each new one takes a part of what is left, never more."""
    waiting = backlog(100 * (100 + OVERHEAD))
    held = [flood(waiting, f"198.51.{number // 250}.{number % 250}", 1) for number in range(1_000)]
    assert sum(held) == 100
    assert waiting.put((b"x" * 100, HONEST)) == HONEST[0]


def test_an_ipv6_flooder_has_one_line() -> None:
    """RFC 6177: a site has a /64 at least, so its addresses count as one source."""
    waiting = backlog()
    for number in range(100):
        flood(waiting, f"2001:db8::{number:x}", 1)
    waiting.put((b"honest", HONEST))
    assert waiting.take(2)[1] == (b"honest", HONEST)


def test_a_carrier_is_many_people() -> None:
    """[[trusted]]: a carrier's one address is served, and held, like many sources."""
    one = 100 + OVERHEAD
    waiting = backlog(100 * one, crowd="203.0.113.1")
    assert flood(waiting, "198.51.100.1", 10) == 10
    # 16 times what is free: all but a sixteenth of it.
    assert 80 < flood(waiting, "203.0.113.1", 1_000) <= 90
    assert [source[0] for _, source in waiting.take(1 + CROWD + 1)] == (
        ["198.51.100.1"] + ["203.0.113.1"] * CROWD + ["198.51.100.1"]
    )


def test_a_room_that_is_full_stays_so_for_a_crowd() -> None:
    """A crowd's share is a factor of the free room; where no room is free, the share is nothing."""
    waiting = backlog(10 * (100 + OVERHEAD), crowd="203.0.113.1")
    assert flood(waiting, "203.0.113.1", 100) <= 10
    assert waiting.put((b"x" * 100, HONEST)) in ("", HONEST[0])
