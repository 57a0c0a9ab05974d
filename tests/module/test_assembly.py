"""Modules in a running stack: their hooks, and the end of those that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from sansip.events import BindingsChanged, ModuleFailed
from sansip.module import DROP, Doc, Module, ModuleFault, Modules, Reply, Slot, Use, keys_of, step
from sansip.routing import sleep
from sansip.rows import Change, MemoryRows, Read, Scan, Table, Write
from tests.rig import ALICE, BOB, BOB_URI, Rig, reply, request, what


class Alpha(Module):
    name = "alpha"


class Beta(Module):
    name = "beta"


class Greeter(Module):
    name = "greeter"


def failures(rig: Rig) -> list[tuple[str, str]]:
    return [(one.module, one.where) for one in rig.events if isinstance(one, ModuleFailed)]


# --- hooks

LOG: list[str] = []


@dataclass
class Loud:
    says: Annotated[str, Doc("What it says.")] = "x"
    raises: str = ""


class _Hooks:
    """All hooks, each writing its name into LOG."""

    settings: Any

    def _say(self, hook: str) -> None:
        LOG.append(f"{self.settings.says}.{hook}")
        if self.settings.raises == hook:
            raise ValueError(hook)


class One(Module, _Hooks):
    name = "one"
    Settings = Loud
    events = (BindingsChanged,)
    seen: Slot[int] = Slot()

    def start(self, core: Any, now: float) -> None:
        self._say("start")

    def stop(self, now: float) -> None:
        self._say("stop")

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        self._say("message_arrived")
        if message.get("x-block") == "drop":
            return DROP
        if message.get("x-block"):
            return Reply(488, "Not Today", [("X-Why", "asked for")])
        return super().message_arrived(message, flow, now)

    def request_received(self, request: Any) -> bool:
        self._say("request_received")
        if request.method == "PUBLISH":
            request.reply(200)
            return True
        return False

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> None:
        self._say("branch_leaving")
        self.seen.set(request, (self.seen.get(request) or 0) + 1)
        message.append("X-One", "1")

    def response_received(self, request: Any, branch: Any, response: Any) -> None:
        self._say("response_received")

    def branch_ended(self, request: Any, branch: Any, status: int) -> None:
        self._say(f"branch_ended {status}")

    def response_leaving(self, request: Any, response: Any) -> None:
        self._say("response_leaving")
        response.append("X-Branches", str(self.seen.get(request)))

    def request_ended(self, request: Any) -> None:
        self._say("request_ended")


class Two(Module, _Hooks):
    name = "two"
    Settings = Loud

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> None:
        self._say("branch_leaving")

    def response_received(self, request: Any, branch: Any, response: Any) -> None:
        self._say("response_received")


def loud(raises: str = "", **options: Any) -> Rig:
    LOG.clear()
    rig = Rig(modules=[Use(One, Loud("one")), Use(Two, Loud("two"))], **options)
    rig.register(BOB_URI, BOB)
    rig.stack.modules.get(One).settings = Loud("one", raises)
    LOG.clear()
    return rig


def test_a_call_passes_every_hook() -> None:
    """In order on the way there, in reverse on the way back; their changes stand in the messages."""
    rig = loud()
    _, invite = rig.udp(request("INVITE", "sip:bob@biloxi.test"))
    assert invite.message.get("x-one") == "1"
    ringing = rig.udp(reply(invite, 180), BOB)
    (answer,) = rig.udp(reply(invite, 200), BOB)
    assert answer.message.get("x-branches") == "1"
    assert [
        *("one.message_arrived", "one.request_received", "one.branch_leaving", "two.branch_leaving"),
        *("one.message_arrived", "two.response_received", "one.response_received", "one.response_leaving"),
        *("one.message_arrived", "two.response_received", "one.response_received"),
        *("one.branch_ended 200", "one.response_leaving", "one.request_ended"),
    ] == LOG
    assert what(ringing) == ["180"]


class Clocked(Module):
    """Notes the time of each hook of a request."""

    name = "clocked"

    def start(self, core: Any, now: float) -> None:
        self.seen: list[tuple[str, float]] = []

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> None:
        self.seen.append(("leaving", request.now))

    def response_received(self, request: Any, branch: Any, response: Any) -> None:
        self.seen.append((f"received {response.status}", request.now))

    def branch_ended(self, request: Any, branch: Any, status: int) -> None:
        self.seen.append((f"branch {status}", request.now))

    def response_leaving(self, request: Any, response: Any) -> None:
        self.seen.append((f"back {response.status}", request.now))

    def request_ended(self, request: Any) -> None:
        self.seen.append(("ended", request.now))


def test_hooks_know_the_time() -> None:
    """``request.now`` is the time of the message, or of the timer, that the hook is about."""
    rig = Rig(modules=[Use(Clocked)])
    rig.register(BOB_URI, BOB)
    seen = rig.stack.modules.get(Clocked).seen
    seen.clear()
    _, invite = rig.udp(request("INVITE", "sip:bob@biloxi.test"))
    rig.now += 3
    rig.udp(reply(invite, 180), BOB)
    rig.now += 4
    rig.udp(reply(invite, 486), BOB)
    assert seen == [
        *(("leaving", 100.0), ("received 180", 103.0), ("back 180", 103.0)),
        *(("received 486", 107.0), ("branch 486", 107.0), ("back 486", 107.0), ("ended", 107.0)),
    ]
    seen.clear()
    rig.udp(request("MESSAGE", "sip:bob@biloxi.test", branch="z9hG4bKlost", call_id="lost"))
    # RFC 3261 17.1.2.2: Timer F; RFC 4320 4.2: no 408 goes back.
    rig.wait(33)
    assert seen == [("leaving", 107.0), ("branch 408", 139.0), ("ended", 139.0)]


def test_what_is_answered_here_passes_them_too() -> None:
    """The 404 of the default route, and the registrar's 200."""
    rig = loud()
    rig.udp(request("INVITE", "sip:nobody@biloxi.test"))
    assert LOG[-2:] == ["one.response_leaving", "one.request_ended"]


