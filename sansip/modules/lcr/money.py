"""Prices: whole numbers of a hundred-millionth of a currency's unit, so that sums are exact."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["UNIT", "money", "shown"]

UNIT: Final = 100_000_000
_PRICE: Final = re.compile(r"(\d{1,7})(?:\.(\d{1,8}))?", re.ASCII)


def money(text: str) -> int:
    """Return the price that ``text`` is. Raises ``ValueError``."""
    found = _PRICE.fullmatch(text)
    if found is None:
        raise ValueError("a price like 0.0125, at most 9,999,999 with at most eight decimals")
    return int(found[1]) * UNIT + int((found[2] or "").ljust(8, "0"))


def shown(price: int) -> str:
    """Return a price as people write it."""
    whole, part = divmod(price, UNIT)
    return f"{whole}.{part:08}".rstrip("0").rstrip(".") if part else str(whole)
