"""The state of a user, composed of all that is known of it (RFC 4479 3).

Theory of operation: what phones publish comes first, then what the user wrote. Where neither says whether the
user is there, registrations do; calls add a person who is on the phone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.modules.presence.pidf import closed, compose, on_the_phone, opened, parse_pidf

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sansip.module import Core
    from sansip.modules.presence.pidf import Part
    from sansip.modules.presence.settings import PresenceSettings
    from sansip.modules.publications.shelf import Shelf

__all__ = ["STATE", "Composing"]

# RFC 4827: a state that the user wrote, beside what phones publish.
STATE: Final = ("pidf-manipulation", "index")


class Composing:
    """Composes the states of users.

    Attributes:
        settings: of the module.
    """

    __slots__ = ("_busy", "_core", "_documents", "_shelf", "settings")

    def __init__(
        self,
        core: Core,
        shelf: Shelf,
        documents: Mapping[str, Mapping[str, Mapping[str, Any]]],
        busy: Collection[str],
        settings: PresenceSettings,
    ) -> None:
        """``documents``: by application, user and name; ``busy``: the users who are on the phone."""
        self._core = core
        self._shelf = shelf
        self._documents = documents
        self._busy = busy
        self.settings = settings

    def composed(self, resource: str) -> list[Part]:
        """Return the state of ``resource``."""
        documents: list[list[Part]] = [one.document for one in self._shelf.of("presence", resource)]
        written = self._written(resource)
        if written is not None:
            documents.append(written)
        parts = compose(documents)
        settings = self.settings
        if not _has(parts, "tuple"):
            core = self._core
            there = settings.registrations and core.location.lookup(resource, core.ua.now)
            parts = [opened(resource) if there else closed(), *parts]
        if settings.calls and resource in self._busy and not _has(parts, "person"):
            parts = compose([parts, [on_the_phone()]])
        return parts

    def _written(self, resource: str) -> list[Part] | None:
        """Return the state that the user wrote, None without one."""
        users = self._documents.get(STATE[0])
        names = None if users is None else users.get(resource)
        document = None if names is None else names.get(STATE[1])
        if document is None:
            return None
        try:
            return parse_pidf(document.body)
        except ValueError as error:
            self._core.failed("state", error)
            return None


def _has(parts: list[Part], kind: str) -> bool:
    return any(part.kind == kind for part in parts)
