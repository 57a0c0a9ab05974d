"""Replay over sockets: a running server gets the verdicts that the core gets."""

from __future__ import annotations

import socket
from importlib.metadata import entry_points

import pytest

from sansip_conformance import load_suites, select
from sansip_conformance.probe import reach
from sansip_conformance.run import run_live
from sansip_conformance.serving import Servers
from sansip_conformance.target import parse_target, reason_to_skip
from tests.missing import missing

SOME = ["rfc3261-16.6-forwarding", "rfc3261-16.10-cancel", "rfc3261-11-options", "rfc3581-rport"]


def test_same_verdicts_over_loopback() -> None:
    """UDP and TCP, real sockets, the asyncio adapter; nothing that passes on the core fails here."""
    servers = Servers("asyncio")
    try:
        verdicts = list(run_live(select(load_suites(), SOME), servers))
    finally:
        servers.close()
    assert [f"{one.where}: {one.reason}" for one in verdicts if one.outcome == "fail"] == []
    assert sum(one.outcome == "pass" for one in verdicts) > 30


@pytest.mark.parametrize("runtime", sorted(entry.name for entry in entry_points(group="sansip.runtimes")))
def test_each_runtime(runtime: str) -> None:
    """One core, whatever waits: the verdicts do not depend on the runtime."""
    try:
        servers = Servers(runtime)
    except ValueError as error:
        missing(str(error))
    try:
        traces = select(load_suites(), ["rfc3261-11-options", "rfc3581-rport", "rfc3261-24-flows"])
        verdicts = list(run_live(traces, servers))
    finally:
        servers.close()
    assert [f"{one.where}: {one.reason}" for one in verdicts if one.outcome == "fail"] == []
    assert sum(one.outcome == "pass" for one in verdicts) >= 14


def test_targets() -> None:
    """A target is an address for each transport; one implies the other."""
    target = parse_target(("udp:127.0.0.1:5070",))
    assert target.addresses == {"udp": ("127.0.0.1", 5070), "tcp": ("127.0.0.1", 5070)}
    assert parse_target(("tcp:[::1]:5080",)).addresses["tcp"] == ("::1", 5080)
    with pytest.raises(ValueError, match="udp:127"):
        parse_target(("127.0.0.1",))


def test_nobody_there() -> None:
    """Said at once, and not after hundreds of traces have waited."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.31.9.1", 0))
        port = sock.getsockname()[1]
        silent = parse_target((f"udp:127.31.9.1:{port}",))
        said = reach(silent, ("udp",)) or ""
        assert said.startswith(
            f"udp:127.31.9.1:{port}: 3 OPTIONS in 3 s got no answer; is the server running"
        )
    for transport in ("udp", "tcp"):
        gone = parse_target((f"{transport}:127.31.9.1:{port}",))
        assert "connection refused; is the server running there?" in (reach(gone, (transport,)) or "")
    assert "no-such-host" in (reach(parse_target(("tcp:no-such-host.invalid:5060",)), ("tcp",)) or "")


def test_skips_say_why() -> None:
    """A trace that needs more than a foreign server has is skipped, with the reason."""
    target = parse_target(("udp:127.0.0.1:5070",))
    reasons = {trace.id: reason_to_skip(trace, target) for trace in load_suites()}
    assert "min-expires" in (reasons["rfc3261-10-registrar/too-brief"] or "")
    assert "--slow" in (reasons["rfc3261-17.1.1-invite-client/timer-b"] or "")
    assert reasons["rfc3261-11-options/to-server"] is None
