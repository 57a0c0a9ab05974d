"""The location service: which contacts an address-of-record is bound to (RFC 3261 10.1).

    location = MemoryLocation(limits)
    location.lookup(aor, now)          -> list[Binding]   best first, never an expired one
    location.apply(update, now)        -> Outcome         all of the LocationUpdate or nothing
    location.expire(now)               -> list[Binding]   the expired ones; bounded per call
    location.next_expiry()             -> float | None    when to call expire() next
    location.remove(aor, now)          -> list[Binding]   an administrator's removal
    location.aors_of(flow) -> tuple[str, ...]             the users of a connection that is lost
    location.snapshot()                -> list[(aor, tuple[Binding, ...])]
    key_of(binding), named_by(key, bindings)              a binding is found again

``address_of_record(uri)`` makes the ``aor`` text: use it for To in a REGISTER and
for the Request-URI of everything else. All of it is synchronous and pure; times
are those of the caller's clock.
"""

from __future__ import annotations

from .aor import Addresses, address_of_record
from .binding import Binding
from .memory import MemoryLocation, Record
from .naming import key_of, named_by
from .nodes import Heartbeat, NodeConfig, Nodes, NodeState
from .shared import ConnectionFlow, NodeFlow, SharedLocation, SharedRead, SharedRecord, SharedWrite
from .source import Source, read_source
from .update import LocationUpdate, Outcome

__all__ = [
    "Addresses",
    "Binding",
    "ConnectionFlow",
    "Heartbeat",
    "LocationUpdate",
    "MemoryLocation",
    "NodeConfig",
    "NodeFlow",
    "NodeState",
    "Nodes",
    "Outcome",
    "Record",
    "SharedLocation",
    "SharedRead",
    "SharedRecord",
    "SharedWrite",
    "Source",
    "address_of_record",
    "key_of",
    "named_by",
    "read_source",
]
