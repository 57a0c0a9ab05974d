"""Tags of our dialogs, which prove that they are ours when nothing else is known of them any longer.

Theory of operation: a request with a To tag of ours belongs to a dialog of ours, or to none: RFC 3261
12.2.2 has it answered with 481 and not relayed. That holds for dialogs that ended, and for those of the
process before a restart, so it must cost no memory: a tag carries chance (RFC 3261 19.3) and a MAC over
that chance and the Call-ID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.entropy import Entropy

__all__ = ["MARK", "Tags"]

# Every tag of ours begins with this, so the code computes no hash for other tags.
MARK = "u-"
_LENGTH = len(MARK) + 32


class Tags:
    """``secret`` is the key that a restart keeps, ``entropy`` the chance of this process.

    ``mark``: how the tags begin; user agents and the module ``events`` have one each, of equal length.
    """

    __slots__ = ("_entropy", "_mark", "_secret")

    def __init__(self, secret: Entropy, entropy: Entropy, mark: str = MARK) -> None:
        self._secret = secret
        self._entropy = entropy
        self._mark = mark

    def make(self, call_id: str, token: str = "") -> str:
        """Return a new tag for a dialog with ``call_id``; ``token``: 16 digits instead of chance."""
        # The mark of a worker says whose dialog it is.
        chance = f"{self._entropy.mark}{token or self._entropy.token()}"
        return f"{self._mark}{chance}{self._secret.keyed_hash(f'{chance} {call_id}')}"

    def is_ours(self, tag: str, call_id: str) -> bool:
        """Whether ``make`` made ``tag`` for ``call_id``, in this life or before."""
        if not tag.startswith(self._mark) or not _LENGTH <= len(tag) <= _LENGTH + 1:
            return False
        chance = tag[len(self._mark) : -16]
        return tag[-16:] == self._secret.keyed_hash(f"{chance} {call_id}")
