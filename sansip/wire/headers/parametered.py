"""Values of the shape ``value;name=value``, the commonest in SIP (RFC 3261 7.3.1).

Theory of operation: the value is a token, one of a few other simple shapes, or an absolute URI in angle
brackets; a parameter list follows it. A field whose parameters have a special meaning has its own class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.wire.abnf import LWS, QUOTED, TOKEN, compiled, unquote
from sansip.wire.faults import excerpt, malformed
from sansip.wire.params import Params, parse_params
from sansip.wire.uri import Uri, parse_uri

__all__ = [
    "Parametered",
    "UriInfo",
    "parse_flags",
    "parse_param_list",
    "parse_parametered",
    "parse_quoted_or_token",
    "parse_uri_info",
    "split_parameters",
]

_TOKEN: Final = compiled(TOKEN)
_STAR: Final = compiled(r"\*")
_TOKEN_OR_QUOTED: Final = compiled(rf"{TOKEN}|{QUOTED}")
_BRACKETS: Final = compiled(rf"{LWS}<([^<>]*+)>")


@dataclass(slots=True)
class Parametered:
    """A value with parameters.

    Attributes:
        value: as written; for a quoted string, its content.
        params: name in lower case → value as written, None for a flag.
    """

    value: str
    params: Params = field(default_factory=dict)

    @property
    def q(self) -> float:
        """The q parameter, 1.0 when absent or malformed (RFC 3261 20.1)."""
        try:
            return max(0.0, min(1.0, float(self.params.get("q") or "1")))
        except ValueError:
            return 1.0


@dataclass(slots=True)
class UriInfo:
    """``<uri>`` with parameters (Alert-Info, Call-Info, Error-Info, Geolocation)."""

    uri: Uri
    params: Params = field(default_factory=dict)


def split_parameters(
    text: str, pattern: re.Pattern[str], what: str, name: str, section: str
) -> tuple[str, Params]:
    """Return what ``pattern`` matches at the beginning of ``text``, and the parameters behind it.

    Raises RemoteProtocolError, saying that ``what`` was expected of field ``name``.
    """
    text = text.strip(" \t")
    match = pattern.match(text)
    if match is None:
        raise malformed(name, f"expected {what}, got {excerpt(text)!r}", section)
    return match[0], parse_params(text[match.end() :], name, section)


def parse_parametered(text: str, name: str, section: str) -> Parametered:
    """Return a token with parameters."""
    value, params = split_parameters(text, _TOKEN, "a token", name, section)
    return Parametered(value, params)


def parse_flags(text: str, name: str, section: str) -> Parametered:
    """Return ``*`` with parameters: a feature set (RFC 3841 10, RFC 6809 6.3.1)."""
    value, params = split_parameters(text, _STAR, "*;parameters", name, section)
    return Parametered(value, params)


def parse_quoted_or_token(text: str, name: str, section: str) -> Parametered:
    """Return a token or a quoted string with parameters."""
    value, params = split_parameters(text, _TOKEN_OR_QUOTED, "a token or quoted string", name, section)
    return Parametered(unquote(value), params)


def parse_param_list(text: str, name: str, section: str) -> Params:
    """Return a field that is nothing but parameters (RFC 7315 5.6)."""
    return parse_params(f";{text}", name, section)


def parse_uri_info(text: str, name: str, section: str) -> UriInfo:
    """Return an absolute URI in angle brackets, with parameters."""
    match = _BRACKETS.match(text)
    if match is None:
        raise malformed(name, f"expected <uri>, got {excerpt(text)!r}", section)
    try:
        uri = parse_uri(match[1])
    except RemoteProtocolError as error:
        raise malformed(name, error.reason, error.section) from None
    return UriInfo(uri, parse_params(text[match.end() :], name, section))
