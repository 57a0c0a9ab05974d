"""The URIs of the services of all users (RFC 4826), and the document that has each.

Theory of operation: a service has a URI that no other service on the server has, nor a phone. All are in
memory by URI, and follow each change of a document. A client that asks for one that is taken gets others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.location.aor import address_of_record
from sansip.modules.documents import Document
from sansip.modules.xcap.faults import Conflict, Exists
from sansip.modules.xcap.tree import Node, read_tree
from sansip.modules.xcap.usages import SERVICES, field_of, services_of
from sansip.wire import SipUri, parse_uri

__all__ = ["Services"]

_Place = tuple[str, str]
# Services whose URI is taken that an answer names.
_MOST_TOLD: Final = 10


def _canonical(uri: str) -> str:
    """RFC 4826 5: equal URIs are one."""
    try:
        parsed = parse_uri(uri.strip())
    except RemoteProtocolError:
        return uri.strip()
    return address_of_record(parsed) if isinstance(parsed, SipUri) else str(parsed)


class Services:
    """The URIs of services, with the document that has each."""

    __slots__ = ("_of_place", "_taken")

    def __init__(self) -> None:
        self._taken: dict[str, _Place] = {}
        self._of_place: dict[_Place, list[str]] = {}

    @property
    def users(self) -> Iterable[str]:
        """The users who have a document of services named "index" (RFC 4826 4.4.7)."""
        return sorted(user for user, name in self._of_place if name == "index")

    def take(self, user: str, name: str, document: Document | None) -> None:
        """A document was written, or deleted."""
        place = (user, name)
        for uri in self._of_place.pop(place, ()):
            if self._taken.get(uri) == place:
                del self._taken[uri]
        if document is None:
            return
        try:
            found = [_canonical(uri) for uri in services_of(read_tree(document.body))]
        except ValueError:
            # An operator wrote it by hand; the module lists tells of it.
            return
        self._of_place[place] = found
        for uri in found:
            self._taken.setdefault(uri, place)

    def new(self, root: Node, user: str, name: str) -> list[str]:
        """Return the URIs of the services in ``root`` that the document did not have before."""
        own = set(self._of_place.get((user, name), ()))
        return [one for one in map(_canonical, services_of(root)) if one not in own]

    def check(
        self, root: Node, user: str, name: str, suggestions: int, is_taken: Callable[[str], bool]
    ) -> None:
        """Raise ``Conflict`` for a service whose URI is taken (RFC 4826 4.4.5)."""
        place = (user, name)
        own = set(self._of_place.get(place, ()))
        seen: set[str] = set()
        exists: list[Exists] = []
        for uri, node in services_of(root).items():
            canonical = _canonical(uri)
            held = self._taken.get(canonical, place) != place
            if canonical in seen or held or (canonical not in own and is_taken(canonical)):
                free = self._free(canonical, suggestions, is_taken)
                exists.append(Exists(field_of(node, "uri", SERVICES), free))
                if len(exists) >= _MOST_TOLD:
                    # Each costs as much as the document is long.
                    break
            seen.add(canonical)
        if exists:
            raise Conflict("uniqueness-failure", "the URI of a service is taken", exists=exists)

    def _free(self, uri: str, most: int, is_taken: Callable[[str], bool]) -> tuple[str, ...]:
        user, at, host = uri.partition("@")
        if not at:
            return ()
        others = (f"{user}-{number}@{host}" for number in range(2, 100))
        free = (one for one in others if one not in self._taken and not is_taken(one))
        return tuple(one for one, _ in zip(free, range(most), strict=False))
