"""name-addr and addr-spec with parameters: From, To, Contact, Route and their kin.

Theory of operation: one pattern reads the ordinary form (a SIP URI in angle brackets, perhaps a display name,
perhaps parameters) and proves it well-formed, URI included; the URI object is made from the same match at the
first access. Every other legal form goes through ``parse_name_addr``. A NameAddr never changes: ``replace``
makes a new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire.abnf import (
    LWS,
    PLAIN_SIP_URI,
    QUOTED,
    TOKEN,
    TOKEN_CLASS,
    TOKEN_RE,
    compiled,
    quote,
    unquote,
)
from sansip.wire.faults import excerpt, malformed
from sansip.wire.params import PARAM_VALUE, Params, format_params, parse_params
from sansip.wire.uri import Uri, parse_uri, plain_sip_uri

__all__ = ["ORDINARY_LINE", "ORDINARY_VALUE", "NameAddr", "ordinary_name_addr", "parse_name_addr"]

_DISPLAY: Final = rf"(?:({QUOTED})|((?:[{TOKEN_CLASS}]++[ \t]*+)*+))"
_PARAMS: Final = rf"(?:{LWS};{LWS}{TOKEN}(?:{LWS}={LWS}{PARAM_VALUE})?+)*+"
# Groups: display within its quotes, display in tokens, URI, its scheme, user,
# host, port and parameters, a lone tag, parameters. No backslash in the quotes.
_ORDINARY: Final = (
    rf'{LWS}(?:"([^"\\\x00-\x08\x0a-\x1f\x7f]*+)"{LWS}|([{TOKEN_CLASS} \t]*+))'
    rf"<({PLAIN_SIP_URI})>(?:;tag=({TOKEN})|({_PARAMS})){LWS}"
)
ORDINARY_LINE: Final = compiled(rf"[^:]*+:{_ORDINARY}")
ORDINARY_VALUE: Final = compiled(_ORDINARY)
_BEFORE_URI: Final = compiled(rf"{LWS}{_DISPLAY}{LWS}<")
# RFC 3261 20: without brackets the URI ends before any comma, question mark or semicolon.
_ADDR_SPEC: Final = compiled(rf"{LWS}([^ \t;<>\"]++)(?={LWS}(?:;|$))")
_DELTA: Final = compiled("[0-9]++")
_Q: Final = compiled(r"0(?:\.[0-9]{0,3})?+|1(?:\.0{0,3})?+")


class NameAddr:
    """An address with display name and header parameters, made by a parser or ``build``.

    Treat it and its dict as read-only.

    Attributes:
        tag: the tag parameter, or None.
    """

    __slots__ = ("_display", "_match", "_params", "_text", "_uri", "tag")

    _match: re.Match[str] | None
    _text: str | None
    _display: str
    _uri: Uri | None
    _params: Params | None
    tag: str | None

    @classmethod
    def build(
        cls, uri: Uri | str, display: str = "", params: Mapping[str, str | None] | None = None
    ) -> NameAddr:
        """Return ``"display" <uri>;params``; the display name is plain text, values are as in a message.

        Raises LocalProtocolError when a part cannot be written.
        """
        if isinstance(uri, str):
            try:
                uri = parse_uri(uri)
            except RemoteProtocolError as error:
                raise LocalProtocolError(error.reason) from None
        if "\r" in display or "\n" in display:
            raise LocalProtocolError("a display name holds no line end (RFC 3261 25.1)")
        given = dict(params) if params else {}
        format_params(given)
        return _name_addr(display, uri, {name.lower(): value for name, value in given.items()}, None)

    @property
    def display(self) -> str:
        """The display name without quotes and escapes, ``""`` when there is none."""
        match = self._match
        if match is None:
            return self._display
        quoted, tokens = match.group(1, 2)
        return quoted if quoted is not None else " ".join(tokens.split())

    @property
    def uri(self) -> Uri:
        """The URI."""
        uri = self._uri
        if uri is None:
            match = self._match
            assert match is not None
            _, _, text, scheme, user, host, port, params, _, _ = match.groups()
            uri = self._uri = plain_sip_uri(text, scheme, user, host, port, params)
        return uri

    @property
    def params(self) -> Params:
        """Header parameters: name in lower case → value as written, None for a flag."""
        params = self._params
        if params is None:
            params = self._params = {} if self.tag is None else {"tag": self.tag}
        return params

    @property
    def q(self) -> float | None:
        """The q parameter (RFC 3261 20.10), None when absent or malformed."""
        value = self.params.get("q")
        return float(value) if value is not None and _Q.fullmatch(value) else None

    @property
    def expires(self) -> int | None:
        """The expires parameter in seconds, None when absent.

        RFC 3261 20.10: a malformed value counts as 3600; so does one above 2**32-1
        (RFC 4475 3.1.2.4).
        """
        params = self.params
        if "expires" not in params:
            return None
        value = params["expires"]
        if value is None or len(value) > 16 or _DELTA.fullmatch(value) is None or int(value) > 0xFFFFFFFF:
            return 3600
        return int(value)

    def replace(
        self,
        *,
        display: str | None = None,
        uri: Uri | str | None = None,
        params: Mapping[str, str | None] | None = None,
    ) -> NameAddr:
        """Return a NameAddr with the given parts changed; ``params`` replaces all of them."""
        return NameAddr.build(
            self.uri if uri is None else uri,
            self.display if display is None else display,
            self.params if params is None else params,
        )

    def __str__(self) -> str:
        """The text it was parsed from, or the parts put together."""
        match = self._match
        if match is not None:
            return match[0][match.start(1) - 1 if match[1] is not None else match.start(2) :].strip(" \t")
        if self._text is None:
            display = self._display
            if display:
                display = f"{display} " if _TOKENS.fullmatch(display) else f"{quote(display)} "
            self._text = f"{display}<{self._uri}>{format_params(self.params)}"
        return self._text

    def __repr__(self) -> str:
        return f"<NameAddr {self}>"


_TOKENS: Final = compiled(rf"{TOKEN}(?: {TOKEN})*+")


def ordinary_name_addr(match: re.Match[str], field: str, section: str) -> NameAddr:
    """Return the NameAddr of a match of ``ORDINARY_LINE`` or ``ORDINARY_VALUE``.

    Raises RemoteProtocolError when a parameter appears twice or the tag is no token.
    """
    address = NameAddr()
    address._match = match
    address._uri = None
    address.tag, params = match.group(9, 10)
    if params:
        address._params = found = _params(params, field, section)
        address.tag = found.get("tag")
    else:
        address._params = None
    return address


def _name_addr(display: str, uri: Uri, params: Params, text: str | None) -> NameAddr:
    address = NameAddr()
    address._match = None
    address._text = text
    address._display = display
    address._uri = uri
    address._params = params
    address.tag = params.get("tag")
    return address


def parse_name_addr(text: str, field: str, section: str, *, brackets: bool = False) -> NameAddr:
    """Return the address in ``text`` (unfolded, one value), whatever its URI's scheme.

    ``brackets``: the field takes a name-addr only (Route, Record-Route, …).
    Raises RemoteProtocolError when malformed.
    """
    match = _BEFORE_URI.match(text)
    if match is not None:
        end = text.find(">", match.end())
        if end < 0:
            raise malformed(field, "'<' without '>'", section)
        quoted = match[1]
        display = unquote(quoted) if quoted is not None else " ".join(match[2].split())
        spec = text[match.end() : end]
        end += 1
    else:
        match = _ADDR_SPEC.match(text)
        if match is None:
            raise malformed(field, _what_is_wrong(text.strip(" \t")), section)
        spec = match[1]
        if brackets:
            raise malformed(field, "the URI must be enclosed in <>", section)
        if "?" in spec or "," in spec:
            raise malformed(field, "a URI with '?' or ',' must be enclosed in <>", "RFC 3261 20")
        display = ""
        end = match.end()
    try:
        uri = parse_uri(spec)
    except RemoteProtocolError as error:
        raise malformed(field, error.reason, error.section) from None
    return _name_addr(display, uri, _params(text[end:], field, section), text.strip(" \t"))


def _params(text: str, field: str, section: str) -> Params:
    params = parse_params(text, field, section)
    # RFC 3261 25.1: tag-param = "tag" EQUAL token.
    if "tag" in params:
        tag = params["tag"]
        if tag is None or TOKEN_RE.fullmatch(tag) is None:
            raise malformed(field, "the tag must be a token", "RFC 3261 19.3")
    return params


def _what_is_wrong(text: str) -> str:
    if not text:
        return "empty value"
    if text[0] == '"' and compiled(QUOTED).match(text) is None:
        return "unterminated quoted string"
    if "<" in text:
        return f"malformed display name {excerpt(text[: text.index('<')].strip())!r}"
    return f"malformed address {excerpt(text)!r}"
