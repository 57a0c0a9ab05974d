"""The users of this server that a call is of, for modules that tell of users: presence and the like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls.call import Call
    from sansip.modules.calls.elsewhere import CallElsewhere

__all__ = ["users_of"]


def users_of(call: Call | CallElsewhere, core: Core) -> Iterator[str]:
    """Return the addresses-of-record of caller and callee that are users here, and have proved to be."""
    # Not To, which is what the caller wrote.
    for text in (call.caller, call.asked):
        try:
            uri = parse_uri(text)
        except RemoteProtocolError:
            continue
        if not isinstance(uri, SipUri) or not core.listeners.serves(uri.host):
            continue
        if text == call.caller and call.stranger is not None:
            # Only a name in From: nobody has proved to be that user.
            continue
        yield core.address_of(uri)
