"""Modules that come and go while requests run: each request ends by the modules that it began with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sansip import Stack, StackConfig
from sansip.actions import CloseDatagram, OpenDatagram, SendDatagram
from sansip.config import Reconfiguration
from sansip.errors import LocalProtocolError
from sansip.journal import JournaledStack, again
from sansip.limits import Limits
from sansip.module import Core, Module, ModuleFault, Use, command, function, step
from sansip.modules.keepalive import Keepalive
from sansip.routing import IncomingRequest, sleep
from tests.rig import ALICE, BOB, BOB_URI, LISTENERS, UDP

RELAY = ("192.0.2.99", 2223)


@dataclass
class Given:
    fails: str = ""
    status: int = 0


class Looking(Module):
    """Notes how the stack looks as it starts."""

    name = "looking"
    Settings = Given
    seen: tuple[list[str], int]

    def start(self, core: Core, now: float) -> None:
        self.seen = list(core.domains), core.limits.module_keys
        if self.settings.fails == "start":
            raise ValueError("no such relay")


class Counting(Module):
    """Notes what reaches it."""

    name = "counting"
    Settings = Given
    events = (str,)
    seen: list[str]

    def check(self, settings: Given) -> None:
        if settings.fails == "check":
            raise ValueError("it cannot be")

    def start(self, core: Core, now: float) -> None:
        self.seen = []
        self._relay = core.datagrams(RELAY)
        self._relay.send(b"hello", now)
        core.timers.start(now, 10.0, self, "look")
        core.watch(lambda aor, before, after: self.seen.append(f"watched {aor}"))
        core.run(self._for_ever(), now)
        if self.settings.fails == "start":
            raise ValueError("no such relay")

    async def _for_ever(self) -> None:
        try:
            while True:
                await sleep(1.0)
        finally:
            self.seen.append("work ended")

    def stop(self, now: float) -> None:
        self.seen.append("stopped")

    def timer_fired(self, name: str, now: float) -> None:
        self.seen.append("timer")
        if self.settings.fails == "timer":
            raise ValueError("a slip")
        self.core.timers.start(now, 10.0, self, "look")

    def branch_leaving(self, request: IncomingRequest, branch: Any, message: Any) -> None:
        message.set("X-Counted", "yes")
        self._relay.send(b"leaving", request.now)

    def response_leaving(self, request: IncomingRequest, response: Any) -> None:
        self.seen.append(f"answer {response.status}")

    def request_ended(self, request: IncomingRequest) -> None:
        self.seen.append("ended")

    def event_received(self, event: str, now: float) -> None:
        self.seen.append(event)

    @function
    def counts(self, request: IncomingRequest) -> bool:
        return True

    @step("screen")
    async def screen(self, request: IncomingRequest) -> None:
        if self.settings.status:
            request.reply(self.settings.status)

    @command("counting.list")
    def list_seen(self) -> list[str]:
        return self.seen


class Leaning(Module):
    """Uses its neighbour in requests."""

    name = "leaning"
    requires = (Counting,)

    def response_leaving(self, request: IncomingRequest, response: Any) -> None:
        self.core.module(Counting).seen.append("leaned on")


def invite(branch: str) -> bytes:
    lines = [
        "INVITE sip:x@biloxi.test SIP/2.0",
        f"Via: SIP/2.0/UDP {ALICE[0]}:5060;branch=z9hG4bK{branch}",
        "From: <sip:alice@elsewhere.test>;tag=1",
        "To: <sip:x@biloxi.test>",
        f"Call-ID: {branch}",
        "CSeq: 1 INVITE",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(sent: SendDatagram, status: str = "486 Busy Here") -> bytes:
    copied = [one for one in sent.data.decode().split("\r\n") if one[:4] in ("Via:", "From", "Call", "CSeq")]
    to = "To: <sip:x@biloxi.test>;tag=2"
    return "\r\n".join([f"SIP/2.0 {status}", *copied, to, "Content-Length: 0", "", ""]).encode()


def relays(request: IncomingRequest) -> None:
    request.relay(BOB_URI)


def made(*uses: Use, route: Any = relays) -> Stack:
    stack = Stack(StackConfig(list(LISTENERS), ["biloxi.test"], modules=list(uses), route=route), b"s" * 16)
    stack.time_passed(0.0)
    return stack


def to_bob(actions: list[Any]) -> SendDatagram:
    [sent] = [one for one in actions if isinstance(one, SendDatagram) and one.address == BOB]
    return sent


def test_a_request_ends_by_the_modules_that_it_began_with() -> None:
    """The module that goes sees the answer of its call, and nothing of the next call."""
    stack = made(Use(Counting), Use(Leaning))
    counting = stack.modules.get(Counting)
    leaving = to_bob(stack.datagram_received(UDP, invite("a"), ALICE, 1.0))
    assert b"X-Counted" in leaving.data
    stack.configure(Reconfiguration(removed=[Counting, Leaning]), 2.0)
    assert counting.seen == ["stopped"]
    assert len(stack.modules) == 0
    later = to_bob(stack.datagram_received(UDP, invite("b"), ALICE, 2.0))
    assert b"X-Counted" not in later.data
    stack.datagram_received(UDP, answer(later), BOB, 3.0)
    assert counting.seen == ["stopped"]
    stack.datagram_received(UDP, answer(leaving), BOB, 3.0)
    # A hook of the other one that went finds it, too.
    assert counting.seen == ["stopped", "leaned on", "answer 486", "ended"]


def test_what_it_has_ends_with_it() -> None:
    """Timers, events and commands at once; sockets and work when its last request must have ended."""
    stack = made(Use(Counting))
    counting = stack.modules.get(Counting)
    stack.tell("before", 1.0)
    stack.configure(Reconfiguration(removed=[Counting]), 2.0)
    stack.tell("after", 3.0)
    stack.time_passed(20.0)
    assert counting.seen == ["before", "stopped"]
    results: list[Any] = []
    stack.command("counting.list", {}, 20.0, lambda result, now: results.append(str(result)))
    assert results == ["there is no command counting.list; there are none"]
    assert not stack.location.watchers
    assert (len(stack.sockets), len(stack.departures)) == (1, 1)
    actions = stack.time_passed(2.0 + Limits().retire_time)
    assert [type(one) for one in actions] == [CloseDatagram]
    assert counting.seen == ["before", "stopped", "work ended"]
    assert (len(stack.sockets), len(stack.departures)) == (0, 0)
    # A slip of its own cannot bring it back.
    counting.core.timers.start(400.0, 1.0, counting, "late")
    counting.core.run(counting._for_ever(), 400.0)
    with pytest.raises(OSError, match="its module was taken away"):
        counting._relay.send(b"x", 400.0)
    stack.time_passed(500.0)
    assert counting.seen == ["before", "stopped", "work ended", "work ended"]
    assert not stack.proxy.hooks.active


def test_it_comes_and_is_used_at_once() -> None:
    """By the route of the same reload, by steps, commands and hooks; a running call does not see it."""

    def wants(request: IncomingRequest, counting: Counting) -> None:
        assert counting.counts(request)
        request.relay(BOB_URI)

    stack = made()
    running = to_bob(stack.datagram_received(UDP, invite("a"), ALICE, 1.0))
    with pytest.raises(ModuleFault, match=r"wants the module counting; add \[counting\]"):
        stack.configure(Reconfiguration(route=wants, route_name="w"), 2.0)
    actions = stack.configure(Reconfiguration(route=wants, route_name="w", added={Counting: Given()}), 2.0)
    assert OpenDatagram in [type(one) for one in actions]
    counting = stack.modules.get(Counting)
    stack.datagram_received(UDP, answer(running), BOB, 3.0)
    assert counting.seen == []
    assert b"X-Counted" in to_bob(stack.datagram_received(UDP, invite("b"), ALICE, 4.0)).data
    stack.time_passed(12.5)
    assert "timer" in counting.seen
    # It cannot go while the route wants it.
    with pytest.raises(ModuleFault, match="wants the module counting"):
        stack.configure(Reconfiguration(removed=[Counting]), 13.0)
    assert stack.modules.get(Counting) is counting
    # One that stays is the same; the new settings are its.
    stack.configure(Reconfiguration(added={Leaning: None}, modules={Counting: Given(status=603)}), 14.0)
    assert stack.modules.get(Counting) is counting
    assert counting.settings.status == 603
    with pytest.raises(ModuleFault, match="leaning needs the module counting"):
        stack.configure(Reconfiguration(removed=[Counting], route=relays), 15.0)


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (
            "start",
            r"the module counting does not start: ValueError: no such relay \(.*departure.py:\d+\); mend",
        ),
        ("check", r"the module counting cannot be used so: ValueError: it cannot be"),
    ],
)
def test_one_that_does_not_start(fails: str, said: str) -> None:
    """The change is refused whole; the module's work is undone; the replay does the same."""
    lines: list[str] = []
    config = StackConfig(list(LISTENERS), ["biloxi.test"], route=relays)
    stack = JournaledStack(config, b"s" * 16, lines.append, {})
    stack.time_passed(0.0)
    before = stack.modules
    change = Reconfiguration(added={Counting: Given(fails=fails), Leaning: None}, server_name="other")
    change.added = {Counting: Given(fails=fails)}
    with pytest.raises(ModuleFault, match=said) as raised:
        stack.configure(change, 1.0)
    assert raised.value.module == "counting"
    assert (stack.modules, stack.server_name, len(stack.sockets)) == (before, "sansip", 0)
    actions = stack.time_passed(20.0)
    began = [OpenDatagram, SendDatagram, CloseDatagram] if fails == "start" else []
    assert [type(one) for one in actions] == began
    stack.configure(Reconfiguration(added={Counting: Given()}), 21.0)
    to_bob(stack.datagram_received(UDP, invite("b"), ALICE, 22.0))
    stack.configure(Reconfiguration(removed=[Counting]), 23.0)
    stack.time_passed(400.0)

    def build(head: dict[str, Any]) -> Stack:
        config = StackConfig(list(LISTENERS), ["biloxi.test"], route=relays)
        return Stack(config, bytes.fromhex(head["seed"]))

    played = list(again(lines, build, modules=lambda name: Counting))
    assert len(played) == 7
    assert all(one.same for one in played), [one for one in played if not one.same]
    with pytest.raises(ValueError, match="the module counting was added, and is not here"):
        list(again(lines, build))


