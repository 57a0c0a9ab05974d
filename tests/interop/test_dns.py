"""SIPp behind NAPTR and SRV records, on servers that die between calls.

Theory of operation: a name server in this process holds the zone of
carrier.test; ``sansip serve`` asks it, by its configuration file, and relays every call
to ``sip:USER@carrier.test``. Two SIPp callees are the carrier's servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.test_sipp import LOCAL, OWN
from tests.transport.dns.name_server import NameServer
from tests.transport.dns.zone import Zone
from tools.peers import Program, Sipp, free_port, sansip_serve

pytestmark = [
    pytest.mark.needs("sipp"),
    pytest.mark.skipif(TARGET != "sansip", reason="the test brings its own configuration"),
]

ROUTE = """
def route(request):
    if not request.validate():
        return
    if request.in_dialog:
        request.record_route()
        request.relay()
    elif request.method == "ACK":
        request.drop()
    else:
        request.record_route()
        request.relay([f"sip:{request.uri.user}@carrier.test"])
"""

CALLS = 20


class Carrier:
    """The zone's two servers, and the settings to call them."""

    def __init__(self, directory: Path, transport: str) -> None:
        self.directory = directory
        self.transport = transport
        self.ports = [free_port(), free_port()]
        self.names = NameServer(Zone())
        config = directory / "sansip.toml"
        host, port = self.names.address
        config.write_text(f'route = "route.py"\n[dns]\nservers = ["{host}:{port}"]\ntimeout = 0.3\n')
        (directory / "route.py").write_text(ROUTE)
        self.server_port = free_port()
        listeners = [f"{one}:{LOCAL}:{self.server_port}" for one in ("udp", "tcp")]
        self.server: Program = sansip_serve(directory, listeners, ["biloxi.test"], ["--config", str(config)])

    def publish(self, *priorities: tuple[int, int]) -> None:
        """Put the servers into the zone with these priorities and weights."""
        name, service = {"u1": ("udp", "SIP+D2U"), "t1": ("tcp", "SIP+D2T")}[self.transport]
        zone = self.names.server.zone
        zone.add("carrier.test", "NAPTR", f'1 1 "s" "{service}" "" _sip._{name}.carrier.test.')
        for index, ((priority, weight), port) in enumerate(zip(priorities, self.ports, strict=True)):
            zone.add(
                f"_sip._{name}.carrier.test", "SRV", f"{priority} {weight} {port} s{index}.carrier.test."
            )
            zone.add(f"s{index}.carrier.test", "A", LOCAL)

    def callee(self, index: int) -> Sipp:
        """Server number ``index``; it answers until it is stopped."""
        sipp = Sipp(
            OWN / "s03_call_uas.xml",
            (LOCAL, self.server_port),
            self.directory,
            local=(LOCAL, self.ports[index]),
            transport=self.transport,
            calls=10_000,
        )
        sipp.wait_until_bound()
        return sipp

    def call(self, calls: int = CALLS) -> None:
        """Place ``calls`` calls; each must go from INVITE to BYE."""
        target = (LOCAL, self.server_port)
        local = (LOCAL, free_port())
        with Sipp(
            OWN / "s03_call_uac.xml",
            target,
            self.directory,
            local=local,
            service="bob",
            calls=calls,
            options=["-r", "20"],
        ) as uac:
            uac.succeed()


@pytest.fixture(params=["u1", "t1"])
def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Carrier]:
    one = Carrier(tmp_path, request.param)
    yield one
    log = one.server.output()
    one.server.stop()
    one.names.close()
    assert "Traceback" not in log, log


def test_the_first_server_dies_and_comes_back(carrier: Carrier) -> None:
    """RFC 3263 4.3: calls go on at the second at once, and no call is lost."""
    carrier.publish((1, 0), (2, 0))
    with carrier.callee(1):
        with carrier.callee(0):
            carrier.call()
        # It is gone now, and the server does not know.
        carrier.call()
    assert [one for one in carrier.names.server.queries if "NAPTR" in one] == ["carrier.test NAPTR"]


def test_weights_and_a_dead_server_among_equals(carrier: Carrier) -> None:
    """RFC 2782: equal servers share the calls; where one of them is dead the other takes all."""
    carrier.publish((1, 50), (1, 50))
    with carrier.callee(0):
        with carrier.callee(1):
            carrier.call()
        carrier.call()
