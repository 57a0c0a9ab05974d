"""The modules of a stack: put in order, started, reconfigured, and called.

Theory of operation: ``requires`` orders modules, then the name does. Each hook becomes one tuple of the
methods that override it, in that order for requests that come in and reversed for responses that go back; an
empty tuple costs the caller one test. An exception is the module's own: it becomes ``ModuleFailed``, and the
message in question fails closed or open, as the hook says. Other traffic is not affected.

The set is never changed: a reload that adds or removes modules makes another (``changed``), which has those
that stay. A request knows the set that it began with, and ends by it.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from sansip.errors import LocalProtocolError
from sansip.events import ModuleFailed
from sansip.module.base import DROP, HOOKS, PASS, STAGES, Module, ModuleFault, Reply
from sansip.module.commands import Command, CommandError, plain_result
from sansip.module.core import Core
from sansip.module.links import kinds_of
from sansip.module.mounts import Mount, find, mounted
from sansip.proxy.hooks import Hooks
from sansip.routing.tasks import Done, begin

if TYPE_CHECKING:
    from sansip.routing import IncomingRequest, Route
    from sansip.routing.core import Core as StackCore
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["BACKWARD", "Modules", "Use", "lacks", "marked", "ordered", "wanted"]

ModuleType = TypeVar("ModuleType")
Method = tuple[Module, Callable[..., Any]]
Step = Callable[["IncomingRequest"], Coroutine[Any, Any, None]]
# (module, hook, method) -> the function called in its place.
Wrap = Callable[[Module, str, Callable[..., Any]], Callable[..., Any]]
# Hooks of responses that go back: the last module sees one first.
BACKWARD = frozenset(("response_received", "response_leaving", "branch_ended", "request_ended"))
# Events that may lead to each other.
_MOST_TOLD = 100
# Stages whose steps must not be left out: a request that was not screened is not served.
_CLOSED = frozenset(("screen", "identify"))


@dataclass(slots=True)
class Use:
    """A module and its settings, in ``StackConfig.modules``."""

    kind: type[Module]
    settings: Any = field(default=None)


def ordered(kinds: Iterable[type[Module]]) -> list[type[Module]]:
    """Return ``kinds`` so that each stands behind those that it requires, else by name.

    Raises ``ModuleFault`` for two of one name, one that is missing, and a circle.
    """
    given = sorted(kinds, key=lambda kind: kind.name)
    for one, other in pairwise(given):
        if one.name == other.name:
            text = f"two modules are called {one.name}: {_path(one)} and {_path(other)}"
            raise ModuleFault(text, one.name)
    done: list[type[Module]] = []
    under_way: list[type[Module]] = []

    def visit(kind: type[Module]) -> None:
        if kind in done:
            return
        if kind in under_way:
            circle = " needs ".join(one.name for one in [*under_way[under_way.index(kind) :], kind])
            raise ModuleFault(f"modules need each other in a circle: {circle}", kind.name)
        under_way.append(kind)
        for wanted in kind.requires:
            if wanted not in given:
                name = wanted.name
                text = f"module {kind.name} needs the module {name}; add [{name}] to the configuration"
                raise ModuleFault(text, kind.name)
            visit(wanted)
        under_way.pop()
        done.append(kind)

    for kind in given:
        visit(kind)
    return done


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


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
        # Events under way, each told by a module as it heard of the one before, and how many were told.
        self._telling = self._told = 0
        self._by_type: dict[type[Module], Module] = {}
        # Those that are not ``kept`` from another set, in order: they are still to be started.
        self.fresh: list[Module] = []
        by_kind = {use.kind: use for use in uses}
        for kind in ordered([*by_kind, *kept]):
            module = kept.get(kind)
            if module is None:
                module = self._made(kind, by_kind[kind].settings)
                self.fresh.append(module)
            self._by_type[kind] = module
        hooks = {name: self._methods(name) for name in HOOKS}
        self._take_hooks(hooks)
        self.stages: dict[str, tuple[Step, ...]] = {stage: tuple(self._steps(stage)) for stage in STAGES}
        self.commands = {one.name: one for one in self._commands()}
        self._mounts = self._mounted({})
        try:
            self.kinds = kinds_of(self._by_type.values(), self.wrapped)
        except ValueError as error:
            raise ModuleFault(str(error)) from None
        self.hooks = Hooks(
            *(tuple(hooks[name]) for name in Hooks.NAMES),
            failed=self._failed,
            active=any(hooks[name] for name in Hooks.NAMES),
            timers=stack.proxy.timers,
            begin=partial(begin, stack),
            hook_time=stack.limits.hook_time,
        )

    def _made(self, kind: type[Module], settings: Any) -> Module:
        try:
            module = kind(kind.Settings() if settings is None else settings)
            module.core = Core(self._stack, module, self)
            module.check(module.settings)
        except Exception as error:
            raise refused(kind.name, "cannot be used so", error) from error
        return module

    def _take_hooks(self, hooks: Mapping[str, tuple[Method, ...]]) -> None:
        self.message_arrived = hooks["message_arrived"]
        self.stray_received = hooks["stray_received"]
        self.request_received = hooks["request_received"]
        self._event_received = hooks["event_received"]
        self._next_due = hooks["next_due"]
        self._time_passed = hooks["time_passed"]

    def wrap_hooks(self, wrap: Wrap) -> None:
        """Call ``wrap(module, hook, method)`` in place of each hook's method: for who measures them.

        So it is in the sets that come after this one.
        """
        self._wrap = wrap
        hooks = {name: self._methods(name) for name in HOOKS}
        self._take_hooks(hooks)
        self.hooks.replace(*(hooks[name] for name in Hooks.NAMES))

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

    def _methods(self, name: str) -> tuple[Method, ...]:
        found = [
            (module, getattr(module, name))
            for module in self._by_type.values()
            if getattr(type(module), name) is not getattr(Module, name)
        ]
        if self._wrap is not None:
            found = [(module, self._wrap(module, name, method)) for module, method in found]
        return tuple(reversed(found) if name in BACKWARD else found)

    def _marked(self, mark: str) -> list[tuple[Module, Callable[..., Any]]]:
        return [
            (module, getattr(module, name))
            for module in self._by_type.values()
            for name, _ in marked(type(module), mark)
        ]

    def _steps(self, stage: str) -> list[Step]:
        return [
            self._guarded(module, method, stage)
            for module, method in self._marked("sansip_step")
            if method.sansip_step == stage  # type: ignore[attr-defined]  # a mark that functions carry
        ]

    def _guarded(self, module: Module, method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        closed = stage in _CLOSED

        async def guarded(request: IncomingRequest) -> None:
            try:
                await method(request)
            except Exception as error:
                self._failed(module, f"step {stage}", error)
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
                self._failed(module, "stop", error)
            module.core.rest()
        return gone

    def stop(self, now: float) -> None:
        """Stop them, the last first."""
        for module in reversed(self._by_type.values()):
            try:
                module.stop(now)
            except Exception as error:
                self._failed(module, "stop", error)

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
                self._failed(module, "configure", error)
        self._mounts = self._mounted({})

    def _failed(self, module: Module, where: str, error: BaseException) -> None:
        self._stack.notify(ModuleFailed(module.name, where, error))

    # --- hooks of the stack

    def judge(self, message: Request | Response, flow: Flow, now: float) -> Reply | bool | None:
        """Return None for a message to take, False for one to drop, or the answer to give at once."""
        for module, hook in self.message_arrived:
            try:
                verdict = hook(message, flow, now)
            except Exception as error:
                self._failed(module, "message_arrived", error)
                return Reply(500)
            if verdict is PASS:
                continue
            if verdict is DROP:
                return False
            if isinstance(verdict, Reply):
                return verdict
            self._failed(
                module, "message_arrived", TypeError(f"it returned {verdict!r:.80}, which is no verdict")
            )
            return Reply(500)
        return None

    def takes_stray(self, response: Response, flow: Flow, now: float) -> bool:
        """Whether a module took a response that no transaction waits for."""
        return any(self._asked(one, "stray_received", response, flow, now) for one in self.stray_received)

    def before(self, route: Route, request: IncomingRequest) -> Route | None:
        """Return what decides on a new request: ``route``, None where a module took it.

        Where a module has to wait before it knows, what waits is a part of the route that is returned.
        """
        methods = iter(self.request_received)
        for module, hook in methods:
            try:
                taken = hook(request)
            except Exception as error:
                self._failed(module, "request_received", error)
                continue
            if taken is False:
                continue
            if inspect.iscoroutine(taken):
                return partial(self._ask_first, module, taken, methods, route)
            if taken:
                return None
        return route

    async def _ask_first(
        self,
        module: Module,
        work: Coroutine[Any, Any, bool],
        rest: Iterator[Method],
        route: Route,
        request: IncomingRequest,
    ) -> None:
        try:
            taken = await work
        except Exception as error:
            self._failed(module, "request_received", error)
            taken = False
        if not taken and not request.cancelled:
            for module, hook in rest:
                try:
                    taken = hook(request)
                    taken = await taken if inspect.iscoroutine(taken) else taken
                except Exception as error:
                    self._failed(module, "request_received", error)
                    taken = False
                if taken:
                    break
        if taken or request.cancelled:
            # Whatever its module does of it, and when, nothing more is decided here.
            request.taken = True
            return
        decided = route(request)
        if inspect.iscoroutine(decided):
            await decided

    def _asked(self, method: Method, name: str, *arguments: Any) -> bool:
        try:
            return bool(method[1](*arguments))
        except Exception as error:
            self._failed(method[0], name, error)
            return False

    def event(self, event: Any, now: float) -> None:
        """Tell the modules that want to hear of ``event``."""
        if self._told >= _MOST_TOLD:
            # Modules may emit an event when they get one. Such chains must not go on, and double, for ever.
            return
        self._telling += 1
        self._told += 1
        if self._told == _MOST_TOLD and self._event_received:
            endless = RecursionError(f"{_MOST_TOLD} events, each told by a module that heard of another")
            self._failed(self._event_received[0][0], "event_received", endless)
        try:
            for module, hook in self._event_received:
                if isinstance(event, module.events):
                    try:
                        hook(event, now)
                    except Exception as error:
                        self._failed(module, "event_received", error)
        finally:
            self._telling -= 1
            if not self._telling:
                self._told = 0

    def next_due(self) -> float | None:
        """Return when ``time_passed`` has something to do."""
        due = None
        for _, hook in self._next_due:
            try:
                one = hook()
                if one is not None:
                    one += 0.0
            except Exception:
                # No input of the stack: ``time_passed`` asks again, and tells.
                continue
            if one is not None and (due is None or one < due):
                due = one
        return due

    def time_passed(self, now: float) -> None:
        """Let modules with clocks of their own do the work that is due."""
        for module, hook in self._time_passed:
            try:
                due = module.next_due()
            except Exception as error:
                self._failed(module, "next_due", error)
                continue
            try:
                if due is not None and due <= now:
                    hook(now)
            except Exception as error:
                self._failed(module, "time_passed", error)

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
        given: dict[str, Module] = {}
        for name, kind in wanted(route).items():
            module = self._by_type.get(kind)
            if module is None:
                raise ModuleFault(lacks(route, kind))
            given[name] = module
        return (lambda request: route(request, **given)) if given else route


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


def marked(kind: type[Module], mark: str) -> list[tuple[str, Any]]:
    """Return name and function of each method of ``kind`` that was marked so."""
    found = ((name, getattr(kind, name, None)) for name in dir(kind))
    return [(name, method) for name, method in found if hasattr(method, mark)]


def wanted(route: Callable[..., Any]) -> dict[str, type[Module]]:
    """Return the modules that the parameters of ``route`` name by their types.

    Raises ``ModuleFault`` for a parameter that is no module.
    """
    try:
        parameters = list(inspect.signature(route).parameters.values())[1:]
    except (TypeError, ValueError):
        return {}
    named = [
        one
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if not named:
        return {}
    hints = get_type_hints(route)
    found: dict[str, type[Module]] = {}
    for parameter in named:
        kind = hints.get(parameter.name)
        if not (isinstance(kind, type) and issubclass(kind, Module)):
            raise ModuleFault(f"{_where(route)} has the parameter {parameter.name}, whose type is no module")
        found[parameter.name] = kind
    return found


def lacks(route: Callable[..., Any], kind: type[Module]) -> str:
    """Return a text about a route that needs a module which is not configured."""
    return f"{_where(route)} wants the module {kind.name}; add [{kind.name}] to the configuration"


def _where(route: Callable[..., Any]) -> str:
    code = getattr(route, "__code__", None)
    return "the route" if code is None else f"{code.co_filename}:{code.co_firstlineno}: the route"
