"""SCTP (RFC 4168) on a kernel that has it: every pair with another transport, SIPp, NAPTR, hard messages.

Most kernels at hand have none: ``tox -e sctp`` runs this file inside user-mode
Linux (``tools/sctp``), and elsewhere it is skipped.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sansip_sockets import sctp
from tests.interop.phone import Phone
from tests.interop.test_matrix import HOSTS, RUNTIMES, TRANSPORTS, Matrix
from tests.interop.test_sipp import OWN
from tests.missing import missing
from tests.transport.dns.name_server import NameServer
from tests.transport.dns.zone import Zone
from tools import peers


def _has_sctp() -> bool:
    try:
        sctp.open_socket(socket.AF_INET).close()
    except OSError:
        return False
    return True


# Not `missing`: CI's machines have no SCTP either, and run this file by tools/sctp.
pytestmark = pytest.mark.skipif(not _has_sctp(), reason="the kernel has no SCTP; run tox -e sctp")

WITH_SCTP = (*TRANSPORTS, "sctp")
KINDS = [f"{transport}{family}" for family in HOSTS for transport in WITH_SCTP]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_pair(runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SCTP with each of the six, both ways and on both families."""
    if runtime not in {point.name for point in entry_points(group="sansip.runtimes")}:
        missing(f"runtime {runtime} is not installed")
    pairs = [pair for pair in itertools.product(KINDS, KINDS) if any("sctp" in kind for kind in pair)]
    with ExitStack() as stack:
        matrix = Matrix(tmp_path, runtime, stack, WITH_SCTP)
        table, faults = matrix.call_all(pairs, runtime)
        with capsys.disabled():
            sys.stdout.write(table)
        assert not faults, "\n".join([*faults, matrix.server.output()])
        assert "Traceback" not in matrix.server.output()


ROUTE = """
def route(request):
    if not request.validate():
        return
    if request.in_dialog:
        request.record_route()
        request.relay()
    elif request.method == "ACK":
        request.drop()
    elif request.method == "OPTIONS":
        request.answer_options()
    else:
        request.record_route()
        request.relay(["sip:bob@carrier.test"])
"""


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[tuple[int, NameServer]]:
    """A server that relays calls to carrier.test: its port, and the zone that the test fills."""
    names = NameServer(Zone())
    host, port = names.address
    config = tmp_path / "sansip.toml"
    config.write_text(
        f'route = "route.py"\n[dns]\nservers = ["{host}:{port}"]\n[limits]\nconnection_idle = 1.0\n'
    )
    (tmp_path / "route.py").write_text(ROUTE)
    server_port = peers.free_port()
    listeners = [f"{transport}:127.0.0.1:{server_port}" for transport in ("udp", "sctp")]
    with peers.sansip_serve(tmp_path, listeners, ["biloxi.test"], ["--config", str(config)]) as program:
        yield server_port, names
        assert "Traceback" not in program.output(), program.output()
    names.close()


def wait_for_endpoint(port: int) -> None:
    """Wait until somebody listens on ``port``."""
    deadline = time.monotonic() + 10
    while f" {port} " not in Path("/proc/net/sctp/eps").read_text():
        assert time.monotonic() < deadline, f"nobody listens on {port}"
        time.sleep(0.02)


@pytest.mark.needs("sipp")
@pytest.mark.parametrize("caller", ["u1", "s1"])
def test_sipp_calls_sipp_behind_naptr(caller: str, carrier: tuple[int, NameServer], tmp_path: Path) -> None:
    """RFC 4168 6, RFC 3263 4.1: SIP+D2S leads to the association; a hundred calls go over it and back."""
    port, names = carrier
    callee = peers.free_port()
    zone = names.server.zone
    zone.add("carrier.test", "NAPTR", '1 1 "s" "SIP+D2S" "" _sip._sctp.carrier.test.')
    zone.add("_sip._sctp.carrier.test", "SRV", f"1 0 {callee} s.carrier.test.")
    zone.add("s.carrier.test", "A", "127.0.0.1")
    server, own = ("127.0.0.1", port), ("127.0.0.1", callee)
    uas = peers.Sipp(OWN / "s03_call_uas.xml", server, tmp_path, local=own, transport="s1", calls=10_000)
    with uas:
        wait_for_endpoint(callee)
        with peers.Sipp(
            OWN / "s03_call_uac.xml",
            server,
            tmp_path,
            local=("127.0.0.1", peers.free_port()),
            transport=caller,
            service="bob",
            calls=100,
            options=["-r", "50"],
        ) as uac:
            uac.succeed()


