"""What SIGHUP and ``sansip ctl reload`` do: read everything again, judge it, and take all or nothing.

Theory of operation: in four steps, of which only the last changes anything.

    read      the configuration, the files that it names, and the options of the command line
    judge     settings that cannot change (``config.fixed``); the route, in a child process first
              (``trial``)
    prepare   certificates, and sockets of listeners that are new: a port may be taken; in a thread the
              tables and outer halves of modules that are new (``preparation``)
    take      one input of the stack (``Stack.configure``), then the sockets; none of it can fail any more

If something is wrong in one of the steps, the reload reports all faults, each with its file and line
if it has one, and all stays as it was. Running requests end by the route that they began with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from sansip.config import ListenerConfig, Reconfiguration
from sansip.errors import LocalProtocolError
from sansip.journal import JournaledStack
from sansip.module import ModuleFault
from sansip.routing.handlers import handlers_of
from sansip_server import logs
from sansip_server.comparison import changed, compare
from sansip_server.config import build
from sansip_server.config.fixed import fixed_faults
from sansip_server.config.load import ConfigFault
from sansip_server.config.node import node_config
from sansip_server.config.places import listen_path, told
from sansip_server.config.protocols import protocol_listeners, protocols
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from sansip_server.modules import look_again, strangers
from sansip_server.numbering import Numbering
from sansip_server.preparation import Preparation
from sansip_server.provision import Prepared, Provision, needs
from sansip_server.routes import DEFAULT_ROUTE, default_route, fingerprint, load_again
from sansip_server.trial import Trial
from sansip_server.trial_watch import TrialWatch

if TYPE_CHECKING:
    from sansip.stack import Stack
    from sansip_server.access import Access
    from sansip_server.storage import Storage
    from sansip_sockets import Hub, Relisten, TlsContexts

__all__ = ["Outcome", "Reload"]

logger = logging.getLogger("sansip.server")


@dataclass(slots=True)
class Outcome:
    """The outcome of a reload.

    Attributes:
        done: the things that were read again; empty if something failed.
        failed: the faults, a line each; then all is as it was.
    """

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Reload:
    """Reloads, one after the other. ``read_again`` returns the present settings, or raises OperatorError.

    ``renewed`` is called with the domains when the certificates may have changed.
    """

    def __init__(
        self,
        settings: Settings,
        read_again: Callable[[], Settings],
        access: Access,
        tls: TlsContexts,
        storage: Storage | None,
        renewed: Callable[[Iterable[str]], None],
        provision: Provision,
    ) -> None:
        self._settings = settings
        self._read_again = read_again
        self._access = access
        self._tls = tls
        self._storage = storage
        self._renewed = renewed
        self._provision = provision
        self._stack: Stack | None = None
        self._hub: Hub | None = None
        self._numbering = Numbering([], [])
        # How many times a route was taken.
        self._generation = 0
        # Callers that wait for the reload under way, and for the one after it.
        self._waiting: list[Callable[[Outcome], None]] = []
        self._next: list[Callable[[Outcome], None]] = []
        self._runs = False

    def attach(self, stack: Stack, hub: Hub, wanted: Sequence[ListenerConfig]) -> None:
        """Change ``stack`` from now on; ``wanted`` are its listeners as they were configured."""
        self._stack, self._hub = stack, hub
        self._numbering.take(wanted, stack.config.listeners)

    def __call__(self, done: Callable[[Outcome], None]) -> None:
        """Read again, log the outcome, and call ``done`` with it.

        An operator who asks while a reload runs gets another one after it: the files may have changed since.
        """
        if self._runs:
            self._next.append(done)
            return
        self._runs = True
        self._waiting = [done]
        self._begin()

    def _begin(self) -> None:
        assert self._hub is not None
        look_again()
        file = self._settings.file
        unknown = [] if file is None else strangers(file)
        if not unknown:
            self._read([])
            return
        # Reading the settings of these modules imports their packages.
        try:
            TrialWatch(self._hub, Trial(None, unknown), self._read)
        except OSError as error:
            self._end(Outcome(failed=[f"modules cannot be tried: {error}"]))

    def _read(self, faults: list[str]) -> None:
        """Read everything, if the packages of new modules can be imported."""
        assert self._hub is not None
        if faults:
            self._end(Outcome(failed=faults))
            return
        try:
            settings = self._read_again()
        except OperatorError as error:
            self._end(Outcome(failed=list(error.lines)))
            return
        if settings.route is None:
            self.tried(settings, [])
            return
        try:
            trial = Trial(settings.route)
        except OSError as error:
            self._end(Outcome(failed=[f"the route cannot be tried: {error}"]))
            return
        TrialWatch(self._hub, trial, partial(self.tried, settings))

    def tried(self, settings: Settings, faults: list[str]) -> None:
        """The trial of the route has ended, or there is none to try."""
        try:
            self._judge(settings, faults)
        except Exception as error:
            # A bug here must not leave the next reload waiting.
            logger.exception("reload")
            self._end(Outcome(failed=[f"internal error: {error!r}"]))

    def _end(self, outcome: Outcome) -> None:
        if outcome.failed:
            outcome.failed = [f"{line}; all stays as it was" for line in outcome.failed]
        else:
            logger.info("read again: %s", ", ".join(outcome.done))
        for line in outcome.failed:
            logger.error("%s", line)
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(outcome)
        if self._next:
            self._waiting, self._next = self._next, []
            self._begin()
        else:
            self._runs = False

    def _judge(self, settings: Settings, lines: list[str]) -> None:
        """Find all faults of ``settings``, and take them if there are none."""
        from sansip_sockets import BindError, Relisten, TlsContexts, TlsError

        stack, hub = self._stack, self._hub
        assert stack is not None
        assert hub is not None
        tried, lines = lines, list(lines)
        faults = list(fixed_faults(self._settings, settings))
        change = Reconfiguration()
        read = None
        try:
            read = self._access.read(settings)
            if isinstance(stack, JournaledStack) and self._access.would_register(read):
                faults.append(
                    ConfigFault("upstream", "a journal cannot record registrations at other servers")
                )
        except OperatorError as error:
            lines += error.lines
        try:
            TlsContexts(settings.tls)
        except TlsError as error:
            faults.append(ConfigFault("tls", str(error)))
        addresses = build.listen_addresses(settings)
        wanted = protocol_listeners(settings, build.listener_configs(addresses, settings.http.listen))
        there = {one.id for one in stack.config.listeners}
        lasting = [one.config for number, one in hub.listeners.items() if number not in there]
        listening: Relisten | None = None
        try:
            listening = Relisten(hub, self._numbering.number(wanted, lasting))
            shared = node_config(settings, listening.configs)
            if shared is not None and shared != stack.config.shared:
                faults.append(ConfigFault("listen", f"other nodes know this one as {stack.config.shared}"))
        except BindError as error:
            if hub.is_closing:
                # The port may belong to a listener that the server gave up a moment ago.
                hub.inbox.post(self.tried, settings, tried)
                return
            faults.append(ConfigFault(listen_path(settings, str(error)), str(error)))
        except OperatorError as error:
            lines += error.lines
        if not lines and not faults:
            try:
                self._take_route(settings, change)
            except OperatorError as error:
                lines += error.lines
        if lines or faults or read is None or listening is None:
            if listening is not None:
                listening.drop()
            self._end(Outcome(failed=[*(told(fault, settings) for fault in faults), *lines]))
            return
        domains = build.served_domains(settings, addresses)
        compare(change, settings, stack.config, stack.modules, listening.configs, domains)
        change.aliases = changed(build.other_names(addresses), stack.config.aliases)
        self._access.change(read, change)
        taking = partial(self._swap, settings, wanted, listening, read, change)
        needed = {kind: one for kind, one in {**change.added, **change.modules}.items() if needs(kind)}
        if needed:
            Preparation(self._provision, hub, needed, taking)
        else:
            taking(Prepared({}))

    def _swap(
        self,
        settings: Settings,
        wanted: Sequence[ListenerConfig],
        listening: Relisten,
        read: Any,
        change: Reconfiguration,
        prepared: Prepared | OperatorError,
    ) -> None:
        """Take the settings that were judged and prepared."""
        stack, hub = self._stack, self._hub
        assert stack is not None
        assert hub is not None
        if isinstance(prepared, OperatorError):
            listening.drop()
            self._end(Outcome(failed=list(prepared.lines)))
            return
        now = hub.clock()
        try:
            actions = stack.configure(change, now)
        except LocalProtocolError as error:
            listening.drop()
            prepared.drop()
            # Perform the actions of the failed module's end: they undo its actions from before the failure.
            hub.perform(hub.driver.time_passed(now), now)
            named = error.module if isinstance(error, ModuleFault) else None
            text = str(error)
            self._end(Outcome(failed=[told(ConfigFault(named, text), settings) if named else text]))
            return
        self._access.take(read)
        self._take(settings, wanted, listening, change)
        self._provision.take(prepared, change.removed, hub)
        hub.perform(actions, now)
        self._end(self._said(change))

    def _take_route(self, settings: Settings, change: Reconfiguration) -> None:
        """Put the route into ``change``. Raises OperatorError."""
        script = settings.route
        if script is None:
            if self._settings.route is not None:
                change.route, change.route_name = default_route(), DEFAULT_ROUTE
            return
        try:
            name = fingerprint(script)
        except OSError as error:
            raise OperatorError(f"cannot read the routing script {script}: {error.strerror}") from None
        # Even if its text is the same: a file beside it may have changed.
        self._generation += 1
        change.route = load_again(script, self._generation)
        change.route_name = name

    def _take(
        self,
        settings: Settings,
        wanted: Sequence[ListenerConfig],
        listening: Relisten,
        change: Reconfiguration,
    ) -> None:
        """Change the parts outside of the stack as the stack changed itself."""
        from sansip_sockets import TlsError, stream_filters

        hub, stack = self._hub, self._stack
        assert hub is not None
        assert stack is not None
        before = {one.id: one for one in hub.listeners.values()}
        there = {one.id for one in stack.config.listeners}
        try:
            self._tls.reload(settings.tls)
        except TlsError as error:
            # A moment ago the file was good; another program is writing it right now.
            logger.error("tls: %s; the certificates stay as they were, reload once more", error)
        else:
            self._renewed(stack.config.domains)
        self._numbering.take(wanted, listening.configs)
        listening.take(stream_filters(self._tls, settings.websocket, stack.limits, protocols(settings)))
        for number, one in hub.listeners.items():
            if number not in before and one.config.accepts:
                click.echo(f"listening on {one}")
                logger.info("listening on %s", one)
        for number, one in before.items():
            if number not in there and one.config.accepts:
                logger.info("no longer listening on %s; what runs there comes to its end", one)
        if change.route is not None:
            hub.answering.answer_with(handlers_of(change.route, stack.limits.handler_waiting))
        if self._storage is not None:
            self._storage.forget_users()
        if settings.log != self._settings.log:
            logs.configure(settings.log.level, settings.log.format)
        self._settings = settings

    def _said(self, change: Reconfiguration) -> Outcome:
        done = ["trusted peers", "accounts at other servers", "keys of nonces", "modules"]
        done += [f"the module {kind.name}, which is new" for kind in change.added]
        done += [f"the module {kind.name}, which goes" for kind in change.removed]
        if change.route is not None:
            done.insert(0, f"the route ({change.route_name})")
        names = ("listeners", "domains", "limits", "timers", "proxy", "registrar", "auth", "dns")
        done += [name for name in names if getattr(change, name) is not None]
        if self._storage is not None:
            done.append("users")
        return Outcome([*done, "certificates"])
