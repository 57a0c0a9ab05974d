"""Identity: a signature over the request (RFC 8224 4; its elder of RFC 4474 9).

Theory of operation: ``info`` is a URI in angle brackets, which no other SIP
parameter is, so this field has a parameter pattern of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sansip.wire.abnf import LWS, QUOTED, TOKEN, compiled, unquote
from sansip.wire.faults import excerpt, malformed
from sansip.wire.params import PARAM_VALUE, Params

__all__ = ["Identity", "parse_identity"]

# RFC 8224 4: three base64url parts, the first two empty in the compact form.
_DIGEST: Final = compiled(rf"[A-Za-z0-9/+.=_\-]++|{QUOTED}")
_VALUE: Final = rf"(?:<[^<>\"]*+>|{PARAM_VALUE})"
_ONE: Final = compiled(rf"{LWS};{LWS}({TOKEN}){LWS}={LWS}({_VALUE})")
_ALL: Final = compiled(rf"(?:{LWS};{LWS}{TOKEN}{LWS}={LWS}{_VALUE})*+{LWS}")


@dataclass(slots=True)
class Identity:
    """One Identity value.

    Attributes:
        digest: the signed PASSporT, whole or compact (or, of RFC 4474, the signature).
        info: URI of the certificate, or None.
        params: name in lower case → value as written.
    """

    digest: str
    info: str | None = None
    params: Params = field(default_factory=dict)


def parse_identity(text: str, name: str, section: str) -> Identity:
    """Return an Identity value. Raises RemoteProtocolError when malformed."""
    match = _DIGEST.match(text)
    if match is None:
        raise malformed(name, f"expected a signed digest, got {excerpt(text)!r}", section)
    rest = text[match.end() :].rstrip(" \t")
    if _ALL.fullmatch(rest) is None:
        raise malformed(name, f"malformed parameters {excerpt(rest)!r}", section)
    pairs = _ONE.findall(rest)
    params: Params = {key.lower(): value for key, value in pairs}
    if len(params) != len(pairs):
        raise malformed(name, "a parameter appears more than once", "RFC 3261 7.3.1")
    info = params.get("info")
    return Identity(unquote(match[0]), None if info is None else info.strip("<>"), params)
