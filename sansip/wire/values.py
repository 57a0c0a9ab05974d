"""Header values as text: undoing folds, and taking lists apart.

Theory of operation: a comma separates values only outside quoted strings and
angle brackets. One pattern eats everything up to the next such comma, so
splitting is a single pass whatever the text holds.
"""

from __future__ import annotations

from typing import Final

from sansip.wire.abnf import compiled

__all__ = ["line_value", "split_values", "unfold"]

# An opening quote or bracket that is never closed reaches to the end: looking for its end again and again
# would not be linear, and the parser of the value will report the fault.
_ELEMENT: Final = compiled(r"""(?:[^,"<]++|"(?:[^"\\]++|\\[\x00-\U0010ffff])*+["\\]?+|<[^>]*+>?+)*+""")


def unfold(text: str) -> str:
    """Return ``text`` with each fold, and the white space around it, as one space.

    RFC 3261 7.3.1: line break and leading white space count as a single SP.
    """
    if "\r\n" not in text:
        return text
    parts = [part.strip(" \t") for part in text.split("\r\n")]
    return " ".join([part for part in parts if part])


def line_value(line: str) -> str:
    """Return the value of a raw header line, unfolded and stripped."""
    value = line[line.find(":") + 1 :]
    if "\r\n" in value:
        value = unfold(value)
    return value.strip(" \t")


def split_values(text: str) -> list[str]:
    """Return the comma-separated values in ``text`` (unfolded), stripped, empty ones included."""
    if "," not in text:
        return [text.strip(" \t")]
    values = []
    position = 0
    while True:
        match = _ELEMENT.match(text, position)
        assert match is not None  # the pattern matches the empty text
        values.append(match[0].strip(" \t"))
        position = match.end()
        if position >= len(text):
            return values
        position += 1
