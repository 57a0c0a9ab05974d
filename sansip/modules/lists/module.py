"""The module ``lists``: a resource list server (RFC 4662) for the lists of users (RFC 4826).

Theory of operation: a user's documents name lists by URI. If the user subscribes to such a URI, the
subscription is one to all members, and the states of members that are users here are read from the packages
themselves. Only the owner can subscribe to a list, so no user can take the address of another one. A
SUBSCRIBE may also bring its list (RFC 5367, ``contained``), whatever address it is sent to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module import FIRST, CommandError, Doc, Module, ModuleFault, command
from sansip.module.xml import FIX, has_lxml
from sansip.modules.documents import DocumentChanged, Documents, DocumentsRead
from sansip.modules.events import Events, Package, Subscription, WatcherChanged
from sansip.modules.lists.contained import OPTION, ContainedListPackage, Index
from sansip.modules.lists.package import ListPackage
from sansip.modules.lists.services import Member, Service, members_of, parse_lists, parse_services
from sansip.modules.watches import Watches
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.wire import Request

__all__ = ["Lists", "ListsSettings"]

_SERVICES: Final = ("rls-services", "index")
_LISTS: Final = ("resource-lists", "index")
# NOTIFYs of one change that leave at once; of more a group at a time.
_MANY: Final = 16


@dataclass(slots=True)
class ListsSettings:
    """The table [lists]. Raises ``ValueError``."""

    members: Annotated[int, Doc("Members of one list that are told; further ones are left out.")] = 200
    interval: Annotated[float, Doc("Seconds between two NOTIFYs of one list, in the long run.")] = 5.0
    size: Annotated[
        int, Doc("Octets of the states in one NOTIFY; those beyond that come in the next ones.")
    ] = 262_144
    body: Annotated[
        int, Doc("Octets of a list that a SUBSCRIBE brings (RFC 5367), unpacked; for more there is a 413.")
    ] = 65_536
    most_of_watcher: Annotated[
        int, Doc("Subscriptions of one watcher to such lists; for more there is a 403.")
    ] = 50

    def __post_init__(self) -> None:
        if not 1 <= self.members <= 2_000:
            raise ValueError(f"members is {self.members}: 1 to 2000")
        if not 0 <= self.interval <= 3600:
            raise ValueError(f"interval is {self.interval:g}: 0 to 3600 seconds")
        if not 8_192 <= self.size <= 16_777_216:
            raise ValueError(f"size is {self.size}: 8192 to 16777216 octets")
        if not 1_024 <= self.body <= 65_536:
            raise ValueError(f"body is {self.body}: 1024 to 65536 octets")
        if self.most_of_watcher < 0:
            raise ValueError(f"most_of_watcher is {self.most_of_watcher}: at least 0")


class Lists(Module):
    """Serves subscriptions to lists of users (RFC 4662): one SUBSCRIBE for all buddies."""

    name = "lists"
    over_workers = FIRST
    Settings = ListsSettings
    requires = (Documents, Events)
    events = (DocumentChanged, DocumentsRead, WatcherChanged)
    settings: ListsSettings

    def __init__(self, settings: ListsSettings) -> None:
        super().__init__(settings)
        # Owner -> its services, each with its members.
        self._read: dict[str, dict[str, tuple[Service, list[Member]]]] = {}
        # Address of a member -> (owner, URI) of the lists that have it.
        self._of_member: dict[str, set[tuple[str, str]]] = {}
        self._packages: dict[str, ListPackage] = {}
        # Lists that SUBSCRIBEs bring.
        self._contained: dict[str, ContainedListPackage] = {}
        self._index = Index()

    def check(self, settings: ListsSettings) -> None:
        """Without lxml there are no lists."""
        if not has_lxml():
            raise ModuleFault(f"lists: {FIX}")

    def start(self, core: Core, now: float) -> None:
        self._documents = core.module(Documents)
        self._engine = core.module(Events)
        self._documents.check_with(_SERVICES[0], parse_services)
        self._documents.check_with(_LISTS[0], parse_lists)
        self._engine.extensions |= {"eventlist", OPTION}
        core.offer(("eventlist", OPTION))
        self._engine.serve_lists(self._list_for, self._changed, self._added, now)

    def configure(self, settings: ListsSettings, now: float) -> None:
        """Take new settings."""
        super().configure(settings, now)
        for owner in tuple(self._read):
            self._forget(owner)
        for package in (*self._packages.values(), *self._contained.values()):
            self._set(package)

    # --- the lists of users

    def _services(self, owner: str) -> dict[str, tuple[Service, list[Member]]]:
        found = self._read.get(owner)
        if found is None:
            document = self._documents.get(_SERVICES[0], owner, _SERVICES[1])
            if document is None:
                # Nothing is kept of it: anybody can write any name into From.
                return {}
            lists = self._documents.get(_LISTS[0], owner, _LISTS[1])
            try:
                services = parse_services(document.body)
                named = {} if lists is None else parse_lists(lists.body)
            except ValueError as error:
                self.core.failed("lists", error)
                services, named = {}, {}
            most = self.settings.members
            found = {
                uri: (service, members_of(service, services, named, most))
                for uri, service in services.items()
            }
            self._read[owner] = found
            for uri, (_, members) in found.items():
                for member in members:
                    self._of_member.setdefault(member.uri, set()).add((owner, uri))
        return found

    def _forget(self, owner: str) -> None:
        for uri, (_, members) in self._read.pop(owner, {}).items():
            for member in members:
                places = self._of_member.get(member.uri)
                if places is not None:
                    places.discard((owner, uri))
                    if not places:
                        del self._of_member[member.uri]

    def _members(self, subscription: Subscription) -> list[Member] | None:
        found = self._services(subscription.watcher).get(subscription.resource)
        return None if found is None else found[1]

    def _list_for(self, base: Package, request: Request, resource: str, watcher: str) -> ListPackage | None:
        """Return the package of the list ``resource`` of ``watcher``, None where there is no such list."""
        if any(tag.lower() == OPTION for tag in request.require):
            if not request.body:
                raise RemoteProtocolError("no body with disposition recipient-list", section="RFC 5367 3")
            return self._contained.get(base.event)
        found = self._services(watcher).get(resource)
        if found is None or (found[0].packages and base.event not in found[0].packages):
            return None
        return self._packages.get(base.event)

    def _added(self, base: Package, now: float) -> None:
        """A package is served: so are lists of it."""
        token, watches, look = self.core.entropy.token, self._watches, self._look
        package = ListPackage(base, self._members, self._is_user, token, watches, look)
        contained = ContainedListPackage(base, self._index, self._is_user, token, watches=watches, look=look)
        self._packages[base.event], self._contained[base.event] = package, contained
        for one in (package, contained):
            self._set(one)
            self._engine.add(one, now)

    def _set(self, package: ListPackage) -> None:
        settings = self.settings
        package.interval, package.size = settings.interval, settings.size
        if isinstance(package, ContainedListPackage):
            package.most, package.most_of_watcher = settings.members, settings.most_of_watcher
            package.body_size = settings.body

    def _watches(self) -> Watches | None:
        """Return the module that subscribes elsewhere, None where it is not configured."""
        return self.core.find(Watches)

    def _look(self, subscription: Subscription, now: float) -> None:
        if subscription.counted:
            self._engine.look(subscription, now)

    def _is_user(self, address: str) -> bool:
        try:
            uri = parse_uri(address)
        except RemoteProtocolError:
            return False
        return isinstance(uri, SipUri) and uri.user is not None and self.core.listeners.serves(uri.host)

    # --- changes

    def _changed(self, event: str, resource: str, now: float) -> None:
        """The state of a user changed, or who may see it: lists that have it are told."""
        package = self._packages.get(event)
        if package is None:
            return
        for owner, uri in self._of_member.get(resource, ()):
            for one in self._engine.of(package.event, uri):
                if one.watcher == owner:
                    package.changed(one, resource)
                    self._engine.look(one, now)
        contained = self._contained[event]
        having = self._index.having(contained, resource)
        for one in having:
            contained.changed(one, resource)
            self._engine.look(one, now, soon=len(having) > _MANY)

    def event_received(self, event: Any, now: float) -> None:
        """A user's lists are other ones: they are told whole. At the start, once all documents are read."""
        if isinstance(event, WatcherChanged):
            one = event.subscription
            if isinstance(one.package, ListPackage) and not one.counted:
                one.package.let_go(one, now)
                self._index.remove(one)
            return
        owner = ""
        if isinstance(event, DocumentChanged):
            if (event.auid, event.name) not in (_SERVICES, _LISTS):
                return
            owner = event.user
            self._forget(owner)
            if not self._documents.is_read:
                return
        for package in self._packages.values():
            for name in self._engine.resources(package.event):
                for one in self._engine.of(package.event, name):
                    if owner not in ("", one.watcher):
                        continue
                    if self._members(one) is None:
                        self._engine.end(one, "noresource", now)
                    else:
                        one.full = True
                        one.note(None, None)
                        self._engine.look(one, now)

    # --- operators

    @command("lists.show")
    def show_lists(self, user: str) -> dict[str, list[str]]:
        """Return the lists of `user`, each with the addresses of its members."""
        try:
            owner = self.core.address_of(parse_uri(user))
        except RemoteProtocolError as error:
            raise CommandError(f"lists.show: {user!r:.60} is no SIP URI: {error.reason}") from None
        return {uri: [one.uri for one in members] for uri, (_, members) in self._services(owner).items()}
