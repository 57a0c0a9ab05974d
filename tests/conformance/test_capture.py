"""Captures become traces: read by tshark, played on the core with the verdict of the wire."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sansip import ListenerConfig, StackConfig
from sansip.testing import Network
from sansip_conformance import play_on_core, read_text
from sansip_conformance.capture import capture_ladder, capture_trace, read_any, read_capture

pytestmark = pytest.mark.needs("tshark")


def pcap(path: Path, packets: list[tuple[float, str, tuple[str, int], tuple[str, int], bytes]]) -> Path:
    """Write raw IPv4 packets (link type 101) with UDP datagrams, or TCP segments in order."""
    out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
    sequence: dict[tuple[tuple[str, int], tuple[str, int]], int] = {}
    for time, transport, source, target, data in packets:
        if transport == "udp":
            layer = struct.pack(">HHHH", source[1], target[1], 8 + len(data), 0) + data
        else:
            at = sequence.get((source, target), 1)
            sequence[source, target] = at + len(data)
            layer = struct.pack(">HHIIBBHHH", source[1], target[1], at, 1, 0x50, 0x18, 8192, 0, 0) + data
        octets = [bytes(map(int, host.split("."))) for host in (source[0], target[0])]
        protocol = 17 if transport == "udp" else 6
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(layer), 0, 0, 64, protocol, 0) + b"".join(octets)
        whole = head + layer
        out += struct.pack("<IIII", int(time), int(time % 1 * 1e6), len(whole), len(whole)) + whole
    path.write_bytes(out)
    return path


def a_call() -> list[tuple[float, str, tuple[str, int], tuple[str, int], bytes]]:
    """A call on the virtual network, as packets."""
    network = Network()
    listeners = [ListenerConfig(0, "udp", "192.0.2.1", 5060)]
    network.server(StackConfig(listeners, ["biloxi.test"]))
    alice = network.endpoint("alice", "192.0.2.11")
    bob = network.endpoint("bob", "192.0.2.12")
    seen = []
    plain = network.send_datagram

    def tap(source, destination, data, action=None, sender=None):
        seen.append((network.now, "udp", source, (destination[0], destination[1]), data))
        plain(source, destination, data, action, sender)

    network.send_datagram = tap  # type: ignore[method-assign]  # the test's own in its place
    bob.register()
    alice.request("INVITE", "sip:bob@biloxi.test")
    bob.reply(bob.expect("INVITE"), 200)
    alice.expect("200")
    network.run(1.0)
    alice.request("ACK")
    bob.expect("ACK")
    alice.request("BYE")
    bob.reply(bob.expect("BYE"), 200)
    alice.expect("200")
    return seen


def test_a_captured_call_replays(tmp_path: Path) -> None:
    """A capture of the wire becomes a trace that the core passes on another seed."""
    (trace,) = read_any(pcap(tmp_path / "call.pcap", a_call()))
    assert play_on_core(trace, seed=99).outcome == "pass"


def test_a_changed_answer_fails(tmp_path: Path) -> None:
    """A capture in which the server did otherwise does not pass."""
    packets = [
        (*one[:4], one[4].replace(b"SIP/2.0 200", b"SIP/2.0 202") if one[2][0] == "192.0.2.1" else one[4])
        for one in a_call()
    ]
    (trace,) = read_any(pcap(tmp_path / "call.pcap", packets), "192.0.2.1:5060")
    assert play_on_core(trace).outcome == "fail"


def test_tcp_segments_are_put_together(tmp_path: Path) -> None:
    """A message cut into segments is one message."""
    options = (
        b"OPTIONS sip:biloxi.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.11:4000;branch=z9hG4bKa\r\n"
        b"From: <sip:alice@biloxi.test>;tag=1\r\nTo: <sip:biloxi.test>\r\nCall-ID: a\r\nCSeq: 1 OPTIONS\r\n"
        b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    alice, server = ("192.0.2.11", 4000), ("192.0.2.1", 5060)
    pieces = [
        (number * 0.1, "tcp", alice, server, options[at : at + 90])
        for number, at in enumerate(range(0, len(options), 90))
    ]
    packets = read_capture(pcap(tmp_path / "tcp.pcap", pieces))
    assert [one.data for one in packets] == [options]
    (trace,) = read_text(capture_trace(packets, "192.0.2.1:5060"), "x.trace")
    assert play_on_core(trace).outcome == "pass"
    assert "OPTIONS" in "\n".join(capture_ladder(packets, "x").text())


def test_no_sip(tmp_path: Path) -> None:
    """A capture of something else is refused in one line."""
    path = pcap(tmp_path / "dns.pcap", [(0.0, "udp", ("192.0.2.1", 53), ("192.0.2.2", 53), b"no sip here")])
    with pytest.raises(ValueError, match="holds no SIP"):
        read_any(path)
