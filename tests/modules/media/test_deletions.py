"""Deletions: they go together, none is lost where the relay lives, and none is kept where it does not."""

from __future__ import annotations

import pytest

from sansip.modules.media.deletions import AT_ONCE, PAUSE
from tests.modules.media.rig import FIRST, MediaRig
from tests.modules.media.test_relay import Stalled, StalledRig, resume
from tests.relays import Engine
from tests.rig import BOB, only, reply


def end(rig: MediaRig, number: int) -> None:
    """Have a call end that was answered."""
    rig.udp(reply(only(rig.within("BYE", number, cseq=2), "BYE"), 200), BOB)


def test_calls_that_end_together() -> None:
    """The first deletion goes at once; those of the next tenth of a second go together, in one moment."""
    rig = MediaRig()
    byes = []
    for number in range(4):
        rig.answered(number)
        byes.append(only(rig.within("BYE", number, cseq=2), "BYE"))
    rig.octets.clear()
    for bye in byes:
        rig.udp(reply(bye, 200), BOB)
        rig.wait(0.01)
    assert rig.engine.commands.count("delete") == 1
    rig.wait(PAUSE)
    assert rig.engine.commands.count("delete") == 4
    times = [at for at, _, data in rig.octets if b"6:delete" in data]
    assert times[0] + PAUSE <= times[1] == times[2] == times[3]
    # Each has a cookie of its own: a relay answers one that it knows with the old answer.
    assert len({data.partition(b" ")[0] for _, _, data in rig.octets}) == 4
    assert not rig.engine.calls


def test_no_pause_for_a_rare_call() -> None:
    """Where calls end one by one each deletion follows its BYE."""
    rig = MediaRig()
    for number in range(3):
        rig.answered(number)
        end(rig, number)
        assert not rig.engine.calls
        rig.wait(1.0)


def test_many_at_once_wait_for_answers_alone() -> None:
    """Where more calls end than may be deleted at once, each answer makes room: no pause is in between."""
    rig = MediaRig()
    rig.wait(1.0)
    _deletions(rig, 4 * AT_ONCE)
    # The rest is fewer than go at once, and gathers.
    assert len(rig.engine.commands) > 2 * AT_ONCE
    rig.wait(3 * PAUSE)
    assert rig.engine.commands == ["delete"] * 4 * AT_ONCE


def test_many_calls_end_at_once() -> None:
    """A thousand calls end in one moment: the relay gets 64 deletions at a time, and in the end all."""
    relay = Stalled()
    rig = StalledRig({FIRST: relay})
    rig.invite()
    (one,) = rig.media._relays
    before = len(relay.commands)
    relay.queue = []
    for number in range(1_000):
        one.deletions.tell(b"d7:call-id4:%04d7:command6:delete8:from-tag1:ae" % number, rig.now)
    rig.wait(0.15)
    while queue := relay.queue:
        assert len(queue) <= 64
        relay.queue = []
        # Each answer makes room for one more.
        for data in queue:
            for found in Engine.answer(relay, data):
                rig.take(rig.stack.datagram_received(rig.socket, found, FIRST, rig.now))
        rig.wait(0.15)
    assert relay.commands[before:] == ["delete"] * 1_000


class Forgetful(Engine):
    """An rtpengine whose answers to the first deletions are lost."""

    lost = 64

    def answer(self, data: bytes) -> list[bytes]:
        answers = super().answer(data)
        if b"7:command6:delete" in data:
            cookies = {cookie for cookie, asked in self.asked if asked["command"] == b"delete"}
            return answers if len(cookies) > self.lost else []
        return answers


def _deletions(rig: MediaRig, number: int) -> None:
    """Have so many calls end."""
    (one,) = rig.media._relays
    for each in range(number):
        one.deletions.tell(b"d7:call-id4:%04d7:command6:delete8:from-tag1:ae" % each, rig.now)
    rig.wait(0.15)


