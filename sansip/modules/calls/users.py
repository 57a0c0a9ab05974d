"""The users of this server that a call is of, for modules that tell of users: presence and the like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.modules.calls.elsewhere import CallElsewhere
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls.call import Call
    from sansip.modules.calls.events import CallAnswered, CallFinished, CallTakenBack

__all__ = ["Busy"]


class Busy:
    """The users of this server who are on the phone.

    Attributes:
        calls: the calls of each.
    """

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls: dict[str, set[str]] = {}

    def __contains__(self, user: str) -> bool:
        return user in self.calls

    def heard(
        self, event: CallAnswered | CallElsewhere | CallFinished | CallTakenBack, core: Core
    ) -> Iterator[tuple[str, bool]]:
        """Take the news of a call; yield each of its users, and whether that made them busy or free."""
        call = event if isinstance(event, CallElsewhere) else event.call
        # Other workers tell of answered calls only (``calls.elsewhere``).
        answered = isinstance(call, CallElsewhere) or call.answered is not None
        for user in _users_of(call, core):
            calls = self.calls.setdefault(user, set())
            before = bool(calls)
            if call.over:
                calls.discard(call.id)
            elif answered:
                calls.add(call.id)
            if not calls:
                del self.calls[user]
            yield user, before != bool(calls)


def _users_of(call: Call | CallElsewhere, core: Core) -> Iterator[str]:
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
