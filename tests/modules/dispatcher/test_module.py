"""Requests go to a group of servers, past those that fail, and one answer comes back. On a virtual clock."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.errors import LocalProtocolError
from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.modules.dispatcher.events import MemberChanged
from sansip.routing import IncomingRequest, sleep
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.testing import check_module
from tests.rig import ALICE, BOB, BOB_URI, Out, Rig, only, reply, request, what

GATEWAYS = [("192.0.2.21", 5060), ("192.0.2.22", 5060), ("192.0.2.23", 5060)]
URIS = [f"sip:{host}" for host, _ in GATEWAYS]


class Farm(Rig):
    """A rig with a store, and with the module."""

    def __init__(
        self,
        settings: DispatcherSettings,
        route: Any = None,
        store: MemoryRows | None = None,
        **options: Any,
    ) -> None:
        self.store = store or MemoryRows()
        uses = [Use(Dispatcher, settings), Use(Calls, CallsSettings())]
        super().__init__(route, modules=uses, **options)
        self.wait(0)
        self.wait(0.01)

    def take(self, actions: list[Any]) -> list[Out]:
        outs = super().take(actions)
        while self.asks:
            ask = self.asks.pop(0)
            assert isinstance(ask.question, Read | Scan | Write), ask
            outs += super().take(self.stack.answer(ask.id, self.store.answer(ask.question), self.now))
        return outs

    def command(self, name: str, **given: Any) -> Any:
        results: list[Any] = []
        self.take(self.stack.command(name, given, self.now, lambda result, now: results.append(result)))
        return results[0]

    @property
    def dispatcher(self) -> Dispatcher:
        return self.stack.modules.get(Dispatcher)


def settings(*weights: int, **options: Any) -> DispatcherSettings:
    weights = weights or (1, 1, 1)
    limits = options.pop("max_calls", 0)
    destinations = [
        Destination(uri, weight=weight, max_calls=limits) for uri, weight in zip(URIS, weights, strict=False)
    ]
    return DispatcherSettings(destinations, **{"probe_interval": 0.0, **options})


def call(
    rig: Rig, number: int = 0, user: str = "4711", source: tuple[str, int] = ALICE, **options: Any
) -> list[Out]:
    names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
    headers = [("Contact", "<sip:alice@192.0.2.1>")]
    uri = f"sip:{user}@biloxi.test"
    return rig.udp(request(uri=uri, to=f"<{uri}>", headers=headers, **names, **options), source)


def test_a_firewall_that_drops_tcp() -> None:
    """RFC 3261 18.1.1: a large INVITE reaches the gateway by UDP, and the gateway is not held for dead."""
    rig = Farm(settings(1))
    connect = only(call(rig, body=b"x" * 1300), "Connect")
    assert connect.to == GATEWAYS[0]
    invite = only(rig.wait(1.2), "INVITE")
    assert invite.to == GATEWAYS[0]
    rig.udp(reply(invite, 200), invite.to)
    (member,) = rig.command("dispatcher.list")
    assert member["state"] == "up", member


def refused(rig: Rig, number: int, status: int = 486) -> Any:
    """Have a call be refused; return where it went."""
    invite = only(call(rig, number), "INVITE")
    rig.udp(reply(invite, status), invite.to)
    return invite.to


def test_contract() -> None:
    """The contract of every module."""
    check_module(Dispatcher, settings(takes="nothing"), [Use(Calls)])


def test_in_turn() -> None:
    """The host is the server's, the user is the number dialled; each server gets its share."""
    rig = Farm(settings(2, 1, 1))
    assert only(call(rig), "INVITE").message.uri_text == "sip:4711@192.0.2.21"
    counts = Counter(refused(rig, number) for number in range(1, 400))
    assert counts == {GATEWAYS[0]: 199, GATEWAYS[1]: 100, GATEWAYS[2]: 100}


