"""The names in a certificate (RFC 5922 7).

Theory of operation: the identities of a certificate are the SIP URIs in it. If there are none,
they are the DNS names. If it has no alternative names at all, the identity is its common name.
Each is compared as a whole: a wildcard matches nothing (RFC 5922 7.1, 7.2). An IP address matches
only the IP addresses in the certificate.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

__all__ = ["identities", "is_identified"]


def identities(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the SIP domains that a verified certificate names (RFC 5922 7.1), lower case.

    ``certificate`` is what ``getpeercert`` returns.
    """
    if not certificate:
        return ()
    alternative = certificate.get("subjectAltName", ())
    uris = []
    for kind, value in alternative:
        scheme, colon, rest = value.partition(":")
        # A URI with a user names a person, not a domain.
        if kind == "URI" and colon and scheme.lower() == "sip" and "@" not in rest:
            host = rest.partition(";")[0].partition("?")[0]
            # RFC 5922 7.1: the host of its hostport.
            host = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
            uris.append(host.lower())
    if uris:
        return tuple(uris)
    names = [value.lower() for kind, value in alternative if kind == "DNS"]
    if not names and not alternative:
        for part in certificate.get("subject", ()):
            names += [value.lower() for key, value in part if key == "commonName"]
    return tuple(names)


def is_identified(certificate: Mapping[str, Any] | None, name: str) -> bool:
    """Whether a verified certificate is that of ``name``, a domain or an IP address."""
    name = name.lower().strip("[]").rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        # RFC 5922 7.2: the name is compared as a whole, without suffixes and wildcards.
        return "*" not in name and name in (one.rstrip(".") for one in identities(certificate))
    return any(
        kind == "IP Address" and _address(value) == address
        for kind, value in (certificate or {}).get("subjectAltName", ())
    )


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        # The standard library gives text that is no address for one of a wrong length.
        return None
