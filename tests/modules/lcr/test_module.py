"""Calls leave by the gateway that asks least, past those that fail. On a virtual clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.lcr import Gateway, Lcr, LcrSettings
from sansip.modules.lcr.events import FindZone, GatewayChanged, LoadRates, RatesLoaded, RatesRefused
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.packing import Packing, TableFault, pack
from sansip.routing import IncomingRequest, sleep
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.testing import check_module
from tests.rig import ALICE, BOB, BOB_URI, Out, Rig, only, reply, request, what, within

NAMES = ("one", "two", "three", "four")
PLACES = {name: (f"192.0.2.{31 + number}", 5060) for number, name in enumerate(NAMES)}
HEAD = "gateway,prefix,price,priority,weight,stopper,caller"
# 2023-11-14T22:13:20Z, a Tuesday.
UNIX = 1_700_000_000.0


def table(*lines: str, head: str = HEAD, names: tuple[str, ...] = NAMES) -> PackedRates:
    """Pack lines, each filled up to the head's columns."""
    columns = head.count(",")
    rows = [head, *(line + "," * (columns - line.count(",")) for line in lines)]
    packing = Packing(names, "EUR", currencies=("USD",), zones=lambda name: ((0, 3_600),))
    return PackedRates(b"".join(pack([f"{row}\n" for row in rows], "rates.csv", packing)))


class Farm(Rig):
    """A rig with a store, with the module, and with rates in the place of a file."""

    def __init__(
        self,
        rates: PackedRates | Exception | None,
        route: Any = None,
        store: MemoryRows | None = None,
        gateways: dict[str, dict[str, Any]] | None = None,
        more: dict[str, Any] | None = None,
        beside: Sequence[Use] = (),
        **options: Any,
    ) -> None:
        self.store = store or MemoryRows()
        self.rates: Any = rates
        made = [
            Gateway(name, f"sip:{place[0]}", **(gateways or {}).get(name, {}))
            for name, place in PLACES.items()
        ]
        given = {"probe_interval": 0.0, "file": "rates.csv", "currencies": {"USD": 0.5}, **(options or {})}
        uses = [Use(Lcr, LcrSettings(made, **given)), Use(Calls, CallsSettings()), *beside]
        super().__init__(route, modules=uses, wall_offset=UNIX - 100.0, **(more or {}))
        self.wait(0)
        self.wait(0.01)

    def take(self, actions: list[Any]) -> list[Out]:
        outs = super().take(actions)
        while self.asks:
            ask = self.asks.pop(0)
            if isinstance(ask.question, LoadRates):
                result = self.rates
            elif isinstance(ask.question, FindZone):
                known = ask.question.name == "Europe/Berlin"
                result = ((0, 3_600),) if known else ValueError("a time zone of this machine, not 'Mars'")
            else:
                assert isinstance(ask.question, Read | Scan | Write), ask
                result = self.store.answer(ask.question)
            outs += super().take(self.stack.answer(ask.id, result, self.now))
        return outs

    def command(self, name: str, **given: Any) -> Any:
        results: list[Any] = []
        self.take(self.stack.command(name, given, self.now, lambda result, now: results.append(result)))
        if not results:
            self.wait(0.2)
        return results[0]

    @property
    def lcr(self) -> Lcr:
        return self.stack.modules.get(Lcr)

    def row(self, gateway: str) -> Any:
        return next(one for one in self.command("lcr.list") if one["gateway"] == gateway)


def call(rig: Rig, user: str = "4930123456", number: int = 0, **options: Any) -> list[Out]:
    names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
    uri = f"sip:{user}@biloxi.test"
    headers = [("Contact", "<sip:alice@192.0.2.1>")]
    return rig.udp(request(uri=uri, to=f"<{uri}>", headers=headers, **{**names, **options}))


def gateway_of(out: Out) -> str:
    return next(name for name, place in PLACES.items() if place == out.to)


def asked(
    rig: Rig, user: str = "4930123456", number: int = 0, status: int = 503, **options: Any
) -> list[str]:
    """Have every gateway fail; return those that were asked, in order."""
    found = []
    outs = call(rig, user, number, **options)
    while invites := [out for out in outs if out.what == "INVITE"]:
        (invite,) = invites
        found.append(gateway_of(invite))
        outs = rig.udp(reply(invite, status), invite.to)
    return found


def order(rig: Farm, number: str = "4930123456", **given: Any) -> list[str]:
    """Return the gateways of `lcr.explain`, in the order to be tried."""
    rows = rig.command("lcr.explain", number=number, **given)
    assert isinstance(rows, list), rows
    return [row["gateway"] for row in rows if row["place"]]


def test_contract() -> None:
    """What every module promises."""
    check_module(Lcr, LcrSettings(), [Use(Calls)])
    check_module(Lcr, LcrSettings([Gateway("one", "sip:192.0.2.31")], takes="nothing"), [Use(Calls)])


