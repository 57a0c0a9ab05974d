"""Certificates that are withdrawn, by a list or with their authority: at the handshake, and on a reload."""

from __future__ import annotations

import datetime
import shutil
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sansip_sockets.revocation import Proof, Standing, read_lists
from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError
from tests.adapters.sockets.test_tls import End, connect, run
from tests.certificates import Authority

PARTNER = "partner.example"
pytestmark = pytest.mark.usefixtures("engine")

OLD = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)
# RFC 5924 3: id-kp-sipDomain; RFC 5280 4.2.1.12: serverAuth, clientAuth, emailProtection.
SIP_DOMAIN, SERVER, CLIENT = "1.3.6.1.5.5.7.3.20", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
MAIL = "1.3.6.1.5.5.7.3.4"


class World:
    """Two authorities, a server, partners of each, and the files that the server reads."""

    def __init__(self, directory: Path) -> None:
        self.one, self.other = Authority(directory, "one"), Authority(directory, "other")
        self.server = self.one.issue("server.pem", "example.org")
        self.partner = self.one.issue("partner.pem", f"sip:{PARTNER}")
        self.guest = self.other.issue("guest.pem", "guest.example")
        self.trusted = directory / "trusted.pem"
        self.trust(self.one, self.other)
        self.lists = directory / "lists.pem"

    def trust(self, *authorities: Authority) -> None:
        self.trusted.write_bytes(b"".join(one.authority.read_bytes() for one in authorities))

    def revoke(self, *certificates: Path, until: datetime.datetime | None = None) -> None:
        dates: dict[str, Any] = {} if until is None else {"until": until}
        self.lists.write_bytes(
            self.one.revoke("a.crl", *certificates, **dates).read_bytes()
            + self.other.revoke("b.crl", *certificates).read_bytes()
        )

    def contexts(self, certificate: Path, *, lists: bool = True, **settings: Any) -> TlsContexts:
        crls = [str(self.lists)] if lists else []
        return TlsContexts(TlsConfig(str(certificate), authorities=str(self.trusted), crls=crls, **settings))

    def client(self, certificate: Path) -> TlsContexts:
        return self.contexts(certificate, lists=False)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- the handshake


def test_a_revoked_client_is_refused(world: World) -> None:
    """Other clients of the same authority are accepted."""
    world.revoke(world.guest)
    server = world.contexts(world.server, verify_clients="optional")
    assert connect(server, world.client(world.partner))[0].info.identities == (PARTNER,)
    far, _ = connect(server, world.client(world.guest))
    assert not far.tls.ready
    assert far.closing is not None
    assert "certificate revoked" in far.closing


def test_a_revoked_server_is_refused(world: World) -> None:
    """It is the same for servers that we connect to."""
    world.revoke(world.server)
    _, near = connect(world.client(world.server), world.contexts(world.partner))
    assert not near.tls.ready
    assert near.closing is not None
    assert "certificate revoked" in near.closing


def test_an_authority_without_a_list(world: World) -> None:
    """RFC 5280 6.3: a certificate without a list to look it up in is not accepted; the log names the file."""
    world.lists.write_bytes(world.one.revoke("a.crl").read_bytes())
    server = world.contexts(world.server, verify_clients="optional")
    far, _ = connect(server, world.client(world.guest))
    assert far.closing is not None
    assert "its authority has no list in tls.crls" in far.closing


def test_a_list_that_is_out_of_date(world: World) -> None:
    """No client passes, and the log tells the operator so at the start and at each reload."""
    world.revoke(until=OLD)
    server = world.contexts(world.server, verify_clients="optional")
    far, _ = connect(server, world.client(world.partner))
    assert far.closing is not None
    assert "fetch the next list of its authority (tls.crls)" in far.closing
    (doubt,) = server.doubts(["example.org"], 1_800_000_000.0)
    assert doubt.startswith(f"revocation list {world.lists} is out of date since 2021-01-01 00:00+00:00: ")
    world.revoke()
    server.reload()
    assert server.doubts(["example.org"], 1_800_000_000.0) == []


# --- a reload


