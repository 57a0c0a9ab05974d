"""The MSRP URI (RFC 4975 6, 9; RFC 7977 5.2.1 for the transport ``ws``).

Theory of operation: a URI keeps its text, which goes on unchanged, beside its parts. Two URIs are the same
where ``key`` is (6.1): the user part and other parameters do not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from sansip.msrp.errors import MsrpError

__all__ = ["DEFAULT_PORT", "MsrpUri"]

# RFC 4976 8: of a relay's URI without a port, in an AUTH request.
DEFAULT_PORT: Final = 2855

_URI: Final = re.compile(
    r"(?P<scheme>msrps?)://"
    r"(?:(?P<user>[A-Za-z0-9._~!$&'()*+,;=:%-]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/(?P<session>[A-Za-z0-9._~+=/-]+))?"
    r";(?P<transport>[A-Za-z0-9]+)"
    r"(?P<params>(?:;[!#-'*+.0-9A-Z^-~-]+(?:=[!#-'*+.0-9A-Z^-~-]+)?)*)",
    re.IGNORECASE,
)

Key = tuple[str, str, int, str, str]


@dataclass(frozen=True, slots=True)
class MsrpUri:
    """An MSRP URI.

    Attributes:
        text: as it was written.
        scheme: ``msrp``, or ``msrps`` for TLS.
        host: name or address, in lower case, without the brackets of IPv6.
        port: 0 where the URI names none.
        session_id: of the session; "" where there is none.
        transport: ``tcp``, ``ws`` or an extension, in lower case.
    """

    text: str
    scheme: str
    host: str
    port: int
    session_id: str
    transport: str

    @classmethod
    def parse(cls, text: str) -> MsrpUri:
        """Read a URI. Raises ``MsrpError``."""
        found = _URI.fullmatch(text)
        if found is None:
            raise MsrpError(f"{text[:80]!r} is no MSRP URI")
        port = int(found["port"] or 0)
        if port > 65_535:
            raise MsrpError(f"port {port} in {text[:80]!r}")
        # RFC 4975 6.1: escapes that stand for unreserved characters are decoded before comparison.
        host = _unescaped(found["host"].strip("[]")).lower()
        if ":" in host:
            try:
                host = str(ip_address(host))
            except ValueError:
                raise MsrpError(f"{host!r} in {text[:80]!r} is no IPv6 address") from None
        return cls(
            text, found["scheme"].lower(), host, port, found["session"] or "", found["transport"].lower()
        )

    @property
    def key(self) -> Key:
        """The parts that are compared (RFC 4975 6.1)."""
        return self.scheme, self.host, self.port, self.session_id, self.transport

    @property
    def secure(self) -> bool:
        return self.scheme == "msrps"

    @staticmethod
    def write(secure: bool, host: str, port: int, session_id: str) -> str:
        """Return the text of a URI that one connects to over TCP."""
        scheme = "msrps" if secure else "msrp"
        authority = f"[{host}]" if ":" in host else host
        return f"{scheme}://{authority}:{port}/{session_id};tcp"


def _unescaped(text: str) -> str:
    return re.sub(r"%([0-9A-Fa-f]{2})", _decoded, text) if "%" in text else text


def _decoded(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else found[0].upper()
