"""Content-Type and the Accept fields (RFC 3261 20.1 to 20.3, 20.11, 20.15)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sansip.wire.abnf import LWS, TOKEN, compiled, unquote
from sansip.wire.headers.parametered import Parametered, split_parameters
from sansip.wire.params import Params

__all__ = ["ContentType", "parse_content_type", "parse_language_range", "parse_media_range"]

_MEDIA: Final = compiled(rf"{TOKEN}{LWS}/{LWS}{TOKEN}")
_LANGUAGE_RANGE: Final = compiled(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*+|\*")


@dataclass(slots=True)
class ContentType:
    """A media type or, in Accept, a range of them.

    Attributes:
        type, subtype: in lower case; ``*`` stands for any in Accept.
        params: name in lower case → value as written, None for a flag.
    """

    type: str
    subtype: str
    params: Params = field(default_factory=dict)

    @property
    def value(self) -> str:
        """``type/subtype``."""
        return f"{self.type}/{self.subtype}"

    @property
    def boundary(self) -> str | None:
        """The boundary of a multipart type, without quotes (RFC 2046 5.1.1), or None."""
        value = self.params.get("boundary")
        return None if value is None else unquote(value)

    @property
    def q(self) -> float:
        """The q parameter, 1.0 when absent or malformed (RFC 3261 20.1)."""
        return Parametered("", self.params).q

    def __str__(self) -> str:
        pairs = [f";{name}" if value is None else f";{name}={value}" for name, value in self.params.items()]
        return f"{self.type}/{self.subtype}{''.join(pairs)}"


def parse_content_type(text: str, name: str, section: str) -> ContentType:
    """Return the media type in ``text``. Raises RemoteProtocolError when malformed."""
    value, params = split_parameters(text, _MEDIA, "type/subtype", name, section)
    kind, _, subtype = value.partition("/")
    return ContentType(kind.strip(" \t").lower(), subtype.strip(" \t").lower(), params)


# RFC 3261 25.1: media-range adds "*/*" and "type/*", and "*" is a token.
parse_media_range = parse_content_type


def parse_language_range(text: str, name: str, section: str) -> Parametered:
    """Return a language range with parameters (RFC 3261 20.3)."""
    value, params = split_parameters(text, _LANGUAGE_RANGE, "a language range", name, section)
    return Parametered(value, params)