# --- which gateway


def test_longest_prefix_then_price() -> None:
    """The longest prefix first, in it the cheapest; shorter ones follow when it is exhausted."""
    rates = table("one,49,0.01", "two,4930,0.05", "three,4930,0.04", "four,,0.001", "one,44,0.0")
    rig = Farm(rates)
    assert asked(rig) == ["three", "two", "one", "four"]
    assert asked(rig, "4989", 1) == ["one", "four"]
    assert asked(rig, "1", 2) == ["four"]


def test_price_alone() -> None:
    """A carrier's price for a number is that of its longest prefix, whatever its shorter ones ask."""
    rates = table("one,49,0.01", "one,4930,0.06", "two,4930,0.05", "three,4,0.03", "four,49,0.05")
    rig = Farm(rates, order="price")
    # At one price the longer prefix is first.
    assert order(rig) == ["three", "two", "four", "one"]


def test_priority_alone() -> None:
    """Kamailio's priority_ordering: the operator's word before the prefix."""
    rates = table("one,4930,0.01,9", "two,49,0.5,1", "three,,9,4")
    assert order(Farm(rates, order="priority")) == ["two", "three", "one"]


def test_stopper() -> None:
    """Behind a stopper no shorter prefix counts, but others of its own length do."""
    rates = table("one,49,0.01", "two,4930,0.05,,,true", "three,4930,0.9", "four,,0.001")
    assert asked(Farm(rates)) == ["two", "three"]


def test_caller() -> None:
    """A rate for some callers is for those only; a stopper that is for others stops nobody."""
    rates = table("one,49,0.01", r"two,4930,0.05,,,true,^sip:alice@")
    rig = Farm(rates)
    assert asked(rig) == ["two"]
    assert asked(rig, number=1, sender="<sip:carol@biloxi.test>") == ["one"]


@pytest.mark.parametrize(
    "sender",
    [
        "<sip:carol:alice@biloxi.test>",
        "<sip:carol@biloxi.test;x=alice>",
        '"alice" <sip:carol@biloxi.test>;x=alice',
    ],
)
def test_caller_is_the_user(sender: str) -> None:
    """A pattern sees user and domain alone: a caller chooses no price by a password, a parameter, a field."""
    rates = table("one,49,0.01", "two,4930,0.05,,,true,alice")
    assert asked(Farm(rates), sender=sender) == ["one"]


def test_a_stranger_is_no_caller() -> None:
    """Where passwords are asked for, a name that nobody proved fits no pattern (``strangers``)."""
    rates = table("one,49,0.01", "two,4930,0.05,,,true,.")
    rig = Farm(rates, strangers=True, more={"auth": AuthConfig()})
    assert asked(rig, sender="<sip:boss@elsewhere.test>") == ["one"]


def test_currencies_setup_minimum_increment() -> None:
    """Prices are compared for a call of ``call_length``, all of it, in one currency."""
    head = "gateway,prefix,price,currency,setup,minimum,increment"
    rates = table(
        "one,49,0.06,EUR",  # 180 s: 0.18
        "two,49,0.10,USD",  # 0.30 USD: 0.15
        "three,49,0.04,EUR,0.2",  # 0.32
        "four,49,0.03,EUR,0,600",  # 600 s are charged: 0.30
        head=head,
    )
    assert order(Farm(rates, order="price")) == ["two", "one", "four", "three"]
    # A short call: what is charged at least decides; 61 s by the minute are 120.
    short = table("one,49,0.06,EUR,0,0,60", "two,49,0.10,EUR,0,0,1", head=head)
    assert order(Farm(short, order="price", call_length=61)) == ["two", "one"]


def test_validity_and_schedule() -> None:
    """A rate holds from a moment, to a moment, and at some hours by the clocks of a zone."""
    head = "gateway,prefix,valid_from,valid_to,schedule"
    rates = table(
        "one,49,2024-01-01",
        "two,49,,2024-01-01",
        "three,49,,,Mo-Fr 23:00-24:00 @Europe/Berlin",
        "four,49,,,Sa 10:00-12:00; Su 09:00-10:00",
        head=head,
    )
    rig = Farm(rates)
    # It is Tuesday 22:13 UTC, 23:13 in Berlin.
    assert sorted(order(rig)) == ["three", "two"]
    assert sorted(order(rig, at="2024-06-01T10:30+00:00")) == ["four", "one"]
    assert sorted(order(rig, at="2023-12-31T23:59:59+00:00")) == ["two"]
    reasons = {row["gateway"]: row["why"] for row in rig.command("lcr.explain", number="491")}
    assert reasons["one"] == "not valid yet"
    assert reasons["four"] == "outside Sa 10:00-12:00; Su 09:00-10:00"


