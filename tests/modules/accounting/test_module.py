"""A record of each call, on the disk before the 200 to its BYE. Clock and disk are the test's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sansip.module import Module, Use
from sansip.modules.accounting import Accounting, AccountingSettings, Append, Spool, Spooled, Unspool
from sansip.modules.calls import Calls, Tariff
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from sansip.testing import check_module
from tests.rig import ALICE, BOB, BOB_URI, Out, Rig, only, reply, request, what

CONTACT = ("Contact", "<sip:alice@192.0.2.1>")


class Disk(Rig):
    """A rig whose disk answers when the test says."""

    def __init__(self, route: Any = None, others: tuple[Use, ...] = (), **settings: Any) -> None:
        uses = [Use(Accounting, AccountingSettings(**settings)), Use(Calls), *others]
        super().__init__(route, modules=uses, wall_offset=1_000_000.0)
        self.lines: list[dict[str, Any]] = []
        # The process before has left nothing in the spool.
        self.take(self.stack.time_passed(self.now))
        self.question(Spooled, ())
        self.register(BOB_URI)

    def question(self, kind: type, result: Any) -> tuple[Any, list[Out]]:
        """Answer the question of ``kind``; return it, and what left."""
        (ask,) = [one for one in self.asks if isinstance(one.question, kind)]
        self.asks.remove(ask)
        return ask.question, self.answer(result, ask)

    def write(self, failure: Exception | None = None) -> list[Out]:
        """Do the write that waits."""
        *late, ask = [one for one in self.asks if isinstance(one.question, Append)]
        self.asks = [one for one in self.asks if one is not ask and one not in late]
        if failure is None:
            self.lines += map(json.loads, ask.question.lines.values())
        return self.answer(failure, ask)

    @property
    def writes(self) -> int:
        return sum(isinstance(one.question, Append) for one in self.asks)

    @property
    def module(self) -> Accounting:
        return self.stack.modules.get(Accounting)


def talking(rig: Rig, headers: Any = ()) -> None:
    arrived = only(rig.udp(request(headers=[CONTACT, *headers])), "INVITE")
    rig.now += 1
    rig.udp(reply(arrived, 180), BOB)
    rig.now += 2
    rig.udp(reply(arrived, 200), BOB)
    rig.udp(request("ACK", BOB_URI, branch="z9hG4bKack", to_tag="bob", headers=[("Route", rig.route())]))


def bye(rig: Rig, cseq: int = 2) -> list[Out]:
    """Send Alice's BYE, and Bob's 200 to it."""
    data = request(
        "BYE", BOB_URI, branch=f"z9hG4bKbye{cseq}", to_tag="bob", cseq=cseq, headers=[("Route", rig.route())]
    )
    return rig.udp(reply(only(rig.udp(data), "BYE"), 200), BOB)


def test_contract() -> None:
    """The contract of every module."""
    check_module(Accounting, AccountingSettings(to="rows"), [Use(Calls)])


def test_a_call() -> None:
    """The 200 leaves when the disk has the record, and the record tells the whole call."""
    rig = Disk()
    assert rig.stack.modules.rides, "no hook, and no message, for a plain call"
    talking(rig)
    rig.now += 60.5
    assert bye(rig) == [], "nobody is told that the call is over before it is on the disk"
    (answer,) = rig.write()
    assert (answer.what, answer.to) == ("200", ALICE)
    (line,) = rig.lines
    began = 1_000_100.0
    assert line == {
        "name": line["name"],
        "kind": "call",
        "call_id": "call@192.0.2.1",
        "caller": "sip:alice@biloxi.test",
        "callee": "sip:bob@biloxi.test",
        "asked": "sip:bob@biloxi.test",
        "target": BOB_URI,
        "source": "192.0.2.1",
        "began": began,
        "rang": began + 1,
        "answered": began + 3,
        "ended": began + 63.5,
        "duration": 60.5,
        "status": 200,
        "ended_by": "caller",
        "why": "hung up",
        "fields": {},
        "gateway": "",
        "price": None,
        "currency": "",
    }


def test_the_bye_comes_again() -> None:
    """While the disk is busy, and after: one record, one answer for each copy."""
    rig = Disk()
    talking(rig)
    bye(rig)
    rig.write()
    assert what(rig.wait(40)) == []
    assert (len(rig.lines), rig.writes) == (1, 0)


class Onlooker(Module):
    """Has each call take the way of hooks."""

    name = "onlooker"

    def response_leaving(self, request: Any, response: Any) -> None:
        """Look on."""


@pytest.mark.parametrize("others", [(), (Use(Onlooker),)], ids=["octets", "hooks"])
@pytest.mark.parametrize("status", [200, 481])
@pytest.mark.parametrize("seconds", [0.0, 0.6, 8.0])
def test_a_slow_answer_to_a_bye_waits_as_well(seconds: float, status: int, others: tuple[Use, ...]) -> None:
    """However late the phone answers, and with whatever: nobody is told before the record is on the disk."""
    rig = Disk(others=others)
    talking(rig)
    data = request("BYE", BOB_URI, branch="z9hG4bKb", to_tag="bob", cseq=2, headers=[("Route", rig.route())])
    sent = only(rig.udp(data), "BYE")
    rig.wait(seconds)
    assert rig.udp(reply(sent, status), BOB) == []
    assert "200" not in what(rig.udp(data))
    assert what(rig.write()) == [f"{status}"]
    assert what(rig.udp(data)) == [f"{status}"]
    assert what(rig.wait(40)) == []


def test_a_slow_answer_waits_no_longer_than_a_hook() -> None:
    """A disk that does not answer keeps no 200 for ever, whichever object relays the BYE."""
    rig = Disk()
    talking(rig)
    data = request("BYE", BOB_URI, branch="z9hG4bKb", to_tag="bob", cseq=2, headers=[("Route", rig.route())])
    sent = only(rig.udp(data), "BYE")
    rig.wait(0.6)
    assert rig.udp(reply(sent, 200), BOB) == []
    assert what(rig.wait(4.9)) == []
    assert what(rig.wait(0.2)) == ["200"]
    rig.write()
    assert what(rig.wait(40)) == []


def test_both_hang_up() -> None:
    """Two BYEs that cross end one call."""
    rig = Disk()
    talking(rig)
    mine = request("BYE", BOB_URI, branch="z9hG4bKm", to_tag="bob", cseq=2, headers=[("Route", rig.route())])
    names = {"sender": "<sip:bob@biloxi.test>", "from_tag": "bob", "to": "<sip:alice@biloxi.test>"}
    headers = [("Route", rig.callees_route())]
    his = request(
        "BYE", "sip:alice@192.0.2.1", source=BOB, branch="z9hG4bKh", to_tag="alice", headers=headers, **names
    )
    to_bob, to_alice = only(rig.udp(mine), "BYE"), only(rig.udp(his, BOB), "BYE")
    outs = rig.udp(reply(to_bob, 200), BOB) + rig.udp(reply(to_alice, 200), ALICE)
    outs += rig.write()
    assert sorted(out.to for out in outs if out.what == "200") == [ALICE, BOB]
    assert len(rig.lines) == 1


@pytest.mark.parametrize("failed", [True, False])
def test_a_call_that_is_refused(failed: bool) -> None:
    """A record where the settings say so; the caller does not wait for it."""
    rig = Disk(failed=failed)
    arrived = only(rig.udp(request(headers=[CONTACT])), "INVITE")
    assert "486" in what(rig.udp(reply(arrived, 486), BOB))
    assert rig.writes == failed
    if failed:
        rig.write()
        assert [(line["kind"], line["status"], line["duration"]) for line in rig.lines] == [
            ("failed", 486, 0.0)
        ]


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_call_that_is_given_up(cancelled: bool) -> None:
    """The same for a CANCEL."""
    rig = Disk(cancelled=cancelled)
    arrived = only(rig.udp(request(headers=[CONTACT])), "INVITE")
    rig.udp(reply(arrived, 180), BOB)
    rig.udp(request("CANCEL"))
    rig.udp(reply(arrived, 487), BOB)
    assert rig.writes == cancelled
    if cancelled:
        rig.write()
        assert [line["kind"] for line in rig.lines] == ["cancelled"]


def test_a_full_disk() -> None:
    """The write is tried until it succeeds; health names the fault; the phone waits a bounded time."""
    rig = Disk()
    talking(rig)
    bye(rig)
    rig.write(OSError(28, "No space left on device"))
    assert "1 records wait: OSError: [Errno 28]" in rig.module.health()
    outs = []
    for _ in range(8):
        outs += rig.wait(1.0)
        # The disk of the spool is full as well.
        while any(isinstance(one.question, Spool) for one in rig.asks):
            outs += rig.question(Spool, OSError(28, "No space left on device"))[1]
        outs += rig.write(OSError(28, "No space left on device")) if rig.writes else []
    # limits.hook_time: no BYE hangs for ever.
    assert [out.what for out in outs if out.to == ALICE] == ["200"]
    while not rig.writes:
        rig.wait(0.5)
    rig.write()
    assert (rig.module.health(), len(rig.lines)) == ("", 1)


def test_a_slow_disk_takes_many_at_once() -> None:
    """One write is under way; the records that come meanwhile go with the next."""
    rig = Disk()
    for number in range(20):
        names = {"branch": f"z9hG4bKn{number}", "from_tag": f"t{number}", "call_id": f"c{number}"}
        arrived = only(rig.udp(request(headers=[CONTACT], **names)), "INVITE")
        rig.udp(reply(arrived, 486), BOB)
        assert rig.writes == 1
    rig.write()
    assert (len(rig.lines), rig.writes) == (1, 0)
    rig.wait(0.02)
    rig.write()
    assert (len(rig.lines), rig.writes) == (20, 0)


def refused(rig: Disk, number: int) -> None:
    names = {"branch": f"z9hG4bKn{number}", "from_tag": f"t{number}", "call_id": f"c{number}"}
    arrived = only(rig.udp(request(headers=[CONTACT], **names)), "INVITE")
    rig.udp(reply(arrived, 486), BOB)


def test_records_of_a_moment_are_one_write() -> None:
    """A write costs a disk as much for twenty records as for one; a lone call waits for no other."""
    rig = Disk()
    talking(rig)
    rig.now += 1
    assert bye(rig) == []
    rig.write()
    assert len(rig.lines) == 1
    for number in range(3):
        refused(rig, number)
    assert rig.writes == 0
    rig.wait(0.019)
    assert rig.writes == 0
    rig.wait(0.001)
    rig.write()
    assert (len(rig.lines), rig.writes) == (4, 0)


def test_nothing_is_gathered_where_that_is_off() -> None:
    """``gather = 0``: each write begins at once."""
    rig = Disk(gather=0.0)
    for number in range(3):
        refused(rig, number)
        rig.write()
    assert (len(rig.lines), rig.writes) == (3, 0)


def test_what_was_gathered_is_written_when_the_server_ends() -> None:
    """No record waits for a moment that does not come; nor does a later one."""
    rig = Disk()
    for number in range(2):
        refused(rig, number)
        if not number:
            rig.write()
    assert rig.writes == 0
    rig.module.stop(rig.now)
    rig.take(rig.stack.time_passed(rig.now))
    rig.write()
    refused(rig, 2)
    rig.write()
    assert (len(rig.lines), rig.writes) == (3, 0)


@pytest.mark.parametrize("gather", [-0.1, 1.5, float("nan")])
def test_how_long_records_are_gathered_has_bounds(gather: float) -> None:
    """The caller repeats its BYE after half a second."""
    with pytest.raises(ValueError, match="gather must be 0 to 1 seconds"):
        AccountingSettings(gather=gather)


def test_fields() -> None:
    """Header fields and variables by the settings, and what a route notes."""

    async def route(asked: IncomingRequest, calls: Calls, accounting: Accounting) -> None:
        if asked.method == "INVITE" and not asked.in_dialog:
            await calls.limit(asked, "all", 10)
            accounting.note(asked, "tariff", "night")
            call = calls.of(asked)
            assert call is not None
            call.variables |= {"customer": "acme", "secret": "x"}
        await default_route(asked)

    rig = Disk(route, headers=["X-Trunk"], variables=["customer"])
    talking(rig, [("X-Trunk", "n\udcff" + "x" * 600)])
    bye(rig)
    rig.write()
    fields = rig.lines[0]["fields"]
    assert (fields["tariff"], fields["customer"]) == ("night", "acme")
    assert len(fields["X-Trunk"]) == 500
    assert "secret" not in fields


def test_starts_and_interim() -> None:
    """Start and interim records: after a crash they say that the call began, and how long it lasted."""
    rig = Disk(starts=True, interim=30.0)
    talking(rig)
    rig.write()
    rig.wait(65)
    rig.write()
    assert [line["kind"] for line in rig.lines] == ["start", "interim"]
    assert 30 <= rig.lines[1]["duration"] < 60
    bye(rig)
    while rig.writes:
        rig.write()
    names = [line["name"] for line in rig.lines]
    assert len(set(names)) == len(names)
    assert rig.lines[-1]["kind"] == "call"


def test_interim_is_turned_off() -> None:
    """A reload turns it off, and on again: one timer, and no division by zero."""
    rig = Disk(interim=30.0)
    talking(rig)
    for interim in (0.0, 30.0, 0.0):
        rig.module.configure(AccountingSettings(interim=interim), rig.now)
    rig.wait(100)
    assert rig.writes == 0
    assert not [event for event in rig.events if type(event).__name__ == "ModuleFailed"]


def test_other_answers_do_not_wait() -> None:
    """Only the answer to a BYE pays for accounting."""
    rig = Disk()
    talking(rig)
    headers = [("Route", rig.route())]
    info = request("INFO", BOB_URI, branch="z9hG4bKinfo", to_tag="bob", cseq=2, headers=headers)
    assert "200" in what(rig.udp(reply(only(rig.udp(info), "INFO"), 200), BOB))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"file": ""}, "file"),
        ({"interim": 0.01}, "interim"),
        ({"most": 0}, "most"),
        ({"headers": ["a b"]}, "headers"),
    ],
)
def test_bad_settings(options: dict[str, Any], said: str) -> None:
    """Refused with the key."""
    with pytest.raises(ValueError, match=said):
        AccountingSettings(**options)


# --- outages


def test_the_spool_takes_it() -> None:
    """The place of the record is away: the 200 leaves once the local disk has it, and it is written later."""
    rig = Disk()
    talking(rig)
    bye(rig)
    rig.write(OSError("gone"))
    kept, outs = rig.question(Spool, None)
    (name,) = kept.lines
    assert [out.what for out in outs] == ["200"]
    assert "gone" in rig.module.health()
    assert rig.wait(1.0) == []
    rig.write()
    dropped, _ = rig.question(Unspool, None)
    assert (dropped.names, rig.module.health(), len(rig.lines)) == ((name,), "", 1)


def test_while_it_is_away() -> None:
    """Later records go to the spool at once; no call waits for the next try."""
    rig = Disk()
    talking(rig)
    bye(rig)
    rig.write(OSError("gone"))
    rig.question(Spool, None)
    invite = only(rig.udp(request(branch="z9hG4bKx", from_tag="x", call_id="x", headers=[CONTACT])), "INVITE")
    rig.udp(reply(invite, 486), BOB)
    kept, _ = rig.question(Spool, None)
    assert [json.loads(line)["kind"] for line in kept.lines.values()] == ["failed"]
    rig.wait(1.0)
    rig.write()
    dropped, _ = rig.question(Unspool, None)
    assert len(dropped.names) == len(rig.lines) == 2


def test_a_spool_that_is_slower_than_the_next_try() -> None:
    """It forgets a record that was written meanwhile: the next process would write it once more."""
    rig = Disk()
    talking(rig)
    bye(rig)
    rig.write(OSError("gone"))
    rig.wait(1.5)
    rig.write()
    kept, _ = rig.question(Spool, None)
    dropped, _ = rig.question(Unspool, None)
    assert (dropped.names, rig.module.health(), len(rig.lines)) == (tuple(kept.lines), "", 1)


def test_both_fail() -> None:
    """The record waits in memory, the 200 leaves after ``limits.hook_time``, and health names both faults."""
    rig = Disk()
    talking(rig)
    bye(rig)
    rig.write(OSError("gone"))
    rig.question(Spool, OSError("full"))
    assert "gone" in rig.module.health()
    assert "full" in rig.module.health()
    assert "200" in what(rig.wait(5.1))


def test_a_write_that_hangs() -> None:
    """After two seconds the spool has it: less than a BYE waits."""
    rig = Disk()
    talking(rig)
    bye(rig)
    rig.wait(2.1)
    assert [out.what for out in rig.question(Spool, None)[1]] == ["200"]


def test_after_a_crash() -> None:
    """The records that the former process left in the spool are written, and then dropped."""
    first = Disk()
    talking(first)
    bye(first)
    first.write(OSError("gone"))
    kept, _ = first.question(Spool, None)
    rig = Rig(modules=[Use(Accounting), Use(Calls)])
    rig.take(rig.stack.time_passed(rig.now))
    (ask,) = rig.asks
    rig.asks.clear()
    rig.answer(tuple(kept.lines.values()), ask)
    (ask,) = rig.asks
    assert ask.question == Append(kept.lines)
    rig.asks.clear()
    rig.answer(None, ask)
    assert rig.asks[0].question == Unspool(tuple(kept.lines))


def test_gateway_and_price() -> None:
    """The price is by the tariff of the chosen gateway: setup, and each begun minute."""

    async def route(asked: IncomingRequest, calls: Calls) -> None:
        if asked.method == "INVITE" and not asked.in_dialog and await calls.limit(asked, "all", 9):
            call = calls.of(asked)
            assert call is not None
            call.gateway = "carrier"
            call.tariff = Tariff(minute=6_000_000, setup=1_000_000, increment=60, currency="EUR")
        await default_route(asked)

    rig = Disk(route)
    talking(rig)
    rig.now += 60.5
    bye(rig)
    rig.write()
    (line,) = rig.lines
    assert (line["gateway"], line["price"], line["currency"]) == ("carrier", 0.13, "EUR")


def test_attempts() -> None:
    """Each target of an INVITE has a record of its own, where that is wanted."""
    rig = Disk(attempts=True)
    invite = only(rig.udp(request(headers=[CONTACT])), "INVITE")
    rig.udp(reply(invite, 486), BOB)
    while rig.writes:
        rig.write()
        rig.wait(0.02)
    assert [(one["kind"], one["target"], one["status"]) for one in rig.lines] == [
        ("attempt", BOB_URI, 486),
        ("failed", BOB_URI, 486),
    ]


@pytest.mark.parametrize("answered", [1000.1, 33_333.35, 0.7, 1_700_000.9])
def test_a_price_to_the_microsecond(answered: float) -> None:
    """A call of a minute costs a minute, also where the difference of its times is 60.00000000000001."""
    tariff = Tariff(minute=6_000_000, increment=60)
    for tenth in range(100):
        began = answered + tenth / 10
        assert tariff.cost((began + 60) - began) == 6_000_000
        assert tariff.cost((began + 60.001) - began) == 12_000_000
