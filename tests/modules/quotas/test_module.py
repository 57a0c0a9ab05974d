"""A stolen password costs a bounded sum: limits of calls, minutes and spend, in real time, over restarts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings, Tariff
from sansip.modules.quotas import QuotaReached, Quotas, QuotasSettings
from sansip.modules.quotas.use import period_of
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from sansip.rows import MemoryRows
from sansip.testing import check_module
from tests.answered import Answered
from tests.modules.calls.calling import CONTACT, within
from tests.rig import ALICE, BOB, BOB_URI, Out, Rig, only, reply, request, what

USER = "sip:alice@biloxi.test"
# Midday of 2023-11-15.
UNIX = 1_700_049_600.0


class Bank(Answered):
    """A rig with a store; each call costs 0.06 a minute, charged by the minute."""

    def __init__(
        self, store: MemoryRows | None = None, now: float = 100.0, most: int = 200_000, **settings: Any
    ) -> None:
        uses = [Use(Quotas, QuotasSettings(**settings)), Use(Calls, CallsSettings(keep=True, most=most))]
        super().__init__(priced, store=store, modules=uses, now=now, wall_offset=UNIX - 100.0)
        self.wait(0.0)
        self.register(BOB_URI)

    @property
    def quotas(self) -> Quotas:
        return self.stack.modules.get(Quotas)


async def priced(asked: IncomingRequest, calls: Calls, quotas: Quotas) -> None:
    if asked.method == "INVITE" and not asked.in_dialog:
        if not await quotas.admit(asked):
            return
        call = calls.of(asked)
        if call is not None:
            call.tariff = Tariff(6_000_000, increment=60)
    await default_route(asked)


def names(number: int) -> dict[str, Any]:
    return {"branch": f"z9hG4bKq{number}", "from_tag": f"q{number}", "call_id": f"q{number}"}


def called(rig: Rig, number: int = 0) -> list[Out]:
    return rig.udp(request(headers=[CONTACT], **names(number)))


def talking(rig: Rig, number: int = 0) -> str:
    """Set a call up; return the Route value of its caller."""
    rig.udp(reply(only(called(rig, number), "INVITE"), 200), BOB)
    route = rig.route()
    ends = {key: value for key, value in names(number).items() if key != "branch"}
    rig.udp(
        request("ACK", BOB_URI, branch=f"z9hG4bKa{number}", to_tag="bob", headers=[("Route", route)], **ends)
    )
    return route


def hung_up(rig: Rig, route: str, number: int = 0) -> None:
    ends = {key: value for key, value in names(number).items() if key != "branch"}
    bye = request(
        "BYE", BOB_URI, branch=f"z9hG4bKe{number}", to_tag="bob", cseq=2, headers=[("Route", route)], **ends
    )
    rig.udp(reply(only(rig.udp(bye), "BYE"), 200), BOB)


def test_contract() -> None:
    """What every module promises."""
    check_module(Quotas, QuotasSettings(calls=2, minutes=5.0), [Use(Calls)])


def test_calls_at_once() -> None:
    """Two at most, and the third when one is over."""
    rig = Bank(calls=2)
    route = talking(rig)
    talking(rig, 1)
    (refusal,) = called(rig, 2)
    assert (refusal.what, refusal.message.reason) == ("403", "2 Calls At Most")
    hung_up(rig, route)
    assert "INVITE" in what(called(rig, 3))


def test_no_room_for_a_record() -> None:
    """Calls that ring fill the table of calls: one without a record would cost any sum, so it is refused."""
    rig = Bank(most=2, spend=0.05)
    called(rig)
    called(rig, 1)
    (refusal,) = called(rig, 2)
    assert (refusal.what, refusal.message.reason) == ("403", "Too Many Calls")


def test_minutes_end_running_calls() -> None:
    """Two calls of one user use ten minutes up in five: both are hung up then, and a third is refused."""
    rig = Bank(minutes=10.0)
    talking(rig)
    talking(rig, 1)
    rig.wait(299)
    assert "BYE" not in what(rig.log)
    rig.wait(2)
    byes = [out for out in rig.log if out.what == "BYE"]
    assert {out.to for out in byes} == {ALICE, BOB}
    assert all(abs(out.time - 400.0) < 0.1 for out in byes if out.time < 400.4)
    (said,) = [str(event) for event in rig.events if isinstance(event, QuotaReached)]
    assert said == f"user {USER} has used up 10 minutes; 2 calls were hung up"
    assert what(called(rig, 2)) == ["403"]


def test_spend_ends_running_calls() -> None:
    """Each minute that is begun costs 0.06: 0.30 is reached as the fifth begins."""
    rig = Bank(spend=0.3)
    talking(rig)
    rig.wait(239)
    assert "BYE" not in what(rig.log)
    rig.wait(3)
    assert "BYE" in what(rig.log)
    assert rig.command("quotas.show", user=USER)["spent"] == pytest.approx(0.3)
    assert what(called(rig, 1)) == ["403"]


def test_the_next_day() -> None:
    """The period begins anew by UTC."""
    rig = Bank(minutes=1.0)
    talking(rig)
    rig.wait(70)
    assert what(called(rig, 1)) == ["403"]
    rig.wait(12 * 3_600)
    rig.register(BOB_URI)
    assert "INVITE" in what(called(rig, 2))


def test_a_restart_forgets_nothing() -> None:
    """Neither what ended calls used, nor the call that goes on."""
    first = Bank(minutes=10.0)
    hung_up_after = talking(first)
    first.wait(120)
    hung_up(first, hung_up_after)
    talking(first, 1)
    first.wait(60)
    second = Bank(first.store, first.now + 60, minutes=10.0)
    assert second.command("quotas.show", user=USER)["minutes"] == pytest.approx(4.0, abs=0.01)
    second.wait(359)
    assert "BYE" not in what(second.log)
    second.wait(2)
    assert "BYE" in what(second.log)


def test_limits_of_one_user() -> None:
    """By command, durable, at once; none, and as the settings say."""
    rig = Bank(minutes=1.0)
    rig.command("quotas.set", user=USER, minutes=2.0)
    talking(rig)
    rig.wait(110)
    assert "BYE" not in what(rig.log)
    again = Bank(rig.store, rig.now, minutes=1.0)
    assert again.command("quotas.show", user=USER)["most_minutes"] == 2.0
    again.command("quotas.set", user=USER)
    assert [row["most_minutes"] for row in again.command("quotas.list")] == [1.0]
    again.wait(1)
    assert "BYE" in what(again.log)


def test_reset() -> None:
    """An operator who knows better."""
    rig = Bank(minutes=1.0)
    talking(rig)
    rig.wait(61)
    assert what(called(rig, 1)) == ["403"]
    assert rig.command("quotas.reset", user=USER)["minutes"] == 0.0
    assert "INVITE" in what(called(rig, 2))


@pytest.mark.parametrize(
    "given", [{"calls": -1}, {"minutes": float("nan")}, {"spend": 1e13}, {"most_users": 0}]
)
def test_bad_settings(given: dict[str, Any]) -> None:
    """The key is named."""
    with pytest.raises(ValueError, match=next(iter(given))):
        QuotasSettings(**given)


def test_what_operators_get_wrong() -> None:
    """The command says what it expects."""
    rig = Bank(minutes=1.0)
    assert "expected like sip:" in str(rig.command("quotas.set", user="alice", minutes=1.0))
    assert "minutes must be" in str(rig.command("quotas.set", user=USER, minutes=1e15))


def test_too_many_users() -> None:
    """The table of users is bounded; what is not known is refused, not let through."""
    rig = Bank(minutes=1.0, most_users=1)
    talking(rig)
    other = request(headers=[CONTACT], sender="<sip:carol@biloxi.test>", **names(1))
    (refusal,) = rig.udp(other)
    assert (refusal.what, refusal.message.reason) == ("403", "Too Many Users")


def test_other_workers_forget_users_with_this_one() -> None:
    """Else what they have heard of users who never call again grows for as long as the server runs."""
    rig = Bank(minutes=1.0, most_users=1, period="hour")
    said: list[Any] = []
    others: Any = rig.quotas._others
    others._digit = "0"
    others._core = SimpleNamespace(announce=lambda key, word, own: said.append((key, word)))
    route = talking(rig)
    rig.wait(10.0)
    hung_up(rig, route)
    assert said[-1] == (f"0 {USER}", (UNIX, 10.0, 6_000_000, ()))
    rig.wait(3_600.0)
    rig.register(BOB_URI)
    other = request(headers=[CONTACT], sender="<sip:carol@biloxi.test>", **names(1))
    assert "INVITE" in what(rig.udp(other))
    assert said[-1] == (f"0 {USER}", None)


def test_periods() -> None:
    """Hour, day and month by UTC."""
    assert period_of(UNIX + 1, "hour") == UNIX
    assert period_of(UNIX + 1, "day") == UNIX - 12 * 3_600
    assert period_of(UNIX + 1, "month") == UNIX - 14 * 86_400 - 12 * 3_600


def test_in_dialog_requests_pass() -> None:
    """A used-up quota keeps nobody from hanging up."""
    rig = Bank(minutes=10.0)
    route = talking(rig)
    rig.quotas.settings.minutes = 0.001
    again = within(rig, "INVITE", headers=[CONTACT], **{k: v for k, v in names(0).items() if k != "branch"})
    assert "403" not in what(rig.udp(again))
    hung_up(rig, route)
