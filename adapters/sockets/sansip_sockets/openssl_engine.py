"""pyOpenSSL as the engine of the TLS filter: it can do more than ``ssl`` (``tls.engine = "openssl"``).

Theory of operation: ``Session`` takes the place of an ``ssl.SSLObject`` with its two memory BIOs, and
raises the exceptions of ``ssl``, so that the filter knows one engine only. It adds two things. It judges
the stapled OCSP response of a server (``stapling``), and shows ours. And OpenSSL's verdict "unsuitable
purpose" is overruled for a certificate whose extended key usage names id-kp-sipDomain (RFC 5924), and for
nothing else: OpenSSL judges its dates, chain, signatures and lists as always.

``ssl`` has read the same files before (``TlsContexts.reload``), and has reported their faults.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from OpenSSL import SSL, crypto

    from sansip_sockets.stapling import Staple, staple_fault, utc_now
except ImportError as error:
    raise ImportError("pip install 'sansip[openssl]'") from error
from sansip.transport.filter import OpenConnection
from sansip_sockets.certificates import TlsError
from sansip_sockets.revocation import read_lists, without_list

if TYPE_CHECKING:
    from sansip_sockets.tls_config import TlsConfig

__all__ = ["Engine", "Session"]

# RFC 5924 3
SIP_DOMAIN = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.20")
# OpenSSL's X509_V_ERR_INVALID_PURPOSE, and options that pyOpenSSL has no names for in each version.
_INVALID_PURPOSE = 26
_NO_RENEGOTIATION = 0x4000_0000
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# The words of `openssl verify` for these codes; the text names other codes by their number.
_SAYS = {
    2: "unable to get issuer certificate",
    3: "unable to get certificate CRL",
    9: "certificate is not yet valid",
    10: "certificate has expired",
    12: "CRL has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    23: "certificate revoked",
    26: "unsuitable certificate purpose",
}


class Engine:
    """Contexts of pyOpenSSL for one ``TlsConfig``; raises ``TlsError``."""

    def __init__(self, config: TlsConfig, names: list[tuple[str, str, str]]) -> None:
        self._config = config
        self._staples: list[Staple] = []
        self._server: SSL.Context | None = None
        if config.certificate is not None:
            self._server = self._for_server(config.certificate, config.key or config.certificate)
            by_name = {name: self._for_server(certificate, key) for name, certificate, key in names}

            def choose(connection: SSL.Connection) -> None:
                asked = connection.get_servername()
                chosen = by_name.get(asked.decode("ascii", "replace").lower()) if asked else None
                if chosen is not None:
                    connection.set_context(chosen)

            if by_name:
                self._server.set_tlsext_servername_callback(choose)
        spare = [one for one in config.staples if one not in {staple.file for staple in self._staples}]
        if spare:
            raise TlsError(
                f"staple {spare[0]}: an OCSP response about none of our certificates; fetch the right one"
            )
        self._client = self._context()
        if config.verify_servers:
            self._verify(self._client, SSL.VERIFY_PEER)
            self._client.set_ocsp_client_callback(_judge)
        if config.certificate is not None:
            self._show(self._client, config.certificate, config.key or config.certificate)

    def doubts(self) -> list[str]:
        """Return the doubts about our staples that the operator has to know."""
        now = utc_now()
        return [doubt for one in self._staples if (doubt := one.doubt(now))]

    def session(self, info: OpenConnection) -> Session:
        """Return a new TLS session for the connection ``info``; raise ``TlsError`` without a certificate."""
        if not info.incoming:
            return Session(self._client, info.name, asks=self._config.verify_servers)
        if self._server is None:
            raise TlsError("a TLS listener needs a certificate")
        return Session(self._server, None)

    def _context(self) -> SSL.Context:
        config = self._config
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(_VERSIONS[config.min_version])
        # A peer could have us do handshakes for ever (CVE-2011-1473).
        context.set_options(_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
        # A session can be resumed only under the same context name
        # (SSL_CTX_set_session_id_context).
        context.set_session_id(b"sansip")
        if config.ciphers:
            context.set_cipher_list(config.ciphers.encode())
        return context

    def _for_server(self, certificate: str, key: str) -> SSL.Context:
        config = self._config
        context = self._context()
        self._show(context, certificate, key)
        if config.verify_clients != "no":
            needed = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if config.verify_clients == "required" else 0
            self._verify(context, SSL.VERIFY_PEER | needed)
        staple = self._staple_of(certificate)
        if staple is not None:
            self._staples.append(staple)
            context.set_ocsp_server_callback(lambda connection, _: staple.shown(utc_now()))
        return context

    def _staple_of(self, certificate: str) -> Staple | None:
        mine = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
        for file in self._config.staples:
            try:
                return Staple(file, mine)
            except TlsError as error:
                if "another certificate" not in str(error):
                    raise
        return None

    def _show(self, context: SSL.Context, certificate: str, key: str) -> None:
        try:
            context.use_certificate_chain_file(certificate)
            context.use_privatekey_file(key)
        except SSL.Error as error:
            raise TlsError(f"certificate {certificate}: {_said(error)}") from None

    def _verify(self, context: SSL.Context, mode: int) -> None:
        config = self._config
        context.set_verify(mode, _verdict)
        if config.authorities is not None:
            context.load_verify_locations(config.authorities)
        else:
            paths = ssl.get_default_verify_paths()
            context.load_verify_locations(paths.cafile, paths.capath)
        for file in config.crls:
            context.load_verify_locations(file)
        if config.crls:
            store = context.get_cert_store()
            assert store is not None
            flags = crypto.X509StoreFlags.CRL_CHECK
            if not without_list(config.authorities, read_lists(config.crls)):
                flags |= crypto.X509StoreFlags.CRL_CHECK_ALL
            store.set_flags(flags)


def _verdict(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, good: int) -> bool:
    """OpenSSL's callback for each certificate of a chain, and for each fault of one."""
    if good:
        return True
    if code == _INVALID_PURPOSE and depth == 0 and _is_for_sip(certificate.to_cryptography()):
        return True
    findings: _Findings = connection.get_app_data()
    findings.refused = findings.refused or code
    return False


