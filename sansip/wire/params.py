"""Header field parameters: ``;name=value`` lists.

Theory of operation: one pattern checks a whole list; a second one, run only
over text that passed, takes it apart. Names are kept in lower case, values as
written: a quoted string keeps its quotes, a flag has the value None. A dict
keeps the order of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sansip.errors import LocalProtocolError
from sansip.wire.abnf import LWS, QUOTED, TOKEN, TOKEN_CLASS, TOKEN_RE, compiled
from sansip.wire.faults import excerpt, malformed

__all__ = ["PARAM_VALUE", "Params", "format_params", "parse_params"]

Params = dict[str, str | None]

# RFC 3261 25.1: gen-value = token / host / quoted-string. A host adds brackets
# and colons; RFC 3261 itself gives `received` an IPv6 address without brackets.
PARAM_VALUE: Final = rf"(?:[{TOKEN_CLASS}:\[\]]++|{QUOTED})"
_ONE: Final = compiled(rf"{LWS};{LWS}({TOKEN})(?:{LWS}={LWS}({PARAM_VALUE}))?+")
_ALL: Final = compiled(rf"(?:{LWS};{LWS}{TOKEN}(?:{LWS}={LWS}{PARAM_VALUE})?+)*+{LWS}")


def parse_params(text: str, field: str, section: str) -> Params:
    """Return the parameters in ``text``, which is empty or begins with a semicolon.

    Raises RemoteProtocolError when malformed or when a name appears twice
    (RFC 3261 7.3.1).
    """
    # White space at the end belongs to no parameter, and a search for one would
    # begin at each of its characters.
    text = text.rstrip(" \t")
    match = _ALL.match(text)
    assert match is not None  # the pattern matches the empty text
    end = match.end()
    if end != len(text):
        raise malformed(field, f"malformed parameter near {excerpt(text[end:])!r}", section)
    pairs = _ONE.findall(text)
    params: Params = {name.lower(): value or None for name, value in pairs}
    if len(params) != len(pairs):
        raise malformed(field, "a parameter appears more than once", "RFC 3261 7.3.1")
    return params


_VALUE: Final = compiled(PARAM_VALUE)


def format_params(params: Mapping[str, str | None]) -> str:
    """Return ``;name=value`` for each pair, in order. Values are written as they are.

    Raises LocalProtocolError for a name or a value that the grammar does not allow.
    """
    out = []
    for name, value in params.items():
        if TOKEN_RE.fullmatch(name) is None:
            raise LocalProtocolError(f"{name!r} is not a parameter name (a token, RFC 3261 25.1)")
        if value is None:
            out.append(f";{name}")
        elif _VALUE.fullmatch(value) is None:
            raise LocalProtocolError(
                f"{value!r} is not the value of a parameter: quote it (sansip.wire.quote)"
            )
        else:
            out.append(f";{name}={value}")
    return "".join(out)