def test_keep_uri() -> None:
    """The Request-URI stays, and a Route leads there (RFC 3261 16.6 step 6)."""
    rig = Farm(settings(keep_uri=True))
    invite = only(call(rig), "INVITE")
    assert (invite.message.uri_text, invite.to) == ("sip:4711@biloxi.test", GATEWAYS[0])
    assert invite.message.values("route") == ["<sip:192.0.2.21;lr>"]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (503, "up"),
        (500, "up"),
        ("silence", "suspected"),
        ("refused", "suspected"),
    ],
)
def test_failover(said: Any, state: str) -> None:
    """The next one gets the call in the same transaction, and the caller hears nothing of it."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    if said == "silence":
        outs = rig.wait(2.0)
        assert rig.now - first.time <= 2.0
    elif said == "refused":
        # RFC 3261 8.1.3.1: ICMP is a 503 at once.
        outs = rig.failed(first)
    else:
        outs = rig.udp(reply(first, said), GATEWAYS[0])
    second = next(out for out in outs if out.what == "INVITE" and out.to == GATEWAYS[1])
    assert second.message.uri_text == "sip:4711@192.0.2.22"
    assert not [out for out in outs if out.to == ALICE]
    answered = rig.udp(reply(second, 200), GATEWAYS[1])
    assert [out.what for out in answered if out.to == ALICE] == ["200"]
    assert rig.command("dispatcher.list")[0]["state"] == state
    explained = rig.command("dispatcher.explain", call_id="call0")
    assert [step["uri"] for step in explained["tried"]] == URIS[:2]


def test_a_busy_phone_is_no_failure() -> None:
    """486 and 603 are answers: they go back, and no other destination is asked."""
    for status in (404, 486, 603):
        rig = Farm(settings())
        first = only(call(rig), "INVITE")
        outs = rig.udp(reply(first, status), GATEWAYS[0])
        assert [out.what for out in outs if out.to == ALICE] == [str(status)]
        assert rig.command("dispatcher.list")[0]["state"] == "up"


def test_a_408_from_behind() -> None:
    """A gateway that says 408 lives: the call goes on elsewhere, and the gateway stays in."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    outs = rig.udp(reply(first, 408), GATEWAYS[0])
    assert only(outs, "INVITE").to == GATEWAYS[1]
    assert rig.command("dispatcher.list")[0]["state"] == "up"


def test_nobody_answers() -> None:
    """Each is asked once; then the best failure goes back, and the next caller hears 503 at once."""
    rig = Farm(settings())
    call(rig)
    outs = rig.wait(10)
    assert sorted({out.to for out in rig.log if out.what == "INVITE"}) == GATEWAYS
    assert {out.what for out in outs if out.to == ALICE} == {"408"}
    (refusal,) = call(rig, 1)
    assert (refusal.what, refusal.message.get("retry-after")) == ("503", "10")
    assert "default" in rig.dispatcher.health()