@pytest.mark.parametrize("weights", [(1, 2), (1, 1, 1), (75, 25), (9, 3, 1)])
def test_weights(weights: tuple[int, ...]) -> None:
    """Over 100,000 draws each is first as often as promised, within 4 standard deviations.

    Kamailio's own weights are known to be unfair: 1 and 2 give the first a quarter.
    """
    rig = Farm(table(*(f"{name},49,0.01,0,{weight}" for name, weight in zip(NAMES, weights, strict=False))))
    lcr, calls = rig.lcr, 100_000
    first = Counter(lcr._chosen("4930", "", UNIX, rig.now)[0][0].offer.gateway for _ in range(calls))
    for name, weight in zip(NAMES, weights, strict=False):
        share = weight / sum(weights)
        assert abs(first[name] - calls * share) <= 4 * sqrt(calls * share * (1 - share)), first


# --- failover


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 580])
def test_failover(status: int) -> None:
    """5xx and 408: the next gateway gets the call, in the same transaction; the caller hears nothing."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    first = only(call(rig), "INVITE")
    assert gateway_of(first) == "one"
    outs = rig.udp(reply(first, status), first.to)
    assert not [out for out in outs if out.to == ALICE]
    second = only(outs, "INVITE")
    assert gateway_of(second) == "two"
    outs = rig.udp(reply(second, 200), second.to)
    assert what(out for out in outs if out.to == ALICE) == ["200"]
    shown = rig.command("lcr.show", call_id="call0")
    assert [step["outcome"] for step in shown["tried"]] == [f"{status} Because", "200 Because"]


@pytest.mark.parametrize("how", ["silence", "refused"])
def test_network_errors(how: str) -> None:
    """Silence for ``answer`` seconds, or ICMP at once: the next one, and OPTIONS decide."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    first = only(call(rig), "INVITE")
    outs = rig.wait(2.0) if how == "silence" else rig.failed(first)
    second = next(out for out in outs if out.what == "INVITE" and gateway_of(out) == "two")
    rig.udp(reply(second, 200), second.to)
    assert rig.row("one")["state"] == "suspected"
    assert order(rig) == ["one", "two"]
    rig.wait(2.0)
    assert rig.row("one")["state"] == "resting"
    assert any(isinstance(one, GatewayChanged) and one.name == "one" for one in rig.events)
    # While it rests it is not asked, and afterwards it is.
    assert order(rig) == ["two"]
    rig.wait(30.0)
    assert order(rig) == ["one", "two"]


@pytest.mark.parametrize("status", [404, 484, 486, 600, 603, 604])
def test_an_answer_ends_it(status: int) -> None:
    """486 and 6xx are the callee's word: nobody else is asked. 404 may be the gateway's: see ``failover``."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    assert asked(rig, status=status) == ["one"]
    if status < 486:
        rig = Farm(table("one,49,0.01", "two,49,0.02"), failover=[404, 484])
        assert asked(rig, status=status) == ["one", "two"]


def test_the_best_failure_goes_back() -> None:
    """When all have failed the caller gets one answer; when none could be asked, a 503 with Retry-After."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    outs = call(rig)
    while invites := [out for out in outs if out.what == "INVITE"]:
        outs = rig.udp(reply(invites[0], 500), invites[0].to)
    assert what(out for out in outs if out.to == ALICE) == ["500"]
    for name in ("one", "two"):
        rig.command("lcr.rest", gateway=name, seconds=60)
    refusal = next(out for out in call(rig, number=1) if out.to == ALICE and out.what != "100")
    assert (refusal.what, refusal.message.get("retry-after")) == ("503", "10")
    assert rig.row("one")["state"] == "resting"


def test_each_once_and_at_most_attempts() -> None:
    """A gateway with many rates is asked once; no call goes round more than ``attempts``."""
    rates = table("one,4930,0.01", "one,49,0.02", "one,4,0.02", "two,4,0.03", "three,4,0.04")
    assert asked(Farm(rates)) == ["one", "two", "three"]
    assert asked(Farm(rates, attempts=2)) == ["one", "two"]


