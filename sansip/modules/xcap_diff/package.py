"""The package ``xcap-diff`` (RFC 5875): which of the selected documents and parts changed (RFC 5874).

Theory of operation: the mode is ``no-patching``, which a notifier may always take (RFC 5875 4.7): a document
is told by its entity-tags, an element or attribute by its content. What a watcher was told is kept as
entity-tags and hashes; a NOTIFY holds what differs from it at the moment when it leaves. Each document is
read through the rules of XCAP for that watcher, so nothing is told that a GET would not return.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

from sansip.module.xml import attribute, text
from sansip.modules.events import Content, Package, Subscription, Verdict
from sansip.modules.xcap.address import GLOBAL, Address, parse_address
from sansip.modules.xcap.faults import Fault
from sansip.modules.xcap.generated import ALL_USAGES, DIRECTORY
from sansip.modules.xcap.references import resolved
from sansip.modules.xcap.selector import Selector, Terminal
from sansip.modules.xcap.serving import Held
from sansip.modules.xcap.tree import Node, locate, read_tree
from sansip.modules.xcap_diff.selection import TYPE, Collection, Part, Selection, read_selections

__all__ = ["DiffPackage", "Source"]

_DIFF_TYPE: Final = "application/xcap-diff+xml"
_NAMESPACE: Final = "urn:ietf:params:xml:ns:xcap-diff"
# Documents whose trees are kept.
_TREES: Final = 64


class Source(Protocol):
    """What the package needs of the module ``xcap``."""

    @property
    def root(self) -> str: ...

    def owner_of(self, address: Address) -> str: ...

    def seen_by(self, user: str, address: Address) -> Held | None: ...

    def listed_for(self, user: str, auid: str, tree: str) -> list[str]: ...


class DiffPackage(Package):
    """Changes of XCAP documents, for the user whose they are.

    Attributes:
        ready: whether the documents have been read; before that nobody is told anything.
        uris, size: see ``XcapDiffSettings``.
        place: the XCAP root as a URI with a slash at its end.
    """

    event = "xcap-diff"
    types = (_DIFF_TYPE,)
    filters = (TYPE,)

    def __init__(self, source: Source, reading: Callable[[], Awaitable[None]]) -> None:
        self._source = source
        self._reading = reading
        self.ready = False
        self.uris, self.size, self.place = 0, 0, ""
        self._trees: OrderedDict[tuple[bytes, str], Node] = OrderedDict()

    async def prepare(self, resource: str) -> None:
        if not self.ready:
            await self._reading()

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        # RFC 5875 7: who asks has proved it, and XCAP has each user read the own documents.
        own = subscription.proven and subscription.watcher == subscription.resource
        return Verdict.ALLOW if own else Verdict.BLOCK

    def check_filter(self, type: str, body: bytes) -> tuple[Selection, ...]:
        return read_selections(body, self._source.root, self.uris)

    def concerns(self, subscription: Subscription, auid: str, user: str, name: str) -> bool:
        """Whether ``subscription`` selects a document that changed, or something in it."""
        return any(self._concerns(one.wanted, auid, user, name) for one in subscription.filter or ())

    def _concerns(self, wanted: Collection | Part, auid: str, user: str, name: str) -> bool:
        if isinstance(wanted, Collection):
            # The directory changes with each of the documents.
            return wanted.auid in ("", auid, DIRECTORY.auid)
        address = wanted.address
        if address.auid == DIRECTORY.auid:
            return True
        if address.auid == auid == "rls-services" and address.is_global:
            # RFC 4826 4.4.7: it is made of the documents of all users.
            return True
        return (address.auid, address.name) == (auid, name) and self._owner(address) == user

    def _owner(self, address: Address) -> str:
        """Return the user who owns the document at ``address``; "" if no user does."""
        try:
            return self._source.owner_of(address)
        except Fault:
            return ""

    # --- the content

    def content(self, subscription: Subscription, now: float) -> Content | None:
        if not self.ready:
            return None
        selections: tuple[Selection, ...] = subscription.filter or ()
        before: dict[str, str] = {} if subscription.full else subscription.memo or {}
        after: dict[str, str] = {}
        parts: list[str] = []
        room = self.size
        said: set[tuple[str, str, str]] = set()
        for sel, address, owner, selector in self._parts(selections, subscription.watcher):
            held = self._source.seen_by(subscription.watcher, address)
            if selector is None:
                key = (address.auid, owner, address.name)
                if key in said:
                    # RFC 5875 4.7: a document that a collection holds as well is told once.
                    continue
                said.add(key)
                if held is not None:
                    after[sel] = held.etag
                if after.get(sel) != before.get(sel):
                    parts.append(_document(sel, before.get(sel), after.get(sel)))
                continue
            part = None if held is None else self._read(held, sel, selector)
            if part is not None:
                after[sel] = hashlib.sha256(part.encode()).hexdigest()[:24]
            if after.get(sel) == before.get(sel):
                continue
            if part is None:
                parts.append(_gone(sel, selector))
            elif len(part) > room:
                # RFC 5875 4.7: that it is there, without its content.
                parts.append(f"<d:{_kind(selector)} sel={attribute(sel)}/>")
            else:
                room -= len(part)
                parts.append(part)
        # Documents of collections that are gone.
        listed = {one.text for one in selections}
        parts += [
            _document(sel, etag, None)
            for sel, etag in before.items()
            if sel not in after and sel not in listed
        ]
        subscription.memo = after
        place = next((one.root for one in selections if one.root), self.place)
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<d:xcap-diff xmlns:d="{_NAMESPACE}"'
            f" xcap-root={attribute(place)}>{''.join(parts)}</d:xcap-diff>\n"
        )
        return Content(_DIFF_TYPE, body.encode())

    def _parts(
        self, selections: tuple[Selection, ...], user: str
    ) -> Iterator[tuple[str, Address, str, Selector | None]]:
        """Return what is selected: the documents that are named, then those of collections."""
        collections: list[Collection] = []
        for one in selections:
            if isinstance(one.wanted, Collection):
                collections.append(one.wanted)
            else:
                address = one.wanted.address
                yield one.text, address, self._owner(address), one.wanted.selector
        root = self._source.root
        for collection in collections:
            if collection.of is not None and self._owner(collection.of) != user:
                continue
            for auid in [collection.auid] if collection.auid else ALL_USAGES:
                for path in self._source.listed_for(user, auid, collection.tree):
                    address = parse_address(f"{root}/{path}", "", root or "/")
                    yield path, address, GLOBAL if address.is_global else user, None

    def _read(self, held: Held, sel: str, selector: Selector) -> str | None:
        """Return the element of a part of a document (RFC 5874 3), None where it is not there."""
        try:
            root = self._tree(held)
            octets, _ = held.select(selector, root)
        except (Fault, ValueError):
            return None
        content = octets.decode()
        if selector.terminal is not Terminal.ELEMENT:
            return f"<d:attribute sel={attribute(sel)}>{text(resolved(content[1:-1]) or '')}</d:attribute>"
        node, _ = locate(root, selector.steps)
        scope = {} if node is None else node.in_scope()
        # Our own prefix may mean something else there.
        mine = "d"
        while scope.get(mine, _NAMESPACE) != _NAMESPACE:
            mine += "d"
        scope[mine] = _NAMESPACE
        declared = "".join(
            f" xmlns{':' if prefix else ''}{prefix}={attribute(namespace)}"
            for prefix, namespace in sorted(scope.items())
            if prefix != "xml"
        )
        return f"<{mine}:element sel={attribute(sel)}{declared}>{content}</{mine}:element>"

    def _tree(self, held: Held) -> Node:
        key = (hashlib.sha256(held.body).digest(), held.etag)
        found = self._trees.pop(key, None) or read_tree(held.body)
        self._trees[key] = found
        if len(self._trees) > _TREES:
            self._trees.popitem(last=False)
        return found


def _document(sel: str, before: str | None, after: str | None) -> str:
    """RFC 5874 3: a document that is new, has changed, or is gone, by its entity-tags."""
    tags = "".join(
        f" {name}={attribute(etag)}"
        for name, etag in (("new-etag", after), ("previous-etag", before))
        if etag is not None
    )
    return f"<d:document{tags} sel={attribute(sel)}/>"


def _kind(selector: Selector) -> str:
    return "element" if selector.terminal is Terminal.ELEMENT else "attribute"


def _gone(sel: str, selector: Selector) -> str:
    return f'<d:{_kind(selector)} sel={attribute(sel)} exists="false"/>'
