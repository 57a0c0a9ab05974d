"""What SIGHUP and ``sansip ctl reload`` read again, and what they say of the rest.

Theory of operation: the route, the configuration file and the files that it names are read and judged aside.
Where one of them has a fault, nothing of them changes and the fault is told with its file and line; else all
that is another becomes one input of the stack (``Stack.configure``), and requests that run end by what they
began with. Certificates and users are taken for themselves. Listeners, domains and limits need a restart: an
operator who changed one has to hear so, or he believes that it is in force.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sansip.config import Reconfiguration
from sansip.journal_values import plain
from sansip.module import Module, ModuleFault
from sansip.modules.keepalive import Keepalive
from sansip.routing.handlers import handlers_of
from sansip_server.config.load import load_file
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from sansip_server.modules import load
from sansip_server.routes import fingerprint, load_again

if TYPE_CHECKING:
    from sansip.stack import Stack
    from sansip_server.access import Access
    from sansip_server.storage import Storage
    from sansip_sockets import Hub, TlsContexts

__all__ = ["Outcome", "Reload"]

logger = logging.getLogger("sansip.server")

# What of the configuration file is read again.
_READ_AGAIN = ("trusted", "upstream", "keepalive")


@dataclass(slots=True)
class Outcome:
    """What a reload did.

    Attributes:
        done: what was read again.
        failed: what could not be, with the reason; it stays as it was.
        left: what has changed and needs a restart.
    """

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Reload:
    """Reads again what can be. ``renewed`` is called when the certificates are other ones, maybe."""

    def __init__(
        self,
        settings: Settings,
        access: Access,
        tls: TlsContexts,
        storage: Storage | None,
        renewed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._access = access
        self._tls = tls
        self._storage = storage
        self._renewed = renewed
        self._stack: Stack | None = None
        self._hub: Hub | None = None
        # As the file has them: options of the command line have changed ``settings`` since.
        at_start = None if settings.file is None else load_file(settings.file).settings
        self._keys = {} if at_start is None else dict(_keys_of(at_start))
        self._script = settings.route
        # The name of the route that runs, and how often one was taken.
        self._route = None if settings.route is None else fingerprint(settings.route)
        self._generation = 0

    def attach(self, stack: Stack, hub: Hub) -> None:
        """Change ``stack`` from now on."""
        self._stack, self._hub = stack, hub

    def __call__(self) -> Outcome:
        """Read again, and log what came of it."""
        from sansip_sockets import TlsError

        outcome = Outcome()
        self._read(outcome)
        if self._storage is not None:
            self._storage.forget_users()
            outcome.done.append("users")
        try:
            self._tls.reload()
        except TlsError as error:
            outcome.failed.append(f"tls: {error}; the certificates stay as they were")
        else:
            outcome.done.append("certificates")
            self._renewed()
        logger.info("read again: %s", ", ".join(outcome.done))
        for line in outcome.failed:
            logger.error("%s", line)
        for line in outcome.left:
            logger.warning("not read again: %s", line)
        return outcome

    def _read(self, outcome: Outcome) -> None:
        """Read the route and the configuration aside, and have the stack take both, or neither."""
        settings, change, faults = self._settings, Reconfiguration(), list[str]()
        read = None
        try:
            if settings.file is not None:
                loaded = load_file(settings.file)
                if loaded.settings is None:
                    raise OperatorError(*(fault.text(str(settings.file)) for fault in loaded.faults))
                settings = loaded.settings
            read = self._access.read(settings)
        except OperatorError as error:
            faults += error.lines
        try:
            self._take_route(change)
        except OperatorError as error:
            faults += error.lines
        if faults or read is None or self._stack is None or self._hub is None:
            outcome.failed += [f"{line}; all stays as it was" for line in faults]
            return
        given: dict[type[Module], Any] = {Keepalive: settings.keepalive}
        given |= {load(name): one for name, one in settings.modules.items()}
        running = {type(module): module.settings for module in self._stack.modules}
        change.modules = {kind: one for kind, one in given.items() if running.get(kind, one) != one}
        self._access.change(read, change)
        now = self._hub.clock()
        try:
            actions = self._stack.configure(change, now)
        except ModuleFault as error:
            outcome.failed.append(f"{error}; all stays as it was")
            return
        if change.route is not None:
            self._route = change.route_name
            self._hub.answer_with(handlers_of(change.route))
            outcome.done.append(f"the route ({change.route_name})")
        self._hub.perform(actions, now)
        outcome.done += ["trusted peers", "accounts at other servers", "keys of nonces", "modules"]
        outcome.left += self._left(settings)

    def _take_route(self, change: Reconfiguration) -> None:
        """Put the script's route into ``change`` where it is another one. Raises OperatorError."""
        if self._script is None:
            return
        try:
            name = fingerprint(self._script)
        except OSError as error:
            raise OperatorError(f"cannot read the routing script {self._script}: {error.strerror}") from None
        # Also where its text is the same: a file beside it may be another one.
        self._generation += 1
        change.route = load_again(self._script, self._generation)
        change.route_name = name

    def _left(self, settings: Settings) -> Iterator[str]:
        if settings.file is None:
            return
        now = dict(_keys_of(settings))
        for key in dict.fromkeys([*self._keys, *now]):
            if self._keys.get(key) != now.get(key):
                yield f"{key} has changed in {settings.file}: restart the server for it"


def _keys_of(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the configuration that need a restart, with their values."""
    for name, value in plain(settings).items():
        if name in _READ_AGAIN:
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", one) for inner, one in value.items())
        else:
            yield name, value
    yield from ((f"[{name}]", True) for name in settings.modules)
