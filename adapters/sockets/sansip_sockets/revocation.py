"""Whether a peer's certificate would still be accepted: authorities and revocation lists (RFC 5280).

Theory of operation: OpenSSL judges a certificate when a connection begins, and never again. A reload may have
other authorities, or newer lists of the certificates that they revoked (RFC 5280 5), while connections stand
for weeks. So the server keeps a ``Proof`` of each verified peer: the authority at the end of its chain, the
issuer of the certificate, and its serial number. ``Standing`` holds the authorities and lists that count now,
read from the same files that OpenSSL has; it says what is wrong with a proof.

The DER reader (X.690) only follows the way to the fields that are needed. It reads only certificates
that OpenSSL has accepted, and files of the operator.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sansip_sockets.certificates import TlsError, unreadable

if TYPE_CHECKING:
    from sansip.transport.filter import OpenConnection

__all__ = ["Peer", "Proof", "RevocationList", "Standing", "proof_of", "read_lists", "without_list"]

_INTEGER, _SEQUENCE, _UTC_TIME, _GENERALIZED_TIME = 0x02, 0x30, 0x17, 0x18
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+(.*?)-----END \1-----", re.DOTALL)


@dataclass(slots=True, frozen=True)
class Proof:
    """The facts that the trust in a verified certificate depends on.

    Attributes:
        root: SHA-256 of the authority at the end of its chain; None if that is not known any
            more (a session that was resumed).
        issuer: the name of the issuer, as DER.
        serial: its serial number.
    """

    root: bytes | None
    issuer: bytes
    serial: bytes


@dataclass(slots=True)
class RevocationList:
    """One list: whose it is (a name as DER), until when it is good (Unix time), and what is revoked."""

    file: str
    issuer: bytes
    until: float | None
    serials: frozenset[bytes]

    def doubt(self, now: float) -> str | None:
        """Return the doubt about it at ``now`` that the operator has to know, if any."""
        if self.until is None or now < self.until:
            return None
        day = datetime.fromtimestamp(self.until, UTC).isoformat(" ", "minutes")
        return (
            f"revocation list {self.file} is out of date since {day}: nobody whose certificate is of its"
            " authority is accepted; fetch the next list and send SIGHUP"
        )


class Standing:
    """What the server accepts now. ``authorities`` is a PEM file, None for those of the system."""

    def __init__(self, authorities: str | None, lists: Sequence[RevocationList]) -> None:
        self._roots = frozenset(sha256(der).digest() for der in _authorities(authorities))
        self._lists = lists

    def fault(self, proof: Proof) -> str | None:
        """Return why the certificate of ``proof`` would not be accepted any more, if so."""
        if proof.root is None:
            return "what its certificate rested on is not known any more"
        if proof.root not in self._roots:
            return "the authority of its certificate is not trusted any more (tls.authorities)"
        for one in self._lists:
            if one.issuer == proof.issuer and proof.serial in one.serials:
                return f"its certificate was revoked ({one.file})"
        return None


class Peer:
    """Who the peer of a connection has proved to be. ``ended``: why this side talks to it no more."""

    __slots__ = ("__weakref__", "_info", "_proof", "ended")

    def __init__(self, info: OpenConnection, proof: Proof) -> None:
        self._info = info
        self._proof: Proof | None = proof
        self.ended: str | None = None

    def judge(self, standing: Standing, required: bool) -> None:
        """Take its identity away if its certificate would not be accepted any more.

        If it had to show a certificate (``required`` of clients), the connection ends with the next octets,
        in either direction.
        """
        fault = None if self._proof is None else standing.fault(self._proof)
        if fault is None:
            return
        self._info.identities = ()
        self._proof = None
        # RFC 5922 7.3: nothing more goes to a server that has not proved who it is.
        if not self._info.incoming or required:
            self.ended = fault


def proof_of(session: ssl.SSLObject) -> Proof | None:
    """Return the proof of the peer's certificate in ``session``; None if the peer showed none."""
    leaf = session.getpeercert(binary_form=True)
    if not leaf:
        return None
    chain = _verified_chain(session)
    root = sha256(chain[-1]).digest() if chain else None
    try:
        # RFC 5280 4.1: version (explicit, absent in v1), serial number, signature, issuer.
        fields = _fields(_fields(leaf)[0][1])
        if fields[0][0] != _INTEGER:
            fields = fields[1:]
        return Proof(root, fields[2][1], fields[0][1])
    except (ValueError, IndexError):
        # OpenSSL reads more than DER; a peer with such a certificate is believed until the next reload.
        return Proof(None, b"", b"")