@pytest.mark.needs("kamailio")
def test_a_call_through_kamailio(carrier: tuple[int, NameServer], tmp_path: Path) -> None:
    """Its module is another SCTP: the association is ours to it, and its BYE comes back over it."""
    port, names = carrier
    there = peers.free_port()
    zone = names.server.zone
    zone.add("carrier.test", "NAPTR", '1 1 "s" "SIP+D2S" "" _sip._sctp.carrier.test.')
    zone.add("_sip._sctp.carrier.test", "SRV", f"1 0 {there} s.carrier.test.")
    zone.add("s.carrier.test", "A", "127.0.0.1")
    listeners = [f"udp:127.0.0.1:{there}", f"sctp:127.0.0.1:{there}"]
    text = peers.kamailio_config(listeners, ["carrier.test"])
    text = text.replace(
        "#!KAMAILIO\n", '#!KAMAILIO\nloadmodule "sctp.so"\nenable_sctp=yes\nsctp_children=1\n'
    )
    with (
        peers.kamailio(tmp_path, listeners, text=text),
        Phone("bob", "carrier.test", "udp", ("127.0.0.1", there)) as bob,
        Phone("alice", "biloxi.test", "sctp", ("127.0.0.1", port)) as alice,
    ):
        bob.register()
        alice.invite("sip:bob@biloxi.test")
        invite = bob.expect("INVITE")
        assert [via.partition(" ")[0] for via in invite.all("via")] == [
            "SIP/2.0/UDP",
            "SIP/2.0/SCTP",
            "SIP/2.0/SCTP",
        ]
        bob.answer(invite, "200 OK")
        alice.established(alice.expect("200"))
        bob.expect("ACK")
        for sender, receiver, method in ((alice, bob, "INFO"), (bob, alice, "INFO"), (bob, alice, "BYE")):
            sender.within(method)
            receiver.answer(receiver.expect(method), "200 OK")
            sender.expect("200")


def test_where_nobody_listens_the_next_transport_is_tried(carrier: tuple[int, NameServer]) -> None:
    """RFC 3263 4.3: an association that is refused costs nothing, and UDP has the call."""
    port, names = carrier
    with Phone("bob", "carrier.test", "udp", ("127.0.0.1", port)) as bob:
        zone = names.server.zone
        zone.add("carrier.test", "NAPTR", '1 1 "s" "SIP+D2S" "" _sip._sctp.carrier.test.')
        zone.add("carrier.test", "NAPTR", '1 2 "s" "SIP+D2U" "" _sip._udp.carrier.test.')
        zone.add("_sip._sctp.carrier.test", "SRV", f"1 0 {peers.free_port()} s.carrier.test.")
        zone.add("_sip._udp.carrier.test", "SRV", f"1 0 {bob.sent_by.rpartition(':')[2]} s.carrier.test.")
        zone.add("s.carrier.test", "A", "127.0.0.1")
        with Phone("alice", "biloxi.test", "sctp", ("127.0.0.1", port)) as alice:
            alice.invite("sip:bob@biloxi.test")
            invite = bob.expect("INVITE")
            assert invite.all("via")[0].startswith("SIP/2.0/UDP ")
            bob.answer(invite, "200 OK")
            alice.established(alice.expect("200"))
            bob.expect("ACK")
            bob.within("BYE")
            alice.answer(alice.expect("BYE"), "200 OK")
            bob.expect("200")


def test_a_message_too_large_costs_itself_only(carrier: tuple[int, NameServer]) -> None:
    """limits.message_size: 413 (RFC 3261 21.4.11), and the association lives on, for boundaries hold."""
    port, _ = carrier
    with Phone("alice", "biloxi.test", "sctp", ("127.0.0.1", port)) as alice:
        for size, status in ((150_000, "413"), (60_000, "200"), (0, "200")):
            alice.send(options(alice, size))
            alice.expect(status)


def options(phone: Phone, size: int) -> str:
    """An OPTIONS with a body of ``size`` octets."""
    return (
        f"OPTIONS sip:biloxi.test SIP/2.0\r\nVia: SIP/2.0/SCTP {phone.sent_by};branch=z9hG4bKo{size}\r\n"
        f"Max-Forwards: 70\r\nFrom: <{phone.aor}>;tag=o\r\nTo: <sip:biloxi.test>\r\nCall-ID: o-{size}\r\n"
        f"CSeq: 1 OPTIONS\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n{'x' * size}"
    )


def test_an_idle_association_is_closed(carrier: tuple[int, NameServer]) -> None:
    """limits.connection_idle, as for any connection; the end is a SHUTDOWN, not an ABORT."""
    port, _ = carrier
    with Phone("alice", "biloxi.test", "sctp", ("127.0.0.1", port)) as alice:
        alice.send(options(alice, 0))
        alice.expect("200")
        with pytest.raises(AssertionError, match="the server closed the connection"):
            alice.receive()
