"""Character and entity references in text of XML without a DTD (XML 1.0 4.1, 4.6)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["REFERENCE", "normalised", "resolved"]

# A reference that a document without a DTD can have.
REFERENCE: Final = r"&(?:lt|gt|amp|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});"
_ANY: Final = re.compile(rf"{REFERENCE}|&")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


def resolved(text: str) -> str | None:
    """Return ``text`` with its references resolved, None where one cannot be."""
    if "&" not in text:
        return text
    parts: list[str] = []
    at = 0
    for match in _ANY.finditer(text):
        character = _character(match[0])
        if character is None:
            return None
        parts += text[at : match.start()], character
        at = match.end()
    parts.append(text[at:])
    return "".join(parts)


def _character(reference: str) -> str | None:
    if len(reference) == 1:
        return None
    name = reference[1:-1]
    if name[0] != "#":
        return _NAMED[name]
    number = int("0" + name[1:], 16) if name[1] == "x" else int(name[1:])
    # XML 1.0 2.2: the characters that there are.
    if (
        number in (9, 10, 13)
        or 32 <= number < 0xD800
        or 0xE000 <= number < 0xFFFE
        or 0x10000 <= number < 0x110000
    ):
        return chr(number)
    return None


def normalised(value: str) -> str | None:
    """Return the value of an attribute as an application sees it (XML 1.0 2.11, 3.3.3)."""
    plain = value.replace("\r\n", "\n").replace("\t", " ").replace("\n", " ").replace("\r", " ")
    return resolved(plain)