def test_a_server_whose_module_does_not_start() -> None:
    """The first input says so, and the others that were started are ended."""
    stack = Stack(
        StackConfig(list(LISTENERS), modules=[Use(Counting, Given(fails="start")), Use(Keepalive)]), b"s" * 16
    )
    with pytest.raises(LocalProtocolError, match="counting does not start"):
        stack.time_passed(0.0)
    assert len(stack.sockets) == 0


def test_a_timer_that_raises() -> None:
    """It is the module's failure, with its name, and the timers of others fire."""
    stack = made(Use(Counting, Given(fails="timer")), Use(Leaning))
    heard: list[float] = []

    class Other:
        def timer_fired(self, name: Any, now: float) -> None:
            heard.append(now)

    stack.timers.start(0.0, 10.5, Other(), None)
    told = [str(one) for one in stack.time_passed(11.0)]
    assert heard == [11.0]
    assert any("module='counting', where='timer_fired'" in one for one in told)


def test_several_reloads_while_one_call_rings() -> None:
    """Each call has its own set, whatever came and went meanwhile."""
    stack = made(Use(Counting))
    first = stack.modules.get(Counting)
    one = to_bob(stack.datagram_received(UDP, invite("a"), ALICE, 1.0))
    stack.configure(Reconfiguration(removed=[Counting]), 2.0)
    stack.configure(Reconfiguration(added={Counting: Given()}), 3.0)
    second = stack.modules.get(Counting)
    two = to_bob(stack.datagram_received(UDP, invite("b"), ALICE, 4.0))
    stack.configure(Reconfiguration(removed=[Counting]), 5.0)
    assert first is not second
    stack.datagram_received(UDP, answer(one), BOB, 6.0)
    stack.datagram_received(UDP, answer(two), BOB, 6.0)
    assert first.seen == ["stopped", "answer 486", "ended"]
    assert second.seen == ["stopped", "answer 486", "ended"]
    stack.time_passed(303.0)
    assert (len(stack.departures), stack.proxy.hooks.active) == (1, True)
    stack.time_passed(306.0)
    assert (len(stack.departures), stack.proxy.hooks.active) == (0, False)


