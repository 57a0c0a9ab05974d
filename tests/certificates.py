"""Certificates for tests, made on the spot: an authority, and whatever it is asked to sign.

Theory of operation: ``trustme`` makes no certificates with SIP URIs in them (RFC
5922 4.1), so these are made with ``cryptography``, which it is built on. Keys are
elliptic, for they are made in a millisecond.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

__all__ = ["Authority", "context_for_threads"]

# Far from both ends, so that no clock matters.
BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """Signs certificates, and writes them to ``directory``. Its own is ``authority``."""

    def __init__(self, directory: Path, name: str = "authority", above: Authority | None = None) -> None:
        """``above`` signs its certificate; None: itself."""
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = above or self
        certificate = (
            signer._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_for_signing(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(signer._key, hashes.SHA256())
        )
        self.authority = directory / f"{name}.pem"
        self.authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        begin: datetime.datetime = BEGIN,
        end: datetime.datetime = END,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            # Python 3.13 checks as strictly as RFC 5280 4.2.1.1 asks.
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )

    def revoke(self, file: str, *certificates: Path, until: datetime.datetime = END) -> Path:
        """Write ``file`` with the list of those of its ``certificates`` that are good no more."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(BEGIN).next_update(until)
        for path in certificates:
            serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(BEGIN).build()
            builder = builder.add_revoked_certificate(revoked)
        path = self.directory / file
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def respond(
        self,
        file: str,
        certificate: Path,
        status: str = "good",
        *,
        begin: datetime.datetime = BEGIN,
        until: datetime.datetime = END,
        responder: Path | None = None,
    ) -> Path:
        """Write ``file`` with an OCSP response (DER, RFC 6960) about ``certificate``.

        ``responder`` signs it in our place: a file of ``issue``.
        """
        own = x509.load_pem_x509_certificate(self.authority.read_bytes())
        revoked = status == "revoked"
        builder = ocsp.OCSPResponseBuilder().add_response(
            x509.load_pem_x509_certificate(certificate.read_bytes()),
            own,
            hashes.SHA1(),
            ocsp.OCSPCertStatus[status.upper()],
            begin,
            until,
            BEGIN if revoked else None,
            x509.ReasonFlags.key_compromise if revoked else None,
        )
        key: Any = self._key
        if responder is not None:
            own = x509.load_pem_x509_certificate(responder.read_bytes())
            key = serialization.load_pem_private_key(responder.read_bytes(), None)
            builder = builder.certificates([own])
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, own)
        path = self.directory / file
        response = builder.sign(key, hashes.SHA256())
        path.write_bytes(response.public_bytes(serialization.Encoding.DER))
        return path

    def issue(
        self,
        file: str,
        *names: str,
        common_name: str = "nobody",
        begin: datetime.datetime = BEGIN,
        end: datetime.datetime = END,
        usages: Sequence[str] = (),
        must_staple: bool = False,
    ) -> Path:
        """Write ``file`` with a certificate and its key; ``names`` are IP addresses, URIs and DNS names.

        ``usages``: object identifiers of its extended key usage. ``must_staple``: RFC 7633.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), key.public_key(), begin, end
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
        if usages:
            usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(one) for one in usages])
            builder = builder.add_extension(usage, critical=False)
        if must_staple:
            features = x509.TLSFeature([x509.TLSFeatureType.status_request])
            builder = builder.add_extension(features, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        path = self.directory / file
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path


def context_for_threads(authority: Path) -> ssl.SSLContext:
    """Return the context of a client that reads in one thread while another one writes (``websockets.sync``).

    OpenSSL does not allow that while a message of the TLS layer comes in. TLS 1.3 sends its ticket (RFC 8446
    4.6.1) behind the handshake, just as the client writes its first request: now and then the request is
    never written (1 of 200 on a busy machine, with any server). TLS 1.2 sends none after the handshake.
    """
    context = ssl.create_default_context(cafile=str(authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _for_signing() -> x509.KeyUsage:
    """RFC 5280 4.2.1.3: an authority's key signs certificates."""
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    off = dict.fromkeys((*unused, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **off)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.UniformResourceIdentifier(name) if name.startswith("sip") else x509.DNSName(name)
