"""The owner of a branch, as the branch sees it: the response context (RFC 3261 16.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.transaction.base import ClientUser

if TYPE_CHECKING:
    from sansip.transport.dns import Place
    from sansip.wire import Response

__all__ = ["Owner"]


class Owner(ClientUser, Protocol):
    """The owner of a branch, to which it reports: the response context. It hears further 2xx itself."""

    @property
    def cancelled(self) -> bool:
        """Whether the caller gave up."""

    def local_tag(self) -> str:
        """The To tag of responses made here."""

    def ring_left(self, now: float) -> float:
        """For how many seconds an INVITE may still ring."""

    def ring_out(self, now: float) -> None:
        """It has rung for as long as it may."""

    def claim(self, branch: Any, place: Place) -> bool:
        """Whether ``place`` is for ``branch`` to try; False where another one has it."""

    def withdraw(self, branch: Any, now: float) -> None:
        """Another branch leads where ``branch`` would: it is as if there had been no such target."""

    def can_fail_over(self, branch: Any) -> bool:
        """Whether there is another flow of the phone that ``branch`` leads to."""

    def fail_over(self, failed: Any, now: float) -> bool:
        """Try another flow of the phone of ``failed``, whose own is dead; return whether there is one."""

    def provisional_received(self, response: Response, now: float) -> None:
        """A provisional response other than 100, as it goes back."""

    def final_received(self, response: Response, first: bool, now: float) -> None:
        """A final response, as it goes back, or one made in its place; ``first``: of this branch."""

    def send_octets(self, data: bytes, now: float) -> None:
        """Send a 2xx to an INVITE back once more."""
