"""Merged requests: one INVITE that a fork delivered twice (RFC 3261 8.2.2.2).

Theory of operation: the copies have the same Call-ID, From tag and CSeq, and another branch. The first is
answered, each further one gets 482 while the transaction of the first runs. Transactions end by themselves,
so once the table has doubled, the code removes the entries of those that ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.transaction.table import TERMINATED

if TYPE_CHECKING:
    from sansip.transaction import ServerTransaction
    from sansip.wire import Request

__all__ = ["Merged"]

_LEAST: Final = 1_000
Key = tuple[str, str | None, int]


class Merged:
    """The INVITEs without a To tag that user agents answer at the moment."""

    __slots__ = ("_most", "_running")

    def __init__(self) -> None:
        self._running: dict[Key, ServerTransaction] = {}
        self._most = _LEAST

    def __len__(self) -> int:
        return len(self._running)

    def takes(self, request: Request, server: ServerTransaction) -> bool:
        """Note ``request``, answered by ``server``; False where a running transaction has another copy of
        it."""
        key = request.call_id, request.from_tag, request.cseq.number
        found = self._running.get(key)
        if found is not None and found is not server and found.state is not TERMINATED:
            return False
        if len(self._running) >= self._most:
            self._running = {one: at for one, at in self._running.items() if at.state is not TERMINATED}
            self._most = max(_LEAST, 2 * len(self._running))
        self._running[key] = server
        return True
