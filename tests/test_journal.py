"""The journal: written by any stack, replayed to the same verdict on any seed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sansip import ListenerConfig, StackConfig
from sansip.journal import Journal, TraceWriter
from sansip.testing import Network
from sansip_conformance import play_on_core, read_text
from sansip_conformance.player import raw_octets


def network_with_journal(transport: str) -> tuple[Network, list[str]]:
    network = Network(seed=5)
    listeners = [ListenerConfig(0, "udp", "192.0.2.1", 5060), ListenerConfig(1, "tcp", "192.0.2.1", 5060)]
    server = network.server(StackConfig(listeners, ["biloxi.test"]))
    lines: list[str] = []
    server.stack = Journal(server.stack, lines.append)  # type: ignore[assignment]
    network.endpoint("alice", "192.0.2.11", transport="udp")
    network.endpoint("bob", "192.0.2.12", transport=transport)
    return network, lines


def test_a_journal_is_a_trace_that_passes() -> None:
    """Registration, retransmissions, a call over two transports, a failure with its timers."""
    for transport in ("udp", "tcp"):
        network, lines = network_with_journal(transport)
        alice, bob = network.endpoints.values()
        bob.register()
        alice.request("INVITE", "sip:bob@biloxi.test", body=b"v=0\r\n\\x41 <a> \xff\r\n")
        invite = bob.expect("INVITE")
        network.run(1.7)
        bob.reply(invite, 180)
        bob.reply(invite, 200)
        alice.expect("200")
        alice.request("ACK")
        bob.expect("ACK")
        bob.request("BYE")
        alice.reply(alice.expect("BYE"), 200)
        bob.expect("200")
        alice.request("INVITE", "sip:nobody@biloxi.test")
        alice.expect("404")
        network.run(2.0)
        alice.request("ACK")
        network.run(100.0)
        (trace,) = read_text("".join(lines), "journal.trace")
        verdict = play_on_core(trace, seed=77)
        assert verdict.outcome == "pass", f"{transport} {verdict.where}: {verdict.reason}"


def test_the_stack_does_not_notice() -> None:
    """A journal adds and changes nothing: the same octets at the same times."""
    histories = []
    for with_journal in (False, True):
        network, _ = network_with_journal("udp")
        if not with_journal:
            journal: Any = network.servers[0].stack
            network.servers[0].stack = journal._stack
        alice, bob = network.endpoints.values()
        bob.register()
        alice.request("OPTIONS", "sip:bob@biloxi.test")
        bob.reply(bob.expect("OPTIONS"), 200)
        network.run(40.0)
        histories.append([(one.time, one.data) for one in (*alice.history, *bob.history)])
    assert histories[0] == histories[1]


def test_settings_are_in_the_head() -> None:
    """A replay needs what differs from the defaults."""
    network = Network()
    config = StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["a.test", "b.test"])
    config.timers.t1 = 0.2
    lines: list[str] = []
    Journal(network.server(config).stack, lines.append)
    text = "".join(lines)
    assert "domain a.test\ndomain b.test\n" in text
    assert "config t1 = 0.2\n" in text
    assert "listen udp 192.0.2.1:5060\n" in text


@given(st.binary(min_size=1, max_size=300))
def test_any_octets_survive(data: bytes) -> None:
    """A raw step sends exactly what was received, whatever it was."""
    lines: list[str] = []
    writer = TraceWriter(lines.append)
    writer.head("x", [("udp", "192.0.2.1", 5060)], ["x.test"])
    writer.received(0.0, ("udp", "192.0.2.9", 5060), data)
    (trace,) = read_text("".join(lines), "x.trace")
    step: Any = trace.steps[0]
    assert raw_octets(step.block.raw) == data
