"""SIP and SIPS URIs (RFC 3261 19.1), and any other URI kept as it is.

Theory of operation: one pattern is the whole grammar, so a match proves the URI well-formed and cuts it into
its seven parts at once; parameters and headers are taken apart at the first access. A URI never changes: it
may be held by many messages, and ``replace`` makes a new one. ``str`` gives the text it was parsed from,
octet for octet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire.abnf import HOST, SIP_URI, URI_HEADERS, URI_PARAMS, compiled
from sansip.wire.faults import excerpt, malformed
from sansip.wire.host import host_text, ipv6_octets, split_host_port
from sansip.wire.tel import TelUri, parse_tel

__all__ = ["OtherUri", "SipUri", "TelUri", "Uri", "escape_user", "parse_uri", "plain_sip_uri", "unescape"]

_SIP_URI: Final = compiled(SIP_URI)
_URI_PARAMS: Final = compiled(URI_PARAMS)
_URI_HEADERS: Final = compiled(URI_HEADERS)
_HOST: Final = compiled(HOST)
# RFC 3986 3.1, and the characters of RFC 3986 2 with "%"; controls, spaces,
# quotes and angle brackets would end the URI wherever it is written.
_ABSOLUTE: Final = compiled(r"([A-Za-z][A-Za-z0-9+.\-]*+):([A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]++)")
_ESCAPE: Final = compiled("%([0-9A-Fa-f]{2})")


def unescape(text: str) -> str:
    """Return ``text`` with each %HH as its octet, read as UTF-8 (RFC 3261 19.1.2).

    Octets that are not UTF-8 become lone surrogates, so nothing is lost.
    """
    if "%" not in text:
        return text
    raw = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda match: bytes((int(match[1], 16),)),
        text.encode("utf-8", "surrogateescape"),
    )
    return raw.decode("utf-8", "surrogateescape")


_NOT_USER: Final = re.compile(rb"[^A-Za-z0-9\-_.!~*'()&=+$,;?/]")


def escape_user(text: str) -> str:
    """Return ``text`` (decoded) as a user part: octets that the grammar does not allow become %HH."""
    raw = _NOT_USER.sub(lambda match: b"%%%02X" % match[0][0], text.encode("utf-8", "surrogateescape"))
    return raw.decode("ascii")


class SipUri:
    """A sip: or sips: URI, made by ``parse_uri`` or ``build``. Treat it, its dict and its list as read-only.

    Attributes:
        scheme: ``"sip"`` or ``"sips"``.
        user: as written, escapes kept, or None.
        password: as written, or None.
        host: in lower case, IPv6 without brackets.
        port: 0 to 65535, or None when absent.
    """

    __slots__ = (
        "_headers_text",
        "_params",
        "_params_text",
        "_text",
        "host",
        "password",
        "port",
        "scheme",
        "user",
    )

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    _text: str
    _params_text: str
    _params: dict[str, str | None] | None
    _headers_text: str | None

    @classmethod
    def build(
        cls,
        host: str,
        *,
        scheme: str = "sip",
        user: str | None = None,
        password: str | None = None,
        port: int | None = None,
        params: Mapping[str, str | None] | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> SipUri:
        """Return the URI of these parts: ``user`` etc. escaped as in a message (see ``escape_user``).

        ``host`` is without brackets. Raises LocalProtocolError when a part does
        not fit the grammar.
        """
        text = f"{scheme}:"
        if user is not None:
            text += user if password is None else f"{user}:{password}"
            text += "@"
        text += host_text(host, port)
        params = params or {}
        for name, value in params.items():
            text += f";{name}" if value is None else f";{name}={value}"
        query = "&".join([f"{name}={value}" for name, value in headers])
        if query:
            text += f"?{query}"
        match = _SIP_URI.fullmatch(text)
        if match is None:
            raise LocalProtocolError(f"{text!r} is not a SIP URI (RFC 3261 19.1.1)")
        try:
            uri = _sip_uri(match)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"{text!r}: {error.reason}") from None
        # A user with "@" or a host with ";" would have moved into another part.
        if (
            uri.user != user
            or uri.password != password
            or uri.host != host.lower()
            or len(uri.params) != len(params)
        ):
            raise LocalProtocolError(f"{text!r} does not mean the parts it was built from: escape them")
        return uri

    @property
    def params(self) -> dict[str, str | None]:
        """URI parameters: name unescaped, in lower case → value as written, None for a flag."""
        params = self._params
        if params is None:
            params = self._params = _split_params(self._params_text) if self._params_text else {}
        return params

    @property
    def headers(self) -> list[tuple[str, str]]:
        """URI headers (after the question mark) as (name, value), as written, in order."""
        if self._headers_text is None:
            return []
        pairs = [pair.partition("=") for pair in self._headers_text.split("&")]
        return [(name, value) for name, _, value in pairs]

    @property
    def user_decoded(self) -> str | None:
        """The user with each %HH as its character (RFC 3261 19.1.2), or None."""
        user = self.user
        return user if user is None or "%" not in user else unescape(user)

    @property
    def host_port(self) -> str:
        """``host`` or ``host:port`` as a message writes it, IPv6 in brackets."""
        return host_text(self.host, self.port)

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case, or None."""
        if not self._params_text:
            return None
        value = self.params.get("transport")
        return None if value is None else unescape(value).lower()

    @property
    def is_loose_router(self) -> bool:
        """Whether the lr parameter is present, with a value or without (RFC 3261 19.1.1)."""
        return bool(self._params_text) and "lr" in self.params

    def replace(
        self,
        *,
        scheme: str | None = None,
        user: str | None = "",
        password: str | None = "",
        host: str | None = None,
        port: int | None = -1,
        params: Mapping[str, str | None] | None = None,
        headers: Iterable[tuple[str, str]] | None = None,
    ) -> SipUri:
        """Return a URI with the given parts changed; ``user``, ``password``, ``port`` = None removes them.

        ``params`` and ``headers`` replace all of theirs. Raises LocalProtocolError
        when a part does not fit the grammar.
        """
        new_user = self.user if user == "" else user
        return SipUri.build(
            self.host if host is None else host,
            scheme=self.scheme if scheme is None else scheme,
            user=new_user,
            password=None if new_user is None else self.password if password == "" else password,
            port=self.port if port == -1 else port,
            params=self.params if params is None else params,
            headers=self.headers if headers is None else headers,
        )

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<SipUri {self._text}>"