def names_of(stack: Stack) -> Any:
    config = stack.config
    keys = stack.limits.module_keys, config.limits.module_keys
    return list(stack.domains), dict(stack.realms), list(config.domains), list(config.aliases), keys


def test_it_starts_with_the_new_names_and_limits() -> None:
    """One reload brings a domain and the module that serves it: the module sees it as it starts."""
    stack = Stack(StackConfig(listeners=list(LISTENERS), domains=["biloxi.test"]), b"s" * 32)
    limits = Limits(module_keys=7)
    change = Reconfiguration(domains=["biloxi.test", "new.test"], limits=limits, added={Looking: Given()})
    stack.configure(change, 1.0)
    assert stack.modules.get(Looking).seen == (["biloxi.test", "new.test"], 7)


def test_one_that_does_not_start_leaves_names_and_limits() -> None:
    """All or nothing: the old names and limits stand where the new module refuses to start."""
    stack = Stack(StackConfig(listeners=list(LISTENERS), domains=["biloxi.test"]), b"s" * 32)
    before = names_of(stack)
    change = Reconfiguration(
        domains=["new.test"],
        aliases=["alias.test"],
        limits=Limits(module_keys=7),
        added={Looking: Given("start")},
    )
    with pytest.raises(ModuleFault, match="no such relay"):
        stack.configure(change, 1.0)
    assert names_of(stack) == before
    assert stack.listeners.serves("biloxi.test")
    assert not stack.listeners.serves("new.test")
    assert not stack.listeners.serves("alias.test")
