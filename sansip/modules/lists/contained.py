"""Lists that a SUBSCRIBE brings (RFC 5367): the list in its body is that of the subscription.

Theory of operation: the body is a document of ``resource-lists``, maybe compressed, or several in a
multipart, which are one list. What is kept, also in the row, is a short document with the members alone. No
user's document names such a list, so an index says which subscriptions have a member. A later SUBSCRIBE of
the dialog has no body: a phone that wants another list subscribes anew.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from sansip.dialog import Refusal
from sansip.errors import RemoteProtocolError
from sansip.modules.events import Package, Subscription, Verdict
from sansip.modules.lists.package import ListPackage
from sansip.modules.lists.services import Member, parse_contained, write_contained
from sansip.wire.headers.parametered import parse_parametered
from sansip.wire.multipart import Part, message_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.wire import Request

__all__ = ["OPTION", "ContainedListPackage", "Index"]

# RFC 5367 9.2
OPTION: Final = "recipient-list-subscribe"
_TYPE: Final = "application/resource-lists+xml"
_SEVERAL: Final = "multipart/mixed"
_DISPOSITION: Final = "recipient-list"
_ENCODINGS: Final = ("identity", "deflate")


class Index:
    """The subscriptions whose lists have a member, and those of a watcher."""

    def __init__(self) -> None:
        self._of_member: dict[tuple[str, str], dict[str, Subscription]] = {}
        self._of_watcher: dict[str, dict[str, Subscription]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of_watcher.values()))

    def add(self, one: Subscription) -> None:
        """The subscription ``one`` is told from now on."""
        self._of_watcher.setdefault(one.watcher, {})[one.id] = one
        for key in _keys(one):
            self._of_member.setdefault(key, {})[one.id] = one

    def remove(self, one: Subscription) -> None:
        """It ended."""
        _remove(self._of_watcher, one.watcher, one)
        for key in _keys(one):
            _remove(self._of_member, key, one)

    def having(self, package: Package, member: str) -> list[Subscription]:
        """Return the subscriptions of ``package`` to lists with ``member``."""
        return self._living(self._of_member.get((package.event, member)))

    def count(self, watcher: str) -> int:
        """Return how many lists ``watcher`` has."""
        return len(self._living(self._of_watcher.get(watcher)))

    def _living(self, found: dict[str, Subscription] | None) -> list[Subscription]:
        several = () if found is None else tuple(found.values())
        for one in several:
            if not one.counted:
                # Another node has taken it over.
                self.remove(one)
        return [one for one in several if one.counted]


class ContainedListPackage(ListPackage):
    """Lists of ``base`` that SUBSCRIBEs bring."""

    own_body = True
    # All phones may name one address, as that of the service.
    private = True

    def __init__(
        self,
        base: Package,
        index: Index,
        is_user: Callable[[str], bool],
        token: Callable[[], str],
        **parts: Any,
    ) -> None:
        super().__init__(base, _members, is_user, token, **parts)
        self.event = f"{base.event}.contained"  # type: ignore[misc]  # as that of the other lists
        self._index = index
        # Members of one list, lists of one watcher, octets of a list (``ListsSettings``).
        self.most, self.most_of_watcher = 200, 50
        self.body_size = 65_536

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        # RFC 5363 5.2: only for a watcher who has proved who it is, also where others may subscribe.
        if not subscription.proven or subscription.filter is None:
            return Verdict.BLOCK
        if subscription.counted or self._index.count(subscription.watcher) < self.most_of_watcher:
            return Verdict.ALLOW
        return Verdict.BLOCK

    def _told(self, subscription: Subscription) -> Any:
        if subscription.memo is None and subscription.counted:
            self._index.add(subscription)
        return super()._told(subscription)

    # --- the list in the body

    def screen_body(self, request: Request) -> Refusal | None:
        if request.to_tag is not None:
            # RFC 5367 5.1: within the dialog such a body means nothing.
            return Refusal(415, None, (("Accept", ""),))
        found = _lists_in(request)
        return found if isinstance(found, Refusal) else None

    def read_body(self, request: Request) -> tuple[list[Member], str, bytes]:
        lists = _lists_in(request)
        assert not isinstance(lists, Refusal)
        room = self.body_size
        found: dict[str, Member] = {}
        for encoding, body in lists:
            octets = _unpacked(encoding, body, room)
            room -= len(octets)
            # RFC 5363 4.1: several are one list, and each URI is in it once.
            try:
                entries = parse_contained(octets)
            except ValueError as error:
                raise RemoteProtocolError(f"Bad List: {error}", section="RFC 5367 4") from None
            for member in entries:
                if len(found) < self.most:
                    found.setdefault(member.uri, member)
        members = list(found.values())
        return members, _TYPE, write_contained(members)

    def check_filter(self, type: str, body: bytes) -> list[Member]:
        """Return the members in a row."""
        return parse_contained(body)


def _members(subscription: Subscription) -> list[Member] | None:
    found: list[Member] | None = subscription.filter
    return found


def _keys(one: Subscription) -> list[tuple[str, str]]:
    return [(one.package.event, member.uri) for member in one.filter or ()]


def _remove(places: dict[Any, dict[str, Subscription]], key: Any, one: Subscription) -> None:
    found = places.get(key)
    if found is not None and found.pop(one.id, None) is not None and not found:
        del places[key]


def _lists_in(request: Request) -> Refusal | list[tuple[str, bytes]]:
    """Return the lists in the body of a first SUBSCRIBE, each with its encoding.

    Raises RemoteProtocolError where there is none.
    """
    fields = ("Content-Type", "Content-Disposition", "Content-Encoding")
    whole = Part([(name, request.get(name.lower()) or "") for name in fields], request.body)
    parts = [whole]
    if _kind(whole) == _SEVERAL:
        if _encoding(whole) != "identity":
            return Refusal(415, None, (("Accept-Encoding", "identity"),))
        parts = message_parts(request) or []
    found = []
    for part in parts:
        disposition, optional = _disposition(part)
        if disposition == _DISPOSITION and _kind(part) == _TYPE:
            if _encoding(part) not in _ENCODINGS:
                return Refusal(415, None, (("Accept-Encoding", ", ".join(_ENCODINGS)),))
            found.append((_encoding(part), part.body))
        elif _kind(part) != _TYPE and not (optional and part is not whole):
            # RFC 3261 20.11: a part has to be understood unless it says otherwise.
            return Refusal(415, None, (("Accept", f"{_TYPE}, {_SEVERAL}"),))
    if not found:
        raise RemoteProtocolError("no body with disposition recipient-list", section="RFC 5367 3")
    return found


def _kind(part: Part) -> str:
    return (part.get("Content-Type") or "").partition(";")[0].strip().lower()


def _encoding(part: Part) -> str:
    return (part.get("Content-Encoding") or "identity").strip().lower()


def _disposition(part: Part) -> tuple[str, bool]:
    """Return the disposition of ``part``, and whether it may be left out."""
    value = parse_parametered(
        part.get("Content-Disposition") or "render", "Content-Disposition", "RFC 3261 20.11"
    )
    return value.value.lower(), (value.params.get("handling") or "").lower() == "optional"


def _unpacked(encoding: str, body: bytes, most: int) -> bytes:
    """Return the octets of ``body``. Raises RemoteProtocolError: 413 for more than ``most``."""
    octets = body
    if encoding == "deflate":
        work = zlib.decompressobj()
        try:
            octets = work.decompress(body, most + 1)
        except zlib.error:
            raise RemoteProtocolError("Content-Encoding: not deflated", section="RFC 3261 20.12") from None
        if len(octets) <= most and not work.eof:
            raise RemoteProtocolError("Content-Encoding: cut off", section="RFC 3261 20.12")
    if len(octets) > most:
        raise RemoteProtocolError("Request Entity Too Large", status=413, section="RFC 3261 21.4.11")
    return octets
