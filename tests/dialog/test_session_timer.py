"""Session timers, RFC 4028, in both roles."""

from __future__ import annotations

import pytest

from sansip.dialog import (
    Ended,
    Offered,
    SessionTimer,
    SessionTimerSettings,
    interval_after_422,
    session_refusal,
)
from tests.dialog.messages import answer, invite
from tests.dialog.pair import SDP, Pair

SUPPORTED = ("Supported", "timer")


def settings(interval: int = 1800, refresher: str = "") -> SessionTimerSettings:
    """Return the wishes of one side."""
    return SessionTimerSettings(interval=interval, refresher=refresher)


@pytest.mark.parametrize(
    ("supported", "asked", "answered", "require"),
    [
        # RFC 4028 9, table 2, row by row.
        (False, "1800", "1800;refresher=uas", None),
        (True, "1800", "1800;refresher=uac", "timer"),
        (True, "1800;refresher=uac", "1800;refresher=uac", "timer"),
        (True, "1800;refresher=uas", "1800;refresher=uas", "timer"),
    ],
)
def test_who_refreshes(supported: bool, asked: str, answered: str, require: str | None) -> None:
    """Two that both believe the other refreshes lose the call after half an hour."""
    timer = SessionTimer(settings())
    headers = dict(
        timer.accept(invite(headers=[("Session-Expires", asked), *([SUPPORTED] if supported else [])]), 0.0)
    )
    assert headers["Session-Expires"] == answered
    assert headers.get("Require") == require
    assert timer.we_refresh is answered.endswith("uas")


def test_the_side_that_refreshes_and_the_side_that_waits() -> None:
    """RFC 4028 7.2: after half the interval; RFC 4028 10: BYE 32 s, or a third, before the end."""
    timer = SessionTimer(settings(refresher="uas"))
    timer.accept(invite(headers=[SUPPORTED, ("Session-Expires", "1800;refresher=uas")]), 100.0)
    assert (timer.refresh_at, timer.expires_at) == (1000.0, 1900.0)
    timer.accept(invite(headers=[SUPPORTED, ("Session-Expires", "1800;refresher=uac")]), 100.0)
    assert (timer.refresh_at, timer.expires_at) == (None, 1868.0)
    timer.accept(invite(headers=[SUPPORTED, ("Session-Expires", "90;refresher=uac")]), 100.0)
    assert timer.expires_at == 160.0


def test_too_short_a_session_is_refused() -> None:
    """RFC 4028 9: 422 with Min-SE, to a peer that understands it."""
    short = ("Session-Expires", "60")
    refusal = session_refusal(invite(headers=[SUPPORTED, short]), settings())
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (422, (("Min-SE", "90"),))
    assert session_refusal(invite(headers=[SUPPORTED, ("Session-Expires", "90")]), settings()) is None
    # A caller that does not know the timer is served without one: it must not be made longer (RFC 4028 9).
    assert session_refusal(invite(headers=[short]), settings()) is None
    assert SessionTimer(settings()).accept(invite(headers=[short]), 0.0) == []


@pytest.mark.parametrize("seconds", [0, 1, 89])
def test_a_peer_cannot_make_us_refresh_all_the_time(seconds: int) -> None:
    """RFC 4028 11: "Session-Expires: 1;refresher=uac" in a 2xx would have us send twice a second."""
    timer = SessionTimer(settings())
    request = invite()
    timer.accepted(request, answer(request, 200, [("Session-Expires", f"{seconds};refresher=uac")]), 0.0)
    assert (timer.refresh_at, timer.expires_at) == (45.0, 90.0)


@pytest.mark.parametrize("value", ["4294967295", "99999999999", "x", "1800;refresher=nobody"])
def test_strange_values(value: str) -> None:
    """No value of a peer raises, or runs off the end of a clock."""
    timer = SessionTimer(settings())
    request = invite(headers=[SUPPORTED, ("Session-Expires", value), ("Min-SE", value)])
    timer.accept(request, 0.0)
    timer.accepted(request, answer(request, 200, [("Session-Expires", value)]), 0.0)
    assert session_refusal(request, settings()) is None
    interval_after_422(request, answer(request, 422, [("Min-SE", value)]))
    assert timer.expires_at is None or timer.expires_at < 2**31


def test_a_peer_without_timers() -> None:
    """RFC 4028 7.2: asked for, not answered: we refresh for our own benefit. Not asked for: none."""
    timer = SessionTimer(settings())
    request = invite(headers=[("Session-Expires", "600")])
    timer.accepted(request, answer(request), 0.0)
    assert (timer.interval, timer.we_refresh) == (600, True)
    timer.accepted(invite(), answer(invite()), 0.0)
    assert (timer.interval, timer.refresh_at, timer.expires_at) == (0, None, None)