def test_cancelled() -> None:
    """RFC 3261 16.10: no further destination is asked after a CANCEL."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    rig.udp(reply(first, 180), GATEWAYS[0])
    names = {"branch": "z9hG4bKc0", "from_tag": "t0", "call_id": "call0"}
    outs = rig.udp(request("CANCEL", "sip:4711@biloxi.test", to="<sip:4711@biloxi.test>", **names))
    assert only(outs, "CANCEL").to == GATEWAYS[0]
    outs = rig.udp(reply(first, 487), GATEWAYS[0])
    assert "INVITE" not in what(outs)
    assert "INVITE" not in what(rig.wait(60))


def test_retry_after() -> None:
    """RFC 3261 21.5.4: it gets nothing for so long."""
    rig = Farm(settings())
    first = only(call(rig), "INVITE")
    rig.udp(reply(first, 503, headers=[("Retry-After", "100 (busy);duration=5")]), GATEWAYS[0])
    seen = {only(call(rig, number), "INVITE").to for number in range(1, 20)}
    assert seen == set(GATEWAYS[1:])
    rig.wait(101)
    assert GATEWAYS[0] in {only(call(rig, number), "INVITE").to for number in range(20, 30)}


def test_sticky() -> None:
    """Requests with one key stay with one destination; the key may be any text of a route."""

    async def route(asked: IncomingRequest, dispatcher: Dispatcher) -> None:
        await dispatcher.send(asked, algorithm="hash", key=asked.message.get("X-Customer") or "")

    rig = Farm(settings(), route)
    places = set()
    for number in range(20):
        names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
        data = request(uri="sip:1@biloxi.test", headers=[("X-Customer", "acme")], **names)
        places.add(only(rig.udp(data), "INVITE").to)
    assert len(places) == 1


def test_fewest_calls_and_limits() -> None:
    """Calls are counted by their records. A full destination is passed over until a call ends."""
    rig = Farm(settings(max_calls=2, algorithm="least-calls"))
    invites = [only(call(rig, number), "INVITE") for number in range(6)]
    assert Counter(out.to for out in invites) == dict.fromkeys(GATEWAYS, 2)
    assert what(call(rig, 7)) == ["503"]
    assert "max_calls" in rig.command("dispatcher.explain", call_id="call7")["passed_over"][0]["outcome"]
    rig.udp(reply(invites[3], 486), invites[3].to)
    assert only(call(rig, 8), "INVITE").to == invites[3].to


def test_parallel() -> None:
    """The module asks all destinations at once, and does not count the calls of those that lost."""
    rig = Farm(settings(algorithm="parallel"))
    invites = [out for out in call(rig) if out.what == "INVITE"]
    assert [out.to for out in invites] == GATEWAYS
    outs = rig.udp(reply(invites[1], 200), GATEWAYS[1])
    assert [out.what for out in outs if out.to == ALICE] == ["200"]
    assert [row["calls"] for row in rig.command("dispatcher.list")] == [0, 1, 0]


# --- probing


def probed(rig: Farm, statuses: dict[Any, int], seconds: float) -> None:
    """Let time pass; destinations answer OPTIONS as ``statuses`` says, others are silent."""
    end = rig.now + seconds
    while (deadline := rig.stack.next_deadline()) is not None and deadline <= end:
        for out in rig.wait(max(deadline - rig.now, 0.0)):
            if out.what == "OPTIONS" and out.to in statuses:
                rig.now += 0.02
                rig.udp(reply(out, statuses[out.to]), out.to)
    rig.wait(max(end - rig.now, 0.0))


def states(rig: Farm) -> list[str]:
    return [row["state"] for row in rig.command("dispatcher.list")]


@pytest.mark.parametrize("status", [200, 401, 404, 405, 481])
def test_alive(status: int) -> None:
    """Any answer but those of ``not_alive``: it speaks SIP and has time for it."""
    rig = Farm(settings(probe_interval=1.0))
    probed(rig, dict.fromkeys(GATEWAYS, status), 20)
    assert states(rig) == ["up"] * 3
    assert rig.command("dispatcher.list")[0]["latency"] == pytest.approx(0.02)


def test_down_and_up() -> None:
    """Silent or 503 twice: out, told once. Answered twice: back."""
    rig = Farm(settings(probe_interval=1.0, probe_timeout=0.5))
    alive = dict.fromkeys(GATEWAYS, 200)
    probed(rig, {GATEWAYS[0]: 503, GATEWAYS[2]: 200}, 8)
    assert states(rig) == ["down", "down", "up"]
    assert {refused(rig, number) for number in range(6)} == {GATEWAYS[2]}
    probed(rig, alive, 4)
    assert states(rig) == ["up"] * 3
    told = [(event.uri, event.state) for event in rig.events if isinstance(event, MemberChanged)]
    assert sorted(told) == sorted([(uri, state) for uri in URIS[:2] for state in ("down", "up")])


def test_a_failed_call_marks_at_once() -> None:
    """Others are tried first from then on; an OPTIONS decides at once, and later ones bring it back."""
    rig = Farm(settings(probe_interval=5.0))
    first = only(call(rig), "INVITE")
    outs = rig.failed(first)
    asked = only(outs, "OPTIONS")
    assert (asked.to, asked.time, states(rig)[0]) == (GATEWAYS[0], rig.now, "suspected")
    assert {refused(rig, number) for number in range(1, 9)} == set(GATEWAYS[1:])
    rig.failed(asked)
    assert states(rig)[0] == "down"
    probed(rig, dict.fromkeys(GATEWAYS, 200), 12)
    assert states(rig)[0] == "up"


def test_a_number_that_is_dropped() -> None:
    """A caller may dial a number that the server drops: the server stays in for all other callers."""
    rig = Farm(settings(probe_interval=5.0, algorithm="priority"))
    for number in range(5):
        first = only(call(rig, number), "INVITE")
        assert first.to == GATEWAYS[0], number
        outs = rig.wait(2.0)
        second = next(out for out in outs if out.what == "INVITE" and out.to != GATEWAYS[0])
        rig.udp(reply(second, 486), second.to)
        asked = next(out for out in outs if out.what == "OPTIONS" and out.to == GATEWAYS[0])
        rig.udp(reply(asked, 200), asked.to)
        assert states(rig)[0] == "up"
    told = [event for event in rig.events if isinstance(event, MemberChanged)]
    assert [event for event in told if event.uri == URIS[0]] == []


def test_all_are_suspected() -> None:
    """A call goes to a server that may be dead before the caller hears that there is none."""
    rig = Farm(settings(1))
    assert only(call(rig), "INVITE").to == GATEWAYS[0]
    rig.wait(2.0)
    assert states(rig) == ["suspected"]
    assert only(call(rig, 1), "INVITE").to == GATEWAYS[0]
    # No OPTIONS are asked for (``probe_interval`` is 0), so nothing would bring it back from "down".
    rig.wait(2.0)
    assert states(rig) == ["resting"]


def test_answered_calls_are_no_failures() -> None:
    """Five failures count in a row only: calls that are answered between them begin the row anew."""
    rig = Farm(settings(1))
    for number in range(12):
        invite = only(call(rig, number, source=(f"198.51.100.{number}", 5060)), "INVITE")
        rig.udp(reply(invite, 200 if number % 4 == 3 else 500), invite.to)
    assert states(rig) == ["up"]
    for number in range(12, 17):
        invite = only(call(rig, number, source=(f"198.51.100.{number}", 5060)), "INVITE")
        rig.udp(reply(invite, 500), invite.to)
    assert states(rig) == ["resting"]


# --- operators


def test_drain() -> None:
    """Calls stay, new ones go elsewhere; it outlives a reload and a restart, and OPTIONS do not lift it."""
    rig = Farm(settings(probe_interval=1.0))
    arrived = only(call(rig), "INVITE")
    rig.udp(reply(arrived, 200), GATEWAYS[0])
    rig.command("dispatcher.set", group="default", uri=URIS[0], state="draining")
    rig.stack.modules.get(Dispatcher).configure(settings(probe_interval=1.0), rig.now)
    probed(rig, dict.fromkeys(GATEWAYS, 200), 10)
    assert {only(call(rig, number), "INVITE").to for number in range(1, 7)} == set(GATEWAYS[1:])
    names = {"from_tag": "t0", "to_tag": "bob", "call_id": "call0", "cseq": 2, "branch": "z9hG4bKbye"}
    headers = [("Route", rig.route())]
    bye = request("BYE", arrived.message.uri_text, to="<sip:4711@biloxi.test>", headers=headers, **names)
    assert only(rig.udp(bye), "BYE").to == GATEWAYS[0]
    again = Farm(settings(), store=rig.store)
    assert states(again) == ["draining", "up", "up"]
    again.command("dispatcher.set", group="default", uri=URIS[0], state="active")
    assert states(again) == ["up"] * 3


def test_live_changes() -> None:
    """Added, weighed and removed without a reload; what stands in the file stays out once it is removed."""
    rig = Farm(settings())
    rig.command("dispatcher.add", group="default", uri="sip:192.0.2.24", weight=3)
    rig.command("dispatcher.weigh", group="default", uri=URIS[0], weight=2)
    assert rig.command("dispatcher.remove", group="default", uri=URIS[1])
    counts = Counter(only(call(rig, number), "INVITE").to[0] for number in range(60))
    assert counts == {"192.0.2.21": 20, "192.0.2.23": 10, "192.0.2.24": 30}
    rig.dispatcher.configure(settings(), rig.now)
    assert [row["uri"] for row in rig.command("dispatcher.list")] == [URIS[0], URIS[2], "sip:192.0.2.24"]
    rig.command("dispatcher.remove", group="default", uri="sip:192.0.2.24")
    assert len(rig.command("dispatcher.list")) == 2


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("dispatcher.set", {"group": "pbx", "uri": "sip:x"}, "there is no group 'pbx'; there are default"),
        ("dispatcher.set", {"group": "default", "uri": "sip:x"}, "dispatcher.list"),
        ("dispatcher.add", {"group": "default", "uri": "tel:1"}, "no SIP URI"),
        ("dispatcher.add", {"group": "default", "uri": "sip:a.test", "weight": -1}, "weight must be"),
        ("dispatcher.explain", {"call_id": "none"}, "among the last 0"),
    ],
)
def test_what_operators_get_wrong(command: str, given: dict[str, Any], said: str) -> None:
    """The error names cause and fix."""
    assert said in str(Farm(settings()).command(command, **given))


def test_dry_run() -> None:
    """`dispatcher.try` names the destination that would be asked, and changes no turn."""
    rig = Farm(settings(algorithm="hash"))
    tried = rig.command("dispatcher.try", key="call0")["tried"]
    assert f"sip:{only(call(rig), 'INVITE').to[0]}" == tried[0]["uri"]


# --- the default route


def test_registered_users_first() -> None:
    """``takes = "unregistered"``: phones that are here are called here."""
    rig = Farm(settings())
    rig.register(BOB_URI)
    assert only(rig.udp(request()), "INVITE").to == BOB
    assert only(call(rig), "INVITE").to == GATEWAYS[0]


def test_all_calls() -> None:
    """``takes = "calls"``: to the farm, registered or not; what the farm sends goes to the phones."""
    rig = Farm(settings(takes="calls"))
    rig.register(BOB_URI)
    assert only(rig.udp(request()), "INVITE").to == GATEWAYS[0]
    back = request(source=GATEWAYS[1], branch="z9hG4bKback", call_id="back", sender="<sip:x@elsewhere.test>")
    assert only(rig.udp(back, GATEWAYS[1]), "INVITE").to == BOB


def test_everything() -> None:
    """A load balancer before registrars passes REGISTER on, with its Path (RFC 3327)."""
    rig = Farm(settings(takes="everything", algorithm="hash", key="to"))
    data = request(
        "REGISTER", "sip:biloxi.test", headers=[("Contact", "<sip:bob@192.0.2.2>"), ("Supported", "path")]
    )
    passed = only(rig.udp(data), "REGISTER")
    assert passed.to in GATEWAYS
    assert passed.message.has("path")


def test_no_loop() -> None:
    """A gateway that asks for an unknown user gets 404, and not its own request."""
    rig = Farm(settings())
    back = request(uri="sip:4711@biloxi.test", source=GATEWAYS[1], sender="<sip:x@elsewhere.test>")
    assert what(rig.udp(back, GATEWAYS[1])) == ["404"]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Farm(settings(0, 0, 0)), "all weights"),
        (lambda: Farm(settings(group="pbx")), "there are default"),
        (lambda: Destination("sip:user@a.test"), "without a user"),
        (lambda: Destination("http://a.test"), "no SIP URI"),
        (lambda: Destination("sip:a.test", weight=2_000_000), "weight must be"),
        (lambda: DispatcherSettings([Destination("sip:a.test"), Destination("sip:a.test")]), "stands twice"),
        (lambda: DispatcherSettings(failover=[200]), "200 is no status"),
        (lambda: DispatcherSettings(answer=0.0), "answer must be"),
    ],
)
def test_bad_settings(build: Any, said: str) -> None:
    """The error names the fault, before anything runs."""
    with pytest.raises((ValueError, LocalProtocolError), match=said):
        build()


# --- what peers may try


def test_a_slow_answer_to_a_message() -> None:
    """RFC 4320 4.1: no 100 comes early, so no destination is passed over, and nothing is delivered twice."""
    rig = Farm(settings())
    first = only(rig.udp(request("MESSAGE", "sip:4711@biloxi.test", body=b"hi")), "MESSAGE")
    outs = rig.wait(6)
    assert {out.to for out in outs if out.what == "MESSAGE"} <= {first.to}
    assert "200" in what(rig.udp(reply(first, 200), first.to))
    # Silence for good is the phone's behind it, maybe.
    only(rig.udp(request("MESSAGE", "sip:1@biloxi.test", branch="z9hG4bKm2", call_id="m2")), "MESSAGE")
    outs = rig.wait(40)
    assert len({out.to for out in outs if out.what == "MESSAGE"}) == 1
    assert states(rig) == ["up"] * 3


def test_a_number_that_makes_gateways_say_503() -> None:
    """RFC 3261 21.5.4: without Retry-After a 503 counts as a 500, so one caller takes no gateway out."""
    rig = Farm(settings())
    invite = only(call(rig), "INVITE")
    for _ in range(3):
        outs = rig.udp(reply(invite, 503), invite.to)
        invite = next((out for out in outs if out.what == "INVITE"), invite)
    assert states(rig) == ["up"] * 3


@pytest.mark.parametrize("strangers", [False, True])
def test_strangers(strangers: bool) -> None:
    """A caller who has proved nothing gets no gateway that costs money, unless the settings allow it."""
    rig = Farm(settings(strangers=strangers), auth=AuthConfig())
    outs = rig.udp(request(uri="sip:0044900@biloxi.test", sender="<sip:x@evil.example>"))
    assert ("INVITE" in what(outs)) is strangers


def test_cancelled_while_a_route_waits() -> None:
    """No call, no count, nothing sent."""

    async def route(asked: IncomingRequest, dispatcher: Dispatcher) -> None:
        await sleep(0.1)
        await dispatcher.send(asked)

    rig = Farm(settings(max_calls=1), route)
    for number in range(3):
        assert "INVITE" not in what(call(rig, number))
        names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
        rig.udp(request("CANCEL", "sip:4711@biloxi.test", to="<sip:4711@biloxi.test>", **names))
    rig.wait(1)
    assert "INVITE" not in what(rig.log)
    assert [row["calls"] for row in rig.command("dispatcher.list")] == [0, 0, 0]


def test_parallel_with_routes() -> None:
    """All targets have one URI then; the loser's call is not counted all the same."""
    rig = Farm(settings(algorithm="parallel", keep_uri=True))
    invites = [out for out in call(rig) if out.what == "INVITE"]
    rig.udp(reply(invites[1], 200), GATEWAYS[1])
    assert [row["calls"] for row in rig.command("dispatcher.list")] == [0, 1, 0]


