"""A record of the shared location as octets, and back.

Theory of operation: the first 16 octets are the version, which the script in
Redis compares without reading further; the rest is JSON, an array for each binding.
JSON's escapes carry any text that a phone sent, octets that are not UTF-8
included. Times are Unix times, by Redis's clock: a node's own clock begins anew at each start.

Nodes are upgraded one by one, so a node meets records of a newer one. It skips additional
elements in an array. A record that is JSON and cannot be read even so has a later format: the
node leaves it alone, because replacing it would undo the newer node's work.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sansip.location import Binding, NodeFlow, SharedRecord, read_source

__all__ = ["VERSION_SIZE", "NewerRecord", "decode", "encode", "lifetime"]

logger = logging.getLogger("sansip.location")

VERSION_SIZE = 16
_json = json.JSONEncoder(separators=(",", ":")).encode
_text = json.encoder.encode_basestring_ascii
_FLOW_SIZE = len(NodeFlow._fields)


class NewerRecord(Exception):
    """A newer version of sansip wrote a record, in a format that this one cannot read."""


def encode(version: str, bindings: Sequence[Binding], offset: float) -> bytes:
    """Return the record of ``bindings``; ``offset`` is Unix time minus the stack's clock."""
    rows = [_plain_row(binding, offset) or _json(_row(binding, offset)) for binding in bindings]
    return f"{version}[{','.join(rows)}]".encode("ascii")


def decode(aor: str, data: bytes, offset: float) -> SharedRecord:
    """Return the record ``data`` of ``aor``, with times in the stack's clock.

    Data of another program counts as a record without bindings, under the version that it seems
    to have: the next REGISTER replaces it. Raises ``NewerRecord``.
    """
    if not data:
        return SharedRecord("", ())
    version = data[:VERSION_SIZE].decode("utf-8", "surrogateescape")
    try:
        rows = json.loads(data[VERSION_SIZE:])
    except (ValueError, RecursionError) as error:
        logger.warning("the shared record of %s was not written by sansip (%s); passed over", aor, error)
        return SharedRecord(version, ())
    try:
        return SharedRecord(version, tuple(_binding(aor, row, offset) for row in rows))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        raise NewerRecord(f"the record of {aor} is of a newer version of sansip") from None


def lifetime(bindings: Sequence[Binding], now: float) -> int:
    """Return the milliseconds until the last of ``bindings`` expires; 0 for never, -1 for none left."""
    latest = max((binding.expires_at for binding in bindings), default=now)
    if latest == math.inf:
        return 0
    left = math.ceil((latest - now) * 1000)
    return left if left > 0 else -1


def _plain_row(binding: Binding, offset: float) -> str:
    """Return the row of an ordinary binding as ``_json`` would, in less time; "" for any other binding."""
    expires, flow, agent = binding.expires_at, binding.flow, binding.user_agent
    if (
        binding.q is not None
        or binding.path
        or binding.instance is not None
        or binding.reg_id is not None
        or binding.params
        or binding.received is not None
        or expires == math.inf
        or type(flow) is not NodeFlow
    ):
        return ""
    ends = round(expires + offset, 3)
    registered = round(binding.registered_at + offset, 3)
    refreshed = round(binding.refreshed_at + offset, 3)
    return (
        f"[{_text(binding.contact)},{ends!r},{_text(binding.call_id)},{binding.cseq},null,{registered!r},"
        f'{refreshed!r},[],null,null,"",null,{"null" if agent is None else _text(agent)},{_flow(flow)}]'
    )


# A node has one such value for each of its listeners by UDP, and few for others.
@lru_cache(64)
def _flow(flow: NodeFlow) -> str:
    return _json(list(flow))


def _row(binding: Binding, offset: float) -> list[Any]:
    flow = binding.flow
    return [
        binding.contact,
        None if binding.expires_at == math.inf else round(binding.expires_at + offset, 3),
        binding.call_id,
        binding.cseq,
        binding.q,
        round(binding.registered_at + offset, 3),
        round(binding.refreshed_at + offset, 3),
        binding.path,
        binding.instance,
        binding.reg_id,
        binding.params,
        None if binding.received is None else str(binding.received),
        binding.user_agent,
        list(flow) if isinstance(flow, NodeFlow) else None,
    ]


def _binding(aor: str, row: Sequence[Any], offset: float) -> Binding:
    contact, expires, call_id, cseq, q, registered, refreshed, path, *rest = row
    instance, reg_id, params, received, agent, flow = rest[:6]
    return Binding(
        aor,
        contact,
        math.inf if expires is None else expires - offset,
        call_id,
        int(cseq),
        q,
        registered - offset,
        refreshed - offset,
        tuple(path),
        instance,
        reg_id,
        params,
        None if flow is None else NodeFlow(*flow[:_FLOW_SIZE]),
        None if received is None else read_source(received),
        agent,
    )
