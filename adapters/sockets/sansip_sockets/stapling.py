"""Stapled OCSP responses (RFC 6066 8, RFC 6960): judged where a server shows one, and shown by us.

Theory of operation: a server may staple to its certificate a signed and dated response of its authority. A
response that a server shows must be good: about this certificate, signed by its issuer or by a responder
that the issuer named, in date, and not "revoked" or "unknown". A server need not show one, unless its
certificate promises one (RFC 7633). Our own response is a file that another program renews. So this reads
the file again when it has changed, and does not show a response that is out of date.

Needs ``cryptography``, which pyOpenSSL brings along.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from sansip_sockets.certificates import TlsError, unreadable

__all__ = ["Staple", "staple_fault"]

# The clocks of two machines may differ by this.
_SKEW = timedelta(minutes=5)
# Octets of a response file: honest ones have fewer than 5,000.
_MOST = 65_536


def staple_fault(response: bytes, chain: Sequence[x509.Certificate], now: datetime) -> str | None:
    """Return why we must not talk to the server with the verified ``chain``, or None.

    ``response`` is the response that it stapled, b"" for none.
    """
    leaf = chain[0]
    if not response:
        # RFC 7633 4.3.3: a response that the certificate promises must come.
        return (
            "its certificate promises a stapled OCSP response, and none came (RFC 7633)"
            if _must(leaf)
            else None
        )
    issuer = chain[1] if len(chain) > 1 else chain[0]
    try:
        return _fault(ocsp.load_der_ocsp_response(response), leaf, issuer, now)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"its stapled OCSP response cannot be read: {error}"


def _must(certificate: x509.Certificate) -> bool:
    try:
        features = certificate.extensions.get_extension_for_class(x509.TLSFeature).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return x509.TLSFeatureType.status_request in features


def _fault(
    response: ocsp.OCSPResponse, leaf: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> str | None:
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return f"its stapled OCSP response says {response.response_status.name.lower().replace('_', ' ')}"
    # RFC 6960 3.2: first the signature, and whether the signer may sign.
    if not _is_signed(response, issuer, now):
        return "its stapled OCSP response is not signed by its authority (RFC 6960 3.2)"
    for one in response.responses:
        if one.serial_number == leaf.serial_number and _is_of(one, issuer):
            return _verdict(one, now)
    return "its stapled OCSP response is about another certificate"


def _verdict(one: ocsp.OCSPSingleResponse, now: datetime) -> str | None:
    if one.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        return "its certificate was revoked (stapled OCSP response)"
    if one.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        return "its authority does not know its certificate (stapled OCSP response)"
    if one.this_update_utc > now + _SKEW:
        return "its stapled OCSP response is of the future; compare the clocks of both machines"
    if one.next_update_utc is not None and one.next_update_utc < now - _SKEW:
        return f"its stapled OCSP response is out of date since {one.next_update_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _is_of(one: ocsp.OCSPSingleResponse, issuer: x509.Certificate) -> bool:
    """RFC 6960 4.1.1: a certificate is told by its number and the hashes of its issuer's name and key."""
    name = hashes.Hash(one.hash_algorithm)
    name.update(issuer.subject.public_bytes())
    # The key's bits without its algorithm: as the subject key identifier of RFC 5280 4.2.1.2 (1) hashes them.
    key = hashes.Hash(one.hash_algorithm)
    key.update(_key_bits(issuer))
    return name.finalize() == one.issuer_name_hash and key.finalize() == one.issuer_key_hash


def _key_bits(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return key.public_bytes_raw()
    raise ValueError("the key of its authority is of an unusual kind")


def _is_signed(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> bool:
    if _signed_by(response, issuer):
        return True
    for one in response.certificates:
        # RFC 6960 4.2.2.2: a responder that the issuer itself named, for this and by its own key.
        try:
            one.verify_directly_issued_by(issuer)
            usage = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
        in_date = one.not_valid_before_utc <= now + _SKEW and now - _SKEW <= one.not_valid_after_utc
        if ExtendedKeyUsageOID.OCSP_SIGNING in usage and in_date and _signed_by(response, one):
            return True
    return False


def _signed_by(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    signature, data = response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, data, ec.ECDSA(algorithm))
        elif isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
            key.verify(signature, data)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


class Staple:
    """Our own response, DER in ``file``. Raises ``TlsError`` for a wrong file, or another certificate's."""

    def __init__(self, file: str, certificate: x509.Certificate) -> None:
        self.file = file
        self._certificate = certificate
        self._changed: tuple[int, int] = (-1, -1)
        self._octets = b""
        self._until: datetime | None = None
        try:
            self._read()
        except OSError as error:
            raise TlsError(f"staple: {unreadable(file, error)}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise TlsError(f"staple {file}: {error}; `openssl ocsp … -respout {file}` fetches one") from None

    def shown(self, now: datetime) -> bytes:
        """Return what to staple; b"" if it is out of date, or the file has become useless."""
        try:
            self._read()
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
            # The response that was read before is good until its own end.
            pass
        return b"" if self._until is not None and now >= self._until else self._octets

    def doubt(self, now: datetime) -> str | None:
        """Return the doubt about it that the operator has to know, if any."""
        if self.shown(now):
            return None
        day = f"{self._until:%Y-%m-%d %H:%M} UTC"
        return f"staple {self.file}: out of date since {day}, so it is not shown; renew it"

    def _read(self) -> None:
        path = Path(self.file)
        status = path.stat()
        changed = (status.st_mtime_ns, status.st_size)
        if changed == self._changed:
            return
        if status.st_size > _MOST:
            raise ValueError("no OCSP response: it is too large")
        octets = path.read_bytes()
        response = ocsp.load_der_ocsp_response(octets)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ValueError(f"an OCSP response that says {response.response_status.name.lower()}")
        mine = [one for one in response.responses if one.serial_number == self._certificate.serial_number]
        if not mine:
            raise ValueError("an OCSP response about another certificate")
        self._octets, self._until, self._changed = octets, mine[0].next_update_utc, changed


def utc_now() -> datetime:
    """Return the time by which certificates and responses are judged."""
    return datetime.now(UTC)
