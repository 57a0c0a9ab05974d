"""The configuration of TLS, as the table ``[tls]`` has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["TlsConfig", "parse_name"]


@dataclass(slots=True)
class TlsConfig:
    """TLS, for listeners `tls` and `wss` and for connections to others.

    Attributes:
        certificate: PEM file with the server's certificate and those that lead to its
            authority. Needed for listeners `tls` and `wss`; it is shown to other
            servers that ask for one, too.
        key: PEM file with the private key of `certificate`, unencrypted; unset: it is
            in the same file.
        names: further certificates for names that a client asks for (SNI, RFC 6066 3), each as
            `"name certificate"` or `"name certificate key"`, like
            `"example.net net.pem net.key"`. Any other name gets `certificate`.
        authorities: PEM file with the authorities against which the server checks certificates
            of others; unset: those of the system.
        crls: PEM files with revocation lists (RFC 5280 5). The server refuses a certificate that they name,
            and one of an authority that has no list here, or a list that is out of date.
        verify_servers: a server that we connect to must prove to be the host that
            the URI named (RFC 5922 7.3). False takes any certificate: for tests.
        verify_clients: whether clients must show a certificate: `"no"`, `"optional"`
            (one that is shown must be good) or `"required"`. A route finds the names in it in
            `request.flow.identities` (RFC 5922 7.4).
        engine: `"python"` is Python's `ssl`; `"openssl"` is pyOpenSSL (`pip install
            "sansip[openssl]"`), which checks stapled OCSP responses (RFC 6066 8) and takes the usage
            id-kp-sipDomain alone (RFC 5924).
        staples: DER files with OCSP responses for our certificates, shown to clients that ask, and read
            again when they have changed. For the engine `"openssl"`.
        min_version: the oldest version of TLS to speak.
        ciphers: cipher suites of TLS 1.2 as an OpenSSL list; `""` for OpenSSL's own choice.
    """

    certificate: str | None = None
    key: str | None = None
    names: list[str] = field(default_factory=list)
    authorities: str | None = None
    crls: list[str] = field(default_factory=list)
    verify_servers: bool = True
    verify_clients: Literal["no", "optional", "required"] = "no"
    engine: Literal["python", "openssl"] = "python"
    staples: list[str] = field(default_factory=list)
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = ""


def parse_name(text: str) -> tuple[str, str, str]:
    """Split an element of ``TlsConfig.names`` into name, certificate and key; raise ValueError."""
    words = text.split()
    if len(words) not in (2, 3):
        raise ValueError("expected `name certificate [key]`, like example.net net.pem net.key")
    if "*" in words[0]:
        raise ValueError(f"{words[0]}: names are compared as a whole; list each one (RFC 5922 7.2)")
    return words[0].lower(), words[1], words[-1]
