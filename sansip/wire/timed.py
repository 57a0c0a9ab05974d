"""Whether a message has fields of session timers (RFC 4028), which the module ``calls`` reads and changes.

Theory of operation: a call without them passes as octets. What looks like such a field in a body counts, too:
then the message is read, and that tells.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sansip.wire.head import timed_in_c

__all__ = ["timed", "timed_plainly"]

# RFC 4028 4, 5: Session-Expires, its compact form, and Min-SE.
_TIMED: Final = re.compile(rb"(?i)\n(?:session-expires|min-se|x)[ \t]*:")


def timed_plainly(data: bytes) -> bool:
    """Return ``timed``, where it is not in C."""
    return _TIMED.search(data) is not None


# The one in C, which returns the same (``tests/wire/test_timed.py``).
timed: Final[Any] = timed_plainly if timed_in_c is None else timed_in_c