def test_messages_may_be_dropped_or_answered() -> None:
    """Before a transaction is made of them; an ACK is never answered (RFC 3261 17.1.1.3)."""
    rig = loud()
    before = rig.stack.snapshot()
    assert rig.udp(request("INVITE", "sip:bob@biloxi.test", headers=[("X-Block", "drop")])) == []
    (answer,) = rig.udp(request("INVITE", "sip:bob@biloxi.test", headers=[("X-Block", "488")]))
    assert (answer.what, answer.message.reason, answer.message.get("x-why")) == (
        "488",
        "Not Today",
        "asked for",
    )
    assert rig.udp(request("ACK", "sip:bob@biloxi.test", headers=[("X-Block", "488")])) == []
    assert rig.stack.snapshot() == before


def test_a_module_may_take_a_request() -> None:
    """The route does not see what a module claims."""
    rig = loud()
    assert what(rig.udp(request("PUBLISH", "sip:bob@biloxi.test"))) == ["200"]


@pytest.mark.parametrize(
    ("hook", "outcome"),
    [
        ("message_arrived", ["500"]),
        ("branch_leaving", ["100", "500"]),
        ("request_received", ["100", "INVITE"]),
    ],
)
def test_a_hook_that_raises(hook: str, outcome: list[str]) -> None:
    """Hooks that must not be left out fail closed, the others open; the failure names the module."""
    rig = loud(hook)
    assert what(rig.udp(request("INVITE", "sip:bob@biloxi.test"))) == outcome
    assert failures(rig)[-1] == ("one", hook)


@pytest.mark.parametrize(
    "hook", ["response_received", "branch_ended 200", "response_leaving", "request_ended"]
)
def test_a_hook_that_raises_on_the_way_back(hook: str) -> None:
    """The answer reaches the caller all the same."""
    rig = loud(hook)
    _, invite = rig.udp(request("INVITE", "sip:bob@biloxi.test"))
    assert what(rig.udp(reply(invite, 200), BOB)) == ["200"]
    assert failures(rig)


