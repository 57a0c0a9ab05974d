"""A journal is a trace: it passes on another seed, and can be read."""

from __future__ import annotations

import json

import pytest

from sansip import ListenerConfig, StackConfig
from sansip.journal import JournalError
from sansip.testing import Network
from sansip_conformance import play_on_core, read_text
from sansip_conformance.recorded import journal_trace


def network_with_journal(transport: str) -> tuple[Network, list[str]]:
    network = Network(seed=5, names={"far.test": ["192.0.2.12:5060"]})
    listeners = [ListenerConfig(0, "udp", "192.0.2.1", 5060), ListenerConfig(1, "tcp", "192.0.2.1", 5060)]
    lines: list[str] = []
    network.server(StackConfig(listeners, ["biloxi.test"]), lines.append)
    network.endpoint("alice", "192.0.2.11", transport="udp")
    network.endpoint("bob", "192.0.2.12", transport=transport)
    # The head of the server's own journal.
    head = {
        **json.loads(lines[0]),
        "listeners": [{"transport": kind, "host": "192.0.2.1", "port": 5060} for kind in ("udp", "tcp")],
        "domains": ["biloxi.test"],
        "settings": {"timers": {"t1": 0.5}, "registrar": {"max_contacts": 7}, "limits": {"branches": 20}},
    }
    lines[0] = json.dumps(head)
    return network, lines


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_journal_is_a_trace_that_passes(transport: str) -> None:
    """Registration, retransmissions, a call over two transports, a name, a failure with its timers."""
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
    alice.request("REGISTER", None, [("Contact", "<sip:away@far.test>"), ("Expires", "60")])
    alice.expect("200")
    bob.request("MESSAGE", "sip:alice@biloxi.test")
    bob.reply(bob.expect("MESSAGE"), 200)
    network.run(100.0)
    text = journal_trace(lines)
    (trace,) = read_text(text, "journal.trace")
    verdict = play_on_core(trace, seed=77)
    assert verdict.outcome == "pass", f"{transport} {verdict.where}: {verdict.reason}"
    assert "config max-contacts = 7\n" in text
    assert "config t1" not in text
    assert "name far.test = 192.0.2.12:5060\n" in text


def test_what_is_no_journal() -> None:
    """The line is named."""
    _, lines = network_with_journal("udp")
    bad = '{"at": 1, "in": "datagram_received", "with": [], "out": []}'
    with pytest.raises(JournalError, match=r"line 2: cannot be read"):
        journal_trace([lines[0], bad])
    with pytest.raises(JournalError, match=r"line 1: .*KeyError"):
        journal_trace(['{"sansip_journal": 3}'])
