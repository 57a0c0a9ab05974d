"""tel URIs (RFC 3966).

Theory of operation: a number is global (it begins with a plus) or local, and
a local one must say in which context it holds. Visual separators are kept in
``number`` and dropped for comparison.
"""

from __future__ import annotations

from typing import Final

from sansip.wire.abnf import compiled
from sansip.wire.faults import excerpt, malformed

__all__ = ["TelUri", "bare_number", "parse_tel"]

# RFC 3966 3: paramchar, and numbers with their visual separators.
_PARAM_CHARS = r"(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]++|%[0-9A-Fa-f]{2})++"
_TEL: Final = compiled(
    r"[tT][eE][lL]:(\+[0-9\-.()]++|[0-9A-Fa-f*#\-.()]++)"
    rf"((?:;[A-Za-z0-9\-]++(?:={_PARAM_CHARS})?+)*+)"
)
# RFC 3966 3: descriptor, a domain name or the digits that global numbers begin with.
_DESCRIPTOR: Final = compiled(
    r"\+[\-.()]*+[0-9][0-9\-.()]*+"
    r"|(?:[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+\.(?=[A-Za-z0-9]))*+[A-Za-z][A-Za-z0-9]*+(?:-++[A-Za-z0-9]++)*+\.?+"
)
_SEPARATORS: Final = str.maketrans("", "", "-.()")


class TelUri:
    """A tel: URI. Treat it and its dict as read-only.

    Attributes:
        number: as written, with its plus and visual separators.
        params: name in lower case → value as written, None for a flag.
    """

    __slots__ = ("_text", "number", "params", "scheme")

    def __init__(self, number: str, params: dict[str, str | None], text: str = "") -> None:
        self.scheme = "tel"
        self.number = number
        self.params = params
        if not text:
            pairs = [f";{name}" if value is None else f";{name}={value}" for name, value in params.items()]
            text = f"tel:{number}{''.join(pairs)}"
        self._text = text

    @property
    def is_global(self) -> bool:
        """Whether the number is a global one (RFC 3966 5.1.4)."""
        return self.number[:1] == "+"

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<TelUri {self._text}>"


def bare_number(number: str) -> str:
    """Return ``number`` without visual separators, in lower case (RFC 3966 4)."""
    return number.translate(_SEPARATORS).lower()


def parse_tel(text: str) -> TelUri:
    """Return the tel URI in ``text``. Raises RemoteProtocolError when malformed."""
    match = _TEL.fullmatch(text)
    if match is None or not bare_number(match[1]).strip("+"):
        raise malformed("", f"{excerpt(text)!r} is not a tel URI", "RFC 3966 3")
    params: dict[str, str | None] = {}
    pairs = match[2].split(";")[1:]
    for pair in pairs:
        name, equals, value = pair.partition("=")
        params[name.lower()] = value if equals else None
    if len(params) != len(pairs):
        raise malformed("", "a tel URI parameter appears more than once", "RFC 3966 3")
    if "phone-context" in params:
        # RFC 3966 3: comparison and look-up use the context, so it must be one of the two forms.
        context = params["phone-context"] or ""
        if _DESCRIPTOR.fullmatch(context) is None:
            what = "is no domain name and no prefix of global numbers"
            raise malformed("", f"the phone-context {excerpt(context)!r} {what}", "RFC 3966 3")
    elif match[1][0] != "+":
        # RFC 3966 5.1.5: a local number means nothing without its context.
        raise malformed("", "a local number in a tel URI needs a phone-context", "RFC 3966 5.1.5")
    return TelUri(match[1], params, text)
