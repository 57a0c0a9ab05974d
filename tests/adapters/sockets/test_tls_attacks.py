"""TLS under attack, and in the hands of an operator who makes mistakes.

Certificates that are expired, for somebody else, wild, or without end; clients of
the last century; and files that vanish.
"""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest

from sansip_sockets.identity import identities, is_identified
from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError, parse_name
from tests.adapters.sockets.test_tls import (
    End,
    authority,
    certificate,
    connect,
    contexts,
    incoming,
    outgoing,
    run,
)
from tests.certificates import BEGIN, Authority

__all__ = ["authority", "certificate"]

PAST = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)
FUTURE = datetime.datetime(2110, 1, 1, tzinfo=datetime.UTC)
NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC).timestamp()


def handshake(authority: Authority, own: Path, name: str = "example.org") -> str | None:
    """Why a client of ours that looks for ``name`` does not like ``own``; None where it does."""
    _, near = connect(contexts(authority, str(own)), contexts(authority), name)
    assert near.tls.ready is (near.closing is None)
    return near.closing


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({"end": PAST}, "certificate has expired; its owner has to renew it"),
        ({"begin": FUTURE}, "not yet valid; compare the clocks"),
    ],
)
def test_out_of_its_time(authority: Authority, times: dict[str, datetime.datetime], says: str) -> None:
    """An expired certificate, and one from the future."""
    closing = handshake(authority, authority.issue("time.pem", "example.org", **times))
    assert closing is not None
    assert says in closing


@pytest.mark.parametrize(
    ("names", "common_name", "wanted", "good"),
    [
        (("other.example",), "example.org", "example.org", False),
        ((), "example.org", "example.org", True),
        (("192.0.2.9",), "example.org", "example.org", False),
        (("*.example.org",), "x", "sip.example.org", False),
        (("*.org",), "*", "example.org", False),
        (("192.0.2.9",), "x", "192.0.2.9", True),
        (("192.0.2.9",), "x", "192.0.2.10", False),
        ((), "192.0.2.9", "192.0.2.9", False),
        (("2001:db8::9",), "x", "[2001:DB8:0::9]", True),
        # RFC 5922 7.1: where SIP URIs are, DNS names do not count; sips, users and prefixes do not either.
        (("sip:other.example", "example.org"), "x", "example.org", False),
        (("sips:example.org",), "x", "example.org", False),
        (("sip:alice@example.org",), "x", "example.org", False),
        (("sip:example.org:5061;transport=tls",), "x", "example.org", True),
        (("sip:example.org.evil.test",), "x", "example.org", False),
    ],
)
def test_whose_it_is(
    authority: Authority, names: tuple[str, ...], common_name: str, wanted: str, good: bool
) -> None:
    """RFC 5922 7.1 to 7.3, by a whole handshake."""
    own = authority.issue("whose.pem", *names, common_name=common_name)
    closing = handshake(authority, own, wanted)
    assert (closing is None) is good
    if not good:
        assert closing is not None
        assert "RFC 5922 7.3" in closing


def test_names_that_are_none() -> None:
    """An address of a wrong length, as the stdlib reports it, is no name and breaks nothing."""
    shown = {"subjectAltName": (("IP Address", "<invalid>"), ("URI", "sip:"), ("URI", "nonsense"))}
    assert not is_identified(shown, "192.0.2.1")
    assert identities(shown) == ("",)
    assert not is_identified(shown, "example.org")
    assert identities({"subjectAltName": (("URI", "sip:[2001:db8::1]:5061"),)}) == ("2001:db8::1",)


@pytest.mark.parametrize("name", ["a" * 64 + ".example", ".example", "a..b", "x" * 300])
def test_a_name_not_fit_for_sni(authority: Authority, certificate: str, name: str) -> None:
    """The handshake goes without SNI, and the certificate is somebody else's."""
    _, near = connect(contexts(authority, certificate), contexts(authority), name)
    assert near.closing is not None
    assert "RFC 5922 7.3" in near.closing


def test_a_client_of_the_last_century(authority: Authority, certificate: str) -> None:
    """TLS 1.0 and 1.1 are refused by their first record (RFC 8996), whatever OpenSSL's own default is."""
    # A ClientHello whose record and body say 3.1, with one suite and no extensions.
    body = b"\x03\x01" + bytes(32) + b"\x00" + b"\x00\x02\x00\x2f" + b"\x01\x00"
    hello = b"\x01" + len(body).to_bytes(3, "big") + body
    for version in (b"\x03\x00", b"\x03\x01", b"\x03\x02"):
        far = End(contexts(authority, certificate), incoming())
        record = b"\x16" + version + len(hello).to_bytes(2, "big") + hello.replace(b"\x03\x01", version, 1)
        far.take(far.tls.received(record, 0.0))
        assert far.closing is not None
        assert "from tls.min_version on" in far.closing
        # It is told by an alert, too: 70 is protocol_version, 40 handshake_failure.
        assert b"".join(far.down)[-1] in (40, 70)


def test_huge_chains(authority: Authority, certificate: str, tmp_path: Path) -> None:
    """A client that shows certificates without end is cut by OpenSSL's bound of 100 KiB, not by memory."""
    client = Path(authority.issue("client.pem", "sip:partner.example")).read_bytes()
    filler = b"".join(
        authority.issue(f"{number}.pem", *(f"{number}-{at}.example" for at in range(400))).read_bytes()
        for number in range(20)
    )
    chain = tmp_path / "chain.pem"
    chain.write_bytes(client + filler)
    server = contexts(authority, certificate, verify_clients="required")
    far, _ = connect(server, contexts(authority, str(chain)))
    assert far.closing is not None
    assert "excessive message size" in far.closing


