"""OCSP stapling and id-kp-sipDomain against OpenSSL's own programs, in both directions."""

from __future__ import annotations

import datetime
import os
import socket
import subprocess
from pathlib import Path

import pytest

from sansip.driver import OpenConnection, Output
from sansip_sockets.tls import TlsConfig, TlsContexts
from sansip_sockets.tls_filter import Tls
from tests.certificates import Authority
from tests.interop.conftest import OPTIONS, TARGET
from tools import peers

LOCAL = "127.0.0.1"
OLD = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)
# RFC 5924 3; RFC 5280 4.2.1.12: emailProtection.
SIP_DOMAIN, MAIL = "1.3.6.1.5.5.7.3.20", "1.3.6.1.5.5.7.3.4"

pytestmark = [
    pytest.mark.needs("openssl"),
    pytest.mark.skipif(TARGET != "sansip", reason="it is our TLS that is tried"),
]


@pytest.fixture
def one(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def reach(one: Authority, port: int) -> tuple[bool, str | None]:
    """Shake hands with what listens there: whether it was accepted, and why it was closed."""
    contexts = TlsContexts(TlsConfig(authorities=str(one.authority), engine="openssl"))
    with socket.create_connection((LOCAL, port), timeout=10) as sock:
        info = OpenConnection(0, "tls", sock.getsockname(), (LOCAL, port), False, "example.org")
        tls = Tls(contexts, info)
        output: Output = tls.opened(0.0)
        while True:
            for data in output.down:
                sock.sendall(data)
            if tls.ready or output.closing is not None:
                return tls.ready, output.closing
            data = sock.recv(65_536)
            if not data:
                return False, "closed by the peer"
            output = tls.received(data, 0.0)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize(
    ("staple", "fault"),
    [
        ("good", None),
        ("absent", None),
        ("revoked", "its certificate was revoked"),
        ("unknown", "does not know its certificate"),
        ("old", "out of date"),
        ("another", "about another certificate"),
        ("forged", "not signed by its authority"),
    ],
)
def test_what_a_server_staples(
    one: Authority, tmp_path: Path, staple: str, fault: str | None, version: str
) -> None:
    """RFC 6066 8: `openssl s_server -status_file`, whatever it is told to staple."""
    server = one.issue("server.pem", "example.org")
    made = {
        "good": lambda: one.respond("r.der", server),
        "revoked": lambda: one.respond("r.der", server, "revoked"),
        "unknown": lambda: one.respond("r.der", server, "unknown"),
        "old": lambda: one.respond("r.der", server, until=OLD),
        "another": lambda: one.respond("r.der", one.issue("another.pem", "example.org")),
        "forged": lambda: one.respond("r.der", server, responder=one.issue("any.pem", "any.example")),
    }
    port = peers.free_port()
    command = ["openssl", "s_server", "-accept", f"{LOCAL}:{port}", "-cert", str(server), version, "-rev"]
    if staple != "absent":
        command += ["-status_file", str(made[staple]())]
    with peers.Program(command, tmp_path / "s_server.log") as program:
        program.wait_for("ACCEPT")
        ready, closing = reach(one, port)
    assert ready is (fault is None), closing
    if fault is not None:
        assert closing is not None
        assert fault in closing


@pytest.mark.parametrize(("usages", "good"), [((SIP_DOMAIN,), True), ((MAIL,), False)])
def test_a_certificate_for_sip_domains(
    one: Authority, tmp_path: Path, usages: tuple[str, ...], good: bool
) -> None:
    """RFC 5924 4: id-kp-sipDomain alone is enough for a server of OpenSSL."""
    server = one.issue("server.pem", "example.org", usages=usages)
    port = peers.free_port()
    command = ["openssl", "s_server", "-accept", f"{LOCAL}:{port}", "-cert", str(server), "-rev"]
    with peers.Program(command, tmp_path / "s_server.log") as program:
        program.wait_for("ACCEPT")
        ready, closing = reach(one, port)
    assert ready is good, closing


def asked(one: Authority, port: int, *options: str) -> str:
    """The answer of our server to `openssl s_client -status`."""
    command = ["openssl", "s_client", "-connect", f"{LOCAL}:{port}", "-status", "-CAfile", str(one.authority)]
    seen = subprocess.run(
        [*command, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
    )
    return seen.stdout + seen.stderr


def test_what_our_server_staples(one: Authority, tmp_path: Path) -> None:
    """`sansip serve` shows the file, and its successor without a restart; clients' usages are judged."""
    server = one.issue("server.pem", "example.org")
    staple = one.respond("ours.der", server)
    config = tmp_path / "sansip.toml"
    config.write_text(
        f"[tls]\nengine = 'openssl'\ncertificate = '{server}'\nstaples = ['{staple}']\n"
        f"authorities = '{one.authority}'\nverify_clients = 'optional'\n"
    )
    port = peers.free_port()
    options = [*OPTIONS, "--config", str(config)]
    with peers.sansip_serve(tmp_path, [f"tls:{LOCAL}:{port}"], ["example.org"], options) as program:
        first = asked(one, port)
        assert "OCSP Response Status: successful (0x0)" in first
        assert "Cert Status: good" in first
        assert "Verify return code: 0 (ok)" in first
        one.respond("ours.der", server, "revoked")
        os.utime(staple, ns=(1, 1))
        assert "Cert Status: revoked" in asked(one, port)
        # In order: taken, refused.
        phone = one.issue("phone.pem", "phone.example", usages=(SIP_DOMAIN,))
        assert "Verify return code: 0 (ok)" in asked(one, port, "-cert", str(phone), "-tls1_2")
        mail = one.issue("mail.pem", "mail.example", usages=(MAIL,))
        assert "alert" in asked(one, port, "-cert", str(mail), "-tls1_2")
        program.wait_for("extended key usage has to name serverAuth or clientAuth")
        assert "Traceback" not in program.output()