def _verified_chain(session: ssl.SSLObject) -> list[bytes]:
    """Return the chain that OpenSSL built, as DER, the authority last; empty for a resumed session."""
    if hasattr(session, "get_verified_chain"):  # Python 3.13
        return list(session.get_verified_chain() or ())
    inner: Any = getattr(session, "_sslobj", None)
    if not hasattr(inner, "get_verified_chain"):
        return []
    # _ssl.ENCODING_DER
    return [one.public_bytes(2) for one in inner.get_verified_chain() or ()]


def read_lists(files: Sequence[str]) -> list[RevocationList]:
    """Return the revocation lists in PEM ``files``; raise ``TlsError`` for a file without one."""
    lists = []
    for file in files:
        try:
            found = [_revocation_list(file, der) for der in _pem(Path(file), b"X509 CRL")]
        except OSError as error:
            raise TlsError(f"crls: {unreadable(file, error)}") from None
        except (ValueError, IndexError):
            raise TlsError(f"crls {file}: not usable PEM; download it again") from None
        if not found:
            raise TlsError(
                f"crls {file}: no revocation list (PEM) in it; `openssl crl -inform DER` makes one of DER"
            )
        lists += found
    return lists


def without_list(authorities: str | None, lists: Sequence[RevocationList]) -> list[str]:
    """Return which of the authorities in a PEM file have no list, by the last part of their names.

    If all have one, certificates between an authority and a peer's can be looked up as well
    (RFC 5280 6.3). The system has too many authorities to have a list of each.
    """
    if authorities is None:
        return ["the authorities of the system"]
    listed = {one.issuer for one in lists}
    lacking = []
    for der in _authorities(authorities):
        try:
            # RFC 5280 4.1: version, serial number, signature, issuer, validity, subject.
            fields = _fields(_fields(der)[0][1])
            subject = fields[5 if fields[0][0] != _INTEGER else 4][1]
            if subject not in listed:
                lacking.append(_last_part(subject))
        except (ValueError, IndexError):
            lacking.append("an authority whose certificate is no DER")
    return lacking


def _last_part(name: bytes) -> str:
    """Return the last attribute of a DER ``name``: the common name, as a rule."""
    value = _fields(_fields(_fields(name)[-1][1])[-1][1])[-1][1]
    begin, end = _content(value, 0)
    return value[begin:end].decode("utf-8", "replace")


def _revocation_list(file: str, der: bytes) -> RevocationList:
    # RFC 5280 5.1: version (optional), signature, issuer, thisUpdate, nextUpdate
    # (optional), revokedCertificates (optional), extensions.
    fields = _fields(_fields(der)[0][1])
    if fields[0][0] == _INTEGER:
        fields = fields[1:]
    issuer, rest = fields[1][1], fields[3:]
    until = None
    if rest and rest[0][0] in (_UTC_TIME, _GENERALIZED_TIME):
        until, rest = _time(*rest[0]), rest[1:]
    revoked = _fields(rest[0][1]) if rest and rest[0][0] == _SEQUENCE else []
    return RevocationList(file, issuer, until, frozenset(_fields(one[1])[0][1] for one in revoked))


def _authorities(file: str | None) -> Iterator[bytes]:
    """Yield the certificates of ``file``, or of the system, as DER."""
    if file is not None:
        with suppress(OSError, ValueError):
            yield from _pem(Path(file), b"CERTIFICATE")
        return
    paths = ssl.get_default_verify_paths()
    files = [Path(paths.cafile)] if paths.cafile else []
    if paths.capath:
        with suppress(OSError):
            files += Path(paths.capath).iterdir()
    for path in files:
        # The folder has other files as well.
        with suppress(OSError, ValueError):
            yield from _pem(path, b"CERTIFICATE")


def _pem(path: Path, kind: bytes) -> list[bytes]:
    """Return the blocks of ``kind`` in a PEM file (RFC 7468) as DER; raise ValueError for broken ones."""
    try:
        return [
            base64.b64decode(b"".join(body.split()), validate=True)
            for found, body in _PEM.findall(path.read_bytes())
            if found == kind
        ]
    except binascii.Error as error:
        raise ValueError(str(error)) from None


# --- DER (X.690 8.1, 10.1): tag, length, content


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """Return the fields within ``data``, itself one field: each its tag and its octets, header included."""
    at, end = _content(data, 0)
    fields = []
    while at < end:
        _, stop = _content(data, at)
        fields.append((data[at], data[at:stop]))
        at = stop
    return fields


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the field at ``at`` begins and ends; raise ValueError beyond the end."""
    length, begin = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, begin = int.from_bytes(data[begin : begin + size], "big"), begin + size
    if begin + length > len(data):
        raise ValueError("DER is cut off")
    return begin, begin + length


def _time(tag: int, field: bytes) -> float:
    """RFC 5280 4.1.2.5: a time in UTC, to the second."""
    begin, end = _content(field, 0)
    text = field[begin:end].decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280 4.1.2.5.1: of two centuries the years from 1950 on.
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
