"""Challenges and credentials (RFC 3261 20.7, 20.27, 22.4; RFC 7616; RFC 8760).

Theory of operation: every scheme's parameters are ``name=value`` pairs behind
the scheme's name, separated by commas, so one pattern reads them all. Values
are kept without their quotes; which ones must be quoted when written is known
by the writer. A scheme that carries one opaque word instead (Bearer, as
some deployments send it) has it in ``token``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sansip.wire.abnf import LWS, QUOTED, TOKEN, compiled, unquote
from sansip.wire.faults import excerpt, malformed
from sansip.wire.uri import unescape

__all__ = [
    "AuthParams",
    "Challenge",
    "Credentials",
    "parse_auth_info",
    "parse_challenge",
    "parse_credentials",
]

AuthParams = dict[str, str]

_END = rf"{LWS}(?:,|$)"
# RFC 3261 22.4 item 2: "uri" must be quoted, which RFC 2617's grammar got wrong, and some
# phones with it. A URI without quotes ends at a comma.
_URI = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+;=%]++"
_PAIRS: Final = compiled(
    rf"(?:{LWS}(?:[uU][rR][iI]{LWS}={LWS}{_URI}|{TOKEN}{LWS}={LWS}(?:{TOKEN}|{QUOTED})){_END})++"
)
# One of those.
_PAIR: Final = compiled(rf'{LWS}({TOKEN}){LWS}={LWS}({QUOTED}|[^ \t,"]++){_END}')
_SCHEME: Final = compiled(rf"({TOKEN})(?:[ \t]++|$)")
_TOKEN68: Final = compiled(r"[A-Za-z0-9\-._~+/]++=*+")
_NC: Final = compiled("[0-9A-Fa-f]{8}")


@dataclass(slots=True, init=False)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate value.

    Attributes:
        scheme: as written, ``"Digest"``.
        params: name in lower case → value without quotes.
        token: the opaque word of a scheme that has one instead of parameters, or ``""``.
    """

    scheme: str
    params: AuthParams
    token: str = ""

    # Written out, as in ``sansip.actions``.
    def __init__(self, scheme: str, params: AuthParams | None = None, token: str = "") -> None:
        self.scheme = scheme
        self.params = {} if params is None else params
        self.token = token

    @property
    def is_digest(self) -> bool:
        """Whether the scheme is Digest, which has no case (RFC 3261 22.4)."""
        return self.scheme.lower() == "digest"

    @property
    def realm(self) -> str | None:
        """The realm."""
        return self.params.get("realm")

    @property
    def nonce(self) -> str | None:
        """The nonce."""
        return self.params.get("nonce")

    @property
    def opaque(self) -> str | None:
        """The opaque string, to be returned unchanged."""
        return self.params.get("opaque")

    @property
    def algorithm(self) -> str | None:
        """The algorithm as registered, ``"MD5"``, ``"SHA-256"``, ``"MD5-sess"``; None when absent."""
        value = self.params.get("algorithm")
        if value is None:
            return None
        upper = value.upper()
        return f"{upper[:-5]}-sess" if upper.endswith("-SESS") else upper

    @property
    def stale(self) -> bool:
        """Whether only the nonce was too old (RFC 7616 3.3)."""
        return self.params.get("stale", "").lower() == "true"

    @property
    def qop(self) -> list[str]:
        """The qualities of protection offered, or (credentials) the one used, in lower case."""
        given = self.params.get("qop", "")
        if "," not in given:
            # What a client chose, which is asked for five times of each request.
            return [given.strip(" \t").lower()] if given.strip() else []
        return [value.strip(" \t").lower() for value in given.split(",") if value.strip()]

    @property
    def domain(self) -> list[str]:
        """The URIs of the protection space."""
        return self.params.get("domain", "").split()


@dataclass(slots=True, init=False)
class Credentials(Challenge):
    """One Authorization or Proxy-Authorization value."""

    @property
    def username(self) -> str | None:
        """The user name, also from the ``username*`` form (RFC 7616 3.4)."""
        value = self.params.get("username")
        if value is None:
            # RFC 5987 3.2.1: charset ' language ' escaped octets
            encoded = self.params.get("username*", "").split("'", 2)
            if len(encoded) == 3 and encoded[0].upper() == "UTF-8":
                return unescape(encoded[2])
        return value

    @property
    def uri(self) -> str | None:
        """The URI that was hashed, as text."""
        return self.params.get("uri")

    @property
    def response(self) -> str | None:
        """The digest."""
        return self.params.get("response")

    @property
    def cnonce(self) -> str | None:
        """The client's nonce."""
        return self.params.get("cnonce")

    @property
    def nonce_count(self) -> int | None:
        """The nonce count, or None when absent or not eight hexadecimal digits."""
        value = self.params.get("nc", "")
        return int(value, 16) if _NC.fullmatch(value) else None


def _parse(text: str, name: str, section: str) -> tuple[str, AuthParams, str]:
    match = _SCHEME.match(text)
    if match is None:
        raise malformed(name, f"expected a scheme, got {excerpt(text)!r}", section)
    rest = text[match.end() :].strip(" \t")
    if match[1].lower() != "digest" and _TOKEN68.fullmatch(rest) is not None:
        return match[1], {}, rest
    return match[1], parse_auth_info(rest, name, section) if rest else {}, ""


def parse_auth_info(text: str, name: str, section: str) -> AuthParams:
    """Return the pairs of ``text``, values without quotes (also Authentication-Info, RFC 3261 20.6).

    Raises RemoteProtocolError when malformed or when a name appears twice.
    """
    match = _PAIRS.match(text)
    end = 0 if match is None else match.end()
    if end != len(text) or text.endswith(","):
        raise malformed(name, f"expected name=value, got {excerpt(text[end:].strip())!r}", section)
    pairs = _PAIR.findall(text)
    params = {}
    for key, value in pairs:
        if value[0] == '"':
            # RFC 3261 25.1: what is quoted may have backslashes, and hardly ever has.
            value = unquote(value) if "\\" in value else value[1:-1]
        params[key.lower()] = value
    if len(params) != len(pairs):
        raise malformed(name, "a parameter appears more than once", section)
    return params


def parse_challenge(text: str, name: str, section: str) -> Challenge:
    """Return the challenge in ``text``, one header line. Raises RemoteProtocolError when malformed."""
    return Challenge(*_parse(text, name, section))


def parse_credentials(text: str, name: str, section: str) -> Credentials:
    """Return the credentials in ``text``, one header line. Raises RemoteProtocolError when malformed."""
    return Credentials(*_parse(text, name, section))
