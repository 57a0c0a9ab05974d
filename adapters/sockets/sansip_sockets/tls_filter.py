"""TLS on one connection as a byte filter: octets of the socket below, plain octets above.

Theory of operation: ``ssl.MemoryBIO`` makes OpenSSL a filter that never waits, so one read and one write of
the socket are enough for all records that come or leave together. What connections share is in ``tls``.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Protocol

from sansip.transport.filter import NOTHING, OpenConnection, Output
from sansip_sockets.certificates import what_openssl_says
from sansip_sockets.identity import identities, is_identified
from sansip_sockets.revocation import Peer, proof_of

if TYPE_CHECKING:
    from sansip_sockets.tls_config import TlsConfig

__all__ = ["Contexts", "Tls"]

# Octets that are read at once where the session does not say how many wait.
READ_SIZE = 65_536


class Contexts(Protocol):
    """What all connections share (``sansip_sockets.tls.TlsContexts``)."""

    @property
    def config(self) -> TlsConfig: ...
    def session(self, info: OpenConnection) -> tuple[Any, Any, Any]: ...
    def verified(self, peer: Peer) -> None: ...


class Tls:
    """One TLS connection, either side: a ``sansip.driver.Filter``."""

    __slots__ = ("_above", "_below", "_contexts", "_counts", "_info", "_kept", "_peer", "_raw", "_session",
                 "boundaries", "ready")  # fmt: skip

    def __init__(self, contexts: Contexts, info: OpenConnection) -> None:
        self._contexts = contexts
        self._info = info
        session, self._below, self._above = contexts.session(info)
        self._session: Any = session
        # ``ssl.SSLObject`` only calls this one, from Python.
        self._raw: Any = getattr(session, "_sslobj", session)
        # Whether it is known how many octets wait to be read.
        self._counts = hasattr(self._below, "pending")
        # Octets that the stack sent before the handshake was over.
        self._kept: list[bytes] = []
        # Who has proved to be there, None while nobody has.
        self._peer: Peer | None = None
        self.boundaries = False
        self.ready = False

    def opened(self, now: float) -> Output:
        """Begin the handshake, if this side is the client."""
        return NOTHING if self._info.incoming else self._shake()

    def received(self, data: bytes, now: float) -> Output:
        """Take octets of the socket."""
        peer = self._peer
        if peer is not None and peer.ended is not None:
            return Output(self.close(peer.ended, now).down, closing=peer.ended)
        self._below.write(data)
        was_ready = self.ready
        if was_ready:
            return self._read([])
        output = self._shake()
        if not self.ready or output.closing is not None:
            return output
        # The last octets of the handshake may have brought the first message.
        return self._read(list(output.down))

    def _shake(self) -> Output:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return Output(self._sealed())
        except ssl.SSLError as error:
            return Output(self._sealed(), closing=f"TLS handshake: {what_openssl_says(error)}")
        fault = self._check_peer()
        if fault is not None:
            return Output(self.close(fault, 0.0).down, closing=fault)
        self.ready = True
        for data in self._kept:
            self._raw.write(data)
        self._kept.clear()
        return Output(self._sealed())

    def _check_peer(self) -> str | None:
        """Note who the peer is; return why this side must not talk to it, if so."""
        info = self._info
        config = self._contexts.config
        verified = config.verify_clients != "no" if info.incoming else config.verify_servers
        if not verified:
            return None
        certificate = self._session.getpeercert()
        info.identities = identities(certificate)
        proof = proof_of(self._session)
        if proof is not None:
            self._peer = Peer(info, proof)
            self._contexts.verified(self._peer)
        if info.incoming or is_identified(certificate, info.name):
            return None
        shown = ", ".join(info.identities) or "nobody"
        # RFC 5922 7.3: the connection must be closed.
        return f"the certificate of {info.name} is for {shown} (RFC 5922 7.3)"

    def _read(self, down: list[bytes]) -> Output:
        raw, below = self._raw, self._below
        parts: list[bytes] = []
        closing = None
        # No record is longer than what it came in, and what waits is all read when none is left: a read that
        # finds nothing is an exception.
        size: int = below.pending if self._counts else READ_SIZE
        try:
            while size > 0:
                data = raw.read(size)
                if not data:
                    closing = "closed by the peer"
                    break
                parts.append(data)
                if self._counts:
                    size = below.pending or raw.pending()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            closing = "closed by the peer"
        except ssl.SSLError as error:
            closing = f"TLS: {what_openssl_says(error)}"
        # An alert, a ticket, the answer to a key update.
        if self._above.pending:
            down.append(self._above.read())
        if len(parts) > 1:
            parts = [b"".join(parts)]
        return Output(down, parts, None, closing)

    def send(self, data: bytes, now: float) -> Output:
        """Encrypt ``data``."""
        if not self.ready:
            self._kept.append(data)
            return NOTHING
        peer = self._peer
        if peer is not None and peer.ended is not None:
            return Output(self.close(peer.ended, now).down, closing=peer.ended)
        try:
            self._raw.write(data)
        except ssl.SSLError as error:
            return Output(self._sealed(), closing=f"TLS: {what_openssl_says(error)}")
        return Output(self._sealed())

    def close(self, reason: str, now: float) -> Output:
        """Say goodbye: the alert ``close_notify`` (RFC 8446 6.1)."""
        try:
            self._session.unwrap()
        except ssl.SSLError:
            # OpenSSL also wants the peer's goodbye, but this side does not wait for it.
            pass
        return Output(self._sealed())

    def time_passed(self, now: float) -> Output:
        """No timer is ever started."""
        return NOTHING

    def _sealed(self) -> list[bytes]:
        return [self._above.read()] if self._above.pending else []
