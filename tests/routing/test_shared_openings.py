"""An INVITE that is held as octets while its callee is looked up leaves and ends as on the long way."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.limits import Limits
from sansip.location import NodeConfig
from sansip.module import Use
from sansip.proxy import ProxyConfig
from tests.proxy.sides import BUSY, CALLEE, CALLER, CANCEL, INVITE, RINGS, TAKES, Side, compare, leave_only
from tests.routing.test_openings import ENDS, WITHIN, Looks

SHARED: dict[str, Any] = {"shared": NodeConfig("192.0.2.99:5060"), "secret": b"k" * 32, "wall_offset": 1e9}
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "passwords": {"auth": AuthConfig()},
    "not recorded": {"proxy": ProxyConfig(record_route=False)},
    "source is full": {"limits": Limits(pending_per_source=1)},
    "table is full": {"limits": Limits(transactions=3)},
    "one a second": {"limits": Limits(source_rate=1, source_burst=2)},
    "mirror is full": {"limits": Limits(aors=1)},
    "a module looks": {"modules": [Use(Looks)]},
}
TOLD = [("slow",), INVITE, ("told",)]


def counted(side: Side) -> list[int]:
    """Return a list whose one number is that of INVITEs that are sent on as octets from now on."""
    reception = side.stack.reception
    way: Any = reception._at_hand
    counts = [0]

    class Counted:
        def sends(self, *given: Any) -> bool:
            sent: bool = way.sends(*given)
            counts[0] += sent
            return sent

    reception._at_hand = Counted()
    return counts


def count(steps: list[tuple[Any, ...]], **more: Any) -> int:
    side = Side(None, **SHARED, **more)
    counts = counted(side)
    for one in steps:
        side.play(one)
    return counts[0]


def test_an_ordinary_invite_passes() -> None:
    """Without this the comparisons below would prove nothing; a retransmission is absorbed meanwhile."""
    assert count([INVITE, INVITE, RINGS, TAKES, *WITHIN]) == 1
    assert count([("slow",), INVITE, INVITE, ("told",), RINGS, TAKES]) == 1
    # Two contacts: the route forks, with the answer at hand.
    assert count([("binds", "<sip:bob@192.0.2.9:5060>"), INVITE]) == 0


def same(steps: list[tuple[Any, ...]], **more: Any) -> list[Any]:
    """Play ``steps`` on the long way and on this one; what is sent is the same."""
    usual, quick = Side(None, **SHARED, **more), Side(None, **SHARED, **more)
    leave_only(usual)
    usual.stack.reception.quick = None
    expected = [usual.play(step) for step in steps] + [usual.pass_time(400.0)]
    actual = [quick.play(step) for step in steps] + [quick.pass_time(400.0)]
    assert actual == expected
    assert quick.stack.snapshot() == usual.stack.snapshot()
    pending = quick.stack.proxy.pending
    assert {} == pending.sources == pending.callees
    return expected


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_any_end_of_a_call_on_any_settings(name: str, end: str) -> None:
    """Limits, trust and policy of the operator hold, and what is unusual goes its way."""
    again = ("raw", "INVITE", "sip:bob@biloxi.test", "", "70", "<sip:c@atlanta.test>;tag=c", "")
    same([INVITE, *ENDS[end], again], **CONFIGS[name])


@pytest.mark.parametrize(
    "bound",
    [
        "<sip:bob@192.0.2.2:5060>;q=0.5",
        "<sip:bob@192.0.2.9:5060>",
        "<sip:bob@phone.test>",
        "<sip:bob@192.0.2.2:5060;transport=tcp>",
        '<sip:bob@192.0.2.2:5060>;+sip.instance="<urn:x:1>";reg-id=1',
        "<tel:+1>",
    ],
)
def test_other_bindings_are_for_the_route(bound: str) -> None:
    """Forks, names, connections and flows: the route decides, and the location is asked once."""
    same([("binds", bound), INVITE, RINGS, TAKES, *WITHIN])
    side = Side(None, **SHARED)
    side.play(("binds", bound))
    side.play(("slow",))
    side.play(INVITE)
    assert len(side.asked) == 1
    side.play(("told",))
    assert side.asked == []
    side.slow = True
    assert len(side.sent) >= 1


def test_slow_answers() -> None:
    """RFC 3261 17.2.1: a 100 within 200 ms, repeated for a retransmission; then the call goes on."""
    side = Side(None, **SHARED)
    side.play(("slow",))
    assert side.play(INVITE) == []
    assert side.play(INVITE) == []
    ((_, (_, trying, where)),) = side.pass_time(0.3)
    assert (trying.partition(b"\r\n")[0], where) == (b"SIP/2.0 100 Trying", CALLER)
    ((_, again, _),) = side.play(INVITE)
    assert again == trying
    side.play(("told",))
    assert [one.partition(b" ")[0] for one in side.sent] == [b"INVITE"]
    assert side.play(TAKES)


def test_given_up_while_the_callee_is_looked_up() -> None:
    """RFC 3261 9.2: 200 for the CANCEL, 487 for the INVITE, and no phone rings afterwards."""
    side = Side(None, **SHARED)
    side.play(("slow",))
    side.play(INVITE)
    answers = [data.partition(b"\r\n")[0] for _, data, _ in side.play(CANCEL)]
    assert answers == [b"SIP/2.0 200 OK", b"SIP/2.0 487 Request Terminated"]
    assert side.play(("told",)) == []
    assert side.sent == []
    side.pass_time(100.0)
    assert side.stack.snapshot()["server_transactions"] == 0


@pytest.mark.parametrize("steps", [[INVITE, ("told", "gone")], [INVITE, ("wait", 30.0)]])
def test_a_location_that_fails(steps: list[tuple[Any, ...]]) -> None:
    """A user that the mirror knows is called all the same, at once or when the question ran out of time."""
    side = Side(None, **SHARED)
    side.play(("slow",))
    for step in steps:
        side.play(step)
    side.slow = False
    assert any(one.startswith(b"INVITE") for one in side.sent)


def test_a_user_who_is_gone() -> None:
    """The record of another node counts: a user who unregistered there gets 404, from the store's answer."""
    side = Side(None, **SHARED)
    side.records.clear()
    ((_, data, _),) = side.play(INVITE)
    assert data.startswith(b"SIP/2.0 404")


