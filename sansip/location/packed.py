"""Records as octets: the form in which a million bindings are kept between two look-ups.

Theory of operation: a binding as an object is a dozen small objects, each with a header of its own, and costs
800 octets for 200 of content. Between the REGISTER that writes it and the next one, or a call, the server
does not read it. So a record is kept as one string of octets: for each binding its numbers in a fixed layout,
then its texts, joined by a separator, so that one split takes them apart. The address-of-record is the key it
is found by, and is not kept again.

A record that does not fit the layout (a text with the separator in it, a number out of range) is kept as the
bindings themselves, which is always right and only larger. Flows that are objects stand beside the octets;
numbers of listeners are inside.

The record of an ordinary REGISTER is made by a module in C where there is one.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from importlib import import_module
from typing import Any, Final, TypeAlias

from sansip.transport.transports import TRANSPORTS

from .binding import Binding
from .source import Source

__all__ = ["Held", "Record", "pack", "pack_plain", "plain_octets", "unpack"]

# Bindings of one address-of-record, best first.
Record: TypeAlias = tuple[Binding, ...]
# A record as it is kept: octets; octets and the flows they refer to; or itself.
Held: TypeAlias = bytes | tuple[Any, ...]

# expires_at, registered_at, refreshed_at, cseq, octets of text, reg_id, q, flow, transport and port of the
# source, flags of the fields that are None.
_LAYOUT: Final = struct.Struct("<dddIIihhBHB")
_SIZE: Final[int] = _LAYOUT.size
_unpack_from: Final = _LAYOUT.unpack_from
_pack: Final = _LAYOUT.pack
# Of these: expires_at, registered_at, cseq, octets of text, flags.
_unpack_some: Final = struct.Struct("<dd8xII11xB").unpack_from
# No field of a message has a line end inside once it is read.
_SEPARATOR: Final = "\n"
# contact, call_id, params, instance, the source's host, user_agent: each is there, empty where it is None.
_TEXTS: Final = 6
# Stand for None and for a flow beside the octets, where listeners have numbers from 0.
_NO_FLOW: Final = -1
_OBJECT: Final = -2
_TRANSPORTS: Final = tuple(TRANSPORTS)
_NUMBERS: Final = {name: number for number, name in enumerate(_TRANSPORTS)}


def _in_c() -> Any:
    """Return the function of the C module, None without it."""
    try:
        # By its name: import-linter knows no module in C, and takes it for its package.
        return import_module("sansip.location._packed").plain
    except ImportError:
        return None


_C: Final[Any] = _in_c()


def pack(record: Record) -> Held:
    """Return ``record`` in the form that is kept; ``unpack`` gives an equal one back."""
    packed = b""
    flows: list[Hashable] = []
    for binding in record:
        flow = binding.flow
        if flow is None:
            number = _NO_FLOW
        elif isinstance(flow, int):
            number = flow
            if flow < 0:
                return record
        else:
            number = _OBJECT
            flows.append(flow)
        instance, received, agent = binding.instance, binding.received, binding.user_agent
        texts = [
            binding.contact,
            binding.call_id,
            binding.params,
            instance or "",
            "" if received is None else received.host,
            agent or "",
            *binding.path,
        ]
        text = _SEPARATOR.join(texts)
        if text.count(_SEPARATOR) != len(texts) - 1:
            return record
        # Octets that are not UTF-8 are lone surrogates in a text.
        octets = text.encode("utf-8", "surrogatepass")
        q, reg_id = binding.q, binding.reg_id
        try:
            packed += _pack(
                binding.expires_at,
                binding.registered_at,
                binding.refreshed_at,
                binding.cseq,
                len(octets),
                reg_id or 0,
                q or 0,
                number,
                0 if received is None else _NUMBERS.get(received.transport, -1),
                0 if received is None else received.port,
                (instance is None)
                | (received is None) << 1
                | (agent is None) << 2
                | (q is None) << 3
                | (reg_id is None) << 4,
            )
        except struct.error:
            return record
        packed += octets
    return (packed, *flows) if flows else packed


def pack_plain(
    contact: str,
    call_id: str,
    cseq: int,
    expires_at: float,
    now: float,
    listener: int,
    received: Source | None,
    agent: str | None,
    held: bytes | None,
) -> tuple[bytes, float, bool] | None:
    """Return the octets of a binding without parameters and Path, made at ``now``, and when ``held`` expires.

    Also whether it or ``held`` has a source.
    It replaces ``held``, the one binding that there was (expiry 0 for None). None, where it does not, or has
    to be looked at as a whole: ``held`` has another contact, names a flow (RFC 5626), has expired, or is not
    older (RFC 3261 10.3 step 7).
    """
    host, transport, port = None, 0, 0
    if received is not None:
        host, transport, port = received.host, _NUMBERS.get(received.transport, -1), received.port
    if _C is not None:
        made = _C(contact, call_id, cseq, expires_at, now, listener, host, transport, port, agent, held)
        if made is not NotImplemented:
            return made  # type: ignore[no-any-return]  # as plain_octets
    return plain_octets(contact, call_id, cseq, expires_at, now, listener, host, transport, port, agent, held)


def plain_octets(
    contact: str,
    call_id: str,
    cseq: int,
    expires_at: float,
    now: float,
    listener: int,
    host: str | None,
    transport: int,
    port: int,
    agent: str | None,
    held: bytes | None,
) -> tuple[bytes, float, bool] | None:
    """Return as ``pack_plain``; the source is a host (None for none), the number of a transport, a port."""
    text = f"{contact}\n{call_id}\n\n\n{host or ''}\n{agent or ''}"
    if text.count(_SEPARATOR) != _TEXTS - 1:
        return None
    octets = text.encode("utf-8", "surrogatepass")
    registered, expired, hidden = now, 0.0, host is not None
    if held is not None:
        since: float
        last: int
        size: int
        absent: int
        expired, since, last, size, absent = _unpack_some(held)
        # Where contact and Call-ID end, each with its separator.
        if len(octets) == len(text):
            first = len(contact) + 1
            second = first + len(call_id) + 1
        else:
            first = octets.index(b"\n") + 1
            second = octets.index(b"\n", first) + 1
        if (
            _SIZE + size != len(held)
            or not absent & 16
            or expired <= now
            or held[_SIZE : _SIZE + first] != octets[:first]
            or (cseq <= last and held[_SIZE : _SIZE + second] == octets[:second])
        ):
            return None
        registered = min(since, now)
        hidden = hidden or not absent & 2
    try:
        packed = _pack(
            expires_at,
            registered,
            now,
            cseq,
            len(octets),
            0,
            0,
            listener,
            transport,
            port,
            1 | (host is None) << 1 | (agent is None) << 2 | 24,
        )
    except struct.error:
        return None
    return packed + octets, expired, hidden


def unpack(aor: str, held: Held) -> Record:
    """Return the record of ``aor`` that ``pack`` made ``held`` of."""
    flows: tuple[Hashable, ...] = ()
    if not isinstance(held, bytes):
        first = held[0]
        if not isinstance(first, bytes):
            return held
        flows = held[1:]
        held = first
    binding, end = _binding(aor, held, 0, flows)
    if end == len(held):
        # Nearly all of them.
        return (binding,)
    record = [binding]
    while end < len(held):
        if binding.flow is not None and type(binding.flow) is not int:
            flows = flows[1:]
        binding, end = _binding(aor, held, end, flows)
        record.append(binding)
    return tuple(record)


def _binding(aor: str, held: bytes, begin: int, flows: tuple[Hashable, ...]) -> tuple[Binding, int]:
    """Return the binding at ``begin``, whose flow is the first of ``flows``, and where the next begins."""
    expires, registered, refreshed, cseq, size, reg_id, q, number, transport, port, absent = _unpack_from(
        held, begin
    )
    begin += _SIZE
    end = begin + size
    contact, call_id, params, instance, host, agent, *path = (
        held[begin:end].decode("utf-8", "surrogatepass").split(_SEPARATOR)
    )
    return (
        Binding(
            aor,
            contact,
            expires,
            call_id,
            cseq,
            None if absent & 8 else q,
            registered,
            refreshed,
            tuple(path) if path else (),
            None if absent & 1 else instance,
            None if absent & 16 else reg_id,
            params,
            number if number >= 0 else None if number == _NO_FLOW else flows[0],
            None if absent & 2 else Source(_TRANSPORTS[transport], host, port),
            None if absent & 4 else agent,
        ),
        end,
    )