def test_who_is_revoked_later_is_nobody(world: World) -> None:
    """The connection stands, for a phone may need it, but proves nothing more; others keep their names."""
    world.revoke()
    server = world.contexts(world.server, verify_clients="optional")
    partner, _ = connect(server, world.client(world.partner))
    guest, near = connect(server, world.client(world.guest))
    assert (partner.info.identities, guest.info.identities) == ((PARTNER,), ("guest.example",))
    server.reload()
    assert (partner.info.identities, guest.info.identities) == ((PARTNER,), ("guest.example",))
    world.revoke(world.guest)
    server.reload()
    assert (partner.info.identities, guest.info.identities) == ((PARTNER,), ())
    near.take(near.tls.send(b"still here", 0.0))
    run(near, guest)
    assert guest.up == b"still here"


def test_an_authority_that_is_removed_takes_its_names_along(world: World) -> None:
    server = world.contexts(world.server, lists=False, verify_clients="optional")
    partner, _ = connect(server, world.client(world.partner))
    guest, _ = connect(server, world.client(world.guest))
    world.trust(world.one)
    server.reload()
    assert (partner.info.identities, guest.info.identities) == ((PARTNER,), ())


@pytest.mark.parametrize("side", ["asked for a certificate", "a server of ours to connect to"])
def test_where_a_certificate_is_needed_the_connection_ends(side: str, world: World) -> None:
    """RFC 5922 7.3: a peer that did not prove to be the host gets nothing, and we take nothing from it."""
    if side == "asked for a certificate":
        server = world.contexts(world.server, lists=False, verify_clients="required")
        judged, peer = connect(server, world.client(world.guest))
        world.trust(world.one)
        server.reload()
    else:
        client = world.contexts(world.partner, lists=False)
        peer, judged = connect(world.client(world.server), client)
        world.trust(world.other)
        client.reload()
    assert judged.tls.ready
    judged.take(judged.tls.send(b"for him alone", 0.0))
    assert judged.closing == "the authority of its certificate is not trusted any more (tls.authorities)"
    run(judged, peer)
    assert peer.up == b""


def test_nothing_is_taken_after_it(world: World) -> None:
    server = world.contexts(world.server, lists=False, verify_clients="required")
    far, near = connect(server, world.client(world.guest))
    world.trust(world.one)
    server.reload()
    near.take(near.tls.send(b"INVITE", 0.0))
    run(near, far)
    assert far.up == b""
    assert far.closing is not None


def test_a_file_that_cannot_be_used_changes_nothing(world: World) -> None:
    """A broken download must not make partners of strangers, or strangers of partners."""
    world.revoke()
    server = world.contexts(world.server, verify_clients="optional")
    partner, _ = connect(server, world.client(world.partner))
    world.lists.write_text("rubbish")
    with pytest.raises(TlsError, match="no revocation list"):
        server.reload()
    assert partner.info.identities == (PARTNER,)
    assert connect(server, world.client(world.partner))[0].tls.ready


def test_connections_that_are_gone_are_not_kept(world: World) -> None:
    """A reload looks at the connections that are open; closed ones must cost nothing."""
    server = world.contexts(world.server, lists=False, verify_clients="optional")
    for _ in range(3):
        connect(server, world.client(world.partner))
    kept: list[End] = list(connect(server, world.client(world.partner)))
    assert len(server._verified) == 1
    del kept
    assert len(server._verified) == 0


# --- the files


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "there is no file"),
        ("", "no revocation list"),
        ("certificate", "no revocation list"),
        ("-----BEGIN X509 CRL-----\n!!!\n-----END X509 CRL-----\n", "not usable PEM"),
        ("-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", "not usable PEM"),
        ("-----BEGIN X509 CRL-----\n\n-----END X509 CRL-----\n", "not usable PEM"),
    ],
)
def test_what_is_no_list(content: str | None, fault: str, world: World, tmp_path: Path) -> None:
    path = tmp_path / "bad.crl"
    if content == "certificate":
        shutil.copyfile(world.one.authority, path)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(TlsError, match=fault):
        read_lists([str(path)])


def test_a_list_is_read_as_others_read_it(world: World) -> None:
    """Names, numbers and times, against cryptography's reader; an empty list has no numbers."""
    from cryptography import x509

    for certificates in ((), (world.partner,), (world.partner, world.server)):
        path = world.one.revoke("some.crl", *certificates)
        (read,) = read_lists([str(path)])
        other = x509.load_pem_x509_crl(path.read_bytes())
        assert read.issuer == other.issuer.public_bytes()
        assert other.next_update_utc is not None
        assert read.until == other.next_update_utc.timestamp()
        assert {int.from_bytes(serial[2:], "big") for serial in read.serials} == {
            one.serial_number for one in other
        }


