"""The module: its settings, its listeners, and its commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sansip.module import FIRST, CommandError, Link, Module, command
from sansip.modules.msrp.ends import MsrpLink
from sansip.modules.msrp.node import Node
from sansip.modules.msrp.settings import MsrpSettings

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["Msrp", "ShownSession"]


@dataclass(slots=True)
class ShownSession:
    """A URI that was handed out, without its secret."""

    number: str
    user: str
    source: str
    expires_in: float


class Msrp(Module):
    """Relays messages and files between clients that cannot reach each other (RFC 4976)."""

    name = "msrp"
    over_workers = FIRST
    Settings = MsrpSettings
    protocols: ClassVar[Mapping[str, type[Link]]] = {"msrp": MsrpLink}
    settings: MsrpSettings

    def start(self, core: Core, now: float) -> None:
        self.node = Node(core, self.settings)

    def configure(self, settings: MsrpSettings, now: float) -> None:
        self.settings = self.node.settings = settings

    @command("msrp.list")
    def list_all(self, now: float) -> list[ShownSession]:
        """Return the URIs that are handed out."""
        return [
            # The first digits name a URI; the rest is its secret.
            ShownSession(one.id[:8], one.user, one.side.source, round(one.until - now, 1))
            for one in self.node.sessions.all()
        ]

    @command("msrp.remove")
    def remove(self, number: str) -> int:
        """Take back a URI by its number; return how many were taken back."""
        found = [one for one in self.node.sessions.all() if one.id.startswith(number)]
        if len(number) < 8 or not found:
            raise CommandError(f"msrp.remove: no URI has the number {number[:20]!r} (see msrp.list)")
        for session in found:
            self.node.sessions.remove(session)
        return len(found)
