"""`sansip ping` over every transport, against the running server, and by NAPTR and SRV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sansip_server.cli import sansip
from tests.certificates import Authority
from tests.interop.conftest import OPTIONS, TARGET
from tests.transport.dns.name_server import NameServer
from tests.transport.dns.zone import Zone
from tools import peers

DOMAIN = "ping.test"
HOSTS = ("127.0.0.1", "::1")

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the test brings its own configuration")


class Server:
    """All transports on one port of IPv4 and IPv6; clients must show a certificate over TLS."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        authority.issue("server.pem", DOMAIN, *HOSTS)
        self.port = peers.free_port()
        self.files = {
            "--ca": str(authority.authority),
            "--certificate": str(authority.issue("client.pem", "sip:client.test")),
        }
        (directory / "sansip.toml").write_text(
            "[tls]\ncertificate = 'server.pem'\nverify_clients = 'required'\n"
            f"authorities = '{authority.authority}'\n"
        )
        places = ("127.0.0.1", "[::1]")
        listeners = [f"udp:{one}:{self.port}" for one in places]
        listeners += [f"tcp+tls+ws+wss:{one}:{self.port}" for one in places]
        options = [*OPTIONS, "--config", str(directory / "sansip.toml")]
        self.program = peers.sansip_serve(directory, listeners, [DOMAIN], options)

    def ping(self, *arguments: str, without: str = "") -> Result:
        files = [text for name, file in self.files.items() if name != without for text in (name, file)]
        return CliRunner().invoke(sansip, ["ping", *arguments, *files])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("ping"))
    with server.program:
        yield server
        assert "Traceback" not in server.program.output()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "ws", "wss"])
def test_every_transport(server: Server, transport: str, host: str) -> None:
    """TLS as SIP over TLS and below WebSocket, on both families, twice over one connection."""
    result = server.ping(f"{host}:{server.port}", "-T", transport, "-c", "2", "-i", "0")
    assert result.exit_code == 0, result.output
    first, *answers, total = result.output.splitlines()
    assert first == f"OPTIONS sip:{host}:{server.port} to {transport}:{host}:{server.port}"
    assert [line[:12] for line in answers] == ["seq=1 200 OK", "seq=2 200 OK"]
    assert total.startswith("2 sent, 2 answered")


def test_sips(server: Server) -> None:
    """RFC 3261 26.2.2: a sips URI is TLS, whatever --transport says."""
    for options in ([], ["-T", "tcp"]):
        result = server.ping(f"sips:127.0.0.1:{server.port}", *options)
        assert result.exit_code == 0
        assert f"to tls:127.0.0.1:{server.port}" in result.output


def test_what_is_wrong_is_named(server: Server) -> None:
    """An unknown authority, a missing client certificate, a certificate for somebody else."""
    where = f"127.0.0.1:{server.port}"
    unknown = server.ping(where, "-T", "tls", without="--ca")
    assert unknown.exit_code == 1
    assert "certificate not accepted" in unknown.output
    assert "--ca" in unknown.output
    assert server.ping(where, "-T", "tls", "--insecure", without="--ca").exit_code == 0
    nobody = server.ping(where, "-T", "tls", without="--certificate")
    assert nobody.exit_code == 1
    assert "certificate required" in nobody.output
    other = server.ping(f"localhost:{server.port}", "-T", "tls")
    assert other.exit_code == 1
    assert "the certificate of localhost is for ping.test (RFC 5922 7.3)" in other.output


def test_by_naptr_and_srv(server: Server) -> None:
    """RFC 3263 4.1, 4.2: the domain prefers TLS, SRV has the ports, a dead server is passed over."""
    dead = peers.free_port()
    zone = Zone(
        f"""
        ping.test 60 NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.ping.test.
        ping.test 60 NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.ping.test.
        _sips._tcp.ping.test 60 SRV 1 0 {dead} host.ping.test.
        _sips._tcp.ping.test 60 SRV 2 0 {server.port} host.ping.test.
        _sip._udp.ping.test 60 SRV 1 0 {server.port} host.ping.test.
        host.ping.test 60 A 127.0.0.1
        """
    )
    names = NameServer(zone)
    try:
        asked = ["--dns", f"127.0.0.1:{names.address[1]}"]
        result = server.ping("ping.test", *asked)
        assert result.exit_code == 0, result.output
        assert f"OPTIONS sip:ping.test to tls:127.0.0.1:{dead}" in result.output
        assert f"OPTIONS sip:ping.test to tls:127.0.0.1:{server.port}" in result.output
        assert "seq=1 200 OK" in result.output
        chosen = server.ping("sip:ping.test;transport=udp", *asked)
        assert f"to udp:127.0.0.1:{server.port}" in chosen.output
        nowhere = server.ping("nowhere.test", *asked)
        assert nowhere.exit_code == 2
        assert "cannot find nowhere.test" in nowhere.output
    finally:
        names.close()