def _is_for_sip(certificate: x509.Certificate) -> bool:
    """Whether id-kp-sipDomain is in the extended key usage, and its key may be used for TLS (RFC 5924 4)."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    if SIP_DOMAIN not in usages:
        return False
    with suppress(x509.ExtensionNotFound):
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        # RFC 5280 4.2.1.12: both extensions have to allow it. OpenSSL's verdict may be about either.
        return usage.digital_signature
    return True


def _judge(connection: SSL.Connection, response: bytes, _: object) -> bool:
    """OpenSSL's callback for the stapled response that this side asked for."""
    findings: _Findings = connection.get_app_data()
    chain = connection.get_verified_chain()
    if not chain:
        # A session that was resumed: it was judged when it began.
        return True
    findings.fault = staple_fault(response, [one.to_cryptography() for one in chain], utc_now())
    return findings.fault is None


class _Findings:
    """Findings of our callbacks: the first fault in the peer's chain (0: none), and in its staple.

    This is not part of ``Session``: a session in its connection's callbacks would make a reference cycle.
    """

    __slots__ = ("fault", "refused")

    def __init__(self) -> None:
        self.refused = 0
        self.fault: str | None = None


class _Below:
    """The octets that came from the socket, as ``ssl.MemoryBIO`` takes them."""

    __slots__ = ("write",)

    def __init__(self, connection: SSL.Connection) -> None:
        self.write: Callable[[bytes], int] = connection.bio_write


class _Above:
    """The octets to write to the socket, as ``ssl.MemoryBIO`` gives them."""

    __slots__ = ("_connection", "_kept")

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection
        self._kept = b""

    @property
    def pending(self) -> int:
        self._fetch()
        return len(self._kept)

    def read(self) -> bytes:
        self._fetch()
        data, self._kept = self._kept, b""
        return data

    def _fetch(self) -> None:
        parts = [self._kept]
        # Empty: it wants to be written to first.
        with suppress(SSL.WantReadError):
            while True:
                parts.append(self._connection.bio_read(65_536))
        self._kept = b"".join(parts)


