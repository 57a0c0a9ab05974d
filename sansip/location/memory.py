"""The location service in memory.

Theory of operation: a record is an immutable tuple of bindings in the order of trying, so a commit is one
dictionary assignment and every reader holds a whole state, the old one or the new one (RFC 3261 10.3). It is
kept as octets, which take half the room, and made anew for each reader (``packed``). Beside the records stand
two indexes: which second to look at a record for expired bindings, and which records use a connection that
may be lost. Expired bindings are hidden from the instant they expire and swept afterwards, a bounded number
per call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import TypeAlias

from sansip.limits import DEFAULT, Limits

from .binding import Binding
from .expiry import ExpiryBuckets
from .packed import Held, Record, pack, pack_plain, unpack
from .source import Source
from .update import LocationUpdate, Outcome

__all__ = ["MemoryLocation", "Record", "Renewal"]

# An address-of-record, its octets before and from now on, its buckets, and whether either has a source.
Renewal: TypeAlias = tuple[str, bytes | None, bytes, int | None, int, bool]


def _is_connection(flow: Hashable) -> bool:
    return flow is not None and not isinstance(flow, int)


def _live(record: Record, now: float) -> list[Binding]:
    return [b for b in record if b.expires_at > now]


def _is_hidden(record: Record) -> bool:
    """Whether a binding of ``record`` has a source."""
    for binding in record:  # noqa: SIM110 - this is asked at each change of bindings
        if binding.received is not None:
            return True
    return False


def _due(record: Record) -> int | None:
    """Return the whole second by which the first binding of ``record`` has expired."""
    earliest = record[0].expires_at
    for binding in record:
        if binding.expires_at < earliest:
            earliest = binding.expires_at
    return None if earliest == math.inf else int(earliest) + 1


class MemoryLocation:
    """Bindings by address-of-record.

    Args:
        limits: ``aors`` and ``bindings_per_aor`` bound the memory.
        is_connection: whether a flow is one that can be lost, and so has to be
            found again by ``aors_of``. A listener's datagrams cannot, and
            with those the index would name every record twice: by default None
            and plain numbers, which stand for listeners, do not count.
    """

    __slots__ = (
        "_bindings",
        "_buckets",
        "_flows",
        "_is_connection",
        "_latest",
        "_limits",
        "_records",
        "hidden_watchers",
        "watchers",
    )

    def __init__(
        self, limits: Limits = DEFAULT, is_connection: Callable[[Hashable], bool] = _is_connection
    ) -> None:
        self._limits = limits
        self._is_connection = is_connection
        self._records: dict[str, Held] = {}
        # The bindings that were unpacked last, and their record: a REGISTER looks up the bindings that it
        # then replaces.
        self._latest: tuple[Held | None, Record] = (None, ())
        self._buckets = ExpiryBuckets()
        # The one address-of-record of a connection, or all of them when it has
        # several: a phone has one, and a million dicts of one entry are costly.
        self._flows: dict[Hashable, str | dict[str, None]] = {}
        self._bindings = 0
        # Called with (aor, bindings before, bindings after) once they have changed.
        self.watchers: list[Callable[[str, Record, Record], None]] = []
        # The same, but only where a binding has a source (``Binding.received``), before or after.
        self.hidden_watchers: list[Callable[[str, Record, Record], None]] = []

    def __len__(self) -> int:
        """Return the number of bindings held, those not yet swept included."""
        return self._bindings

    @property
    def aors(self) -> int:
        """The number of addresses-of-record held."""
        return len(self._records)

    def lookup(self, aor: str, now: float) -> list[Binding]:
        """Return the bindings of ``aor`` that live at ``now``, best first (``Binding.rank``)."""
        held = self._records.get(aor)
        if held is None:
            return []
        record = self._unpacked(aor, held)
        for binding in record:
            if binding.expires_at <= now:
                return _live(record, now)
        return list(record)

    def apply(self, update: LocationUpdate, now: float) -> Outcome:
        """Commit ``update`` whole, or change nothing and say why.

        ``CONFLICT``: the live bindings are not those of ``update.before`` any more.
        ``FULL``: ``limits.aors`` or ``limits.bindings_per_aor`` is reached.
        """
        aor, before, after = update.aor, update.before, update.after
        record = self.standing(aor)
        # Tuples of the same bindings compare in no time. A binding that expired since the lookup is no
        # conflict: it is gone on both sides.
        if record != before and _live(record, now) != _live(before, now):
            return Outcome.CONFLICT
        if not record and after and len(self._records) >= self._limits.aors:
            return Outcome.FULL
        if len(after) > self._limits.bindings_per_aor and len(after) > len(before):
            return Outcome.FULL
        self._replace(aor, record, after)
        return Outcome.DONE

    def renewal(
        self,
        aor: str,
        contact: str,
        call_id: str,
        cseq: int,
        expires_at: float,
        now: float,
        listener: int,
        received: Source | None,
        agent: str | None,
    ) -> Renewal | None:
        """Return how ``aor`` gets one plain binding of ``contact``, made at ``now`` over datagrams.

        None where more is to be looked at: another binding, a newer one, a limit. Give the result to
        ``renew`` before anything else.
        """
        held = self._records.get(aor)
        if not (held is None or isinstance(held, bytes)):
            return None
        if held is None and (len(self._records) >= self._limits.aors or not self._limits.bindings_per_aor):
            return None
        made = pack_plain(contact, call_id, cseq, expires_at, now, listener, received, agent, held)
        if made is None:
            return None
        old = None if held is None or made[1] == math.inf else int(made[1]) + 1
        return aor, held, made[0], old, int(expires_at) + 1, made[2]

    def renew(self, renewal: Renewal) -> None:
        """Do what ``renewal`` has returned."""
        aor, held, record, old, new, hidden = renewal
        if held is None:
            self._bindings += 1
        if old != new:
            self._buckets.move(aor, old, new)
        self._records[aor] = record
        if self.watchers or (hidden and self.hidden_watchers):
            before = () if held is None else self._unpacked(aor, held)
            after = unpack(aor, record)
            for watch in self.watchers:
                watch(aor, before, after)
            if hidden:
                for watch in self.hidden_watchers:
                    watch(aor, before, after)

    def next_expiry(self) -> float | None:
        """Return when ``expire`` will have something to do, or None. A whole second."""
        return self._buckets.next_due()

    def tell_expiry(self, tell: Callable[[float], None]) -> None:
        """Have ``tell`` called with ``next_expiry`` when it has changed; ``math.inf`` is for None."""
        self._buckets.tell = tell

    def expire(self, now: float, limit: int = 1000) -> list[Binding]:
        """Remove bindings that expired by ``now`` and return them.

        Looks at ``limit`` addresses-of-record at most; when more are due,
        ``next_expiry`` stays in the past.
        """
        expired: list[Binding] = []
        for _ in range(limit):
            aor = self._buckets.pop_due(now)
            if aor is None:
                break
            record = self.standing(aor)
            expired += [b for b in record if b.expires_at <= now]
            self._replace(aor, record, tuple(_live(record, now)), scheduled=False)
        return expired

    def remove(self, aor: str, now: float) -> list[Binding]:
        """Remove every binding of ``aor``; return those that lived at ``now``."""
        record = self.standing(aor)
        if not record:
            return []
        self._replace(aor, record, ())
        return _live(record, now)

    def aors_of(self, flow: Hashable) -> tuple[str, ...]:
        """Return the addresses-of-record with a binding over the connection ``flow``.

        For a connection that was lost (RFC 5626 7). Takes as long as there are of them.
        """
        aors = self._flows.get(flow)
        if aors is None:
            return ()
        return (aors,) if isinstance(aors, str) else tuple(aors)

    def standing(self, aor: str) -> Record:
        """Return the bindings of ``aor``, those that expired and are not yet swept included."""
        held = self._records.get(aor)
        return () if held is None else self._unpacked(aor, held)

    def names(self) -> list[str]:
        """Return the addresses-of-record, in order of first registration."""
        return list(self._records)

    def snapshot(self) -> list[tuple[str, Record]]:
        """Return every record, as (address-of-record, bindings) in order of first registration.

        The list is the caller's: the service may change while it is read. It
        can hold bindings that have expired and are not yet swept.
        """
        return [(aor, unpack(aor, held)) for aor, held in self._records.items()]

    def _unpacked(self, aor: str, held: Held) -> Record:
        latest, record = self._latest
        if latest is not held:
            record = unpack(aor, held)
            self._latest = (held, record)
        return record

    def _replace(self, aor: str, before: Record, after: Record, *, scheduled: bool = True) -> None:
        """Put ``after`` in the place of ``before`` in the records and both indexes.

        ``scheduled``: ``before`` is in its bucket still.
        """
        self._bindings += len(after) - len(before)
        old = _due(before) if before and scheduled else None
        new = _due(after) if after else None
        if old != new:
            self._buckets.move(aor, old, new)
        # Most refreshes leave everything but the expiry as it was.
        if len(before) != 1 or len(after) != 1 or before[0].flow != after[0].flow:
            self._index_flows(aor, before, after)
        if after:
            held = pack(after)
            self._records[aor] = held
            self._latest = (held, after)
        elif before:
            del self._records[aor]
        for watch in self.watchers:
            watch(aor, before, after)
        if self.hidden_watchers and (_is_hidden(before) or _is_hidden(after)):
            for watch in self.hidden_watchers:
                watch(aor, before, after)

    def _index_flows(self, aor: str, before: Record, after: Record) -> None:
        is_connection = self._is_connection
        old = {b.flow for b in before if is_connection(b.flow)}
        new = {b.flow for b in after if is_connection(b.flow)}
        for flow in old - new:
            held = self._flows[flow]
            if isinstance(held, str):
                del self._flows[flow]
            else:
                del held[aor]
                if not held:
                    del self._flows[flow]
        for flow in new - old:
            held_or_none = self._flows.get(flow)
            if held_or_none is None:
                self._flows[flow] = aor
            elif isinstance(held_or_none, str):
                self._flows[flow] = {held_or_none: None, aor: None}
            else:
                held_or_none[aor] = None
