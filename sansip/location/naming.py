"""Names of bindings: few octets that find one again among those of its address-of-record.

Theory of operation: a flow token outlives the flow (``transport.flow_token``), and then the binding says
where its phone is now. A phone is known again by these values:

    the flow       instance and reg-id, where it registers flows (RFC 5626 4.2)
    the instance   its other flows are as good (RFC 5626 5.3.2)
    the contact    where it has no instance
    the Call-ID    all registrations of one phone at one registrar have the same
                   (RFC 3261 10.2), though each new connection may give it a new Contact

A name has a checksum of each, and is compared only with bindings of the same user. If a user makes two equal,
two phones of that user count as one, and the wrong one answers 481.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from .binding import Binding

__all__ = ["key_of", "named_by"]

# Checksum of the phone, its reg-id, and checksum of its Call-ID.
_pack = Struct(">IBI").pack
_PHONE = 4
# How well a binding fits that is named itself.
_EXACT = 3


def key_of(binding: Binding) -> bytes:
    """Return the 9 octets that stand for ``binding`` at its address-of-record."""
    # RFC 4122 3: a UUID has no case. In other URNs the namespace has no case, and two devices of one user
    # will hardly differ in case only.
    phone = binding.contact if binding.instance is None else f"\n{binding.instance.lower()}"
    call = binding.call_id.encode("utf-8", "surrogatepass")
    return _pack(crc32(phone.encode("utf-8", "surrogatepass")), (binding.reg_id or 0) & 0xFF, crc32(call))


def named_by(key: bytes, bindings: Sequence[Binding], *, exact: bool = False) -> Binding | None:
    """Return the one of ``bindings`` that ``key`` stands for now, or None.

    For a phone that registers flows: the same flow, else another one of that phone. For any other phone: its
    last registration. ``exact``: the same flow or Contact only.
    """
    best, rank = None, (0.0, 0.0)
    flows = bool(key[_PHONE])
    for binding in bindings:
        other = key_of(binding)
        if other[:_PHONE] == key[:_PHONE]:
            fits = _EXACT if other[_PHONE] == key[_PHONE] else 2
        elif other[_PHONE + 1 :] == key[_PHONE + 1 :]:
            fits = 1
        else:
            continue
        if exact and fits != _EXACT:
            continue
        # A connection that broke may look alive, and its binding stands, where the new one
        # has another Contact.
        this = (fits, binding.refreshed_at) if flows else (binding.refreshed_at, fits)
        if best is None or this > rank:
            best, rank = binding, this
    return best