def test_nothing_after_a_cancel() -> None:
    """RFC 3261 9: the caller has given up, so no further gateway is called."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    uri = "sip:4930123456@biloxi.test"
    invite = request(uri=uri, to=f"<{uri}>", headers=[("Contact", "<sip:alice@192.0.2.1>")])
    first = only(rig.udp(invite), "INVITE")
    rig.udp(reply(first, 180), first.to)
    rig.udp(within(invite, "CANCEL"))
    outs = rig.udp(reply(first, 503), first.to)
    assert not [out for out in rig.wait(40.0) + outs if out.what == "INVITE"]


def test_number_rewritten_at_each_attempt() -> None:
    """Each gateway gets the number that was dialled, stripped and prefixed for it alone."""
    head = "gateway,prefix,price,strip,add"
    rates = table("one,49,0.01", "two,49,0.02", "three,49,0.03,0,99", "four,49,0.04,2,0", head=head)
    rig = Farm(rates, gateways={"one": {"strip": 2, "add": "0"}, "two": {"add": "+"}, "three": {"strip": 4}})
    outs = call(rig, "+49-30-123456")
    users = []
    while invites := [out for out in outs if out.what == "INVITE"]:
        users.append(invites[0].message.uri.user)
        outs = rig.udp(reply(invites[0], 503), invites[0].to)
    assert users == ["030123456", "+4930123456", "994930123456", "030123456"]
    # Where nothing is to be done it leaves as it came.
    rig = Farm(rates)
    assert only(call(rig, "+49-30-123456"), "INVITE").message.uri.user == "+49-30-123456"


@pytest.mark.parametrize(
    ("user", "gets"),
    [
        ("+49301;rn=+88213;npdi", "+49301"),
        ("49301%3Brn=+88213", "49301"),
        ("%2B49301", "+49301"),
        ("4930%2312", "4930%2312"),
    ],
)
def test_what_has_no_price(user: str, gets: str) -> None:
    """RFC 4694 5: a parameter of the number would have the gateway call another one, at this one's price."""
    assert only(call(Farm(table("one,49,0.01")), user), "INVITE").message.uri.user == gets


def test_marks_of_keypads() -> None:
    """A # among the digits is escaped for the gateway, also where the number is rewritten."""
    rig = Farm(table("one,49,0.01"), gateways={"one": {"strip": 2, "add": "*"}})
    assert only(call(rig, "4930%2312"), "INVITE").message.uri.user == "*30%2312"


def test_300_digits() -> None:
    """Networks call by the first digits: no number is so long that a dialplan has no rule for it."""
    rig = Farm(table("one,49,0.01"))
    assert "INVITE" in what(call(rig, "49" + "1" * 62))
    assert "404" in what(call(rig, "49" + "1" * 63, 1))


def test_limits() -> None:
    """Of calls at once, and of new calls in a second: the next gateway gets what is too much."""
    rates = table("one,49,0.01", "two,49,0.02")
    rig = Farm(rates, gateways={"one": {"max_calls": 2}})
    assert [gateway_of(only(call(rig, number=n), "INVITE")) for n in range(4)] == ["one", "one", "two", "two"]
    assert order(rig) == ["two"]
    rig = Farm(rates, gateways={"one": {"max_rate": 2.0, "max_calls": 10}})
    assert [gateway_of(only(call(rig, number=n), "INVITE")) for n in range(3)] == ["one", "one", "two"]
    assert rig.row("one")["calls"] == 2
    rig.wait(1.0)
    assert gateway_of(only(call(rig, number=4), "INVITE")) == "one"


def test_a_failed_gateway_has_no_call() -> None:
    """Its limit counts calls that it has, so one that went elsewhere gives its place back."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"), gateways={"one": {"max_calls": 1}})
    first = only(call(rig), "INVITE")
    second = only(rig.udp(reply(first, 500), first.to), "INVITE")
    assert (rig.row("one")["calls"], rig.row("two")["calls"]) == (0, 1)
    rig.udp(reply(second, 486), second.to)
    assert rig.row("two")["calls"] == 0


def test_probing() -> None:
    """A gateway that does not answer OPTIONS is out, and back when it does."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"), probe_interval=1.0, probe_timeout=0.5)
    for _ in range(3):
        for out in rig.wait(1.1):
            if out.what == "OPTIONS" and gateway_of(out) != "one":
                rig.udp(reply(out, 404), out.to)
    rig.wait(1.0)
    assert rig.row("one")["state"] == "down"
    assert order(rig) in (["two"], [])
    changed = [one for one in rig.events if isinstance(one, GatewayChanged) and one.name == "one"]
    assert str(changed[0]).startswith("gateway one is down: 408")


# --- the default route


def test_phones_first_and_strangers_never() -> None:
    """A number that is registered here rings here; who has proved nothing gets to no gateway."""
    rig = Farm(table("one,,0.01"))
    rig.register(BOB_URI, aor="sip:4930@biloxi.test")
    assert only(call(rig, "4930"), "INVITE").to == BOB
    auth = {"auth": AuthConfig()}
    rig = Farm(table("one,,0.01"), more=auth)
    outs = call(rig, sender="<sip:mallory@elsewhere.test>")
    assert "INVITE" not in what(outs)
    assert what(outs)[-1] in ("404", "480")
    rig = Farm(table("one,,0.01"), more=auth, strangers=True)
    assert gateway_of(only(call(rig, sender="<sip:mallory@elsewhere.test>"), "INVITE")) == "one"


