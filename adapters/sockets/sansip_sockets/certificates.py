"""Certificates and keys read from files, and OpenSSL's complaints about them in plain words.

Theory of operation: the reader of these lines is an operator at night: each names
the file, or the peer's trouble, and what to do about it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sansip_sockets.identity import identities, is_identified

__all__ = [
    "TlsError",
    "certificate_doubts",
    "load_certificate",
    "unreadable",
    "what_openssl_says",
    "why_unusable",
]

# Seconds before the end of a certificate from which it is time to say so: two weeks.
SOON = 14 * 86_400.0
# OpenSSL's codes of X509_verify_cert -> what to do.
_TOO_OLD = ": the peer speaks no version of TLS from tls.min_version on"
_UNKNOWN = "; its authority is not among the authorities that are trusted here (tls.authorities)"
_REFUSED = {
    2: _UNKNOWN,
    3: "; its authority has no list in tls.crls",
    9: "; compare the clocks of both machines",
    10: "; its owner has to renew it",
    12: "; fetch the next list of its authority (tls.crls) and send SIGHUP",
    18: _UNKNOWN,
    19: _UNKNOWN,
    20: _UNKNOWN,
    21: _UNKNOWN,
    # RFC 5924: OpenSSL does not know id-kp-sipDomain; the operator is told of the other engine.
    26: "; its extended key usage has to name serverAuth or clientAuth"
    ' (id-kp-sipDomain alone is taken by tls.engine = "openssl")',
}
# OpenSSL's reasons -> the remedy, and the party that has to act.
_ADVICE = {
    "HTTP_REQUEST": ": plain HTTP on a port for TLS",
    "NO_SHARED_CIPHER": "; the peer has none of tls.ciphers, or none for the kind of key in the certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": ": the peer does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": ": the peer says that ours has expired; renew it and send SIGHUP",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": ": the peer does not accept our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": ": the peer wants to see a certificate of ours (tls.certificate)",
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "TLSV1_ALERT_UNKNOWN_CA": ": the peer does not trust the authority of our certificate",
    "UNEXPECTED_EOF_WHILE_READING": ": the peer went away without a goodbye",
    "VERSION_TOO_LOW": _TOO_OLD,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "WRONG_VERSION_NUMBER": ": what came is no TLS",
}


class TlsError(Exception):
    """Certificates or settings cannot be used; the text is one line that names the file and the fix."""


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have ``context`` show a certificate; raise ``TlsError``."""

    # A key with a pass phrase would ask for it on the terminal.
    def refuse() -> str:
        raise TlsError(f"key {key} is encrypted; give one without a pass phrase")

    for file in (certificate, key):
        try:
            Path(file).open("rb").close()
        except OSError as error:
            raise TlsError(unreadable(file, error)) from None
    try:
        context.load_cert_chain(certificate, key, refuse)
    except (OSError, ssl.SSLError) as error:
        which = certificate if certificate == key else f"{certificate} with key {key}"
        raise TlsError(f"certificate {which}: {why_unusable(error, certificate)}") from None


def certificate_doubts(
    file: str, server: ssl.SSLContext, domains: Sequence[str], now: float
) -> Iterator[str]:
    """Yield what a client may object to in the certificate of ``server``; ``now`` is Unix time.

    A client made here, which trusts this very certificate, does a handshake with ``server``,
    so that OpenSSL reads the certificate and tries its key, its use and its ciphers.
    """
    try:
        certificate = _as_seen(server, file)
    except ssl.SSLError as error:
        yield f"no client can accept it ({what_openssl_says(error)})"
        return
    begin, end = (ssl.cert_time_to_seconds(certificate[key]) for key in ("notBefore", "notAfter"))
    if now > end:
        yield f"it has expired on {certificate['notAfter']}; renew it and send SIGHUP"
    elif now < begin:
        yield f"it is not valid before {certificate['notBefore']}; look at the clock of this machine"
    elif end - now < SOON:
        yield f"it expires on {certificate['notAfter']}; renew it and send SIGHUP"
    names = identities(certificate)
    missing = [domain for domain in domains if not is_identified(certificate, domain)]
    if missing:
        wild = any("*" in name for name in names)
        note = " (a wildcard matches nothing, RFC 5922 7.2)" if wild else ""
        yield (
            f"it does not name {', '.join(missing)}, but {', '.join(names) or 'nobody'}{note}; others that"
            " look for these domains will refuse it (RFC 5922 7.3)"
        )


def _as_seen(server: ssl.SSLContext, file: str) -> dict[str, Any]:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(file)
    # X509_V_FLAG_NO_CHECK_TIME: dates are judged by the caller.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | 0x20_0000
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    # The client sends three flights at most; its last octets need not arrive.
    for _ in range(3):
        try:
            near.do_handshake()
            break
        except ssl.SSLWantReadError:
            pass
        try:
            far.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return dict(near.getpeercert() or {})


def unreadable(file: str, error: OSError) -> str:
    """Return why ``file`` cannot be opened, and what helps."""
    if isinstance(error, FileNotFoundError):
        return f"there is no file {file}"
    if isinstance(error, PermissionError):
        return f"{file} cannot be read by this user; change its owner, group or mode"
    return f"{file} cannot be read: {error.strerror or error}"


def why_unusable(error: OSError, file: str) -> str:
    """Return what is wrong with the content of ``file``."""
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate"
    if isinstance(error, ssl.SSLError):
        return f"not usable PEM ({(reason or 'no certificate or key in it').replace('_', ' ').lower()})"
    return error.strerror or str(error) or f"cannot read {file}"


def what_openssl_says(error: ssl.SSLError) -> str:
    """Return what OpenSSL says in words, with what to do about it if that is known."""
    said = getattr(error, "verify_message", None)
    if said:
        advice = _REFUSED.get(getattr(error, "verify_code", 0), "")
        return f"certificate not accepted: {said}{advice}"
    reason = (error.reason or str(error) or repr(error)).replace("_", " ").lower()
    return reason + _ADVICE.get(error.reason or "", "")