def plain_sip_uri(
    text: str, scheme: str, user: str | None, host: str, port: str | None, params: str
) -> SipUri:
    """Return the URI of the groups of ``abnf.PLAIN_SIP_URI``; no further check is needed."""
    uri = SipUri()
    uri._text = text
    uri.scheme = scheme
    uri.user = user
    uri.host = host.lower()
    uri.port = None if port is None else int(port)
    uri._params_text = params
    uri.password = uri._headers_text = uri._params = None
    return uri


def _sip_uri(match: re.Match[str]) -> SipUri:
    """Return the URI of a match of ``abnf.SIP_URI``.

    Raises RemoteProtocolError for faults that the pattern cannot find: an invalid IPv6 address, a parameter
    given twice.
    """
    uri = SipUri()
    scheme, uri.user, uri.password, host, port, params, uri._headers_text = match.groups()
    uri._text = match[0]
    uri.scheme = scheme.lower()
    uri.host = host.lower() if host[0] != "[" else _ipv6_host(host)
    uri.port = None if port is None else int(port)
    uri._params_text = params
    uri._params = _split_params(params) if params.count(";") > 1 else None
    return uri


class OtherUri:
    """A URI of a scheme that SIP routing does not use (RFC 3261 25.1: absoluteURI)."""

    __slots__ = ("_text", "opaque", "scheme")

    def __init__(self, scheme: str, opaque: str, text: str = "") -> None:
        self.scheme = scheme.lower()
        self.opaque = opaque
        self._text = text or f"{scheme}:{opaque}"

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<OtherUri {self._text}>"


Uri: TypeAlias = SipUri | TelUri | OtherUri


def _ipv6_host(host: str) -> str:
    if ipv6_octets(host[1:-1]) is None:
        raise malformed("", f"{excerpt(host)} is not an IPv6 reference", "RFC 5954 4.1")
    # RFC 5118 4.10: the extra colon is read, and not repeated.
    return host[1:-1].lower().replace(":::", "::")


def _split_params(text: str) -> dict[str, str | None]:
    params: dict[str, str | None] = {}
    pairs = text[1:].split(";")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        # RFC 4475 3.1.1.3: an escaped name means the same as the plain one.
        name = unescape(name) if "%" in name else name
        params[name.lower()] = value if equals else None
    # RFC 3261 19.1.1: any given parameter-name appears once.
    if len(params) != len(pairs):
        raise malformed("", "a URI parameter appears more than once", "RFC 3261 19.1.1")
    return params


def parse_uri(text: str) -> Uri:
    """Return the URI in ``text`` (no white space around it).

    Raises RemoteProtocolError (status 400, field empty) when malformed.
    """
    match = _SIP_URI.fullmatch(text)
    if match is not None:
        return _sip_uri(match)
    match = _ABSOLUTE.fullmatch(text)
    if match is None:
        raise malformed("", f"{excerpt(text)!r} is not a URI", "RFC 3261 25.1")
    scheme = match[1].lower()
    if scheme in {"sip", "sips"}:
        raise malformed("", _what_is_wrong(match[2]), "RFC 3261 19.1.1")
    if scheme == "tel":
        return parse_tel(text)
    return OtherUri(match[1], match[2], text)


def _what_is_wrong(rest: str) -> str:
    """Say which part of a SIP URI (``rest`` follows the scheme's colon) breaks the grammar."""
    at = rest.rfind("@")
    tail = rest[at + 1 :]
    host = _HOST.match(tail)
    if host is None:
        return f"malformed host in URI near {excerpt(tail)!r}"
    end = len(tail)
    for mark in ";?":
        if mark in tail:
            end = min(end, tail.index(mark))
    if split_host_port(tail[:end]) is None:
        return f"malformed host or port in URI: {excerpt(tail[:end])!r}"
    after = _URI_PARAMS.match(tail, end)
    if after is not None and after.end() != len(tail):
        position = after.end()
        if tail[position] == "?" and _URI_HEADERS.fullmatch(tail, position + 1) is None:
            return f"malformed headers in URI: {excerpt(tail[position:])!r}"
        if tail[position] != "?":
            return f"malformed parameters in URI near {excerpt(tail[position:])!r}"
    return f"malformed user in URI: {excerpt(rest[: max(at, 0)])!r}"
