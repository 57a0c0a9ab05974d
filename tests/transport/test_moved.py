"""Where phones are that a NAT gave another port."""

from __future__ import annotations

from sansip.transport import Flow
from sansip.transport.moved import Moved

HOME = "198.51.100.1"


def at(port: int, listener: int = 0) -> Flow:
    return Flow("udp", listener, (HOME, port))


def test_follows() -> None:
    """One move, several, and back again."""
    moved = Moved(10)
    assert moved.address(at(1)) == (HOME, 1)
    moved.note(0, (HOME, 1), (HOME, 2))
    moved.note(0, (HOME, 2), (HOME, 3))
    assert moved.address(at(1)) == moved.address(at(2)) == (HOME, 3)
    assert moved.address(at(1, listener=1)) == (HOME, 1)
    moved.note(0, (HOME, 3), (HOME, 1))
    assert moved.address(at(2)) == moved.address(at(1)) == (HOME, 1)


def test_a_port_used_again() -> None:
    """Whoever is at an address now is not led away from it."""
    for somebody in ("registers", "calls"):
        moved = Moved(10)
        moved.note(0, (HOME, 1), (HOME, 2))
        if somebody == "registers":
            moved.note(0, None, (HOME, 1))
        else:
            moved.seen(at(1))
        assert moved.address(at(1)) == (HOME, 1)
        assert len(moved) == 0


def test_bounded() -> None:
    """``limits.moved``: the oldest is forgotten; a circle ends."""
    moved = Moved(3)
    for port in range(10):
        moved.note(0, (HOME, 2 * port), (HOME, 2 * port + 1))
    assert len(moved) == 3
    assert moved.address(at(0)) == (HOME, 0)
    assert moved.address(at(18)) == (HOME, 19)
    moved = Moved(3)
    for port in range(2):
        moved._moves[0, HOME, port] = (HOME, 1 - port)
    assert moved.address(at(0)) in ((HOME, 0), (HOME, 1))


def test_nothing_new() -> None:
    """A refresh from the same address is no move."""
    moved = Moved(3)
    moved.note(0, (HOME, 1), (HOME, 1))
    assert len(moved) == 0
