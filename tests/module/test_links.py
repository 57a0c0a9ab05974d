"""Protocols of modules: whole messages, bounded connections, and an end for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from sansip import Stack, StackConfig
from sansip.actions import Disconnect, SendData
from sansip.config import ListenerConfig, Reconfiguration
from sansip.events import ConnectionRefused
from sansip.journal import JournaledStack, again
from sansip.limits import Limits
from sansip.module import Link, Module, ModuleFault, Use
from sansip.testing import ModuleBench
from sansip.transport.filter import OpenConnection
from tests.rig import LISTENERS

PLACE = ListenerConfig(7, "chat", "192.0.2.10", 2855, "198.51.100.1", 2900)


@dataclass
class Given:
    listen: list[str] = field(default_factory=list)


class Chat(Link):
    """Lines, each sent back to everybody."""

    websocket = True
    largest = 100

    def split(self, buffer: bytearray) -> int:
        if buffer[:1] == b"\0":
            raise ValueError("a line begins with text")
        if buffer[:1] == b"!":
            raise TypeError("a slip of split")
        return buffer.find(b"\n") + 1

    def opened(self, now: float) -> None:
        self.send(f"hello {self.kind} {self.remote[0]} {self.secure}\n".encode())

    def received(self, message: bytes, now: float) -> None:
        if message == b"raise\n":
            raise ValueError("a slip of received")
        if message == b"bye\n":
            self.send(b"bye\n")
            self.close("said bye")
            self.send(b"never\n")
            return
        for link in self.module.core.links:
            link.send(message)

    def closed(self, reason: str, now: float) -> None:
        self.module.gone.append(reason)


class Room(Module):
    name = "room"
    Settings = Given
    protocols: ClassVar = {"chat": Chat}

    def __init__(self, settings: Given) -> None:
        super().__init__(settings)
        self.gone: list[str] = []


@pytest.mark.parametrize("whole", [False, True])
def test_the_first_input_of_all(whole: bool) -> None:
    """A client may connect before any time has passed: the modules have begun when one hears of it."""

    class Greets(Chat):
        def opened(self, now: float) -> None:
            self.send(self.module.greeting)

    class Ready(Room):
        protocols: ClassVar = {"chat": Greets}

        def start(self, core: Any, now: float) -> None:
            self.greeting = b"ready\n"

    listeners = [ListenerConfig(0, "ws", "192.0.2.10", 80), PLACE]
    stack = Stack(StackConfig(listeners, ["example.com"], modules=[Use(Ready)]), b"x" * 16)
    conn, kind = stack.new_connection(), "ws" if whole else "chat"
    opened = OpenConnection(0 if whole else 7, kind, ("192.0.2.10", 1), ("192.0.2.1", 2), True)
    actions = stack.connection_opened(conn, opened, 1.0)
    if whole:
        actions += stack.protocol_agreed(conn, "chat", 1.0)
    actions += stack.data_received(conn, b"hi\n", 1.0, boundary=whole)
    sent = [one.data for one in actions if isinstance(one, SendData)]
    assert sent == [b"ready\n", b"hi\n"]


def test_messages_are_whole() -> None:
    """However the octets are cut; several in one read, and one over WebSocket as it came."""
    bench = ModuleBench(Room)
    one, other = bench.link("chat"), bench.link("chats", ("192.0.2.2", 1), whole=True)
    assert one.received == [b"hello chat 192.0.2.1 False\n"]
    assert other.received == [b"hello chat 192.0.2.2 True\n"]
    assert one.send(b"a") == []
    assert one.send(b"b\nc\nd") == [b"ab\n", b"c\n"]
    assert other.received[1:] == [b"ab\n", b"c\n"]
    assert other.send(b"whole") == [b"whole"]
    assert bench.module.core.links[0].module is bench.module
    one.close()
    assert bench.module.gone == ["closed by the peer"]
    assert len(bench.module.core.links) == 1


def test_it_closes() -> None:
    """Octets sent before the close leave, later ones do not."""
    bench = ModuleBench(Room)
    link = bench.link("chat")
    assert link.send(b"bye\nmore\n") == [b"bye\n"]
    assert (link.ended, bench.module.gone) == ("said bye", ["said bye"])
    assert bench.stack.snapshot()["links"] == 0


@pytest.mark.parametrize(
    ("data", "whole", "said"),
    [
        (b"x" * 101, False, "a message of more than 100 octets (limits.link_message)"),
        (b"x" * 101, True, "a message of more than 100 octets (limits.link_message)"),
        (b"\0\n", False, "what it says cannot be read: a line begins with text"),
    ],
)
def test_a_peer_that_misbehaves(data: bytes, whole: bool, said: str) -> None:
    """The stack closes the connection of that peer and tells the module. Other peers are untouched."""
    bench = ModuleBench(Room)
    other, link = bench.link("chat"), bench.link("chat", whole=whole)
    link.send(data)
    assert link.ended == said
    assert ConnectionRefused("192.0.2.1", said) in bench.events
    assert (other.send(b"x\n"), bench.failures) == ([b"x\n"], [])


@pytest.mark.parametrize("data", [b"raise\n", b"!"])
def test_a_protocol_that_raises(data: bytes) -> None:
    """The module is named, its peer is closed, and the others go on."""
    bench = ModuleBench(Room)
    other, link = bench.link("chat"), bench.link("chat")
    link.send(data)
    assert link.ended == "the module failed"
    [failure] = bench.failures
    assert (failure.module, failure.where) == ("room", "protocol")
    assert other.send(b"x\n") == [b"x\n"]


def test_one_that_cannot_be_made() -> None:
    """``__init__`` and ``opened`` count as well."""

    class Lame(Link):
        def __init__(self, *given: Any) -> None:
            raise TypeError("a slip")

    class Mute(Link):
        def opened(self, now: float) -> None:
            raise TypeError("a slip")

        def closed(self, reason: str, now: float) -> None:
            raise TypeError("another")

    class Both(Module):
        name = "both"
        protocols: ClassVar = {"lame": Lame, "mute": Mute}

    bench = ModuleBench(Both)
    assert [bench.link(kind).ended for kind in ("lame", "mutes")] == ["the module failed"] * 2
    assert len(bench.failures) == 3
    assert bench.stack.snapshot()["links"] == 0


def test_one_that_never_frames() -> None:
    """A client that says nothing, or never ends a message, is closed in time; an idle one much later."""
    bench = ModuleBench(Room)
    limits = Limits()
    silent, slow, idle = bench.link("chat"), bench.link("chat"), bench.link("chat")
    slow.send(b"x")
    idle.send(b"x\n")
    bench.wait(limits.first_data_time + 1)
    assert silent.ended == "nothing received in 20 s (limits.first_data_time)"
    assert slow.ended == "message incomplete after 20 s (limits.message_time)"
    assert idle.ended == ""
    # Octet by octet it has no more time.
    slow = bench.link("chat")
    slow.send(b"a\n")
    for _ in range(10):
        slow.send(b"x")
        bench.wait(2.5)
    assert slow.ended == "message incomplete after 20 s (limits.message_time)"
    bench.wait(2 * limits.connection_idle)
    assert idle.ended == "idle for 3605 s (limits.connection_idle)"
    assert bench.failures == []


def test_too_many() -> None:
    """``links_per_source`` and ``links``; there is room again when one has gone."""
    config = StackConfig(list(LISTENERS), modules=[Use(Room)], limits=Limits(links=3, links_per_source=2))
    stack = Stack(config, b"s" * 16)
    stack.time_passed(0.0)

    def connected(source: str) -> str:
        conn = stack.new_connection()
        actions = stack.connection_opened(conn, OpenConnection(7, "chat", (), (source, 1), True), 0.0)
        return next((one.reason for one in actions if isinstance(one, Disconnect)), "")

    assert [connected("192.0.2.1") for _ in range(3)] == [
        "", "", "more than 2 from 192.0.2.1 (limits.links_per_source)"]  # fmt: skip
    assert [connected("192.0.2.2") for _ in range(2)] == [
        "", "more than 3 connections to modules (limits.links)"]  # fmt: skip
    stack.connection_closed(1, "gone", 1.0)
    assert connected("192.0.2.2") == ""


def test_a_websocket_for_another_protocol() -> None:
    """It was SIP's until its sub-protocol was agreed; from then on SIP does not know it. A journal has it."""
    lines: list[str] = []
    stack = JournaledStack(StackConfig(list(LISTENERS), modules=[Use(Room)]), b"s" * 16, lines.append, {})
    stack.connection_opened(1, OpenConnection(0, "ws", (), ("192.0.2.1", 1), True), 0.0)
    assert stack.snapshot()["connections"] == 1
    assert stack.protocol_agreed(1, "chat", 0.5) == [SendData(1, b"hello chat 192.0.2.1 False\n")]
    assert (stack.snapshot()["connections"], stack.snapshot()["links"]) == (0, 1)
    assert stack.data_received(1, b"OPTIONS sip:x SIP/2.0", 1.0, boundary=True) == [
        SendData(1, b"OPTIONS sip:x SIP/2.0")
    ]
    stack.configure(Reconfiguration(removed=[Room]), 2.0)
    stack.connection_closed(1, "gone", 3.0)
    assert stack.protocol_agreed(1, "chat", 4.0) == []

    def build(head: dict[str, Any]) -> Stack:
        return Stack(StackConfig(list(LISTENERS), modules=[Use(Room)]), bytes.fromhex(head["seed"]))

    assert all(one.same for one in again(lines, build))


