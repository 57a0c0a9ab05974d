"""One relay that stalls, is slow or answers oddly: what that costs the call in question, and all others."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.media import RelayChanged
from tests.modules.media.rig import FIRST, SDP, MediaRig, two
from tests.relays import Engine
from tests.rig import BOB, Out, reply, what


class Stalled(Engine):
    """An rtpengine that is stopped: its socket keeps what comes, and it answers when it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[bytes] | None = None

    def answer(self, data: bytes) -> list[bytes]:
        if self.queue is not None:
            self.queue.append(data)
            return []
        return super().answer(data)


class Deaf(Engine):
    """An rtpengine whose answer to a long description does not fit into a datagram: it never comes."""

    def answer(self, data: bytes) -> list[bytes]:
        return [] if len(data) > 5_000 else super().answer(data)


def resume(rig: StalledRig, relay: Stalled) -> list[Out]:
    """Let it answer everything that waits in its socket."""
    queue, relay.queue = relay.queue or [], None
    outs: list[Out] = []
    for data in queue:
        for found in relay.answer(data):
            outs += rig.take(rig.stack.datagram_received(rig.socket, found, FIRST, rig.now))
    return outs


class StalledRig(MediaRig):
    """Knows the socket of its only relay."""

    socket = 0

    def _to_relay(self, action: Any) -> list[Out]:
        self.socket = action.listener
        return super()._to_relay(action)


@pytest.mark.parametrize("seconds", [0.6, 1.1, 1.3])
def test_a_stall(seconds: float) -> None:
    """Item 13.3: 91 of 800 calls failed on a loaded machine, where a relay stood still for a second.

    Those fail that have waited for the whole deadline, and those that begin while the relay is down; once it
    goes on it is up at once, and nobody else waits for a rest to end.
    """
    relay = Stalled()
    rig = StalledRig({FIRST: relay})
    begun: dict[str, float] = {}
    refused: set[str] = set()
    went: set[str] = set()

    def note(outs: list[Out]) -> None:
        for out in outs:
            if out.what == "503":
                refused.add(out.message.call_id)
            elif out.what == "INVITE" and out.message.call_id not in went:
                went.add(out.message.call_id)
                rig.udp(reply(out, 486), BOB)

    start = rig.now
    stalled = [start + 1.0, start + 1.0 + seconds]
    # 50 calls a second for four seconds.
    for number in range(200):
        if relay.queue is None and stalled and rig.now >= stalled[0]:
            relay.queue = []
            stalled[0] = float("inf")
        if relay.queue is not None and rig.now >= stalled[1]:
            note(resume(rig, relay))
        begun[f"call{number}"] = rig.now - start
        note(rig.invite(number))
        note(rig.wait(0.02))
    note(rig.wait(2))
    assert len(went | refused) == 200
    # By the deadline of 1 s: calls of the first part of the stall, and of its last part; with a call's slack.
    over = max(0.0, seconds - 1.0)
    assert len(refused) <= 2 * (over * 50 + 2)
    assert seconds > 1 or not refused
    states = [event.state for event in rig.events if isinstance(event, RelayChanged)]
    assert states == (["down", "up"] if over else [])
    assert rig.command("media.list")[0]["state"] == "up"


def test_one_call_takes_no_relay_from_others() -> None:
    """A description whose answer never comes costs its own call the deadline, and no other call anything."""
    rig = MediaRig({FIRST: Deaf()})
    rig.invite(0, body=SDP + b"a=x:" + b"y" * 6_000 + b"\r\n")
    refused = []
    for number in range(1, 100):
        outs = rig.invite(number)
        assert "INVITE" in what(outs)
        refused += [out for out in rig.wait(0.02) if out.what == "503"]
    assert {out.message.call_id for out in refused} == {"call0"}
    assert not [event for event in rig.events if isinstance(event, RelayChanged)]


def test_alone_with_an_odd_call() -> None:
    """The same where nobody else calls: a ping beside the command tells that the relay lives."""
    rig = MediaRig({FIRST: Deaf()})
    rig.invite(0, body=SDP + b"a=x:" + b"y" * 6_000 + b"\r\n")
    assert "503" in what(rig.wait(1.1))
    assert not [event for event in rig.events if isinstance(event, RelayChanged)]
    assert "INVITE" in what(rig.invite(1))


def test_a_command_too_long() -> None:
    """What does not fit into a datagram is not sent: the call is refused at once, and the relay is well."""
    rig = MediaRig(limits={"message_size": 100_000})
    body = SDP + (b"a=x:" + b"y" * 900 + b"\r\n") * 71
    rig.invite(0, body=body + b"a=x:" + b"y" * (65_494 - len(body)) + b"\r\n")
    assert "503" in what(rig.log)
    assert "offer" not in rig.engine.commands
    assert "INVITE" in what(rig.invite(1))
    assert not [event for event in rig.events if isinstance(event, RelayChanged)]


def test_odd_answers_in_a_row() -> None:
    """A relay that lives and gives no description of use is asked last for a while, and stays up."""
    rig = two("empty")
    for number in range(40):
        assert "INVITE" in what(rig.invite(number))
    rows = {row["uri"]: row for row in rig.command("media.list")}
    bad = rows[f"ng:{FIRST[0]}:{FIRST[1]}"]
    # Three of them; and the pings that looked whether it lives.
    assert bad["failures"] == 3
    assert bad["state"] == "up"
    assert "odd" in bad["why"]
    # After ten seconds it gets a call again.
    rig.relays[FIRST].mood = "good"
    rig.wait(10.1)
    for number in range(40, 60):
        assert "INVITE" in what(rig.invite(number))
    rows = {row["uri"]: row for row in rig.command("media.list")}
    assert rows[f"ng:{FIRST[0]}:{FIRST[1]}"]["why"] == ""
    assert rig.relays[FIRST].calls


def test_too_many_questions() -> None:
    """A full queue of ours (``limits.module_questions``) does not count as a fault of the relay."""
    rig = MediaRig(limits={"module_questions": 2})
    rig.engine.mood = "silent"
    rig.invite(0)
    rig.invite(1)
    assert "503" in what(rig.invite(2))
    assert not [event for event in rig.events if isinstance(event, RelayChanged)]
