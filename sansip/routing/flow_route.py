"""The flow tokens of ours in the Route of one request, noted one value after the other.

Theory of operation: see ``sansip.routing.flows``, which reads the tokens and follows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.proxy import Target
    from sansip.transport.flow_token import FlowToken, Named

__all__ = ["FlowRoute"]


class FlowRoute:
    """The facts about one request in the tokens of our Route values.

    Attributes:
        target: where it goes, None where they do not say.
        own: the address-of-record whose phone sent it: it came over the connection that a token of its dialog
            names, or the present flow of that binding. "" where that is not known: another phone may have the
            address of a NAT by now.
        wants_flow: the sender asks by ``ob`` to be reached over its flow (RFC 5626 5.3.2).
        onward: the token that says where it goes.
        lost: the binding whose flow is not known here, and may be at another node.
    """

    __slots__ = ("lost", "onward", "own", "target", "wants_flow")

    def __init__(self) -> None:
        self.target: Target | None = None
        self.own = ""
        self.wants_flow = False
        self.lost: Named | None = None
        self.onward: FlowToken | None = None

    @property
    def bound(self) -> bool:
        """Whether the direction is that of a token of a dialog."""
        return self.onward is not None and self.onward.bound

    def add(self, token: FlowToken, senders: str | None, asks: bool) -> None:
        """Note a value with a token. ``senders``: see ``_sender``; ``asks``: it has ``ob``."""
        if senders is None:
            self.onward = token
            return
        if token.bound:
            self.own = senders
        self.wants_flow = self.wants_flow or asks

    def pass_plain(self) -> None:
        """Note a value without a token, after one that had one: it is that of the far side."""
        if self.onward is not None and self.onward.bound:
            # The sender's own, that comes by another flow than the token says.
            self.onward = None
