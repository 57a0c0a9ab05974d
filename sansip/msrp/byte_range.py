"""Which octets of a message a chunk has (RFC 4975 7.1.1): ``Byte-Range: 1-39/39``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sansip.msrp.errors import MsrpError

__all__ = ["ByteRange"]

_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18}|\*)/([0-9]{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range; the first octet of a message is 1. ``end`` and ``total`` are None for ``*``."""

    start: int = 1
    end: int | None = None
    total: int | None = None

    @classmethod
    def parse(cls, text: str) -> ByteRange:
        """Read the value of a Byte-Range. Raises ``MsrpError``."""
        found = _RANGE.fullmatch(text)
        if found is None:
            raise MsrpError(f"Byte-Range {text[:60]!r}")
        start = int(found[1])
        end = None if found[2] == "*" else int(found[2])
        total = None if found[3] == "*" else int(found[3])
        # RFC 4975 7.1.1: the first octet has position 1; an empty chunk is 1-0/0.
        if start < 1 or (end is not None and end < start - 1) or (total is not None and start > total + 1):
            raise MsrpError(f"Byte-Range {text[:60]!r} contradicts itself", "7.1.1")
        if end is not None and total is not None and end > total:
            raise MsrpError(f"Byte-Range {text[:60]!r} ends after its message", "7.1.1")
        return cls(start, end, total)

    def __str__(self) -> str:
        end = "*" if self.end is None else self.end
        total = "*" if self.total is None else self.total
        return f"{self.start}-{end}/{total}"
