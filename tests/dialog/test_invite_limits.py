"""The limits of a session: ``requests_unanswered``, ``reliable_waiting``, ``session_size``, …"""

from __future__ import annotations

import pytest

from sansip.dialog import Received, SessionTimerSettings
from sansip.errors import LocalProtocolError
from sansip.limits import DEFAULT
from tests.dialog.messages import answer
from tests.dialog.pair import SDP, TYPE, Pair


def test_requests_unanswered() -> None:
    """A peer whose INFO has no answer cannot fill our memory: 503."""
    pair = Pair().answered()
    for _ in range(DEFAULT.requests_unanswered + 3):
        pair.alice.do(pair.alice.usage.request("INFO", [], b"", 1.0))
    assert pair.wire.count("503 INFO") == 3
    assert len(pair.bob.told(Received)) == DEFAULT.requests_unanswered


def test_reliable_waiting() -> None:
    """A user who rings again and again while no PRACK comes gets an error."""
    pair = Pair()
    pair.lost = {"183 INVITE": 100}
    for _ in range(DEFAULT.reliable_waiting + 1):
        pair.ring(183, b"", reliable=True)
    with pytest.raises(LocalProtocolError):
        pair.ring(183, b"", reliable=True)


def test_session_size() -> None:
    """A description that is too large to keep is not repeated: the refresh has no offer."""
    pair = Pair(
        headers=[("Allow", "INVITE, ACK, BYE"), ("Supported", "timer")],
        bob=SessionTimerSettings(interval=1800, refresher="uac"),
        offer=b"v=0" + b"x" * DEFAULT.session_size,
    ).answered()
    pair.at(900)
    assert pair.wire[0] == "INVITE"
    assert pair._sent[("alice", 314160, "INVITE")].body == b""


def test_modification_attempts() -> None:
    """A peer that answers 491 for ever does not keep us sending for ever: our user is told."""
    pair = Pair().answered()
    pair.lost = {"INVITE": 100}
    pair.alice.do(pair.alice.usage.invite(SDP, TYPE, 0.0))
    for attempt in range(DEFAULT.modification_attempts):
        assert not pair.alice.answers
        request = pair._sent[("alice", 314160 + attempt, "INVITE")]
        pair.alice.do(pair.alice.usage.response_received(request, answer(request, 491), pair.now))
        pair.at(pair.now + 5)
    assert pair.alice.answers == [("INVITE", 491)]
    assert pair.wire.count("INVITE (lost)") == DEFAULT.modification_attempts


def test_prompt_time() -> None:
    """RFC 3311 5.2: an UPDATE with an offer that our user does not answer in time gets a 504."""
    pair = Pair().answered()
    pair.alice.do(pair.alice.usage.update(SDP, TYPE, 0.0))
    pair.at(DEFAULT.prompt_time - 0.1)
    assert pair.wire == ["UPDATE"]
    pair.at(DEFAULT.prompt_time)
    assert pair.wire == ["UPDATE", "504 UPDATE"]