def test_start_and_stop() -> None:
    """Modules start with the first input, in order, and stop when the stack drains."""
    LOG.clear()
    rig = Rig(modules=[Use(One, Loud("one"))])
    assert rig.stack.next_deadline() == 0.0
    rig.wait(0)
    assert LOG == ["one.start"]
    rig.stack.drain(rig.now)
    assert LOG[-1] == "one.stop"


# --- steps of the default route


class Gate(Module):
    name = "gate"
    Settings = Loud

    @step("screen")
    async def look(self, request: Any) -> None:
        await sleep(0.5)
        if request.message.get("x-block"):
            request.reply(403)
        if self.settings.raises == "screen":
            raise ValueError("a slip")

    @step("select")
    async def elsewhere(self, request: Any) -> None:
        if self.settings.raises == "select":
            raise ValueError("a slip")
        if request.uri.user == "gateway":
            request.relay(BOB_URI)


def gate(**settings: Any) -> Rig:
    rig = Rig(modules=[Use(Gate, Loud(**settings))])
    rig.wait(0)
    return rig


def decided(rig: Rig) -> list[str]:
    """The messages that leave within the half second that the first step waits."""
    return [out for out in what(rig.wait(0.5)) if out != "100"]


def test_steps_wait_and_decide() -> None:
    """A step runs where its stage is; where it decides, the route ends there."""
    rig = gate()
    blocked = [("X-Block", "yes")]
    rig.udp(request("INVITE", "sip:gateway@biloxi.test", headers=blocked))
    assert decided(rig) == ["403"]
    rig = gate()
    rig.udp(request("INVITE", "sip:gateway@biloxi.test"))
    assert decided(rig) == ["INVITE"]
    rig = gate()
    rig.udp(request("INVITE", "sip:nobody@biloxi.test"))
    assert decided(rig) == ["404"]


def test_steps_that_raise() -> None:
    """A request that was not screened is not served; a step that only looks for a target is passed over."""
    rig = gate(raises="screen")
    rig.udp(request("INVITE", "sip:nobody@biloxi.test"))
    assert decided(rig) == ["500"]
    rig = gate(raises="select")
    rig.udp(request("INVITE", "sip:gateway@biloxi.test"))
    assert decided(rig) == ["404"]
    assert failures(rig) == [("gate", "step select")]


# --- settings


def test_settings_are_replaced_whole() -> None:
    """New ones are judged first; a module that refuses them keeps the old ones."""

    class Picky(Module):
        name = "picky"
        Settings = Loud

        def check(self, settings: Loud) -> None:
            if settings.says == "no":
                raise ModuleFault("picky.says: not that")

        def configure(self, settings: Loud, now: float) -> None:
            super().configure(settings, now)
            if settings.raises:
                raise ValueError("a slip")

    rig = Rig(modules=[Use(Picky)])
    modules: Modules = rig.stack.modules
    picky = modules.get(Picky)
    with pytest.raises(ModuleFault, match="not that"):
        modules.check({Picky: Loud("no")})
    modules.configure({Picky: Loud("yes")}, rig.now)
    assert picky.settings.says == "yes"
    modules.configure({Picky: Loud("later", "configure")}, rig.now)
    assert picky.settings.says == "yes"
    rig.wait(0)
    assert failures(rig) == [("picky", "configure")]
    with pytest.raises(ModuleFault, match="not that"):
        Rig(modules=[Use(Picky, Loud("no"))])


def test_keys_have_a_word_on_each() -> None:
    """The reference page and `sansip modules` show these texts."""
    assert [(key.name, key.type, key.default, key.doc) for key in keys_of(Loud)] == [
        ("says", str, "x", "What it says."),
        ("raises", str, "", ""),
    ]


# --- what a module does by itself


@dataclass
class Note:
    number: int
    text: str


class Notes(Module):
    name = "notes"
    tables = (Table("notes", Note, ("number",)),)

    def start(self, core: Any, now: float) -> None:
        self._rows = core.rows(self.tables[0])
        self._kept: list[Note] = []
        self._written = core.counter("written", "Notes written", ("kind",))
        core.run(self._restore(), now)
        core.timers.start(now, 10.0, self, "write")

    async def _restore(self) -> None:
        self._kept = await self._rows.all()

    def timer_fired(self, name: Any, now: float) -> None:
        self.core.run(self._write(), now)

    async def _write(self) -> None:
        await sleep(1)
        await self._rows.put(Note(2, "two"), Note(3, "three"), delete=[(1,)])
        self._written.add("note", by=2)
        assert await self._rows.get(3) == Note(3, "three")
        assert await self._rows.page(after=(2,)) == [Note(3, "three")]
        raise ValueError("nobody waits for this")


