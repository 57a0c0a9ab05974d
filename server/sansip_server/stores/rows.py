"""Users and bindings as rows of ``schema``, and back.

Theory of operation: text may hold octets that a database's text cannot (octets that are not UTF-8, NULs in
PostgreSQL), so each store says how it writes text (``encode``) and reads it (``decode``); all else is the
same everywhere. The stack's clock holds on this machine only, so times are stored as Unix times: ``offset``
converts the stack's times to them, and ``clocks`` converts them back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sansip.location import Binding, read_source
from sansip_server.stores.clocks import Clocks
from sansip_server.stores.interface import User
from sansip_server.stores.schema import HASHES

__all__ = ["binding_of", "binding_row", "keys_of", "user_of", "user_row"]


def user_row(user: User, encode: Callable[[str], Any]) -> tuple[Any, ...]:
    """Return the row of ``user``, in the order of ``schema.USERS``."""
    return (encode(user.realm), encode(user.username), *(user.keys.get(name) for name in HASHES))


def user_of(row: Sequence[Any], decode: Callable[[Any], str]) -> User:
    """Return the user of a row."""
    realm, username, *columns = row
    return User(decode(username), decode(realm), keys_of(columns))


def keys_of(columns: Sequence[str | None]) -> Mapping[str, str]:
    """Return HA1 by hash name from the columns that hold them."""
    return {name: key for name, key in zip(HASHES, columns, strict=True) if key is not None}


def binding_row(
    binding: Binding, slot: int, offset: float, encode: Callable[[str], Any], clock: int | None = None
) -> tuple[Any, ...]:
    """Return the row of ``binding``, in the order of ``schema.BINDINGS``; ``clock`` is a reading's number."""
    instance, received, agent = binding.instance, binding.received, binding.user_agent
    return (
        encode(binding.aor),
        slot,
        encode(binding.contact),
        None if binding.expires_at == math.inf else binding.expires_at + offset,
        encode(binding.call_id),
        binding.cseq,
        binding.q,
        binding.registered_at + offset,
        binding.refreshed_at + offset,
        # Octets that are not UTF-8 become escapes of JSON.
        json.dumps(binding.path) if binding.path else None,
        None if instance is None else encode(instance),
        binding.reg_id,
        encode(binding.params),
        None if received is None else encode(str(received)),
        None if agent is None else encode(agent),
        clock,
    )


def binding_of(row: Sequence[Any], clocks: Clocks, decode: Callable[[Any], str]) -> Binding:
    """Return the binding of a row, in the stack's clock; without its flow, which a former process had."""
    (aor, _, contact, expires, call_id, cseq, q, registered, refreshed,
     path, instance, reg_id, params, received, agent, clock) = row  # fmt: skip
    offset, since = clocks.shifts(clock)
    return Binding(
        decode(aor),
        decode(contact),
        math.inf if expires is None else expires - offset,
        decode(call_id),
        cseq,
        q,
        registered - since,
        refreshed - offset,
        () if path is None else tuple(json.loads(path)),
        None if instance is None else decode(instance),
        reg_id,
        decode(params),
        None,
        None if received is None else read_source(decode(received)),
        None if agent is None else decode(agent),
    )