def test_authorities_of_the_system(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tls.authorities those of the system count, in its file and its folder, and no other roots."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "README").write_bytes(b"\xff no certificate")
    shutil.copyfile(world.other.authority, folder / "0a1b2c3d.0")
    monkeypatch.setenv("SSL_CERT_FILE", str(world.one.authority))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    standing = Standing(None, [])
    for one in (world.one, world.other):
        der = ssl.PEM_cert_to_DER_cert(one.authority.read_text())
        assert standing.fault(Proof(sha256(der).digest(), b"", b"")) is None
    assert "not trusted any more" in str(standing.fault(Proof(b"", b"", b"")))
    assert "not known any more" in str(standing.fault(Proof(None, b"", b"")))


# --- the chain


def chained(
    world: World, directory: Path, *revoked: Path, lists: bool = True
) -> tuple[TlsContexts, TlsContexts]:
    """A server whose certificate is of an authority below ours, and a client of ours with the lists."""
    middle = Authority(directory, "middle", world.one)
    leaf = middle.issue("leaf.pem", "example.org")
    leaf.write_bytes(leaf.read_bytes() + middle.authority.read_bytes())
    world.trust(world.one)
    crl = middle.revoke("middle.crl").read_bytes()
    if lists:
        crl += world.one.revoke("one.crl", *([middle.authority] if revoked else [])).read_bytes()
    world.lists.write_bytes(crl)
    return TlsContexts(TlsConfig(str(leaf))), world.contexts(world.partner)


def test_an_authority_in_the_middle_is_looked_up(world: World, tmp_path: Path) -> None:
    """RFC 5280 6.3: what an authority that was revoked signed is worth nothing."""
    server, client = chained(world, tmp_path)
    assert connect(server, client)[1].tls.ready
    assert client.doubts([], 1.7e9) == []
    server, client = chained(world, tmp_path, world.one.authority)
    _, near = connect(server, client)
    assert near.closing is not None
    assert "certificate revoked" in near.closing


def test_which_list_is_missing_for_the_chain(world: World, tmp_path: Path) -> None:
    """Without the list of the authority above only the last certificate is looked up, and that is said."""
    server, client = chained(world, tmp_path, lists=False)
    assert connect(server, client)[1].tls.ready
    [line] = client.doubts([], 1.7e9)
    assert line.startswith("tls.crls has no list of one:")


# --- extended key usage


@pytest.mark.parametrize(
    ("usages", "good"),
    [
        ((), True),
        ((SERVER, SIP_DOMAIN), True),
        ((SERVER,), True),
        ((CLIENT,), False),
        ((MAIL,), False),
        ((SIP_DOMAIN,), None),
        ((MAIL, SIP_DOMAIN), None),
    ],
)
def test_extended_key_usage_of_a_server(
    usages: tuple[str, ...], good: bool | None, world: World, engine: str
) -> None:
    """RFC 5924 4: id-kp-sipDomain is enough.

    OpenSSL's purposes do not know it, and Python's ssl has no way to tell OpenSSL so (docs/tls.md): there
    the log says what the certificate lacks.
    """
    good = engine == "openssl" if good is None else good
    server = TlsContexts(TlsConfig(str(world.one.issue("eku.pem", "example.org", usages=usages))))
    _, near = connect(server, world.contexts(world.partner, lists=False))
    assert near.tls.ready is good
    if not good:
        assert near.closing is not None
        assert "extended key usage has to name serverAuth or clientAuth" in near.closing


@pytest.mark.parametrize(
    ("usages", "good"),
    [((CLIENT, SIP_DOMAIN), True), ((SERVER,), False), ((MAIL,), False), ((SIP_DOMAIN,), None)],
)
def test_extended_key_usage_of_a_client(
    usages: tuple[str, ...], good: bool | None, world: World, engine: str
) -> None:
    """The same rule for clients that connect to us."""
    good = engine == "openssl" if good is None else good
    server = world.contexts(world.server, lists=False, verify_clients="required")
    far, _ = connect(server, world.client(world.one.issue("eku.pem", PARTNER, usages=usages)))
    assert far.tls.ready is good