def test_probes_are_planned_once() -> None:
    """A reload that turns OPTIONS off and on leaves one timer."""
    rig = Farm(settings(probe_interval=1.0))
    for interval in (0.0, 1.0, 0.0, 1.0):
        rig.dispatcher.configure(settings(probe_interval=interval), rig.now)
    probed(rig, dict.fromkeys(GATEWAYS, 200), 10)
    asked = [out for out in rig.log if out.what == "OPTIONS" and out.to == GATEWAYS[0]]
    assert 8 <= len(asked) <= 12


def test_latency_of_calls() -> None:
    """The 100 of a server says how fast it is; the ringing behind it does not."""
    rig = Farm(settings(1))
    invite = only(call(rig), "INVITE")
    rig.now += 0.03
    rig.udp(reply(invite, 100), GATEWAYS[0])
    rig.now += 5
    rig.udp(reply(invite, 180), GATEWAYS[0])
    rig.now += 5
    rig.udp(reply(invite, 486), GATEWAYS[0])
    (row,) = rig.command("dispatcher.list")
    assert (row["latency"], row["p95"]) == (pytest.approx(0.03), pytest.approx(0.03))
    invite = only(call(rig, 1), "INVITE")
    rig.now += 0.11
    rig.udp(reply(invite, 486), GATEWAYS[0])
    (row,) = rig.command("dispatcher.list")
    # An eighth of the new one (RFC 6298 2.3).
    assert (row["latency"], row["p95"]) == (pytest.approx(0.04), pytest.approx(0.11))


