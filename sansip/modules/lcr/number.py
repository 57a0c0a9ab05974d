"""Telephone numbers as keys: what callers dial, without what is there for the eye.

Theory of operation: a key has four bits for each of the first sixteen characters, from the left; so numbers,
as integers, are in the order of their digits, and a prefix stands before all that begins with it.
"""

from __future__ import annotations

from typing import Final

from sansip.patterns import LONGEST

__all__ = ["DEEPEST", "dialled", "key_of", "prefix_key"]

# Characters of the longest prefix.
DEEPEST: Final = 16
_MARKS: Final = "0123456789*#"
# 0 stands behind the end.
_CODES: Final = {ord(mark): "123456789abc"[place] for place, mark in enumerate(_MARKS)}
# RFC 3966 5.1.1: visual separators mean nothing.
_SEPARATORS: Final = {ord(one): None for one in "-.()"}


def dialled(user: str) -> str:
    """Return the number that ``user`` of a URI is: digits, ``*`` and ``#``; "" where it is none.

    A plus, visual separators and parameters (RFC 3966) are left out. What is longer than a dialplan could
    judge is no number: telephone networks call by the first digits alone.
    """
    number = user.partition(";")[0].removeprefix("+").translate(_SEPARATORS)
    return number if 0 < len(number) <= LONGEST and not number.strip(_MARKS) else ""


def key_of(number: str) -> int:
    """Return the key of the first characters of ``number``, as ``dialled`` returns it."""
    return int(number[:DEEPEST].translate(_CODES).ljust(DEEPEST, "0"), 16)


def prefix_key(prefix: str) -> int:
    """Return the key of a prefix. Raises ``ValueError`` for a text that is none."""
    if len(prefix) > DEEPEST or prefix.strip(_MARKS):
        raise ValueError(f"at most {DEEPEST} of 0 to 9, * and #, without +")
    return key_of(prefix)
