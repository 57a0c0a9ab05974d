"""Whether a request is from who its From says: for what costs others something, or fills a store.

Theory of operation: From is text that anybody writes. It holds where the sender gave the password of that
user, or, where this server asks for none, where a phone of that user is registered from the address that the
request came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.location import Binding, MemoryLocation
    from sansip.module.core import Core
    from sansip.routing import IncomingRequest

__all__ = ["is_at_home", "is_registered", "proves_sender"]


def proves_sender(core: Core, request: IncomingRequest, sender: str) -> bool:
    """Whether ``request`` is from ``sender``, an address-of-record of ours."""
    return request.authenticated or is_at_home(core, sender, request.flow.host, request.now)


def is_at_home(core: Core, sender: str, host: str, now: float) -> bool:
    """Whether a phone of ``sender`` is registered from ``host``."""
    return is_registered(core.location, sender, host, now)


def is_registered(location: MemoryLocation, sender: str, host: str, now: float) -> bool:
    """Whether ``location`` knows a phone of ``sender`` at ``host``."""
    for binding in location.lookup(sender, now):  # noqa: SIM110 - this is asked for each MESSAGE that is kept
        if _host(binding) == host:
            return True
    return False


def _host(binding: Binding) -> str:
    """Return where the phone is: the address that it registered from, or that of its contact."""
    return binding.received.host if binding.received is not None else getattr(binding.uri, "host", "")
