"""A journal is enough to play everything again, and peers do not notice that it is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip import ListenerConfig, StackConfig
from sansip.actions import Notify, SendDatagram
from sansip.config import Reconfiguration
from sansip.events import RouteFailed
from sansip.journal import JournaledStack, JournalError, again, entries
from sansip.journal_values import again_value, octets, plain_action, value_of
from sansip.location import Binding, Outcome
from sansip.module import Module, Use
from sansip.routing.trust import TrustedPeer
from sansip.stack import Stack
from sansip.testing import Network
from sansip.transport.dns import LookupFailed, Srv
from sansip.transport.filter import OpenConnection
from tests.fuzz.seeds import seeds
from tests.fuzz.targets.story import SEPARATOR, play
from tests.rig import request

LISTENERS = [ListenerConfig(0, "udp", "192.0.2.1", 5060), ListenerConfig(1, "tcp", "192.0.2.1", 5060)]


def config() -> StackConfig:
    return StackConfig(LISTENERS, ["biloxi.test"])


def same_again(lines: list[str], config: StackConfig) -> list[str]:
    """Play ``lines`` again; return the names of the inputs."""
    steps = list(again(lines, lambda head: Stack(config, bytes.fromhex(head["seed"]))))
    assert [(step.line, step.recorded, step.again) for step in steps if not step.same] == []
    return [step.name for step in steps]


def test_a_call_happens_again() -> None:
    """Same inputs, same times, same seed: the same actions, octet for octet."""
    network = Network(seed=5)
    lines: list[str] = []
    network.server(config(), lines.append)
    alice = network.endpoint("alice", "192.0.2.11", transport="tcp")
    bob = network.endpoint("bob", "192.0.2.12")
    bob.register()
    alice.request("INVITE", "sip:bob@biloxi.test", body=b"\xff\x00")
    bob.reply(bob.expect("INVITE"), 200)
    alice.expect("200")
    network.run(40.0)
    alice.disconnect()
    network.run(5000.0)
    names = same_again(lines, config())
    assert set(names) == {
        "new_connection", "connection_opened", "datagram_received", "data_received", "time_passed",
        "connection_closed",
    }  # fmt: skip
    assert any(isinstance(one, dict) is False and one.out for one in entries(lines))


STORIES = [one for one in seeds("story") if one.count(SEPARATOR) >= 4]


@pytest.mark.parametrize("number", range(len(STORIES)))
def test_whatever_happens_happens_again(number: int) -> None:
    """The stories that fuzzing begins with: failures, answers of stores and name servers, WebSocket."""
    lines: list[str] = []
    peers = play(STORIES[number], lines.append)
    assert len(same_again(lines, peers.config)) > 3


def test_the_stack_does_not_notice() -> None:
    """A journal adds and changes nothing: the same octets at the same times."""
    histories = []
    for write in (None, lambda line: None):
        network = Network(seed=5)
        network.server(config(), write)
        alice = network.endpoint("alice", "192.0.2.11")
        bob = network.endpoint("bob", "192.0.2.12")
        bob.register()
        alice.request("OPTIONS", "sip:bob@biloxi.test")
        bob.reply(bob.expect("OPTIONS"), 200)
        network.run(40.0)
        histories.append([(one.time, one.data) for one in (*alice.history, *bob.history)])
    assert histories[0] == histories[1]


@given(st.binary())
def test_octets_are_exact(data: bytes) -> None:
    """Any octets survive the journal, also through JSON."""
    action: Any = plain_action(SendDatagram(0, data, ("192.0.2.9", 5060), 1))
    assert octets(json.loads(json.dumps(action))[2]) == data


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1.5,
        [("udp", "192.0.2.9", 5060)],
        {"MD5": "0" * 32, "SHA-256": b"\xff"},
        frozenset(("b", "a")),
        Outcome.DONE,
        [Srv(1, 2, 5060, "a.test")],
        (1, (2, [3])),
    ],
)
def test_answers_come_back_as_they_were(value: Any) -> None:
    """A tuple is a tuple again, an enum the enum."""
    assert again_value(json.loads(json.dumps(value_of(value)))) == value


@pytest.mark.parametrize(
    "error", [OSError(5, "disk"), LookupFailed("no such name", silent=True), KeyError("a")]
)
def test_failures_come_back(error: Exception) -> None:
    """Failures come back with the same type and text."""
    back = again_value(json.loads(json.dumps(value_of(error))))
    assert (type(back), str(back)) == (type(error), str(error))


def test_a_failure_of_an_unknown_library_keeps_its_text() -> None:
    """The machine that replays need not have it."""

    class OperationalError(Exception):
        """As of a database's client."""

    back = again_value(json.loads(json.dumps(value_of(OperationalError("gone")))))
    assert (type(back), str(back)) == (RuntimeError, "gone")


@pytest.mark.parametrize(
    "given",
    [
        {"is": ["os:stat_result", {}]},
        {"is": ["sansip.stack:Stack", {}]},
        {"enum": ["sansip.stack:Stack", "ask"]},
        {"call": 1},
    ],
)
def test_a_strangers_file_calls_nothing(given: Any) -> None:
    """Only values of sansip are made by name."""
    with pytest.raises(ValueError, match=r"none of sansip's|no value"):
        again_value(given)


