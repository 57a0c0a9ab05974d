"""The TLS filter: octets of the socket below, plain octets above.

Theory of operation: ``ssl.MemoryBIO`` makes OpenSSL a filter that never waits. ``TlsContexts`` holds what all
connections share: the certificates (one for each name that a client may ask for by SNI), the authorities, the
versions. ``reload`` builds all of it anew and swaps it in one assignment: existing connections keep the old
settings, and new connections get the new ones. But the identity of a peer lasts only as long as its
certificate would be accepted (``revocation``).

The server that we connect to must prove to be the host that its URI named (RFC 5922 7.3).
``identity`` reads the names in its certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sansip.transport.filter import OpenConnection
from sansip_sockets.certificates import (
    TlsError,
    certificate_doubts,
    load_certificate,
    unreadable,
    why_unusable,
)
from sansip_sockets.revocation import Peer, RevocationList, Standing, read_lists, without_list
from sansip_sockets.tls_config import TlsConfig, parse_name

if TYPE_CHECKING:
    from sansip_sockets.openssl_engine import Engine

__all__ = ["TlsConfig", "TlsContexts", "TlsError", "parse_name"]

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsContexts:
    """The data that all TLS connections of one server share. Raises ``TlsError``."""

    def __init__(self, config: TlsConfig) -> None:
        self.config = config
        self._server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext
        # The name that a client asks for ("" for all others) -> certificate file, and the
        # context that shows it.
        self._shown: dict[str, tuple[str, ssl.SSLContext]] = {}
        self._lists: list[RevocationList] = []
        # The engine that does the work in place of ``ssl``, if the configuration names one.
        self._engine: Engine | None = None
        # Peers that have proved who they are, for as long as their connections last.
        self._verified: WeakSet[Peer] = WeakSet()
        self.reload()

    def reload(self, config: TlsConfig | None = None) -> None:
        """Read all files again; an unusable one raises ``TlsError`` and leaves all as it was.

        ``config`` takes the place of the former one.
        A peer whose certificate would not be accepted any more loses its identity from now on.
        """
        before = self.config
        self.config = config or before
        try:
            self._read(self.config)
        except BaseException:
            self.config = before
            raise

    def _read(self, config: TlsConfig) -> None:
        lists = read_lists(config.crls)
        server = None
        shown = {}
        if config.certificate is not None:
            server = self._for_server(config.certificate, config.key or config.certificate)
            shown = {"": (config.certificate, server)}
            by_name: dict[str, ssl.SSLContext] = {}
            for name, certificate, key in map(parse_name, config.names):
                by_name[name] = self._for_server(certificate, key)
                shown[name] = (certificate, by_name[name])

            def choose(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
                chosen = by_name.get(name.lower()) if name else None
                if chosen is not None:
                    connection.context = chosen

            if by_name:
                server.sni_callback = choose
        client = self._for_client()
        engine = _engine(config)
        self._client = client
        self._engine = engine
        self._server = server
        self._shown = shown
        self._lists = lists
        if self._verified:
            standing = Standing(config.authorities, lists)
            for one in list(self._verified):
                one.judge(standing, config.verify_clients == "required")

    def verified(self, peer: Peer) -> None:
        """Have ``peer`` judged again at each reload."""
        self._verified.add(peer)

    def doubts(self, domains: Iterable[str], now: float) -> list[str]:
        """Return what peers will object to in our certificates, a line each; ``now`` is Unix time.

        ``domains`` are those that clients and other servers look for in the certificates.
        """
        lines = []
        others = [one for one in domains if one not in self._shown]
        for name, (file, context) in self._shown.items():
            wanted = [name] if name else others
            lines += [f"certificate {file}: {one}" for one in certificate_doubts(file, context, wanted, now)]
        lines += [doubt for one in self._lists if (doubt := one.doubt(now))]
        lacking = without_list(self.config.authorities, self._lists) if self._lists else []
        if lacking:
            lines.append(
                f"tls.crls has no list of {', '.join(lacking)}: of certificates between an authority and a"
                " peer's it is not looked up whether they were revoked; add the lists and send SIGHUP"
            )
        return lines if self._engine is None else lines + self._engine.doubts()

    def _for_server(self, certificate: str, key: str) -> ssl.SSLContext:
        config = self.config
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        load_certificate(context, certificate, key)
        # One ticket is enough to resume a session; OpenSSL would send two.
        context.num_tickets = 1
        if config.verify_clients != "no":
            self._load_authorities(context, ssl.Purpose.CLIENT_AUTH)
            optional = config.verify_clients == "optional"
            context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
        return context

    def _for_client(self) -> ssl.SSLContext:
        config = self.config
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        # OpenSSL does not implement RFC 5922: this server compares the name.
        context.check_hostname = False
        if config.verify_servers:
            self._load_authorities(context, ssl.Purpose.SERVER_AUTH)
        else:
            context.verify_mode = ssl.CERT_NONE
        if config.certificate is not None:
            load_certificate(context, config.certificate, config.key or config.certificate)
        return context

    def _context(self, protocol: Any) -> ssl.SSLContext:
        config = self.config
        context = ssl.SSLContext(protocol)
        context.minimum_version = VERSIONS[config.min_version]
        # A peer could have us do handshakes for ever (CVE-2011-1473).
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        if config.ciphers:
            try:
                context.set_ciphers(config.ciphers)
            except ssl.SSLError:
                raise TlsError(f"ciphers {config.ciphers!r}: OpenSSL knows none of them") from None
        return context

    def _load_authorities(self, context: ssl.SSLContext, purpose: ssl.Purpose) -> None:
        authorities = self.config.authorities
        if authorities is None:
            context.load_default_certs(purpose)
        else:
            self._load(context, "authorities", authorities)
        for file in self.config.crls:
            self._load(context, "crls", file)
        if self.config.crls:
            whole = not without_list(authorities, read_lists(self.config.crls))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN if whole else ssl.VERIFY_CRL_CHECK_LEAF

    def _load(self, context: ssl.SSLContext, key: str, file: str) -> None:
        try:
            context.load_verify_locations(file)
        except ssl.SSLError as error:
            raise TlsError(f"{key} {file}: {why_unusable(error, file)}") from None
        except OSError as error:
            raise TlsError(f"{key}: {unreadable(file, error)}") from None

    def session(self, info: OpenConnection) -> tuple[Any, Any, Any]:
        """Return a new TLS session for the connection ``info``, what it reads and what it writes.

        Raises ``TlsError`` without a certificate.
        """
        if self._engine is not None:
            made = self._engine.session(info)
            return made, made.below, made.above
        below, above = ssl.MemoryBIO(), ssl.MemoryBIO()
        if not info.incoming:
            try:
                return self._client.wrap_bio(below, above, server_hostname=info.name or None), below, above
            except ValueError:
                # The name is not fit for SNI (a label too long): this server checks it anyway.
                return self._client.wrap_bio(below, above), below, above
        if self._server is None:
            raise TlsError("a TLS listener needs a certificate")
        return self._server.wrap_bio(below, above, server_side=True), below, above


def _engine(config: TlsConfig) -> Engine | None:
    """Return the engine that works in place of ``ssl``, if ``config`` names one."""
    if config.engine == "python":
        if config.staples:
            raise TlsError('staples: Python\'s ssl cannot show them; say engine = "openssl"')
        return None
    try:
        from sansip_sockets.openssl_engine import Engine
    except ImportError as error:
        raise TlsError(f'engine "openssl" needs pyOpenSSL: {error}') from None
    return Engine(config, [parse_name(one) for one in config.names])