def test_resumption_keeps_the_identity(authority: Authority, certificate: str) -> None:
    """A client that comes back with a ticket keeps its identity.

    After a reload it shows its certificate again.
    """
    own = str(authority.issue("client.pem", "sip:partner.example"))
    server = contexts(authority, certificate, verify_clients="required")
    client = contexts(authority, own)
    far, near = connect(server, client)
    far.take(far.tls.send(b"x", 0.0))
    run(near, far)
    session = near.tls._session.session
    assert session is not None
    for resumed in (True, False):
        far, near = End(server, incoming()), End(client, outgoing())
        near.tls._session.session = session
        near.take(near.tls.opened(0.0))
        run(near, far)
        assert near.tls._session.session_reused is resumed
        assert far.info.identities == ("partner.example",)
        server.reload()


def test_renegotiation(authority: Authority, certificate: str) -> None:
    """A TLS 1.2 client that begins again within the connection gets an alert, and no second handshake."""
    client = contexts(authority)
    client._client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert contexts(authority, certificate)._server is not None
    far, _ = connect(contexts(authority, certificate), client)
    session = far.tls._session
    assert session.version() == "TLSv1.2"
    assert session.context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("missing", ["certificate", "key", "name", "authorities"])
def test_a_file_that_vanished_before_a_reload(authority: Authority, tmp_path: Path, missing: str) -> None:
    """Nothing changes, and the line names the file."""
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key", "name", "authorities")}
    pem = authority.issue("server.pem", "example.org").read_bytes()
    for name in ("certificate", "key", "name"):
        files[name].write_bytes(pem)
    files["authorities"].write_bytes(authority.authority.read_bytes())
    server = TlsContexts(
        TlsConfig(
            str(files["certificate"]),
            str(files["key"]),
            [f"other.example {files['name']}"],
            str(files["authorities"]),
        )
    )
    files[missing].unlink()
    with pytest.raises(TlsError, match=f"there is no file {files[missing]}"):
        server.reload()
    assert connect(server, contexts(authority))[1].tls.ready


def test_a_directory_is_no_certificate(tmp_path: Path) -> None:
    """A file that cannot be opened is named in the same way as a file that is missing."""
    with pytest.raises(TlsError, match="cannot be read: Is a directory"):
        TlsContexts(TlsConfig(str(tmp_path)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_of_somebody_else(authority: Authority, certificate: str, tmp_path: Path) -> None:
    """The usual mistake: the key belongs to root."""
    key = tmp_path / "key.pem"
    key.write_bytes(Path(certificate).read_bytes())
    key.chmod(0)
    with pytest.raises(TlsError, match="cannot be read by this user; change its owner, group or mode"):
        TlsContexts(TlsConfig(certificate, str(key)))


def test_a_wildcard_for_sni() -> None:
    """It would never match, so it is refused where it is written."""
    with pytest.raises(ValueError, match="list each one"):
        parse_name("*.example.org wild.pem")


# --- what an operator hears of mistakes


def doubts(authority: Authority, own: Path, *domains: str) -> list[str]:
    return [line.partition(": ")[2] for line in contexts(authority, str(own)).doubts(domains, NOW)]


def test_no_doubts(authority: Authority) -> None:
    """A good one; with client certificates required as well."""
    own = authority.issue("good.pem", "example.org", "pbx.example.org")
    assert doubts(authority, own, "example.org", "pbx.example.org") == []
    server = contexts(authority, str(own), verify_clients="required", min_version="1.3")
    assert server.doubts(["example.org"], NOW) == []


@pytest.mark.parametrize(
    ("names", "times", "says"),
    [
        (
            ("example.org",),
            {"end": PAST},
            "it has expired on Jan  1 00:00:00 2021 GMT; renew it and send SIGHUP",
        ),
        (("example.org",), {"begin": FUTURE}, "it is not valid before"),
        (
            ("example.org",),
            {"end": datetime.datetime.fromtimestamp(NOW + 86_400, tz=datetime.UTC)},
            "it expires on Nov 25 00:00:00 2026 GMT",
        ),
        (("other.example",), {}, "it does not name example.org, but other.example; others that"),
        (("*.example.org",), {}, "but *.example.org (a wildcard matches nothing, RFC 5922 7.2)"),
        (("192.0.2.9",), {}, "but nobody; "),
    ],
)
def test_doubts(
    authority: Authority, names: tuple[str, ...], times: dict[str, datetime.datetime], says: str
) -> None:
    """Each is told at the start and after SIGHUP, before the first client stumbles."""
    (line,) = doubts(authority, authority.issue("own.pem", *names, **times), "example.org")
    assert says in line


def test_doubts_for_each_name(authority: Authority) -> None:
    """A certificate for SNI is held to its own name, the other one to all that are left."""
    server = contexts(
        authority,
        str(authority.issue("one.pem", "example.org")),
        names=[f"example.net {authority.issue('two.pem', 'example.com', begin=BEGIN)}"],
    )
    (line,) = server.doubts(["example.org", "example.net"], NOW)
    assert "it does not name example.net, but example.com" in line


def test_a_certificate_of_an_authority_of_its_own(authority: Authority, tmp_path: Path) -> None:
    """Self-signed or not: the server does not know which authorities others trust, so it says nothing."""
    own = Authority(tmp_path, "own").issue("self.pem", "example.org")
    assert doubts(authority, own, "example.org") == []
