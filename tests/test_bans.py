"""One list of the addresses that are not listened to."""

from __future__ import annotations

from typing import Any

from sansip.bans import Ban, Bans
from sansip.module import DROP, PASS, Module, Use
from sansip.sources import source_of
from tests.rig import ALICE, Rig, request, what


def test_a_ban_ends_by_itself() -> None:
    bans = Bans(10)
    bans.add(Ban("digest", "192.0.2.1", "alice", 10.0, "guesses"), 0.0)
    assert bans.find("digest", "192.0.2.1", "alice", 9.9)
    assert bans.find("digest", "192.0.2.1", "", 0.0) is None
    assert [ban.source for ban in bans.standing(9.9)] == ["192.0.2.1"]
    assert bans.standing(10.0) == []
    assert bans.find("digest", "192.0.2.1", "alice", 10.0) is None
    assert len(bans) == 0


def test_keepers_are_strangers() -> None:
    """The keeper of a ban decides what the ban means: a ban on packets is no ban on passwords."""
    bans = Bans(10)
    heard: list[Ban] = []
    bans.keep("digest", heard.append)
    bans.add(Ban("floods", "192.0.2.1", "", 10.0, "floods"), 0.0)
    assert bans.find("digest", "192.0.2.1", "", 0.0) is None
    bans.add(Ban("digest", "192.0.2.1", "alice", 10.0, "guesses"), 0.0)
    assert [ban.keeper for ban in bans.standing(0.0)] == ["floods", "digest"]
    # An operator lifts what stands there, from any keeper; its keeper hears of it.
    assert len(bans.lift("192.0.2.1")) == 2
    assert [ban.user for ban in heard] == ["alice"]
    assert bans.lift("192.0.2.1") == []


def test_for_one_user() -> None:
    bans = Bans(10)
    for user in ("alice", "bob"):
        bans.add(Ban("digest", "192.0.2.1", user, 10.0, "guesses"), 0.0)
    assert [ban.user for ban in bans.lift("192.0.2.1", "bob")] == ["bob"]
    assert [ban.user for ban in bans.standing(0.0)] == ["alice"]


def test_the_list_is_bounded() -> None:
    """``limits.bans``: bans that are over go first, then the oldest."""
    bans = Bans(3)
    bans.add(Ban("digest", "over", "", 1.0, ""), 0.0)
    for number in range(3):
        bans.add(Ban("digest", str(number), "", 10.0 + number, ""), 5.0)
    assert [ban.source for ban in bans.standing(5.0)] == ["0", "1", "2"]
    bans.add(Ban("digest", "3", "", 20.0, ""), 5.0)
    assert [ban.source for ban in bans.standing(5.0)] == ["1", "2", "3"]


class Quiet(Module):
    """Does not listen to an address that says BAD."""

    name = "quiet"

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        bans, source = self.core.bans, source_of(flow.host)
        if bans.find(self.name, source, "", now):
            return DROP
        if message.has("x-bad"):
            bans.add(Ban(self.name, source, "", now + 60.0, "said BAD"), now)
        return PASS


def test_a_module_keeps_its_bans_there() -> None:
    """All protections share one list, and a ban that an operator lifts there is over for its keeper."""
    rig = Rig(modules=[Use(Quiet)])
    options = request("OPTIONS", "sip:biloxi.test")
    bad = request("OPTIONS", "sip:biloxi.test", branch="z9hG4bKbad", headers=[("X-Bad", "yes")])
    assert what(rig.udp(bad)) == ["200"]
    assert rig.udp(options) == []
    (ban,) = rig.stack.bans.standing(rig.now)
    assert (ban.keeper, ban.source, ban.reason) == ("quiet", ALICE[0], "said BAD")
    assert rig.stack.lift(ALICE[0], None, rig.now) == [ban]
    assert what(rig.udp(options)) == ["200"]
