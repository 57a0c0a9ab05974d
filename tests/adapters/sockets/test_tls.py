"""The TLS filter: both ends of it against each other, and against octets that are no TLS."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from sansip.driver import OpenConnection, Output
from sansip_sockets.identity import identities, is_identified
from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError
from sansip_sockets.tls_filter import Tls
from tests.certificates import Authority

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> str:
    return str(authority.issue("server.pem", "example.org"))


def incoming() -> OpenConnection:
    return OpenConnection(0, "tls", ("192.0.2.9", 5061), ("192.0.2.1", 40000), True)


def outgoing(name: str = "example.org") -> OpenConnection:
    return OpenConnection(0, "tls", ("192.0.2.1", 40000), ("192.0.2.9", 5061), False, name)


class End:
    """One end: its filter, the octets that came up, and the reason why it closed."""

    def __init__(self, contexts: TlsContexts, info: OpenConnection) -> None:
        self.info = info
        self.tls = Tls(contexts, info)
        self.down: list[bytes] = []
        self.up = b""
        self.closing: str | None = None

    def take(self, output: Output) -> None:
        self.down += output.down
        self.up += b"".join(output.up)
        self.closing = output.closing or self.closing


def run(one: End, two: End, chunk: int = 1 << 20) -> None:
    """Carry octets both ways, ``chunk`` at a time, until nobody has any; who closed sends no more."""
    while one.down or two.down:
        for source, sink in ((one, two), (two, one)):
            data = b"".join(source.down)
            source.down = []
            for start in range(0, len(data), chunk):
                if sink.closing is None:
                    sink.take(sink.tls.received(data[start : start + chunk], 0.0))


def connect(
    server: TlsContexts, client: TlsContexts, name: str = "example.org", chunk: int = 1 << 20
) -> tuple[End, End]:
    far, near = End(server, incoming()), End(client, outgoing(name))
    far.take(far.tls.opened(0.0))
    near.take(near.tls.opened(0.0))
    run(near, far, chunk)
    return far, near


def speak_12_at_most(client: TlsContexts) -> None:
    """Have ``client`` be an old one."""
    if client._engine is None:
        client._client.maximum_version = ssl.TLSVersion.TLSv1_2
    else:
        client._engine._client.set_max_proto_version(SSL.TLS1_2_VERSION)


def contexts(authority: Authority, certificate: str | None = None, **settings: Any) -> TlsContexts:
    return TlsContexts(TlsConfig(certificate, authorities=str(authority.authority), **settings))


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_octets_both_ways(authority: Authority, certificate: str, version: str, chunk: int) -> None:
    """However the network cuts them; TLS 1.2 and 1.3."""
    server = contexts(authority, certificate)
    client = contexts(authority)
    if version == "1.2":
        speak_12_at_most(client)
    far, near = End(server, incoming()), End(client, outgoing())
    # Octets sent before the handshake is over wait for it.
    near.take(near.tls.send(b"early", 0.0))
    near.take(near.tls.opened(0.0))
    run(near, far, chunk)
    assert near.tls.ready
    assert far.tls.ready
    assert near.tls._session.version() == f"TLSv{version}"
    assert far.up == b"early"
    large = os.urandom(100_000)
    far.take(far.tls.send(large, 0.0))
    run(near, far, 4_096 if chunk == 1 else chunk)
    assert near.up == large
    assert (near.closing, far.closing) == (None, None)
    # RFC 8446 6.1: the goodbye is told from a cut.
    far.down += far.tls.close("done", 0.0).down
    run(near, far)
    assert near.closing == "closed by the peer"


@pytest.mark.parametrize(
    ("names", "wanted", "good"),
    [
        (["example.org"], "example.org", True),
        (["example.org"], "EXAMPLE.org", True),
        (["example.org"], "sip.example.org", False),
        (["*.example.org"], "sip.example.org", False),
        (["sip:example.org", "host7.example.org"], "example.org", True),
        (["sip:example.org", "host7.example.org"], "host7.example.org", False),
        (["sip:alice@example.org", "example.org"], "example.org", True),
        (["sips:example.org"], "example.org", False),
        (["192.0.2.9"], "192.0.2.9", True),
        (["2001:db8::9"], "2001:db8::9", True),
        (["example.org"], "192.0.2.9", False),
    ],
)
def test_whom_a_certificate_names(authority: Authority, names: list[str], wanted: str, good: bool) -> None:
    """RFC 5922 7.1 and 7.2: SIP URIs before DNS names, compared as a whole, no wildcards."""
    server = contexts(authority, str(authority.issue("named.pem", *names)))
    far, near = connect(server, contexts(authority), wanted)
    assert near.tls.ready is good
    if not good:
        assert near.closing is not None
        assert "(RFC 5922 7.3)" in near.closing
        assert far.closing is not None


def test_common_name_only_without_alternative_names(authority: Authority) -> None:
    """RFC 5922 7.1 step 2."""
    old = str(authority.issue("old.pem", common_name="example.org"))
    assert connect(contexts(authority, old), contexts(authority))[1].tls.ready
    mixed = str(authority.issue("mixed.pem", "other.org", common_name="example.org"))
    assert not connect(contexts(authority, mixed), contexts(authority))[1].tls.ready


def test_an_unknown_authority_is_refused(authority: Authority, certificate: str, tmp_path: Path) -> None:
    """Both ends say why."""
    stranger = Authority(tmp_path, "stranger")
    far, near = connect(contexts(authority, certificate), contexts(stranger))
    assert near.closing is not None
    assert near.closing.startswith("TLS handshake: certificate not accepted: ")
    assert far.closing is not None
    assert "unknown ca" in far.closing


def test_verification_can_be_turned_off(authority: Authority, certificate: str, tmp_path: Path) -> None:
    """For tests with certificates that no authority signed."""
    client = contexts(Authority(tmp_path, "stranger"), verify_servers=False)
    assert connect(contexts(authority, certificate), client, "wrong.example.org")[1].tls.ready


def test_sni(authority: Authority, certificate: str) -> None:
    """RFC 6066 3: each name its certificate; an unknown one, and none, get the default."""
    other = authority.issue("other.pem", "example.net")
    server = contexts(authority, certificate, names=[f"Example.net {other}"])
    for name in ("example.net", "example.org"):
        assert connect(server, contexts(authority), name)[1].tls.ready
    assert not connect(server, contexts(authority), "example.com")[1].tls.ready


@pytest.mark.parametrize(
    ("policy", "shows", "good"),
    [
        ("required", "yes", True),
        ("required", "no", False),
        ("required", "stranger", False),
        ("optional", "yes", True),
        ("optional", "no", True),
        ("optional", "stranger", False),
    ],
)
def test_client_certificates(
    authority: Authority, certificate: str, tmp_path: Path, policy: str, shows: str, good: bool
) -> None:
    """RFC 5922 7.4: the route can decide by the name of the client."""
    server = contexts(authority, certificate, verify_clients=policy)
    signer = Authority(tmp_path, "stranger") if shows == "stranger" else authority
    own = None if shows == "no" else str(signer.issue("client.pem", "sip:partner.example", "host.example"))
    far, _ = connect(server, contexts(authority, own))
    assert far.tls.ready is good
    assert far.info.identities == (("partner.example",) if good and shows == "yes" else ())


def test_reload_spares_what_stands(authority: Authority, tmp_path: Path) -> None:
    """A new certificate for new connections; a broken one changes nothing and says so."""
    file = tmp_path / "live.pem"
    file.write_bytes(authority.issue("one.pem", "one.example").read_bytes())
    server = contexts(authority, str(file))
    far, near = connect(server, contexts(authority), "one.example")
    file.write_bytes(authority.issue("two.pem", "two.example").read_bytes())
    server.reload()
    near.take(near.tls.send(b"still here", 0.0))
    run(near, far)
    assert far.up == b"still here"
    assert connect(server, contexts(authority), "two.example")[1].tls.ready
    file.write_text("rubbish")
    with pytest.raises(TlsError, match="not usable PEM"):
        server.reload()
    assert connect(server, contexts(authority), "two.example")[1].tls.ready


def test_min_version(authority: Authority, certificate: str) -> None:
    """1.3 alone, where the operator wants that."""
    client = contexts(authority)
    speak_12_at_most(client)
    far, _ = connect(contexts(authority, certificate, min_version="1.3"), client)
    assert far.closing is not None
    assert far.closing.startswith("TLS handshake: unsupported protocol")
    assert "tls.min_version" in far.closing


@pytest.mark.parametrize(
    "garbage",
    [b"REGISTER sip:example.org SIP/2.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, os.urandom(4_000)],
)
def test_garbage_ends_in_a_reason(authority: Authority, certificate: str, garbage: bytes) -> None:
    """A client that speaks no TLS is cut at once, and the log can say why."""
    far = End(contexts(authority, certificate), incoming())
    far.take(far.tls.received(garbage, 0.0))
    assert far.closing is None or far.closing.startswith("TLS handshake: ")
    far.take(far.tls.received(b"\xff" * 20_000, 0.0))
    assert far.closing is not None


def test_broken_records_after_the_handshake(authority: Authority, certificate: str) -> None:
    """A record that does not authenticate ends the connection, with an alert."""
    far, near = connect(contexts(authority, certificate), contexts(authority))
    near.take(near.tls.send(b"hello", 0.0))
    sealed = bytearray(near.down[0])
    sealed[-1] ^= 1  # whatever it was: a zero may have been one already
    far.take(far.tls.received(bytes(sealed), 0.0))
    assert far.closing is not None
    assert far.closing.startswith("TLS: ")
    assert far.down


def test_renegotiation_is_refused(authority: Authority, certificate: str) -> None:
    """A peer cannot have us do handshakes for ever; TLS 1.3 has none, 1.2 has it switched off."""
    assert contexts(authority, certificate)._client.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"certificate": "missing.pem"}, "there is no file missing.pem"),
        ({"certificate": "{authority}"}, "not usable PEM"),
        ({"certificate": "{certificate}", "key": "{other}"}, "the key belongs to another certificate"),
        ({"certificate": "{certificate}", "names": ["a.example missing.pem"]}, "no file missing.pem"),
        ({"authorities": "missing.pem"}, "authorities: there is no file missing.pem"),
        ({"ciphers": "NONESUCH"}, "OpenSSL knows none"),
    ],
)
def test_what_cannot_be_used_is_named(
    authority: Authority, certificate: str, settings: dict[str, Any], says: str
) -> None:
    """One line for the operator."""
    files = {
        "authority": authority.authority,
        "certificate": certificate,
        "other": authority.issue("b.pem", "b.example"),
    }
    filled = {
        key: value.format(**files) if isinstance(value, str) else value for key, value in settings.items()
    }
    with pytest.raises(TlsError, match=says):
        TlsContexts(TlsConfig(**filled))


def test_identities_of_nobody() -> None:
    """No certificate, and one without names."""
    assert identities(None) == ()
    assert identities({"subject": ((("organizationName", "x"),),)}) == ()
    assert not is_identified({}, "example.org")
    assert not is_identified({"subjectAltName": (("DNS", "*.example.org"),)}, "*.example.org")
