"""sansip.seat: whose branch, tag and connection it is."""

from __future__ import annotations

from sansip.seat import MOST, Seat, seat_of_branch, seat_of_connection


class NoDirectory:
    def claim(self, key: str) -> int:
        return 0

    def find(self, key: str) -> int | None:
        return None


def seat(number: int, count: int = 3, incarnation: int = 0) -> Seat:
    return Seat(number, count, 7, incarnation, NoDirectory())


def test_marks_name_the_other_workers() -> None:
    """A response goes to another worker only if its branch says so; each spelling of a mark is one letter."""
    assert [seat_of_branch(seat(0), f"z9hG4bK{mark}12.x") for mark in "ABCD"] == [None, 1, 2, None]
    # RFC 3261 17.2.3: peers of RFC 2543 have branches without the magic cookie, or none.
    assert seat_of_branch(seat(0), None) is None
    assert seat_of_branch(seat(0), "z9hG4bK") is None
    assert seat_of_branch(seat(0), "1") is None


def test_each_worker_has_a_mark_of_its_own() -> None:
    """Two workers with one mark would take each other's responses."""
    marks = {seat(number, MOST).mark for number in range(MOST)}
    assert len(marks) == MOST
    assert all(len(mark) == 1 and mark.isupper() for mark in marks)


def test_digits_name_the_other_workers() -> None:
    """A dialog's mark ends with one: what no worker wrote leads nowhere."""
    assert [seat(1).other_by(digit) for digit in ("0", "1", "2", "3", "f", "g", "")] == [
        *(0, None, 2),
        *([None] * 4),
    ]
    assert len({seat(number, MOST).digit for number in range(MOST)}) == MOST


def test_no_connection_number_comes_twice() -> None:
    """A number in a flow token outlives its process: it must not lead to a stranger's connection."""
    begins = {seat(number, 3, life).first_connection for number in range(3) for life in range(50)}
    assert len(begins) == 150
    for number in range(3):
        assert seat_of_connection(seat(number, 3, 49).first_connection + 1) == number
        # RFC 5626 5.2: a token has 48 bits for it.
        assert seat(MOST - 1, MOST, (1 << 15) - 1).first_connection < 1 << 48


def test_one_worker_owns_each_key() -> None:
    """Work that one worker does for all is done, and done once."""
    for key in ("sip:a@b", "sip:\udce4@b", ""):
        assert sum(seat(number).owns(key) for number in range(3)) == 1
