"""One event package for lists (RFC 4662): the states of all members in one NOTIFY.

Theory of operation: for each member that is a user of this server the base package is asked what this watcher
may see, and for its content, as if the watcher had subscribed to that member; nothing goes through SIP. To a
member elsewhere this server subscribes for the watcher (module ``watches``), and passes on what it hears. The
first NOTIFY has all members, the next ones those that changed. States for which a NOTIFY has no room come in
the next one, before those that change meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from sansip.module.xml import attribute, text
from sansip.modules.events import Content, Package, Subscription, Verdict
from sansip.modules.lists.services import Member
from sansip.modules.watches import Watch, Watches
from sansip.modules.watches.watch import Hears, may_be_watched
from sansip.wire.multipart import Part, build_multipart

__all__ = ["ListPackage"]

_RLMI: Final = "application/rlmi+xml"
# Packages of which each NOTIFY has the whole state: a newer one takes the place of an older one.
_WHOLE: Final = frozenset(("presence", "message-summary"))
_WORDS: Final = {
    Verdict.ALLOW: "active",
    Verdict.POLITE: "active",
    Verdict.CONFIRM: "pending",
    Verdict.BLOCK: "terminated",
}


class _Told:
    """What a watcher of a list has to be told."""

    __slots__ = ("changed", "elsewhere", "hears", "inner", "room")

    def __init__(self, hears: Hears) -> None:
        # Members that changed since the last NOTIFY, in order, and the watcher's view of each.
        self.changed: dict[str, None] = {}
        self.inner: dict[str, Subscription] = {}
        # Subscriptions to members elsewhere, and what they tell.
        self.elsewhere: dict[str, Watch] = {}
        self.hears = hears
        # Octets of states that the NOTIFY which is being made still takes.
        self.room = 0


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
        watches: Callable[[], Watches | None],
        look: Callable[[Subscription, float], None],
    ) -> None:
        # The name of its rows; the watcher reads that of the base.
        self.event = f"{base.event}.list"  # type: ignore[misc]  # a name of the object, for each base
        self.base = base
        self._members = members
        self._is_user = is_user
        self._token = token
        self._watches = watches
        self._look = look
        self.types = ("multipart/related", _RLMI, *base.types)  # type: ignore[misc]  # the parts' as well
        self.interval, self.burst = 5.0, 2
        # Octets of all states in one NOTIFY.
        self.size = 262_144

    async def prepare(self, resource: str) -> None:
        await self.base.prepare(resource)

    def serves(self, resource: str) -> bool:
        return True

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        # A list is its owner's: it was found among the lists of this watcher.
        return Verdict.BLOCK if self._members(subscription) is None else Verdict.ALLOW

    def changed(self, subscription: Subscription, member: str) -> None:
        """Something of ``member`` changed."""
        self._told(subscription).changed[member] = None
        subscription.note(None, None)

    # --- members elsewhere

    def _told(self, subscription: Subscription) -> _Told:
        if subscription.memo is None:
            subscription.memo = _Told(partial(self._heard, subscription))
        told: _Told = subscription.memo
        return told

    def _heard(self, subscription: Subscription, watch: Watch, now: float) -> None:
        """What is known of a member elsewhere changed."""
        self.changed(subscription, watch.uri)
        self._look(subscription, now)

    def _follow(self, subscription: Subscription, told: _Told, member: str, now: float) -> Watch | None:
        """Return what is known of ``member``, who is elsewhere; None where nothing is."""
        watch = told.elsewhere.get(member)
        if watch is not None or self.base.event not in _WHOLE or not subscription.counted:
            # A fetch (RFC 6665 4.4.3) is over before anything could be heard.
            return watch
        watches = self._watches()
        if watches is not None and may_be_watched(member):
            kind = self.base.types[0]
            watch = watches.follow(subscription.watcher, member, self.base.event, kind, told.hears, now)
            if watch is not None:
                told.elsewhere[member] = watch
        return watch

    def let_go(self, subscription: Subscription, now: float, known: Collection[str] = ()) -> None:
        """End the subscriptions to members elsewhere that are not ``known``: all, where the list's ends."""
        told: _Told | None = subscription.memo
        left = () if told is None else told.elsewhere.keys() - known
        watches = self._watches() if left else None
        if told is not None and watches is not None:
            for gone in left:
                watches.leave(told.elsewhere.pop(gone), told.hears, now)

    def content(self, subscription: Subscription, now: float) -> Content | None:
        members = self._members(subscription)
        if members is None:
            return None
        told = self._told(subscription)
        full = subscription.full
        known = {member.uri: member for member in members}
        for gone in told.inner.keys() - known.keys():
            del told.inner[gone]
        self.let_go(subscription, now, known)
        wanted = members if full else [known[uri] for uri in told.changed if uri in known]
        told.changed, told.room = {}, self.size
        boundary, root = self._token(), f"{self._token()}@rlmi"
        parts: list[tuple[str, Content]] = []
        found = [(one, self._resource(subscription, told, one, parts, now)) for one in wanted]
        # RFC 4662 5.4: a list in full names those as well of which nothing is told yet.
        listed = "".join(text for one, text in found if full or one.uri not in told.changed)
        subscription.more = bool(told.changed)
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
        if told.room <= 0:
            told.changed[member.uri] = None
        elif self._is_user(member.uri):
            inner = told.inner.get(member.uri)
            if inner is None:
                inner = told.inner[member.uri] = _inner(self.base, subscription, member.uri)
            inner.verdict = self.base.judge(inner, now)
            state = _WORDS[inner.verdict]
            reason = ' reason="rejected"' if inner.verdict is Verdict.BLOCK else ""
            content = None
            if state == "active":
                inner.full = True
                content = self.base.content(inner, now)
            number = "" if content is None else self._number(told, member.uri, content, parts)
            if content is None or number:
                cid = f' cid="{number}"' if number else ""
                instance = f'<instance id="1" state="{state}"{reason}{cid}/>'
        elif (watch := self._follow(subscription, told, member.uri, now)) is not None:
            instance = self._instance_elsewhere(watch, told, parts)
        # RFC 4662 5.4: without an instance nothing is known of it.
        return f"<resource uri={attribute(member.uri)}>{name}{instance}</resource>"

    def _number(self, told: _Told, uri: str, content: Content, parts: list[tuple[str, Content]]) -> str:
        """Append the state of ``uri`` and return its Content-ID; "" where there is no room for it."""
        size = len(content.body)
        if size > told.room:
            if size <= self.size:
                # The next NOTIFY begins with it.
                told.changed[uri] = None
                told.room = 0
            return ""
        told.room -= size
        number = f"{self._token()}@{len(parts)}"
        parts.append((number, content))
        return number

    def _instance_elsewhere(self, watch: Watch, told: _Told, parts: list[tuple[str, Content]]) -> str:
        if watch.state == "active" and watch.body:
            number = self._number(told, watch.uri, Content(watch.type, watch.body), parts)
            return f'<instance id="1" state="active" cid="{number}"/>' if number else ""
        if watch.state == "terminated":
            # RFC 4662 5.5: with a reason.
            return f'<instance id="1" state="terminated" reason={attribute(watch.reason)}/>'
        # RFC 4662 5.5: "active" needs a part.
        return '<instance id="1" state="pending"/>' if watch.state == "pending" else ""


def _inner(base: Package, outer: Subscription, resource: str) -> Subscription:
    """Return the watcher's view of one member; it has no dialog, and is nowhere counted."""
    inner = Subscription(outer.id, base, resource, outer.watcher)
    inner.proven = outer.proven
    inner.accept = tuple(one for one in outer.accept if one in base.types) or base.types[:1]
    return inner


def _part(cid: str, kind: str, body: bytes) -> Part:
    headers = [("Content-Transfer-Encoding", "binary"), ("Content-ID", f"<{cid}>"), ("Content-Type", kind)]
    return Part(headers, body)