def test_422_raises_the_interval_once() -> None:
    """RFC 4028 7.3, 7.4; the caller does not ask again where the server refuses its own interval with 422."""
    timer = SessionTimer(settings(interval=90))
    request = invite(headers=[("Session-Expires", "90")])
    refused = answer(request, 422, [("Min-SE", "300")])
    assert interval_after_422(request, refused) == 300
    assert timer.refused(request, refused)
    assert timer.request_headers() == [("Session-Expires", "300"), ("Min-SE", 300)]
    again = invite(headers=[("Session-Expires", "300")])
    assert not timer.refused(again, answer(again, 422, [("Min-SE", "300")]))
    assert not timer.refused(again, answer(again, 422))
    assert not timer.refused(again, answer(again, 500, [("Min-SE", "900")]))


def test_the_role_stays_with_its_owner() -> None:
    """RFC 4028 7.4: "refresher" names the sender of the refresh or the other one, not the caller."""
    timer = SessionTimer(settings())
    timer.accept(invite(headers=[SUPPORTED, ("Session-Expires", "1800;refresher=uac")]), 0.0)
    assert timer.request_headers() == [("Session-Expires", "1800;refresher=uas")]


class TestInASession:
    """The timer at work."""

    def test_refresh_by_update(self) -> None:
        """RFC 4028 7.4: UPDATE without an offer, where the peer takes it; and so on for ever."""
        pair = Pair(bob=settings(refresher="uac")).answered()
        assert pair.alice.usage.timer.we_refresh
        pair.at(4000)
        assert pair.wire == ["UPDATE", "200 UPDATE"] * 4
        assert pair.alice.ended is None
        assert pair.bob.ended is None

    def test_refresh_by_re_invite(self) -> None:
        """RFC 4028 7.4: with the description that holds, where the peer's Allow has no UPDATE."""
        pair = Pair(
            headers=[("Allow", "INVITE, ACK, BYE"), SUPPORTED], bob=settings(refresher="uas")
        ).answered()
        pair.on_event = lambda end, event: (
            end.do(end.usage.answer(event.owner, 200, SDP, [("Content-Type", "application/sdp")], pair.now))
            if isinstance(event, Offered)
            else None
        )
        pair.at(1000)
        assert pair.wire == ["INVITE", "200 INVITE", "ACK"]
        assert pair.requests[-2][0] == "bob"
        assert pair.requests[-2][1].body == SDP
        # No user wished for a refresh, so none is told.
        assert pair.bob.answers == []

    def test_without_a_refresh_both_sides_end(self) -> None:
        """RFC 4028 10: the side that waits for the refresh sends a BYE shortly before the end."""
        pair = Pair(bob=settings(refresher="uac")).answered()
        pair.lost = {"UPDATE": 100}
        pair.at(1767)
        assert pair.bob.told(Ended) == []
        pair.at(1768)
        assert pair.bob.ended == "expired"
        assert pair.alice.ended == "BYE"

    def test_a_refresh_that_fails_is_tried_again_before_the_end(self) -> None:
        """RFC 4028 10: not at once, not for ever, and a BYE if it never succeeds."""
        pair = Pair(bob=settings(refresher="uac")).answered()
        pair.lost = {"UPDATE": 1000, "BYE": 100}
        refused = 0
        for number in range(314160, 314200):
            pair.at(min(pair.alice.usage.next_due() or 0, 1799))
            request = pair._sent.get(("alice", number, "UPDATE"))
            if request is None:
                break
            refused += 1
            pair.alice.do(pair.alice.usage.response_received(request, answer(request, 500), pair.now))
        assert 3 <= refused <= 20
        pair.at(1800)
        assert pair.alice.ended == "expired"
        assert pair.wire[-1].startswith("BYE")

    def test_a_small_interval_in_an_update_is_refused(self) -> None:
        """RFC 4028 9: 422."""
        pair = Pair(bob=settings(refresher="uac")).answered()
        request = pair.alice.usage.dialog.make("UPDATE", [SUPPORTED, ("Session-Expires", "30")])
        pair.put(pair.alice, request)
        pair.run()
        assert pair.wire[-1] == "422 UPDATE"


@pytest.mark.parametrize(
    "given", [{"min_se": 89}, {"interval": 80}, {"interval": 100, "min_se": 200}, {"refresher": "me"}]
)
def test_settings_that_make_no_sense(given: dict) -> None:
    """RFC 4028 4: 90 seconds at least."""
    with pytest.raises(ValueError):
        SessionTimerSettings(**given)