def test_a_sender_counts_once() -> None:
    """The limit of requests by source sees one INVITE as one, whichever way it goes in the end."""
    for bound in ("<sip:bob@192.0.2.2:5060>", "<sip:bob@phone.test>"):
        side = Side(None, **SHARED, limits=Limits(source_rate=1, source_burst=10))
        side.play(("binds", bound))
        before = side.stack.reception.rates._buckets[CALLER[0]][0] if CALLER[0] in buckets(side) else 10.0
        side.play(INVITE)
        assert before - buckets(side)[CALLER[0]][0] == pytest.approx(1.0, abs=0.1)


def buckets(side: Side) -> dict[str, list[float]]:
    return side.stack.reception.rates._buckets


def test_many_that_wait_are_bounded() -> None:
    """The flood of a stranger fills no more than the table of transactions and that of questions."""
    side = Side(None, **SHARED, limits=Limits(questions=5, transactions=40))
    side.play(("slow",))
    for number in range(100):
        side.play(("first", "Call-ID: a", f"Call-ID: a{number}"))
        side.play(("raw", "INVITE", "sip:bob@biloxi.test", "", "70", f"<sip:c@a.test>;tag={number}", ""))
    assert len(side.asked) <= 6
    assert side.stack.snapshot()["server_transactions"] <= 40


def test_it_is_the_same_in_other_orders() -> None:
    """Plays of the other quick ways, on a shared location."""
    assert compare([INVITE, RINGS, TAKES, *WITHIN, BUSY])
    same([("slow",), INVITE, ("told",), RINGS, TAKES, *WITHIN, ("response", "200 OK", "b", CALLEE, True)])
