"""Stapled OCSP responses: those of others are judged (RFC 6066 8, RFC 6960 3.2), ours are shown."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from cryptography import x509

from sansip_sockets.stapling import Staple, staple_fault, utc_now
from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError
from tests.adapters.sockets.test_tls import End, connect
from tests.certificates import Authority

OLD = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)
FUTURE = datetime.datetime(2119, 1, 1, tzinfo=datetime.UTC)
OCSP_SIGNING, SERVER = "1.3.6.1.5.5.7.3.9", "1.3.6.1.5.5.7.3.1"


@pytest.fixture
def one(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def shaken(one: Authority, certificate: Path, *staples: Path, name: str = "example.org") -> tuple[End, End]:
    """Connect a client of ours to a server of ours, which staples its response."""
    server = TlsConfig(str(certificate), engine="openssl", staples=list(map(str, staples)))
    client = TlsConfig(authorities=str(one.authority), engine="openssl")
    return connect(TlsContexts(server), TlsContexts(client), name)


def test_a_good_staple_is_shown_and_taken(one: Authority) -> None:
    """Both ends: what the authority signed about this certificate."""
    server = one.issue("server.pem", "example.org")
    far, near = shaken(one, server, one.respond("good.der", server))
    assert (far.tls.ready, near.tls.ready, near.closing) == (True, True, None)


@pytest.mark.parametrize(
    ("status", "fault"),
    [("revoked", "certificate was revoked"), ("unknown", "does not know its certificate")],
)
def test_a_bad_staple_ends_the_handshake(one: Authority, status: str, fault: str) -> None:
    """RFC 6066 8: a response that is not satisfactory aborts it, with an alert."""
    server = one.issue("server.pem", "example.org")
    far, near = shaken(one, server, one.respond("bad.der", server, status))
    assert near.closing is not None
    assert fault in near.closing
    assert not near.tls.ready
    assert far.closing is not None


def test_no_staple_is_fine_unless_promised(one: Authority) -> None:
    """RFC 7633 4.3.3: must-staple is kept by the client."""
    _, near = shaken(one, one.issue("server.pem", "example.org"))
    assert near.tls.ready
    promised = one.issue("promised.pem", "example.org", must_staple=True)
    _, near = shaken(one, promised)
    assert not near.tls.ready
    assert near.closing is not None
    assert "RFC 7633" in near.closing
    _, near = shaken(one, promised, one.respond("promised.der", promised))
    assert near.tls.ready


def judged(one: Authority, certificate: Path, response: Path | bytes) -> str | None:
    octets = response if isinstance(response, bytes) else response.read_bytes()
    chain = [x509.load_pem_x509_certificate(path.read_bytes()) for path in (certificate, one.authority)]
    return staple_fault(octets, chain, utc_now())


def test_whose_response_is_believed(one: Authority, tmp_path: Path) -> None:
    """RFC 6960 4.2.2.2: the issuer signs a response, or a responder that the issuer named.

    No other signature counts.
    """
    server = one.issue("server.pem", "example.org")
    named = one.issue("responder.pem", "ocsp.example", usages=(OCSP_SIGNING,))
    assert judged(one, server, one.respond("a.der", server, responder=named)) is None
    # A certificate of the same authority that is for something else: any of its customers has one.
    customer = one.issue("customer.pem", "customer.example", usages=(SERVER,))
    assert "not signed by its authority" in str(
        judged(one, server, one.respond("b.der", server, responder=customer))
    )
    plain = one.issue("plain.pem", "customer.example")
    assert "not signed by its authority" in str(
        judged(one, server, one.respond("c.der", server, responder=plain))
    )
    # A responder that another authority named, and one whose time is over.
    other = Authority(tmp_path, "other")
    stranger = other.issue("stranger.pem", "ocsp.example", usages=(OCSP_SIGNING,))
    assert "not signed" in str(judged(one, server, one.respond("d.der", server, responder=stranger)))
    late = one.issue("late.pem", "ocsp.example", usages=(OCSP_SIGNING,), end=OLD)
    assert "not signed" in str(judged(one, server, one.respond("e.der", server, responder=late)))


def test_what_the_response_says(one: Authority, tmp_path: Path) -> None:
    """RFC 6960 3.2: about this certificate, in date; octets that are none are a fault, too."""
    server = one.issue("server.pem", "example.org")
    another = one.issue("another.pem", "example.org")
    assert "another certificate" in str(judged(one, server, one.respond("a.der", another)))
    # The same number, of another authority.
    other = Authority(tmp_path, "other")
    assert judged(one, server, other.respond("b.der", server)) is not None
    assert "out of date" in str(judged(one, server, one.respond("c.der", server, until=OLD)))
    assert "of the future" in str(judged(one, server, one.respond("d.der", server, begin=FUTURE)))
    good = one.respond("e.der", server).read_bytes()
    for octets in (b"\x00", good[:-1], good[:100], os.urandom(200)):
        assert "cannot be read" in str(judged(one, server, octets))
    # RFC 6960 4.2.1: tryLater (3), no response inside.
    assert "says try later" in str(judged(one, server, bytes.fromhex("30030a0103")))
    # One octet of what was signed.
    changed = good.replace(b"\x80\x00", b"\x82\x00", 1)
    assert changed == good or judged(one, server, changed) is not None


def test_ours_is_read_again_when_it_has_changed(one: Authority) -> None:
    """A program beside us renews it; a broken file leaves the old one, which ends when it says so."""
    server = one.issue("server.pem", "example.org")
    own = x509.load_pem_x509_certificate(server.read_bytes())
    first = one.respond("ours.der", server)
    staple = Staple(str(first), own)
    before = staple.shown(utc_now())
    assert before == first.read_bytes()
    one.respond("ours.der", server, until=FUTURE)
    os.utime(first, ns=(1, 1))
    assert staple.shown(utc_now()) == first.read_bytes() != before
    good = first.read_bytes()
    first.write_bytes(b"half")
    assert staple.shown(utc_now()) == good
    first.unlink()
    assert staple.shown(utc_now()) == good
    assert staple.doubt(utc_now()) is None
    assert staple.shown(FUTURE) == b""
    assert "out of date since 2119-01-01" in str(staple.doubt(FUTURE))


def test_which_certificate_it_is_for(one: Authority) -> None:
    """SNI decides: each certificate has its own response; a response that fits no certificate is named."""
    server = one.issue("server.pem", "example.org")
    net = one.issue("net.pem", "example.net", must_staple=True)
    staples = [str(one.respond(f"{path.stem}.der", path)) for path in (net, server)]
    config = TlsConfig(str(server), names=[f"example.net {net}"], engine="openssl", staples=staples)
    client = TlsContexts(TlsConfig(authorities=str(one.authority), engine="openssl"))
    for name in ("example.net", "example.org"):
        _, near = connect(TlsContexts(config), client, name)
        assert near.tls.ready, near.closing
    stray = one.respond("stray.der", one.issue("stray.pem", "example.com"))
    with pytest.raises(TlsError, match=r"stray\.der: an OCSP response about none of our certificates"):
        TlsContexts(TlsConfig(str(server), engine="openssl", staples=[str(stray)]))


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN", b"x" * 70_000, bytes.fromhex("30030a0103")])
def test_a_file_that_cannot_be_used_is_named(one: Authority, tmp_path: Path, content: bytes | None) -> None:
    """At the start; in a reload all stays as it was."""
    server = one.issue("server.pem", "example.org")
    file = tmp_path / "staple.der"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TlsError, match=r"staple.*staple\.der"):
        TlsContexts(TlsConfig(str(server), engine="openssl", staples=[str(file)]))


def test_staples_need_the_engine(one: Authority) -> None:
    """Python's ssl would ignore them; the operator would believe that they are shown."""
    server = one.issue("server.pem", "example.org")
    with pytest.raises(TlsError, match='engine = "openssl"'):
        TlsContexts(TlsConfig(str(server), engine="python", staples=[str(one.respond("a.der", server))]))
