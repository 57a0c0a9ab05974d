"""The modules of a stack: started, reconfigured, replaced by another set.

Theory of operation: the modules are put in order (``order``), and their hooks with them: those that the stack
calls (``stack_hooks``), and those of requests that the proxy forwards (``sansip.proxy.hooks``). An exception
is the module's own: it becomes ``ModuleFailed``. Other traffic is not affected.

The set is never changed: a reload that adds or removes modules makes another (``changed``), which has those
that stay. A request knows the set that it began with, and ends by it.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from sansip.errors import LocalProtocolError
from sansip.events import ModuleFailed
from sansip.module.base import HOOKS, STAGES, Module, ModuleFault, marked, methods_of, rank_of
from sansip.module.binding import bound
from sansip.module.commands import Command, CommandError, plain_result
from sansip.module.core import Core
from sansip.module.links import kinds_of
from sansip.module.mounts import Mount, find, mounted
from sansip.module.order import ordered, overriding
from sansip.module.plain import Plain
from sansip.module.stack_hooks import StackHooks
from sansip.module.taking import Taker
from sansip.proxy.hooks import Hooks
from sansip.routing.tasks import Done, begin

if TYPE_CHECKING:
    from sansip.module.order import Method, Wrap
    from sansip.routing import IncomingRequest
    from sansip.routing.core import Core as StackCore
    from sansip.rows import Key, Values

__all__ = ["Modules", "Use"]

ModuleType = TypeVar("ModuleType")
Step = Callable[["IncomingRequest"], Coroutine[Any, Any, None]]
Stages = dict[str, tuple[Step, ...]]
# Stages whose steps must not be left out: a request that was not screened is not served.
_CLOSED = frozenset(("screen", "identify"))


@dataclass(slots=True)
class Use:
    """A module and its settings, in ``StackConfig.modules``."""

    kind: type[Module]
    settings: Any = field(default=None)


# Hooks that a plain call would be shown to; ``message_arrived`` sees those that ride as well.
_OF_REQUESTS = ("request_received", *Hooks.NAMES)
# Hooks that see a request that is answered here.
_ANSWERING = ("request_received", "response_leaving", "request_ended")


class Modules:
    """The modules of ``stack``. Raises ``ModuleFault`` for those that cannot be used together."""

    def __init__(
        self,
        stack: StackCore,
        uses: Sequence[Use],
        kept: Mapping[type[Module], Module] = MappingProxyType({}),
        wrap: Wrap | None = None,
    ) -> None:
        self._stack = stack
        self._wrap = wrap
        self._by_type: dict[type[Module], Module] = {}
        # Those that are not ``kept`` from another set, in order: they are still to be started.
        self.fresh: list[Module] = []
        by_kind = {use.kind: use for use in uses}
        seat = stack.config.seat
        lacks_first = seat is not None and seat.number > 0
        for kind in ordered([*by_kind, *kept], lacks_first=lacks_first):
            module = kept.get(kind)
            if module is None:
                module = self._made(kind, by_kind[kind].settings)
                self.fresh.append(module)
            self._by_type[kind] = module
        hooks = self._overriding()
        self.stack_hooks = StackHooks(hooks, self.failed, stack.module_due)
        acting = [module.methods for hook in _ANSWERING for module, _ in hooks[hook]]
        # None: some module acts on requests of any method.
        self._methods = frozenset().union(*acting) if all(acting) else None
        # (event, now): tells the modules that want to hear of it.
        self.event = self.stack_hooks.event
        # All steps by stage, and of these the ones for requests of each method that some step names.
        self.stages: Stages = self._stages("")
        named = {method for _, one in self._marked("sansip_step") for method in methods_of(one)}
        self._stages_by_method = {method: self._stages(method) for method in named}
        self._stages_of_others = self._stages("-")
        self.leading: dict[str, tuple[tuple[Any, Callable[[Any, Any], Any]], ...] | None] = {
            stage: self._leading(stage) for stage in STAGES
        }
        # Requests that a step of the stage ``relay`` would only relay, by their method.
        self.plain: dict[str, Plain] = {}
        self.commands = {one.name: one for one in self._commands()}
        self._mounts = self._mounted({})
        try:
            self.kinds = kinds_of(self._by_type.values(), self.wrapped)
        except ValueError as error:
            raise ModuleFault(str(error)) from None
        self.hooks = Hooks(
            *(tuple(hooks[name]) for name in Hooks.NAMES),
            failed=self.failed,
            active=any(hooks[name] for name in Hooks.NAMES),
            timers=stack.proxy.timers,
            begin=partial(begin, stack),
            hook_time=stack.limits.hook_time,
        )
        self.takers = self._takers(hooks)
        # Whether plain calls pass without hooks.
        self.rides = False
        if not self.fresh:
            self._settle()

    def _settle(self) -> None:
        """Say whether plain calls need no hooks: all modules that have hooks, or hear of calls, ride.

        And which requests are only relayed.
        """
        self.plain = {
            method: plain
            for module in self._by_type.values()
            for method, plain in module.core.plain.items()
            # Nobody else has a step in the same place.
            if len(self.stages_of(method)["relay"]) == 1
        }
        modules = self._by_type.values()
        looking = {type(one): one for name in _OF_REQUESTS for one, _ in overriding(modules, name, None)}
        of_calls = {kind for kind in looking if not kind.methods or "INVITE" in kind.methods}
        hearing = [module for module in modules if not of_calls.isdisjoint(module.requires)]
        self.rides = bool(looking) and all(module.rides() for module in (*looking.values(), *hearing))

    def acts_on(self, method: str) -> bool:
        """Whether a hook has to see requests of ``method``, outside of dialogs, and their answers."""
        return self._methods is None or method in self._methods

    def _made(self, kind: type[Module], settings: Any) -> Module:
        try:
            module = kind(kind.Settings() if settings is None else settings)
            module.core = Core(self._stack, module, self)
            module.check(module.settings)
        except Exception as error:
            raise refused(kind.name, "cannot be used so", error) from error
        return module

    def wrap_hooks(self, wrap: Wrap) -> None:
        """Call ``wrap(module, hook, method)`` in place of each hook's method: for who measures them.

        So it is in the sets that come after this one.
        """
        self._wrap = wrap
        hooks = self._overriding()
        self.stack_hooks.replace(hooks)
        self.hooks.replace(*(hooks[name] for name in Hooks.NAMES))
        self.takers = self._takers(hooks)

    def _takers(self, hooks: Mapping[str, tuple[Method, ...]]) -> dict[str, Taker]:
        """Return what takes requests that are read in brief, by the methods on which no other module acts."""
        acting = {module: module.methods for hook in _ANSWERING for module, _ in hooks[hook]}
        found: dict[str, Taker] = {}
        for module, hook in hooks["usage_received"]:
            for method in module.methods:
                if all(one is module or (named and method not in named) for one, named in acting.items()):
                    found[method] = Taker(module, hook, self.failed)
        return found

    def wrapped(self, module: Module, what: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function called in the place of a ``method`` that is no hook."""
        return method if self._wrap is None else self._wrap(module, what, method)

    def __iter__(self) -> Any:
        return iter(self._by_type.values())

    def __len__(self) -> int:
        return len(self._by_type)

    def get(self, kind: type[ModuleType]) -> ModuleType:
        """Return the module of ``kind``. Raises ``LookupError`` where it is not configured."""
        found: Any = self._by_type.get(kind)  # type: ignore[arg-type]  # its kind is known here
        if found is None:
            name = getattr(kind, "name", kind.__name__)
            raise LookupError(f"the module {name} is not configured; add [{name}] to the configuration")
        return found  # type: ignore[no-any-return]  # Any by design

    def find(self, kind: type[ModuleType]) -> ModuleType | None:
        """Return the module of ``kind``, or None."""
        found: Any = self._by_type.get(kind)  # type: ignore[arg-type]  # its kind is known here
        return found  # type: ignore[no-any-return]  # Any by design

    def _overriding(self) -> dict[str, tuple[Method, ...]]:
        return {name: overriding(self._by_type.values(), name, self._wrap) for name in HOOKS}

    def _marked(self, mark: str) -> list[tuple[Module, Callable[..., Any]]]:
        return [
            (module, getattr(module, name))
            for module in self._by_type.values()
            for name, _ in marked(type(module), mark)
        ]

    def stages_of(self, method: str) -> Stages:
        """Return the steps for requests of ``method``, by stage."""
        return self._stages_by_method.get(method, self._stages_of_others)

    def _stages(self, requests: str) -> Stages:
        """Return the steps for requests of that method; "" for all steps."""
        return {stage: tuple(self._steps(stage, requests)) for stage in STAGES}

    def _acting(self, stage: str, requests: str) -> list[tuple[Module, Callable[..., Any]]]:
        found = [
            (module, method)
            for module, method in self._marked("sansip_step")
            if method.sansip_step == stage  # type: ignore[attr-defined]  # a mark that functions carry
            and (not requests or not methods_of(method) or requests in methods_of(method))
        ]
        found.sort(key=lambda one: rank_of(one[1]))
        return found

    def _steps(self, stage: str, requests: str) -> list[Step]:
        return [self._guarded(module, method, stage) for module, method in self._acting(stage, requests)]

    def _leading(self, stage: str) -> tuple[tuple[Any, Callable[[Any, Any], Any]], ...] | None:
        acting = [module for module, _ in self._acting(stage, "INVITE")]
        if any(type(module).leads is Module.leads for module in acting):
            return None
        return tuple((module, module.leads) for module in acting)

    def _guarded(self, module: Module, method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        closed = stage in _CLOSED

        async def guarded(request: IncomingRequest) -> None:
            try:
                await method(request)
            except Exception as error:
                self.failed(module, f"step {stage}", error)
                if closed and not request.decided:
                    request.reply(500)

        return guarded

    def _commands(self) -> list[Command]:
        return [Command.of(method) for _, method in self._marked("sansip_command")]

    def _mounted(self, settings: Mapping[type[Module], Any]) -> list[Mount]:
        try:
            return mounted(self._marked("sansip_mount"), settings)
        except LocalProtocolError as error:
            raise ModuleFault(str(error)) from None

    def mount_of(self, path: str) -> Mount | None:
        """Return what answers an HTTP request for ``path``, None where no module has claimed it."""
        return find(self._mounts, path)

    # --- their life

    def start(self, now: float) -> None:
        """Start those that are new, in order.

        Raises ``ModuleFault`` where one does not start, and ends the others.
        """
        fresh, self.fresh = self.fresh, []
        for number, module in enumerate(fresh):
            try:
                module.start(module.core, now)
            except Exception as error:
                for begun in reversed(fresh[: number + 1]):
                    begun.core.end(now)
                raise refused(module.name, "does not start", error) from error
        self._settle()

    def changed(self, added: Mapping[type[Module], Any], removed: Collection[type[Module]]) -> Modules:
        """Return the set without ``removed``, and with ``added`` by their settings, not yet started.

        Raises ``ModuleFault`` where that is no set, and changes nothing.
        """
        kept = {kind: one for kind, one in self._by_type.items() if kind not in removed}
        uses = [Use(kind, settings) for kind, settings in added.items()]
        return Modules(self._stack, uses, kept, self._wrap)

    def succeed(self, before: Modules, now: float) -> list[Module]:
        """Take the place of ``before``; stop and return the modules that are not in this set."""
        gone = [module for module in before if module not in self._by_type.values()]
        for module in self._by_type.values():
            module.core.table = self
        # Requests that began before pass the hooks of their own set; so a check for such hooks is needed.
        self.hooks.active = self.hooks.active or before.hooks.active
        self.hooks.changes_responses = self.hooks.changes_responses or before.hooks.changes_responses
        for module in reversed(gone):
            try:
                module.stop(now)
            except Exception as error:
                self.failed(module, "stop", error)
            module.core.rest()
        return gone

    def stop(self, now: float) -> None:
        """Stop them, the last first."""
        for module in reversed(self._by_type.values()):
            try:
                module.stop(now)
            except Exception as error:
                self.failed(module, "stop", error)

    def check(self, settings: Mapping[type[Module], Any]) -> None:
        """Raise ``ModuleFault`` where new settings could not work."""
        for kind, value in settings.items():
            module = self._by_type.get(kind)
            if module is None:
                continue
            try:
                module.check(value)
            except Exception as error:
                raise refused(module.name, "cannot be used so", error) from error
        self._mounted(settings)

    def configure(self, settings: Mapping[type[Module], Any], now: float) -> None:
        """Give modules new settings, which ``check`` has passed; one that refuses them keeps its old ones."""
        for kind, value in settings.items():
            module = self._by_type.get(kind)
            if module is None or module.settings == value:
                continue
            before = module.settings
            try:
                module.configure(value, now)
            except Exception as error:
                module.settings = before
                self.failed(module, "configure", error)
        self._mounts = self._mounted({})
        self._settle()

    def failed(self, module: Module, where: str, error: BaseException) -> None:
        self._stack.notify(ModuleFailed(module.name, where, error))

    # --- their other processes

    def announced(self, module: str, key: str, word: Any, now: float) -> None:
        """Give the module of that name what another worker told it."""
        for one in self._by_type.values():
            if one.name == module:
                try:
                    one.announced(key, word, now)
                except Exception as error:
                    self.failed(one, "announced", error)

    def rows_changed(self, table: str, rows: Sequence[Values], deleted: Sequence[Key], now: float) -> None:
        """Tell the module whose table it is what another worker wrote."""
        for one in self._by_type.values():
            for found in one.tables:
                if found.name == table:
                    try:
                        one.rows_changed(found, [found.row_of(values) for values in rows], deleted, now)
                    except Exception as error:
                        self.failed(one, "rows_changed", error)

    # --- commands

    def run(self, name: str, given: Mapping[str, Any], done: Done, now: float) -> None:
        """Do command ``name``; ``done`` gets what JSON holds of its result, or an exception."""
        command = self.commands.get(name)
        try:
            if command is None:
                raise CommandError(
                    f"there is no command {name}; there are {', '.join(self.commands) or 'none'}"
                )
            result = command.call(given, now)
        except Exception as error:
            done(error, now)
            return

        def ended(result: Any, now: float) -> None:
            done(result if isinstance(result, BaseException) else plain_result(result), now)

        if inspect.iscoroutine(result):
            begin(self._stack, result, ended, now)
        else:
            ended(result, now)

    # --- routes

    def bind(self, route: Callable[..., Any]) -> Callable[[IncomingRequest], Any]:
        """Return ``route`` with the modules that its parameters name by their types.

        Raises ``ModuleFault`` for one that is not configured, and for a parameter that is no module.
        """
        return bound(route, self._by_type)


def refused(name: str, what: str, error: Exception) -> ModuleFault:
    """Return a text about the module ``name`` that raised ``error``, with the line of its code."""
    if isinstance(error, ModuleFault):
        return ModuleFault(str(error), error.module or name)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({one.filename}:{one.lineno})" for one in last)
    text = " ".join(str(error).split())
    return ModuleFault(
        f"the module {name} {what}: {type(error).__name__}{': ' if text else ''}{text}{place}; mend it, or"
        f" take [{name}] out of the configuration",
        name,
    )
