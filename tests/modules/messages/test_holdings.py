"""The counts that limits are held against: what waits, and what a device has."""

from __future__ import annotations

from sansip.modules.messages.holdings import Holdings
from sansip.modules.messages.settings import MessagesSettings

BOB = "sip:bob@example.com"
EVE = "sip:eve@example.com"


def test_what_a_device_has_counts_no_more() -> None:
    """A user who fetches messages gets room for more; the row counts in the total until it is removed."""
    held, settings = Holdings(), MessagesSettings(per_user=2, per_sender=2)
    for number in range(2):
        held.count(BOB, str(number), EVE, 100.0)
    assert held.limit_of(settings, BOB, EVE, 1) == "per_user"
    held.fetched(BOB, "0")
    assert held.limit_of(settings, BOB, EVE, 1) == ""
    assert held.total == 2
    held.uncount(BOB, "0")
    held.uncount(BOB, "0")
    assert held.total == 1


def test_the_oldest_go_first() -> None:
    """Where a device has many, the oldest go; what waits stays."""
    held = Holdings()
    for number in range(5):
        held.count(BOB, str(number), EVE, 100.0)
    for number in (0, 1, 2):
        held.fetched(BOB, str(number))
    assert held.surplus(BOB, 3) == ["0", "1"]
    assert held.surplus(BOB, 5) == []