def test_deletions_without_an_answer() -> None:
    """Those that wait go on after deletions that nothing answers, of a relay that lives, and no call ends."""
    relay = Forgetful()
    rig = MediaRig({FIRST: relay})
    _deletions(rig, 100)
    # It answers something else meanwhile.
    rig.wait(0.3)
    rig.invite()
    rig.wait(2.0)
    assert rig.command("media.list")[0]["state"] == "up"
    assert relay.commands.count("delete") == 100
    assert rig.media._relays.get(f"ng:{FIRST[0]}:{FIRST[1]}").deletions.under_way == 0


def test_deletions_wait_for_room() -> None:
    """``limits.module_questions`` is reached: calls that end free their ports once it is not."""
    relay = Stalled()
    rig = StalledRig({FIRST: relay}, limits={"module_questions": 2})
    rig.wait(0.1)
    relay.queue = []
    rig.invite(0)
    rig.invite(1)
    _deletions(rig, 3)
    assert not [data for data in relay.queue if b"6:delete" in data]
    resume(rig, relay)
    rig.wait(3.0)
    assert relay.commands.count("delete") == 3
    (one,) = rig.media._relays
    assert (len(one.deletions), one.deletions.under_way) == (0, 0)


def test_a_deletion_that_never_fits() -> None:
    """It is dropped, and those behind it go."""
    rig = MediaRig()
    (one,) = rig.media._relays
    one.deletions.tell(b"d7:command6:delete1:x66000:%be" % (b"x" * 66_000), rig.now)
    _deletions(rig, 1)
    assert rig.engine.commands == ["delete"]
    assert (len(one.deletions), one.deletions.under_way) == (0, 0)


def test_deletions_of_a_dead_relay() -> None:
    """What it is to forget is forgotten with it: a relay ends calls without packets by itself."""
    relay = Stalled()
    rig = StalledRig({FIRST: relay})
    rig.invite()
    rig.wait(0.1)
    (one,) = rig.media._relays
    relay.queue = []
    for number in range(1_000):
        one.deletions.tell(b"d7:call-id4:%04d7:command6:delete8:from-tag1:ae" % number, rig.now)
    rig.wait(1.5)
    assert rig.command("media.list")[0]["state"] == "down"
    assert (len(one.deletions), one.deletions.under_way) == (0, 0)
    assert len({data.partition(b" ")[0] for data in relay.queue if b"delete" in data}) == 64


@pytest.mark.parametrize("how", ["answered", "silent", "refused", "twice"])
def test_nobody_waits_for_them(how: str) -> None:
    """A runtime reads their answers when it likes, and those to offers at once (``Sockets.patient``)."""
    relay = Stalled()
    rig = StalledRig({FIRST: relay})
    sockets = rig.stack.sockets
    byes = []
    for number in range(2):
        rig.answered(number)
        byes.append(only(rig.within("BYE", number, cseq=2), "BYE"))
    rig.wait(0.3)
    assert (sockets.questions, sockets.patient) == (0, 0)
    relay.queue = []
    rig.invite(5)
    assert (sockets.questions, sockets.patient) == (1, 0)
    for bye in byes:
        rig.udp(reply(bye, 200), BOB)
    rig.wait(PAUSE)
    assert (sockets.questions, sockets.patient) == (3, 2)
    if how == "refused":
        rig.take(rig.stack.send_failed(rig.socket, "refused", rig.now))
        # The calls of a relay that is down are ended by time.
        assert sockets.patient == 0
    elif how != "silent":
        queue = list(relay.queue)
        resume(rig, relay)
        if how == "twice":
            relay.queue = queue
            resume(rig, relay)
        assert (sockets.questions, sockets.patient) == (0, 0)
    rig.wait(3.0)
    relay.queue = None
    rig.wait(30.0)
    assert (sockets.questions, sockets.patient) == (0, 0)
