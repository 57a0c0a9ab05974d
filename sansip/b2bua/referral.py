"""A REFER as a route may judge it: the phone that asks, and the party to call (RFC 3515)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sansip.wire import SipUri, Uri

__all__ = ["Referral", "where_known"]


@dataclass(slots=True)
class Referral:
    """The request of a phone to call another party.

    Attributes:
        by: the side of the bridge that it is on.
        party: its URI, as it says itself.
        known: whether it has proved who it is (the caller: a password, a trusted address), or was called
            because the route named it (the callee).
        target: the party that it wants called.
        replaces: whether the target has a call already that the new one is to take the place of.
    """

    by: Literal["caller", "callee"]
    party: Uri
    known: bool
    target: SipUri
    replaces: bool = False


def where_known(referral: Referral) -> Sequence[Any]:
    """Call the target of a known phone only: a stranger could make us call any number."""
    return [referral.target] if referral.known else []
