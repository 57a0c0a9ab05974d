"""The grammar of RFC 3261 section 25 as named pieces of regular expression.

Theory of operation: every piece is a string to be joined into a larger pattern, so that each reader compiles
one pattern for its whole text. Repetitions are possessive (``*+``, ``++``) wherever the piece after them
cannot begin with the repeated characters. Such a pattern never goes back over text that it has read, which
keeps all matching linear in the length of the text. Patterns run on text without line ends: folds are undone
first, so linear white space is spaces and tabs. All are compiled with ``re.ASCII``.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "HOST",
    "IPV4",
    "LWS",
    "PLAIN_HOST",
    "PLAIN_PORT",
    "PLAIN_SIP_URI",
    "PORT",
    "QUOTED",
    "SIP_URI",
    "TOKEN",
    "TOKEN_CLASS",
    "TOKEN_RE",
    "URI_HEADERS",
    "URI_PARAMS",
    "WORD",
    "compiled",
    "is_token",
    "quote",
    "unquote",
]

# RFC 3261 25.1: token, as the inside of a character class.
TOKEN_CLASS: Final = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105 (no password)
TOKEN: Final = rf"[{TOKEN_CLASS}]++"
# RFC 3261 25.1: word, of which a Call-ID has one or two.
WORD: Final = r"""[A-Za-z0-9\-.!%*_+`'~()<>:\\"/\[\]?{}]++"""
LWS: Final = r"[ \t]*+"
# RFC 3261 25.1: quoted-string. Only octets below 128 may follow a backslash.
QUOTED: Final = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]++|\\[\x00-\x09\x0b\x0c\x0e-\x7f])*+"'

_ESCAPED = "%[0-9A-Fa-f]{2}"
_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"


def _chars(extra: str, least: str = "+") -> str:
    """Return a run of unreserved, ``extra`` and escaped characters."""
    return rf"(?:[{_UNRESERVED}{extra}]++|{_ESCAPED}){least}+"


# RFC 5954 4.1: IPv4address of RFC 3986, so 256 and 010 are no octets.
_DEC_OCTET = "(?:1[0-9]?+[0-9]?+|2(?:[0-4][0-9]?+|5[0-5]?+|[6-9])?+|[3-9][0-9]?+|0)"
IPV4: Final = rf"{_DEC_OCTET}\.{_DEC_OCTET}\.{_DEC_OCTET}\.{_DEC_OCTET}(?![A-Za-z0-9_\-]|\.[A-Za-z0-9_])"
# RFC 3261 25.1: hostname. An underscore is not in the grammar, but container
# and Windows names have them, and nothing else can be meant by one.
_LABEL = "[A-Za-z0-9_]++(?:-++[A-Za-z0-9_]++)*+"
_TOP_LABEL = "[A-Za-z_][A-Za-z0-9_]*+(?:-++[A-Za-z0-9_]++)*+"
HOSTNAME: Final = rf"(?:{_LABEL}\.(?=[A-Za-z0-9_]))*+{_TOP_LABEL}\.?+"
# An IPv6 reference is only outlined here: ``host.ipv6_octets`` has the last word.
HOST: Final = rf"(?:{IPV4}|{HOSTNAME}|\[[0-9A-Fa-f:.]++\])"

# RFC 3261 25.1: paramchar, hnv-unreserved.
_PARAM = _chars(r"\[\]/:&+$")
_HNV = r"\[\]/?:+$"
_URI_HEADER = rf"{_chars(_HNV)}={_chars(_HNV, '*')}"
URI_PARAMS: Final = rf"(?:;{_PARAM}(?:={_PARAM})?+)*+"
URI_HEADERS: Final = rf"{_URI_HEADER}(?:&{_URI_HEADER})*+"
_USER = _chars("&=+$,;?/")
_PASSWORD = _chars("&=+$,", "*")

# A port is 16 bits wide whatever the grammar says.
PORT: Final = (
    "0*+(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{0,4})(?<=[0-9])"
)

# SIP-URI and SIPS-URI with seven groups: scheme, user, password, host, port,
# parameters (each with its semicolon), headers (without the question mark).
_BEFORE_HOST = rf"([sS][iI][pP][sS]?+):(?:({_USER})(?::({_PASSWORD}))?+@)?+"
SIP_URI: Final = rf"{_BEFORE_HOST}({HOST})(?::({PORT}))?+({URI_PARAMS})(?:\?({URI_HEADERS}))?+"
# The ordinary URI, of which a match alone proves that all is well, with five
# groups: scheme, user, host, port, parameters. It has nothing that would need a
# second look or is rare: no escape, password, IPv6 reference, header or second
# parameter. Possessive optionals are the quickest kind there is.
_RUNS = r"(?:\w++[.\-])*+(?<!-)[A-Za-z_]\w*+"
PLAIN_HOST: Final = rf"{_DEC_OCTET}\.{_DEC_OCTET}\.{_DEC_OCTET}\.{_DEC_OCTET}(?![\w\-.])|{_RUNS}"
PLAIN_PORT: Final = "[1-5][0-9]{4}|6(?:[0-4][0-9]{3}|5(?:[0-4][0-9]{2}|5(?:[0-2][0-9]|3[0-5])))|[0-9]{1,4}"
_PLAIN_PARAM = r"[\w\-.!~*'()\[\]/:&+$]++"
PLAIN_SIP_URI: Final = (
    rf"(sips?+):(?:([\w\-.!~*'()&=+$,;?/]++)@)?+({PLAIN_HOST})(?::({PLAIN_PORT}))?+"
    rf"((?:;{_PLAIN_PARAM}(?:={_PLAIN_PARAM})?+)?+)"
)


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile ``pattern`` so that classes and case folding mean ASCII only."""
    return re.compile(pattern, re.ASCII)


TOKEN_RE: Final = compiled(TOKEN)


def is_token(text: str) -> bool:
    """Return whether ``text`` is a token of RFC 3261 25.1."""
    return TOKEN_RE.fullmatch(text) is not None


_PAIR = re.compile(r"\\(.)", re.DOTALL)
# Controls may stand in a quoted string only behind a backslash, CR and LF not at all.
_TO_ESCAPE = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')


def unquote(text: str) -> str:
    """Return the content of a quoted-string, or ``text`` itself when it has no quotes."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        text = text[1:-1]
        if "\\" in text:
            text = _PAIR.sub(r"\1", text)
    return text


def quote(text: str) -> str:
    """Return ``text``, which holds no line end, as a quoted-string."""
    return '"' + _TO_ESCAPE.sub(r"\\\g<0>", text) + '"'
