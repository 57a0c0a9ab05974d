"""The module ``presence``: a presence agent (RFC 3856) with rules, watcher information and partial documents.

Theory of operation: the state of a user is composed of what phones publish; where they publish nothing, of
registrations, and of calls. A change of any of these, or of the rules, reaches the watchers at once, each at
its pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.module import FIRST, CommandError, Module, ModuleFault, command
from sansip.module.xml import FIX, has_lxml
from sansip.modules.calls.elsewhere import CallElsewhere
from sansip.modules.calls.events import CallAnswered, CallFinished, CallTakenBack
from sansip.modules.calls.users import Busy
from sansip.modules.documents import DocumentChanged, Documents, DocumentsRead
from sansip.modules.events import Events, Subscription, Verdict, WatcherChanged
from sansip.modules.presence.composing import STATE, Composing
from sansip.modules.presence.package import PresencePackage, PresencePublishing
from sansip.modules.presence.pidf import parse_pidf, sphere_of, write_pidf
from sansip.modules.presence.rules import EVERYTHING, Rule, Ruleset, Shows, parse_rules
from sansip.modules.presence.settings import PresenceSettings
from sansip.modules.presence.winfo import WatcherInfo
from sansip.modules.publications import Publications
from sansip.wire import parse_uri

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.location import Binding
    from sansip.module import Core

__all__ = ["Presence"]

# RFC 5025 9.7: all documents of a user count; OMA's phones have theirs in an application of its own.
_RULES: Final = ("pres-rules", "org.openmobilealliance.pres-rules")
# Users whose rules have been read and are kept.
_MOST: Final = 10_000
_UNREAD: Final = object()


class Presence(Module):
    """Shows who of the users is there, and how, to those who may see it."""

    name = "presence"
    over_workers = FIRST
    Settings = PresenceSettings
    requires = (Documents, Events, Publications)
    events = (
        CallAnswered,
        CallElsewhere,
        CallFinished,
        CallTakenBack,
        DocumentChanged,
        DocumentsRead,
        WatcherChanged,
    )
    settings: PresenceSettings

    def __init__(self, settings: PresenceSettings) -> None:
        super().__init__(settings)
        # None: there are none.
        self._read: dict[str, Ruleset | None] = {}
        self._busy = Busy()
        self._spheres: dict[str, str] = {}
        self._edges: dict[str, Timer] = {}

    # --- its life

    def check(self, settings: PresenceSettings) -> None:
        """Without lxml there is no presence."""
        if not has_lxml():
            raise ModuleFault(f"presence: {FIX}")

    def start(self, core: Core, now: float) -> None:
        self._documents = core.module(Documents)
        self._engine = core.module(Events)
        self._publications = core.module(Publications)
        for auid in _RULES:
            self._documents.check_with(auid, parse_rules)
        self._documents.check_with(STATE[0], parse_pidf)
        self._composing = Composing(
            core, self._publications.shelf, self._documents.held, self._busy.calls, self.settings
        )
        self._package = PresencePackage(
            self._composing.composed,
            self._judged,
            lambda: self._documents.reading,
            self.settings.interval,
            self.settings.burst,
        )
        if self._documents.is_read:
            self._package.open()
        self._winfo = WatcherInfo(self._engine, "presence", core.unix)
        # Publications first, so that the first NOTIFY after a restart knows them.
        self._publications.add(PresencePublishing(self._changed), now)
        self._engine.add(self._package, now)
        self._engine.add(self._winfo, now)
        core.watch(self._registered)

    def configure(self, settings: PresenceSettings, now: float) -> None:
        """Take new settings; all watchers are judged anew."""
        super().configure(settings, now)
        self._composing.settings = settings
        self._package.interval, self._package.burst = settings.interval, settings.burst
        self._engine.judge("presence", now)

    def stop(self, now: float) -> None:
        """A reload took the module away, or the server drains: subscriptions stay in their rows."""

    # --- the state of a user

    def _changed(self, resource: str, now: float) -> None:
        self._package.forget(resource)
        rules = self._read.get(resource, _UNREAD)
        if (self._read_rules(resource) if rules is _UNREAD else rules) is not None:
            sphere = sphere_of(self._package.state(resource))
            if sphere != self._spheres.get(resource, ""):
                self._spheres[resource] = sphere
                self._engine.judge("presence", now, resource)
        self._engine.changed("presence", resource, now)

    def _registered(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        # Only the first and the last binding change anything.
        if self.settings.registrations and bool(before) != bool(after):
            self._changed(aor, self.core.ua.now)

    # --- who may see it

    def _read_rules(self, resource: str) -> Ruleset | None:
        """Return the rules of a user, None where there are none."""
        found: Any = self._read.get(resource, _UNREAD)
        if found is _UNREAD:
            documents = [one for auid in _RULES for one in self._documents.of(auid, resource)]
            rules: list[Rule] = []
            for document in documents:
                try:
                    rules += parse_rules(document.body)
                except ValueError as error:
                    # A row that somebody wrote by hand: nothing is allowed by it.
                    self.core.failed("rules", error)
            if len(self._read) >= _MOST:
                self._read.pop(next(iter(self._read)))
            found = self._read[resource] = Ruleset(rules) if documents else None
        return found  # type: ignore[no-any-return]  # what is read is one

    def _judged(self, subscription: Subscription, now: float) -> tuple[Verdict, Shows]:
        resource = subscription.resource
        if subscription.proven and subscription.watcher == resource:
            return Verdict.ALLOW, EVERYTHING
        rules = self._read_rules(resource)
        if rules is None:
            return Verdict(self.settings.without_rules), EVERYTHING
        unix = self.core.unix(now)
        self._watch_edges(resource, rules, unix, now)
        sphere = self._spheres[resource] = sphere_of(self._package.state(resource))
        return rules.judge(subscription.watcher if subscription.proven else "", sphere, unix)

    def _watch_edges(self, resource: str, rules: Ruleset, unix: float, now: float) -> None:
        """RFC 4745 7.3: a rule that begins or ends to apply changes what watchers see, at that time."""
        if resource in self._edges:
            return
        edge = rules.next_change(unix)
        if edge is not None:
            self._edges[resource] = self.core.timers.start(now, edge - unix, self, resource)

    def timer_fired(self, name: str, now: float) -> None:
        """A rule of the user ``name`` begins or ends to apply."""
        self._edges.pop(name, None)
        self._engine.judge("presence", now, name)

    def event_received(self, event: Any, now: float) -> None:
        """Hear of rules, watchers and calls."""
        if isinstance(event, WatcherChanged):
            one = event.subscription
            if one.package.event == "presence":
                told = self._winfo.watched(one, event.event)
                self._engine.changed(self._winfo.event, one.resource, now, one.id, told)
        elif isinstance(event, DocumentsRead):
            self._read.clear()
            self._package.open()
            self._engine.judge("presence", now)
            for resource in self._engine.resources("presence"):
                for one in self._engine.of("presence", resource):
                    one.full = True
                self._engine.changed("presence", resource, now)
        elif isinstance(event, DocumentChanged):
            if (event.auid, event.name) == STATE:
                if self._package.ready:
                    self._changed(event.user, now)
            elif self._package.ready and event.auid in _RULES:
                self._read.pop(event.user, None)
                timer = self._edges.pop(event.user, None)
                if timer is not None:
                    timer.cancel()
                self._engine.judge("presence", now, event.user)
        elif self.settings.calls:
            for user, _ in self._busy.heard(event, self.core):
                self._changed(user, now)

    # --- operators

    @command("presence.show")
    def show_presence(self, user: str) -> str:
        """Return the composed document of `user`, as a watcher sees it who may see all."""
        resource = self._user(user)
        return write_pidf(resource, self._package.state(resource)).decode()

    @command("presence.try")
    def try_rules(self, user: str, watcher: str, now: float) -> str:
        """Return what `watcher` may do with `user`: allow, polite-block, confirm or block."""
        resource = self._user(user)
        rules = self._read_rules(resource)
        if rules is None:
            return self.settings.without_rules
        sphere = sphere_of(self._package.state(resource))
        return rules.judge(self._user(watcher), sphere, self.core.unix(now))[0].value

    def _user(self, text: str) -> str:
        try:
            return self.core.address_of(parse_uri(text))
        except RemoteProtocolError as error:
            raise CommandError(f"{text!r:.60} is no SIP URI: {error.reason}") from None