def test_a_module_that_goes() -> None:
    """Its connections are closed at once, later ones too; the listener is none of SIP's at any time."""
    config = StackConfig([*LISTENERS, PLACE], modules=[Use(Room)])
    stack = Stack(config, b"s" * 16)
    stack.time_passed(0.0)
    room = stack.modules.get(Room)
    assert room.core.listening("chat") == [("198.51.100.1", 2900)]
    assert 7 not in stack.listeners
    opened = OpenConnection(7, "chat", (), ("192.0.2.1", 1), True)
    stack.connection_opened(1, opened, 1.0)
    actions = stack.configure(Reconfiguration(removed=[Room], listeners=list(LISTENERS)), 2.0)
    assert Disconnect(1, "its module was taken away") in actions
    assert room.gone == ["its module was taken away"]
    assert stack.connection_closed(1, "gone", 2.0) == []
    actions = stack.connection_opened(2, opened, 3.0)
    assert Disconnect(2, "no module speaks chat any more") in actions
    stack.configure(Reconfiguration(added={Room: None}, listeners=[*LISTENERS, PLACE]), 4.0)
    assert SendData(3, b"hello chat 192.0.2.1 False\n") in stack.connection_opened(3, opened, 5.0)


def test_names_that_cannot_be() -> None:
    """Those that are spoken already, and what two modules claim."""
    for name in ("tcp", "sips", "Chat", "http"):
        with pytest.raises(ModuleFault, match="expected letters and digits, no other"):
            type("Odd", (Module,), {"name": "odd", "protocols": {name: Chat}})

    class Second(Module):
        name = "second"
        protocols: ClassVar = {"chats": Chat}

    with pytest.raises(ModuleFault, match="the modules room and second both speak chats"):
        Stack(StackConfig(list(LISTENERS), modules=[Use(Room), Use(Second)]), b"s" * 16)