def test_no_refer_out_of_dialogs() -> None:
    """RFC 3515: a gateway that is asked so calls another number than the one with the price."""
    rig = Farm(table("one,,0.01"))
    headers = [("Contact", "<sip:alice@192.0.2.1>"), ("Refer-To", "<sip:88213@192.0.2.31>")]
    outs = rig.udp(request("REFER", "sip:4930@biloxi.test", headers=headers))
    assert what(outs) == ["403"]
    outs = rig.udp(request("OPTIONS", "sip:4930@biloxi.test", branch="z9hG4bKo", call_id="o"))
    assert gateway_of(only(outs, "OPTIONS")) == "one"


@pytest.mark.parametrize("user", ["bob", "4930x", "+", "%34%39", "49" * 150, ""])
def test_no_number(user: str) -> None:
    """A name, or a number of 300 digits that no rate has: not found, at once."""
    rig = Farm(table("one,44,0.01"))
    assert "INVITE" not in what(call(rig, user or "x"))


def test_a_gateways_own_calls() -> None:
    """A request of a gateway for a number that is not here goes to no gateway: it would go round."""
    rig = Farm(table("one,49,0.01"))
    source = PLACES["two"]
    uri = "sip:4930@biloxi.test"
    outs = rig.udp(request(uri=uri, to=f"<{uri}>", source=source), source)
    assert "INVITE" not in what(outs)


def test_in_a_route() -> None:
    """A route sends by itself, and decides what a failure becomes."""

    async def route(request: IncomingRequest, lcr: Lcr) -> None:
        if request.validate() and not await lcr.send(request):
            request.reply(480, f"No Way To {lcr.number(request) or 'Nobody'}")

    rig = Farm(table("one,49,0.01"), route)
    invite = only(call(rig), "INVITE")
    outs = rig.udp(reply(invite, 503), invite.to)
    assert [out.message.reason for out in outs if out.to == ALICE] == ["No Way To 4930123456"]
    outs = call(rig, "bob", 1)
    assert [out.message.reason for out in outs if out.to == ALICE and out.what == "480"] == [
        "No Way To Nobody"
    ]


# --- tables


