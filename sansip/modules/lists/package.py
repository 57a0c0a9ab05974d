"""One event package for lists (RFC 4662): the states of all members in one NOTIFY.

Theory of operation: for each member that is a user of this server the base package is asked what this watcher
may see, and for its content, as if the watcher had subscribed to that member; nothing goes through SIP. The
first NOTIFY has all members, the next ones those that changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sansip.module.xml import attribute, text
from sansip.modules.events import Content, Package, Subscription, Verdict
from sansip.modules.lists.services import Member
from sansip.wire.multipart import Part, build_multipart

__all__ = ["ListPackage"]

_RLMI: Final = "application/rlmi+xml"
_WORDS: Final = {
    Verdict.ALLOW: "active",
    Verdict.POLITE: "active",
    Verdict.CONFIRM: "pending",
    Verdict.BLOCK: "terminated",
}


class _Told:
    """What a watcher of a list has to be told."""

    __slots__ = ("changed", "inner")

    def __init__(self) -> None:
        # Members that changed since the last NOTIFY, and the watcher's view of each.
        self.changed: set[str] = set()
        self.inner: dict[str, Subscription] = {}


class ListPackage(Package):
    """Lists of ``base``. ``members(subscription)`` returns those of its list, None where it is gone."""

    # RFC 4662 4: in each 2xx to SUBSCRIBE, and in each NOTIFY.
    headers = (("Require", "eventlist"),)
    hidden = True

    def __init__(
        self,
        base: Package,
        members: Callable[[Subscription], list[Member] | None],
        is_user: Callable[[str], bool],
        token: Callable[[], str],
    ) -> None:
        # The name of its rows; the watcher reads that of the base.
        self.event = f"{base.event}.list"  # type: ignore[misc]  # a name of the object, for each base
        self.base = base
        self._members = members
        self._is_user = is_user
        self._token = token
        self.types = ("multipart/related", _RLMI, *base.types)  # type: ignore[misc]  # the parts' as well
        self.interval, self.burst = 5.0, 2

    async def prepare(self) -> None:
        await self.base.prepare()

    def serves(self, resource: str) -> bool:
        return True

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        # A list is its owner's: it was found among the lists of this watcher.
        return Verdict.BLOCK if self._members(subscription) is None else Verdict.ALLOW

    def changed(self, subscription: Subscription, member: str) -> None:
        """Something of ``member`` changed."""
        _told(subscription).changed.add(member)
        subscription.note(None, None)

    def content(self, subscription: Subscription, now: float) -> Content | None:
        members = self._members(subscription)
        if members is None:
            return None
        told = _told(subscription)
        full = subscription.full
        known = {member.uri for member in members}
        for gone in told.inner.keys() - known:
            del told.inner[gone]
        wanted = members if full else [one for one in members if one.uri in told.changed]
        told.changed.clear()
        boundary, root = self._token(), f"{self._token()}@rlmi"
        parts: list[tuple[str, Content]] = []
        listed = "".join(self._resource(subscription, told, member, parts, now) for member in wanted)
        rlmi = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<list xmlns="urn:ietf:params:xml:ns:rlmi"'
            f' uri={attribute(subscription.resource)} version="{subscription.next_version()}"'
            f' fullState="{"true" if full else "false"}" cid="{root}">{listed}</list>\n'
        )
        whole = [_part(root, _RLMI, rlmi.encode()), *(_part(cid, one.type, one.body) for cid, one in parts)]
        # RFC 4662 5.1: the root is the list itself.
        params = f';type="{_RLMI}";start="<{root}>"'
        return Content(*build_multipart(whole, boundary, subtype="related", params=params))

    def _resource(
        self,
        subscription: Subscription,
        told: _Told,
        member: Member,
        parts: list[tuple[str, Content]],
        now: float,
    ) -> str:
        """Return the element of ``member`` (RFC 4662 5.4), and append its part."""
        name = f"<name>{text(member.name)}</name>" if member.name else ""
        instance = ""
        if self._is_user(member.uri):
            inner = told.inner.get(member.uri)
            if inner is None:
                inner = told.inner[member.uri] = _inner(self.base, subscription, member.uri)
            inner.verdict = self.base.judge(inner, now)
            state = _WORDS[inner.verdict]
            reason = ' reason="rejected"' if inner.verdict is Verdict.BLOCK else ""
            cid = ""
            if state == "active":
                inner.full = True
                content = self.base.content(inner, now)
                if content is not None:
                    number = f"{self._token()}@{len(parts)}"
                    parts.append((number, content))
                    cid = f' cid="{number}"'
            instance = f'<instance id="1" state="{state}"{reason}{cid}/>'
        # RFC 4662 5.4: without an instance nothing is known of it.
        return f"<resource uri={attribute(member.uri)}>{name}{instance}</resource>"


def _told(subscription: Subscription) -> _Told:
    if subscription.memo is None:
        subscription.memo = _Told()
    told: _Told = subscription.memo
    return told


def _inner(base: Package, outer: Subscription, resource: str) -> Subscription:
    """Return the watcher's view of one member; it has no dialog, and is nowhere counted."""
    inner = Subscription(outer.id, base, resource, outer.watcher, _nobody)
    inner.proven = outer.proven
    inner.accept = tuple(one for one in outer.accept if one in base.types) or base.types[:1]
    return inner


def _nobody(*_: Any) -> None:
    """There are no NOTIFYs of its own."""


def _part(cid: str, kind: str, body: bytes) -> Part:
    headers = [("Content-Transfer-Encoding", "binary"), ("Content-ID", f"<{cid}>"), ("Content-Type", kind)]
    return Part(headers, body)