class Session:
    """One TLS connection, as the filter uses ``ssl.SSLObject``; ``below`` and ``above`` are its BIOs."""

    __slots__ = ("_connection", "_findings", "above", "below")

    def __init__(self, context: SSL.Context, name: str | None, *, asks: bool = False) -> None:
        """``name`` is the server's; None if we are the server. ``asks`` for a stapled response."""
        self._connection = connection = SSL.Connection(context, None)
        self._findings = _Findings()
        connection.set_app_data(self._findings)
        self.below, self.above = _Below(connection), _Above(connection)
        if name is None:
            connection.set_accept_state()
            return
        connection.set_connect_state()
        if asks:
            connection.request_ocsp()
        if name and not name.strip("[]").replace(".", "").isdigit() and ":" not in name:
            # A name that is not fit for SNI (a label too long): this server checks it anyway.
            with suppress(UnicodeError, SSL.Error):
                connection.set_tlsext_host_name(name.encode("idna"))

    def do_handshake(self) -> None:
        self._run(self._connection.do_handshake)

    def read(self, size: int) -> bytes:
        return self._run(partial(self._connection.recv, size))  # type: ignore[no-any-return]  # Any by design

    def write(self, data: bytes) -> None:
        self._run(partial(self._connection.sendall, data))

    def unwrap(self) -> None:
        self._run(self._connection.shutdown)

    def _run(self, call: Callable[[], Any]) -> Any:
        """Do ``call``; turn its exceptions into those that ``ssl`` would have raised."""
        try:
            return call()
        except SSL.WantReadError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more octets are needed") from None
        except SSL.ZeroReturnError:
            raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "closed by the peer") from None
        except SSL.Error as error:
            raise self._as_ssl(error) from None

    def _as_ssl(self, error: SSL.Error) -> ssl.SSLError:
        made: Any = ssl.SSLError(ssl.SSL_ERROR_SSL, _said(error))
        made.reason = _said(error).upper().replace(" ", "_")
        fault, code = self._findings.fault, self._findings.refused
        if fault is not None or code:
            made.verify_code = code
            made.verify_message = fault or _SAYS.get(code, f"OpenSSL's error {code}")
        return made  # type: ignore[no-any-return]  # Any by design

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the peer's verified certificate in the shapes that ``ssl`` has for it; None without one."""
        certificate = self._connection.get_peer_certificate()
        if certificate is None:
            return None
        plain = certificate.to_cryptography()
        return plain.public_bytes(Encoding.DER) if binary_form else _described(plain)

    def get_verified_chain(self) -> list[bytes]:
        """Return the chain that OpenSSL built, as DER, the authority last; empty for a resumed session."""
        chain = self._connection.get_verified_chain() or ()
        return [one.to_cryptography().public_bytes(Encoding.DER) for one in chain]

    def version(self) -> str:
        return str(self._connection.get_protocol_version_name())


def _described(certificate: x509.Certificate) -> dict[str, Any]:
    """Return what ``identity`` reads of a certificate, as ``ssl.SSLObject.getpeercert`` has it."""
    subject = tuple(
        (("commonName", str(one.value)),)
        for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    )
    names: list[tuple[str, str]] = []
    with suppress(x509.ExtensionNotFound):
        for one in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value:
            if isinstance(one, x509.DNSName):
                names.append(("DNS", one.value))
            elif isinstance(one, x509.UniformResourceIdentifier):
                names.append(("URI", one.value))
            elif isinstance(one, x509.IPAddress):
                names.append(("IP Address", str(one.value)))
            else:
                # It counts: a certificate with any alternative name is not judged by its common name.
                names.append(("other", ""))
    return {"subject": subject, "subjectAltName": tuple(names)}


def _said(error: SSL.Error) -> str:
    """Return OpenSSL's reason, the last of those it gives."""
    for one in error.args:
        if isinstance(one, list) and one:
            return str(one[-1][-1])
    if isinstance(error, SSL.SysCallError):
        return "unexpected eof while reading"
    return str(error) or "TLS failed"