def test_a_transaction_keeps_its_table() -> None:
    """A reload while a gateway is asked: this call goes on by the old table, the next by the new one."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    first = only(call(rig), "INVITE")
    rig.rates = table("three,49,0.01")
    assert rig.command("lcr.reload")["rates"] == 1
    assert gateway_of(only(rig.udp(reply(first, 503), first.to), "INVITE")) == "two"
    assert gateway_of(only(call(rig, number=1), "INVITE")) == "three"
    loaded = [one for one in rig.events if isinstance(one, RatesLoaded)]
    assert [one.rates for one in loaded] == [2, 1]


def test_a_refused_table() -> None:
    """The error names the line; the old table stays; health says so until a good one comes."""
    rig = Farm(table("one,49,0.01"))
    rig.rates = ValueError("rates.csv:2: column 3 (price) is 'x'; expected a price")
    assert "rates.csv:2: column 3 (price)" in str(rig.command("lcr.reload"))
    assert any(isinstance(one, RatesRefused) for one in rig.events)
    assert order(rig) == ["one"]
    assert "rates.csv:2" in rig.lcr.health()
    rig.rates = table("two,49,0.01")
    rig.command("lcr.reload")
    assert (order(rig), rig.lcr.health()) == (["two"], "")


def test_a_long_reload() -> None:
    """The command does not wait for ever, and the rates come all the same."""
    rig = Farm(table("one,49,0.01"))
    rig.rates = None
    results: list[Any] = []
    rig.take(rig.stack.command("lcr.reload", {}, rig.now, lambda result, now: results.append(result)))
    rig.wait(7.0)
    assert results == []
    rig.wait(2.0)
    assert results == [{"file": "rates.csv", "state": "loading"}]
    rig.rates = table("two,49,0.01")
    rig.wait(0.3)
    assert order(rig) == ["two"]


def test_while_rates_are_packed() -> None:
    """The module asks again until they are there."""
    rig = Farm(None)
    assert order(rig) == []
    assert "being loaded" in rig.lcr.health()
    # A call that comes meanwhile waits, and is not refused.
    assert what(call(rig)) == []
    rig.rates = table("one,49,0.01")
    assert "INVITE" in what(rig.wait(0.3))
    assert (order(rig), rig.lcr.health()) == (["one"], "")
    rig = Farm(None)
    call(rig)
    assert "404" in what(rig.wait(6.0))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["gateway,prefix,price", "nobody,49,1"],
            "rates.csv:2: column 1 (gateway) is 'nobody'; expected one of",
        ),
        (["gateway,prefix,price", "one,49,x"], "rates.csv:2: column 3 (price) is 'x'; expected a price like"),
        (["gateway,prefix,price", "one,49,-1"], "column 3 (price) is '-1'"),
        (["gateway,prefix,price", "one,49,nan"], "column 3 (price) is 'nan'"),
        (["gateway,prefix,price", "one,49,0.123456789"], "at most eight decimals"),
        (["gateway,prefix", "one,+49"], "column 2 (prefix) is '+49'; expected at most 16 of 0 to 9"),
        (["gateway,prefix", "one,4x"], "column 2 (prefix) is '4x'"),
        (["gateway,prefix", "one," + "4" * 300], "column 2 (prefix)"),
        (["gateway,prefix,weight", "one,49,0"], "column 3 (weight) is '0'; expected a whole number from 1"),
        (["gateway,prefix,weight", "one,49,1", "one,49,99999"], "rates.csv:3: column 3 (weight)"),
        (["gateway,prefix,currency", "one,49,XXX"], "column 3 (currency) is 'XXX'; expected EUR"),
        (["gateway,prefix,caller", "one,49,(a+)+b"], "column 3 (caller) is '(a+)+b'; expected an expression"),
        (
            ["gateway,prefix,schedule", "one,49,always"],
            "column 3 (schedule) is 'always'; expected days and hours",
        ),
        (["gateway,prefix,schedule", "one,49,Mo 25:00-26:00"], "expected days and hours"),
        (
            ["gateway,prefix,valid_from", "one,49,tomorrow"],
            "column 3 (valid_from) is 'tomorrow'; expected a date",
        ),
        (["gateway,prefix,valid_from,valid_to", "one,49,2027-01-02,2027-01-01"], "valid_to is not after"),
        (["gateway,prefix,stopper", "one,49,perhaps"], "expected true or false"),
        (["gateway,prefix", "one,49,1"], "rates.csv:2: it has 3 columns; expected 2, as line 1 has"),
        (["gateway,prefix", 'one,"49'], "unexpected end of data"),
        (["gateway,number", "one,49"], "rates.csv:1: column 2 is 'number'; expected one of gateway, prefix"),
        (["gateway", "one"], "rates.csv:1: there is no column prefix"),
        (["gateway,prefix,prefix", "one,4,9"], "column 3 is prefix once more"),
        (["gateway;prefix", "one;4"], "separated by semicolons; expected commas"),
        ([], "rates.csv:1: it is empty; expected a first line"),
        (["gateway,prefix,add", "one,49,abc"], "column 3 (add)"),
        (
            ["gateway,prefix,strip", "one,49,65"],
            "column 3 (strip) is '65'; expected a whole number from -1 to 64",
        ),
    ],
)
def test_wrong_lines(lines: list[str], said: str) -> None:
    """Each fault names file, line, column, what stands there, and what was expected."""
    packing = Packing(("one",), "EUR")
    with pytest.raises(TableFault) as fault:
        pack([f"{line}\n" for line in lines], "rates.csv", packing)
    assert said in str(fault.value)


def test_many_wrong_lines() -> None:
    """The first twenty are told: a file with the wrong columns does not fill the log."""
    with pytest.raises(TableFault) as fault:
        pack(["gateway,prefix,price\n", *["one,49,x\n"] * 1_000], "r", Packing(("one",), "EUR"))
    assert len(fault.value.faults) == 20
    assert str(fault.value).endswith("and more")


# --- rows


def test_rows() -> None:
    """Rates by command are durable, come before the file's of that gateway and prefix, and go again."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    added = rig.command("lcr.add", gateway="one", prefix="+49", price="0.5")
    assert (added["prefix"], added["price"]) == ("49", "0.5")
    assert order(rig) == ["two", "one"]
    rig.command("lcr.add", gateway="three", prefix="4930", schedule="Tu 23:00-23:30 @Europe/Berlin")
    assert order(rig) == ["three", "two", "one"]
    assert [one["gateway"] for one in rig.command("lcr.rates")] == ["one", "three"]
    again = Farm(table("one,49,0.01", "two,49,0.02"), store=rig.store)
    assert order(again) == ["three", "two", "one"]
    assert again.command("lcr.remove", gateway="one", prefix="49") == 1
    assert again.command("lcr.remove", gateway="one", prefix="49") == 0
    assert order(again) == ["three", "one", "two"]
    # A row may take a rate of the file out.
    again.command("lcr.add", gateway="two", prefix="49", enabled=False)
    assert order(again) == ["three", "one"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gateway": "nobody"}, "there is no gateway 'nobody'; there are four, one, three, two"),
        ({"price": "cheap"}, "price is 'cheap'; expected a price like 0.0125"),
        ({"prefix": "49x"}, "prefix is '49x'; expected at most 16"),
        ({"weight": 0}, "weight is 0; expected 1 to 65,535"),
        ({"caller": "(a*)*"}, "caller is '(a*)*'"),
        ({"schedule": "Mo 1-2"}, "schedule is 'Mo 1-2'; expected days and hours"),
        ({"schedule": "Mo 10:00-11:00 @Mars"}, "a time zone of this machine"),
        ({"currency": "XYZ"}, "currency is 'XYZ'; expected EUR"),
        ({"valid_to": "soon"}, "valid_to is 'soon'; expected a date"),
        ({"price": float("nan")}, "price is nan; expected text"),
    ],
)
def test_wrong_rows(given: dict[str, Any], said: str) -> None:
    """A wrong rate is refused with the field and what was expected; nothing changes."""
    rig = Farm(table("one,49,0.01"))
    assert said in str(rig.command("lcr.add", **{"gateway": "one", "prefix": "49", **given}))
    assert rig.command("lcr.rates") == []