def test_least_latency_learns_from_calls() -> None:
    """Without OPTIONS the faster of two gets the calls once both were tried."""
    rig = Farm(settings(1, 1, algorithm="least-latency"))
    for number, seconds in enumerate((0.2, 0.05)):
        invite = only(call(rig, number), "INVITE")
        rig.now += seconds
        rig.udp(reply(invite, 486), invite.to)
    assert [refused(rig, number) for number in range(2, 6)] == [GATEWAYS[1]] * 4


def test_two_groups_with_one_server() -> None:
    """Each server is asked once, whatever groups a route tries."""

    async def route(request: IncomingRequest, dispatcher: Dispatcher) -> None:
        request.record_route()
        if not await dispatcher.send(request, "a") and not await dispatcher.send(request, "b"):
            request.reply(503)

    table = [Destination(URIS[0], "a"), Destination(URIS[0], "b"), Destination(URIS[1], "b")]
    rig = Farm(DispatcherSettings(table, probe_interval=0.0, takes="nothing"), route)
    first = only(call(rig), "INVITE")
    second = only(rig.udp(reply(first, 500), GATEWAYS[0]), "INVITE")
    assert second.to == GATEWAYS[1]
    assert "503" in what(rig.udp(reply(second, 500), GATEWAYS[1])) or rig.log[-1].what == "500"
    assert [out.to for out in rig.log if out.what == "INVITE"] == GATEWAYS[:2]


def test_one_user_by_several_names() -> None:
    """A user may call from each name of this server, and is one caller all the same: no gateway rests."""

    async def route(asked: IncomingRequest, dispatcher: Dispatcher) -> None:
        asked.authenticated = True
        await dispatcher.send(asked)

    rig = Farm(settings(1, eject_after=2), route, auth=AuthConfig())
    for number, host in enumerate(("biloxi.test", "192.0.2.10", "192.0.2.10:5060", "Biloxi.test.")):
        invite = only(call(rig, number, sender=f"<sip:al%69ce@{host}>"), "INVITE")
        rig.udp(reply(invite, 500), invite.to)
    assert states(rig) == ["up"]