def test_rows_timers_and_work_of_its_own() -> None:
    """All of it through the core, so that it is virtual in a test and exact in a replay."""
    store = MemoryRows()
    table = Notes.tables[0]
    store.write(Write((Change(table, (table.values_of(Note(1, "one")),)),)))
    rig = Rig(modules=[Use(Notes)])

    def served(seconds: float) -> None:
        rig.wait(seconds)
        while rig.asks:
            ask = rig.asks.pop(0)
            assert isinstance(ask.question, Read | Scan | Write)
            rig.answer(store.answer(ask.question), ask)

    served(0)
    notes = rig.stack.modules.get(Notes)
    assert notes._kept == [Note(1, "one")]
    served(10)
    served(1)
    assert [row[0] for row in store.scan(Scan(table))] == [2, 3]
    assert notes.core.counted[0].values == {("note",): 2}
    assert failures(rig) == [("notes", "run")]


def test_secrets_differ_by_purpose_and_outlive_the_process() -> None:
    """Two nodes with one secret agree, and each module has a key of its own."""
    secret = b"a secret of more than 16 octets"
    one, two = (Rig(modules=[Use(Alpha), Use(Beta)], secret=secret).stack.modules for _ in range(2))
    first = one.get(Alpha).core.secret("token").keyed_hash("x")
    assert first == two.get(Alpha).core.secret("token").keyed_hash("x")
    assert first != one.get(Beta).core.secret("token").keyed_hash("x")
    assert first != one.get(Alpha).core.secret("other").keyed_hash("x")


def test_events_reach_those_who_want_them() -> None:
    """A module hears what another one tells, of the classes that it named."""
    heard: list[Any] = []

    class Ear(Module):
        name = "ear"
        events = (int,)

        def event_received(self, event: Any, now: float) -> None:
            heard.append(event)
            raise ValueError("a slip")

    rig = Rig(modules=[Use(Ear), Use(Alpha)])
    core = rig.stack.modules.get(Alpha).core
    core.notify("text", rig.now)
    core.notify(7, rig.now)
    rig.wait(0)
    assert heard == [7]
    assert failures(rig) == [("ear", "event_received")]
    with pytest.raises(LookupError, match=r"greeter is not configured; add \[greeter\]"):
        core.module(Greeter)
    assert rig.stack.modules.find(Greeter) is None


def test_a_stray_response_may_be_a_modules() -> None:
    """A module that sends requests without a transaction gets their answers."""
    taken: list[str] = []

    class Prober(Module):
        name = "prober"

        def stray_received(self, response: Any, flow: Any, now: float) -> bool:
            taken.append(response.via.branch)
            return True

    rig = Rig(modules=[Use(Prober)])
    text = "\r\n".join(
        [
            "SIP/2.0 200 OK",
            "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKprobe",
            "From: <sip:a@biloxi.test>;tag=1",
            "To: <sip:b@biloxi.test>;tag=2",
            "Call-ID: 1",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
            "",
            "",
        ]
    )
    assert rig.udp(text.encode(), ALICE) == []
    assert taken == ["z9hG4bKprobe"]


class OfMessages(Module):
    name = "of_messages"

    @step("relay", methods=("MESSAGE",))
    async def look(self, request: Any) -> None:
        """Answer a message."""
        request.reply(202)


def test_a_step_for_some_methods() -> None:
    """Requests of other methods do not wait for it, nor do they leave the quick ways for it."""
    rig = Rig(modules=[Use(OfMessages)])
    modules = rig.stack.modules
    assert [len(modules.stages_of(one)["relay"]) for one in ("MESSAGE", "INVITE")] == [1, 0]
    assert len(modules.stages["relay"]) == 1