def test_most_rows() -> None:
    """A program that adds without end is refused; a file holds more."""
    rig = Farm(None, file="", most_rows=2)
    for prefix in ("1", "2"):
        rig.command("lcr.add", gateway="one", prefix=prefix)
    assert "lcr.most_rows" in str(rig.command("lcr.add", gateway="one", prefix="3"))
    rig.command("lcr.add", gateway="one", prefix="2", price="3")


def test_state_lasts() -> None:
    """The operator's word beats the file, OPTIONS and restarts."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    assert rig.command("lcr.set", gateway="one", state="draining")["state"] == "draining"
    assert order(rig) == ["two"]
    again = Farm(table("one,49,0.01", "two,49,0.02"), store=rig.store)
    assert again.row("one")["state"] == "draining"
    again.command("lcr.set", gateway="one", state="active")
    assert order(again) == ["one", "two"]
    assert "there are four, one" in str(again.command("lcr.set", gateway="x", state="active"))


# --- explain


def test_explain() -> None:
    """Each candidate with its place, what it gets, what it costs, and why it is there or is not."""
    rates = table(
        "one,49,0.01", "one,4930,0.05", "two,4930,0.02", "three,4930,0.01,,,,^sip:boss@", "four,44,1"
    )
    rig = Farm(rates, gateways={"two": {"strip": 2, "add": "0"}})
    rig.command("lcr.rest", gateway="one", seconds=60)
    rows = rig.command(
        "lcr.explain", number="+4930123", at="2027-01-01T09:30+01:00", caller="sip:alice@biloxi.test"
    )
    shown = [
        (one["place"], one["gateway"], one["prefix"], one["number"], one["cost"], one["why"]) for one in rows
    ]
    assert shown == [
        (1, "two", "4930", "030123", "0.06 EUR", "prefix of 4 digits, priority 0, 0.06"),
        (0, "one", "4930", "+4930123", "0.15 EUR", "rests for 60 s: rested by the operator"),
        (0, "three", "4930", "+4930123", "0.03 EUR", "not for this caller (^sip:boss@)"),
        (0, "one", "49", "+4930123", "0.03 EUR", "its rate for 4930 comes first"),
    ]
    assert not [out for out in rig.wait(1.0) if out.what == "INVITE"]
    assert "expected digits" in str(rig.command("lcr.explain", number="bob"))
    assert "expected a date" in str(rig.command("lcr.explain", number="49", at="yesterday"))


# --- quality


def talk(rig: Farm, number: int, name: str, status: int, ring: float = 1.0, length: float = 60.0) -> None:
    """Place a call that gateway ``name`` takes, rings after ``ring`` seconds, and ends as ``status`` says."""
    invite = only(call(rig, number=number), "INVITE")
    assert gateway_of(invite) == name
    rig.wait(ring)
    rig.udp(reply(invite, 180), invite.to)
    outs = rig.udp(reply(invite, status), invite.to)
    if status == 200:
        answer = next(out for out in outs if out.to == ALICE and out.what == "200")
        route = ", ".join(reversed(answer.message.values("record-route")))
        rig.wait(length)
        uri = invite.message.uri_text
        common = {
            "uri": uri,
            "to": "<sip:4930123456@biloxi.test>",
            "to_tag": "bob",
            "from_tag": f"t{number}",
            "call_id": f"call{number}",
            "headers": [("Route", route)],
        }
        rig.udp(request("ACK", branch=f"z9hG4bKk{number}", **common))
        bye = only(rig.udp(request("BYE", branch=f"z9hG4bKb{number}", cseq=2, **common)), "BYE")
        rig.udp(reply(bye, 200), bye.to)


def test_quality() -> None:
    """ASR, ACD and PDD come from calls, and decide; what is not measured yet gets calls to be measured."""
    rates = table("one,49,0.01", "two,49,0.02")
    rig = Farm(rates, order="quality", quality_calls=4, good_length=60.0, eject_after=0)
    for number in range(4):
        # Busy numbers, after long silence.
        talk(rig, number, "one", 486, ring=1.5)
    row = rig.row("one")
    assert row["asr"] == 0.0
    assert row["pdd"] == pytest.approx(1.5)
    assert row["quality"] == pytest.approx(0.2 + 0.2 * (1 - 0.15))
    for number in range(4, 8):
        talk(rig, number, "two", 200, ring=1.0, length=60.0)
    row = rig.row("two")
    assert (row["asr"], row["acd"]) == (1.0, pytest.approx(60.0, abs=0.01))
    assert order(rig) == ["two", "one"]
    rows = rig.command("lcr.explain", number="49301")
    assert rows[0]["why"].startswith("quality 0.98")
    # Old calls count less and less: after a day it gets its chance again.
    rig.wait(86_400.0)
    assert order(rig) == ["one", "two"]


def test_quality_of_failures() -> None:
    """A gateway that fails is not answered; a caller who gives up at once says nothing of it."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"), order="quality", quality_calls=1)
    first = only(call(rig), "INVITE")
    second = only(rig.udp(reply(first, 500), first.to), "INVITE")
    rig.udp(reply(second, 486), second.to)
    assert (rig.row("one")["asr"], rig.row("two")["asr"]) == (0.0, 0.0)
    rig = Farm(table("one,49,0.01"), order="quality", quality_calls=1)
    uri = "sip:4930123456@biloxi.test"
    invite = request(uri=uri, to=f"<{uri}>", headers=[("Contact", "<sip:alice@192.0.2.1>")])
    first = only(rig.udp(invite), "INVITE")
    rig.udp(reply(first, 100), first.to)
    rig.udp(within(invite, "CANCEL"))
    rig.udp(reply(first, 487), first.to)
    rig.wait(40.0)
    assert rig.row("one")["asr"] is None