def test_bindings_are_inputs() -> None:
    """The bindings that a store gave at the start are inputs, too."""
    lines: list[str] = []
    network = Network(now=1.0)
    stack = network.server(config(), lines.append).stack
    kept = Binding(
        "sip:bob@biloxi.test", "sip:bob@192.0.2.12", 3600.0, "call", 1, path=("<sip:edge.test;lr>",)
    )
    assert stack.restore([kept], 1.0) == 1
    stack.join(1.0)
    stack.wall_offset = 7.0
    assert stack.lift("192.0.2.1", None, 1.0) == []
    alice = network.endpoint("alice", "192.0.2.11")
    alice.request("OPTIONS", "sip:bob@biloxi.test")
    network.run(1.0)
    names = same_again(lines, config())
    assert names[4] == "datagram_received"
    assert names[:4] == ["restore", "join", "wall_offset", "lift"]


def test_a_removal_by_hand_is_an_input() -> None:
    """An operator's removal happens in the replay, too (design.md 8): the next call gets 480."""
    lines: list[str] = []
    network = Network(now=1.0)
    stack = network.server(config(), lines.append).stack
    kept = Binding("sip:bob@biloxi.test", "sip:bob@192.0.2.12", 3600.0, "call", 1)
    stack.restore([kept], 1.0)
    removed: list[int | Exception] = []
    stack.unbind("sip:bob@biloxi.test", 1.0, removed.append)
    assert removed == [1]
    alice = network.endpoint("alice", "192.0.2.11")
    alice.request("OPTIONS", "sip:bob@biloxi.test")
    network.run(1.0)
    assert same_again(lines, config())[1] == "unbind"


def test_an_event_can_be_read() -> None:
    """Events are only compared; an exception is its words."""
    shown = plain_action(Notify(RouteFailed("INVITE", "sip:a@b", ValueError("why"))))
    assert shown == ["Notify", {"method": "INVITE", "uri": "sip:a@b", "error": "ValueError: why"}]


def test_the_old_format_is_named() -> None:
    """Journals of before say what to do."""
    with pytest.raises(JournalError, match=r"line 1: format 1, and this version reads 3; read it with"):
        list(entries(['{"sansip_journal": 1}']))


def test_whom_a_peer_proved_to_be_is_an_input() -> None:
    """The TLS filter notes the name beside the stack, and trust depends on it: a replay needs it."""
    tls = ListenerConfig(2, "tls", "192.0.2.1", 5061)
    relay = TrustedPeer("", "partner", certificate="partner.example", relay=True)
    served = StackConfig([*LISTENERS, tls], ["biloxi.test"], trusted=[relay])
    lines: list[str] = []
    stack = JournaledStack(served, b"s" * 32, lines.append, {})
    conn = stack.new_connection()
    info = OpenConnection(2, "tls", ("192.0.2.1", 5061), ("203.0.113.5", 40_000), True)
    stack.connection_opened(conn, info, 1.0)
    for number, identities in enumerate([("partner.example",), ("partner.example",), ()]):
        info.identities = identities
        data = request("MESSAGE", "sip:x@192.0.2.2", transport="TLS", branch=f"z9hG4bK{number}")
        stack.data_received(conn, data, 2.0 + number)
    stack.connection_closed(conn, "closed by the peer", 9.0)
    names = same_again(lines, served)
    assert names.count("identified") == 2
    sent = [
        entry.out for entry in entries(lines) if not isinstance(entry, dict) and entry.name == "data_received"
    ]
    assert [any(kind == "SendDatagram" for kind, *_ in out) for out in sent] == [True, True, False]


@dataclass
class ElsewhereSettings:
    """Settings of a module that is none of sansip's."""

    size: int = 1
    names: tuple[str, ...] = ()


class Elsewhere(Module):
    """A module of another package."""

    name = "elsewhere"
    Settings = ElsewhereSettings


def test_settings_of_another_package_are_replayed() -> None:
    """A journal names a module; what its settings are made of is the module's to say."""
    lines: list[str] = []
    config = StackConfig(LISTENERS, ["biloxi.test"], modules=[Use(Elsewhere)])
    recorded = JournaledStack(config, b"s" * 16, lines.append, {})
    recorded.configure(Reconfiguration(modules={Elsewhere: ElsewhereSettings(3, ("a", "b"))}), 100.0)
    replayed = Stack(config, b"s" * 16)
    assert [step.same for step in again(lines, lambda head: replayed)] == [True]
    assert replayed.modules.get(Elsewhere).settings == ElsewhereSettings(3, ("a", "b"))


def test_no_address_of_memory_is_recorded() -> None:
    """An object without a text of its own has its class's name: a replay writes the same."""
    from sansip.journal_values import plain
    from sansip.modules.calls.call import Talk

    assert plain([Talk(None, None, read=lambda: pytest.fail("read"))]) == ["Talk"]