def test_the_clock_jumps() -> None:
    """A wall clock that is set back or forth changes which rates hold, and breaks nothing."""
    rig = Farm(table("one,49,2024-01-01", "two,49,,2024-01-01", head="gateway,prefix,valid_from,valid_to"))
    lcr = rig.lcr
    for unix in (UNIX, 0.0, -1e9, 4e9, UNIX + 1e8, UNIX - 1e8):
        taken, passed = lcr._chosen("4930", "", unix, rig.now)
        assert len(taken) == len(passed) == 1


def test_variables_for_accounting() -> None:
    """The call says which gateway has it, and what it costs."""
    seen: list[Any] = []

    async def route(request: IncomingRequest, lcr: Lcr, calls: Calls) -> None:
        if request.validate():
            request.record_route()
            await lcr.send(request)
            seen.append(calls.of(request))

    head = "gateway,prefix,price,currency,setup,minimum,increment"
    rig = Farm(table("one,49,0.0125,USD,0.05,30,6", head=head), route)
    invite = only(call(rig), "INVITE")
    rig.udp(reply(invite, 200), invite.to)
    kept = {name: value for name, value in seen[0].variables.items() if name.startswith("lcr.")}
    assert kept == {
        "lcr.gateway": "one",
        "lcr.prefix": "49",
        "lcr.price": "0.0125",
        "lcr.currency": "USD",
        "lcr.setup": "0.05",
        "lcr.minimum": "30",
        "lcr.increment": "6",
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"failover": [486]}, "failover: 486"),
        ({"failover": [603]}, "failover: 603"),
        ({"attempts": 0}, "attempts"),
        ({"currency": "euro"}, "three capital letters"),
        ({"currencies": {"USD": 0.0}}, "currencies.USD"),
        ({"currencies": {"USD": float("inf")}}, "currencies.USD"),
        ({"answer": 0.0}, "answer"),
        ({"quality_step": 0.0}, "quality_step"),
        ({"gateways": [Gateway("a", "sip:h"), Gateway("a", "sip:i")]}, "gateway a stands twice"),
    ],
)
def test_wrong_settings(options: dict[str, Any], said: str) -> None:
    """Each is refused with its name."""
    with pytest.raises(ValueError, match=said):
        LcrSettings(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uri": "sip:user@host"}, "without a user"),
        ({"uri": "tel:+49"}, "no SIP URI"),
        ({"uri": "::"}, "no SIP URI"),
        ({"name": "a,b"}, "without a comma"),
        ({"strip": -1}, "strip"),
        ({"add": "++"}, "add is"),
        ({"max_calls": -1}, "max_calls"),
        ({"max_rate": 0.5}, "max_rate"),
    ],
)
def test_wrong_gateways(options: dict[str, Any], said: str) -> None:
    """So is a gateway."""
    with pytest.raises(ValueError, match=said):
        Gateway(**{"name": "one", "uri": "sip:192.0.2.31", **options})


def test_sleeping_route() -> None:
    """A call that waited in a route while its caller gave up goes nowhere."""

    async def route(request: IncomingRequest, lcr: Lcr) -> None:
        if request.validate():
            await sleep(1.0)
            await lcr.send(request)

    rig = Farm(table("one,49,0.01"), route)
    uri = "sip:4930123456@biloxi.test"
    invite = request(uri=uri, to=f"<{uri}>", headers=[("Contact", "<sip:alice@192.0.2.1>")])
    rig.udp(invite)
    rig.udp(within(invite, "CANCEL"))
    assert not [out for out in rig.wait(3.0) if out.what == "INVITE"]
