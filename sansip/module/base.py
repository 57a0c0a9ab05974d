"""The base class of modules, with hooks that do nothing until a module overrides them.

Theory of operation: a module's class is judged when it is made. Its public methods are
hooks, parts of its life, or marked as a function for routes, a command or a step of the
default route; any other is refused, so a misspelled hook is found at once and not
missed for ever.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, TypeVar

from sansip.errors import LocalProtocolError
from sansip.later import Later
from sansip.seat import FIRST
from sansip.transport.transports import TRANSPORTS

if TYPE_CHECKING:
    from sansip.module.core import Core
    from sansip.module.links import Link
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.routing.lead import Lead
    from sansip.routing.leading import PlainCall
    from sansip.routing.usages import UsageArrived
    from sansip.rows import Key, Table
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = [
    "DROP",
    "FIRST",
    "HOOKS",
    "LIFE",
    "PASS",
    "STAGES",
    "WAITING",
    "Empty",
    "Gathered",
    "Module",
    "ModuleFault",
    "Reply",
    "Stage",
    "Verdict",
    "Waits",
    "command",
    "function",
    "marked",
    "methods_of",
    "rank_of",
    "step",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Stage: TypeAlias = Literal["screen", "identify", "register", "translate", "select", "prepare", "relay"]
# Stages of the default route, in order (``sansip.routing.default``).
STAGES: Final[tuple[Stage, ...]] = (
    "screen",
    "identify",
    "register",
    "translate",
    "select",
    "prepare",
    "relay",
)
# The core calls these where a module overrides them.
HOOKS: Final = (
    "message_arrived",
    "stray_received",
    "request_received",
    "usage_received",
    "branch_leaving",
    "response_received",
    "branch_ended",
    "response_leaving",
    "request_ended",
    "event_received",
    "next_due",
    "time_passed",
)
# Those that may be ``async def``.
WAITING: Final = ("request_received", "branch_leaving", "response_received", "response_leaving")
# The result of a hook that may wait: a coroutine if it waits, or the ``Later`` that it waits for.
Waits: TypeAlias = Coroutine[Any, Any, None] | Later[None] | None
# A module's life, and its reports on itself.
LIFE: Final = (
    "check",
    "start",
    "configure",
    "stop",
    "timer_fired",
    "announced",
    "rows_changed",
    "figures",
    "health",
    "doubts",
    "rides",
    "leads",
)

# The marks of a public method that is no hook (``mount`` is in ``sansip.module.mounts``).
MARKS: Final = ("sansip_function", "sansip_command", "sansip_step", "sansip_mount")

# Protocols that listeners speak already.
OTHERS: Final = (*TRANSPORTS, "sip", "http", "https", "dns")
_PROTOCOL = re.compile(r"[a-z][a-z0-9]{1,30}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


class ModuleFault(LocalProtocolError):
    """A module that cannot be used as it is; the text says what to change.

    ``module``: its name, where the fault is one module's.
    """

    def __init__(self, text: str, module: str | None = None) -> None:
        super().__init__(text)
        self.module = module


class Outcome(Enum):
    """The decision about a message that arrived."""

    PASS = 0
    DROP = 1


PASS: Final = Outcome.PASS
DROP: Final = Outcome.DROP


@dataclass(slots=True)
class Reply:
    """The answer to give to a request at once; this node keeps no state of the request (RFC 3261 8.2.7)."""

    status: int
    reason: str | None = None
    headers: Iterable[tuple[str, str]] = ()


Verdict: TypeAlias = Outcome | Reply


@dataclass(frozen=True, slots=True)
class Gathered:
    """How the answers of several workers to one command become one.

    Attributes:
        key: fields by which rows of several workers are the same one.
        sums: fields of such rows that are added; of others the first that is known stands.
        order: the field by which all rows are sorted; then the argument ``limit`` cuts them again.
        any: one worker has it, and the others say that they know nothing of it.
        first: the answer of one stands for all; each worker does it.
    """

    key: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    order: str = ""
    any: bool = False
    first: bool = False


@dataclass(slots=True)
class Empty:
    """The settings of a module that has none."""


def function(method: Function) -> Function:
    """Mark a method as a function for routes."""
    method.sansip_function = True  # type: ignore[attr-defined]  # a mark that functions carry
    return method


def command(
    name: str,
    *,
    role: Literal["read", "operate"] | None = None,
    everywhere: bool | Gathered = False,
) -> Callable[[Function], Function]:
    """Mark a method as the command ``name`` (``module.verb``) of `sansip ctl` and of the API.

    ``role``: the role that a client needs; ``"read"`` by default if the verb is ``list``, ``show``, ``get``,
    ``explain``, ``try`` or ``count``, else ``"operate"``. JSON is converted by the annotations of the
    parameters.

    Of several workers of one server, one does it. ``everywhere``: each does, for it looks at, or changes,
    what this process alone holds; numbers are summed and lists put together, or as ``Gathered`` says.
    """

    def mark(method: Function) -> Function:
        verb = name.rpartition(".")[2]
        reads = verb in ("list", "show", "get", "explain", "try", "count")
        method.sansip_everywhere = everywhere  # type: ignore[attr-defined]  # the same
        method.sansip_command = (name, role or ("read" if reads else "operate"))  # type: ignore[attr-defined]  # a mark that functions carry
        return method

    return mark


def step(stage: Stage, rank: int = 50, *, methods: Collection[str] = ()) -> Callable[[Function], Function]:
    """Mark a method, ``async def step(self, request)``, as a step of ``stage`` of the default route.

    A step that answers or relays the request ends the route. Steps of a lower ``rank`` act first, those of
    equal rank in the order of their modules: one that takes whatever is left has a high one. ``methods``: of
    the requests that it is for; empty: of any. Other requests do not wait for it.
    """
    if stage not in STAGES:
        raise ModuleFault(f"there is no stage {stage!r}; there are {', '.join(STAGES)}")

    def mark(method: Function) -> Function:
        method.sansip_step = stage  # type: ignore[attr-defined]  # a mark that functions carry
        method.sansip_rank = rank  # type: ignore[attr-defined]  # the same
        method.sansip_methods = frozenset(methods)  # type: ignore[attr-defined]  # the same
        return method

    return mark


class Module:
    """The base of all modules.

    Attributes:
        name: its table in the configuration, and the beginning of its commands, tables and figures.
        Settings: a dataclass; its fields are the keys of that table, with defaults.
        tables: its durable rows.
        over_workers: it is right in each of several workers of one server: what it counts and shares goes
            through ``core.limit``, ``core.shared`` and ``core.once``, and what it holds of a call or a
            transaction it needs in that transaction alone. ``FIRST``: the first worker alone has it, with
            its listeners, its paths of HTTP and its commands. A server with workers refuses any other module.
        gathers: the methods of requests that all workers give to the first one, which serves them for all:
            those outside of dialogs, and those in dialogs that no worker relays.
        by_default: a server has it without a table in its configuration.
        methods: of the requests outside of dialogs for which ``request_received``, ``response_leaving`` and
            ``request_ended`` do anything; empty: of any. The server may leave them out for others.
        tells_due: it calls ``core.has_due`` when ``next_due`` becomes an earlier time, and so is not asked
            after each message.
        without_passwords: what is wrong where a server that strangers reach over UDP asks nobody for a
            password; `sansip check` says it.
        requires: modules that are started before it.
        uses: modules that are started before it where they are configured; it does without them.
        protocols: the protocols that it speaks over connections that are not SIP (``sansip.module.links``),
            by name. The setting ``listen`` has the addresses at which it listens: a list like
            ``["msrp:0.0.0.0:2855", "msrps:0.0.0.0:2856"]``.
        events: classes of ``sansip.events`` that ``event_received`` is called with.
        settings: an instance of ``Settings``.
        core: the stack, as a module sees it; there from ``start`` on.
    """

    name: ClassVar[str] = ""
    Settings: ClassVar[type] = Empty
    tables: ClassVar[tuple[Table[Any], ...]] = ()
    requires: ClassVar[tuple[type[Module], ...]] = ()
    uses: ClassVar[tuple[type[Module], ...]] = ()
    events: ClassVar[tuple[type, ...]] = ()
    protocols: ClassVar[Mapping[str, type[Link]]] = MappingProxyType({})
    # Whether a server uses it without a table in its configuration.
    by_default: ClassVar[bool] = False
    over_workers: ClassVar[bool | Literal["first"]] = False
    gathers: ClassVar[frozenset[str]] = frozenset()
    methods: ClassVar[frozenset[str]] = frozenset()
    tells_due: ClassVar[bool] = False
    without_passwords: ClassVar[str] = ""

    settings: Any
    core: Core

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _judge(cls)

    # --- its life

    def check(self, settings: Any) -> None:
        """Raise ``ModuleFault`` for ``settings`` that could not work; nothing is changed yet.

        ``self.core`` is there.
        """

    def start(self, core: Core, now: float) -> None:
        """Begin: start timers, restore rows. ``self.core`` is set already."""

    def configure(self, settings: Any, now: float) -> None:
        """Take new settings, which ``check`` has passed. Where this raises, the old ones stay."""
        self.settings = settings

    def stop(self, now: float) -> None:
        """Begin nothing more: the server drains, or a reload takes the module away. Running calls go on."""

    def timer_fired(self, name: Any, now: float) -> None:
        """A timer of ``core.timers`` fired."""

    def announced(self, key: str, word: Any, now: float) -> None:
        """Another worker of this server has told ``word`` under ``key`` (``core.announce``)."""

    def rows_changed(
        self, table: Table[Any], rows: Sequence[Any], deleted: Sequence[Key], now: float
    ) -> None:
        """Another worker has put ``rows`` into ``table`` and deleted keys; they are durable.

        What this module holds of them in memory it changes now: the other's ``put`` returns after that.
        """

    def figures(self) -> dict[str, Any]:
        """Return numbers for `sansip ctl stats`, beside counters."""
        return {}

    def health(self) -> str:
        """Return the fault, for `sansip ctl health`; "" while all is well."""
        return ""

    def rides(self) -> bool:
        """Whether its hooks need not see a plain call, which then passes as octets.

        It hears of such calls by the events of the module ``calls``. If one module says no, all hooks are
        called.
        """
        return False

    def leads(self, stage: Stage, call: PlainCall) -> Lead | Outcome | None:
        """Say what its step of ``stage`` would do with a plain INVITE that nobody has read.

        ``PASS``: nothing, the next step decides. A ``Lead``: send it to one target, and to others where that
        fails. None: it has to be read, and the step itself decides. Nothing may change before ``Lead.picks``.
        """
        return None

    def doubts(self) -> list[str]:
        """Return what an operator should know of its settings, and is no fault; `sansip check` shows it."""
        return []

    # --- hooks

    def message_arrived(self, message: Request | Response, flow: Flow, now: float) -> Verdict:
        """Judge what arrived, before a transaction is looked for. Fails closed (500)."""
        return PASS

    def stray_received(self, response: Response, flow: Flow, now: float) -> bool:
        """Take a response that no transaction waits for; return whether it was for this module."""
        return False

    def request_received(self, request: IncomingRequest) -> bool | Coroutine[Any, Any, bool]:
        """Take a new request before the route sees it; return whether it was for this module. May wait."""
        return False

    def usage_received(
        self, arrived: UsageArrived, now: float
    ) -> Callable[[UsageArrived, float], None] | None:
        """Look at a SUBSCRIBE within a dialog, a PUBLISH or a MESSAGE, read in brief (``routing.usages``).

        Only a module that names its method in ``methods`` is asked, and only where no other acts on that.
        Return what answers it, or None: then it goes the way of all requests. Nothing may change before what
        is returned is called.
        """
        return None

    def branch_leaving(self, request: IncomingRequest, branch: Branch, message: Request) -> Waits:
        """Change ``message``, a copy that is about to leave. Fails closed: it does not leave, a 500 does.

        May wait, as the two hooks of responses may.
        """
        return None

    def response_received(self, request: IncomingRequest, branch: Branch, response: Response) -> Waits:
        """See, or change, a response of a branch; 100 is not among them, nor a 2xx that comes again."""
        return None

    def branch_ended(self, request: IncomingRequest, branch: Branch, status: int) -> None:
        """Learn how a branch ended: its final status, or the one that was made in its place."""

    def response_leaving(self, request: IncomingRequest, response: Response) -> Waits:
        """Change an answer that is about to go to the sender; 100 is not among them, nor a 2xx once more."""
        return None

    def request_ended(self, request: IncomingRequest) -> None:
        """Learn that the final answer has left."""

    def event_received(self, event: Any, now: float) -> None:
        """Hear of an event of one of ``events``."""

    def next_due(self) -> float | None:
        """Return when ``time_passed`` has something to do: for modules with a clock of their own."""
        return None

    def time_passed(self, now: float) -> None:
        """Do the work that is due."""


def _judge(cls: type[Module]) -> None:
    where = f"module {cls.__qualname__}"
    if not _NAME.fullmatch(cls.name):
        raise ModuleFault(
            f"{where}: name is {cls.name!r}; expected lower-case letters, digits and underscores"
        )
    if not hasattr(cls.Settings, "__dataclass_fields__"):
        raise ModuleFault(f"{where}: Settings is {cls.Settings!r}, no dataclass")
    for table in cls.tables:
        if not (table.name == cls.name or table.name.startswith(f"{cls.name}_")):
            raise ModuleFault(f"{where}: its table {table.name} must begin with {cls.name}_")
    for name in cls.protocols:
        if not _PROTOCOL.fullmatch(name) or name in OTHERS or name.removesuffix("s") in OTHERS:
            raise ModuleFault(
                f"{where}: its protocol is {name!r}; expected letters and digits, no other's name"
            )
    for name, value in vars(cls).items():
        if name.startswith("_") or not inspect.isfunction(value):
            continue
        _judge_method(where, cls, name, value)


def _judge_method(where: str, cls: type[Module], name: str, method: Callable[..., Any]) -> None:
    marks = [mark for mark in MARKS if hasattr(method, mark)]
    if name in HOOKS or name in LIFE:
        if marks:
            raise ModuleFault(f"{where}: {name} is a hook, and no function, command, step or mount")
        if inspect.iscoroutinefunction(method) and name not in WAITING:
            raise ModuleFault(f"{where}: {name} cannot wait; have core.run(...) do what takes time")
        wanted = list(inspect.signature(getattr(Module, name)).parameters)
        given = list(inspect.signature(method).parameters)
        if len(wanted) != len(given):
            raise ModuleFault(
                f"{where}: {name} takes ({', '.join(wanted)}), and was written ({', '.join(given)})"
            )
        return
    if not marks:
        raise ModuleFault(
            f"{where}: {name} is no hook; mark it with @function, @command, @step or @mount,"
            " or begin its name with _"
        )
    if "sansip_command" in marks:
        text = method.sansip_command[0]  # type: ignore[attr-defined]  # a mark that functions carry
        if text.partition(".")[0] != cls.name or not text.partition(".")[2]:
            raise ModuleFault(f"{where}: its command {text} must begin with {cls.name}.")
    if "sansip_step" in marks and not inspect.iscoroutinefunction(method):
        raise ModuleFault(f"{where}: the step {name} must be an async def")
    if "sansip_mount" in marks and len(inspect.signature(method).parameters) != 2:
        raise ModuleFault(f"{where}: the mount {name} takes (self, request)")


def methods_of(method: Callable[..., Any]) -> frozenset[str]:
    """Return the methods of requests that a step is for; empty: of any."""
    return method.sansip_methods  # type: ignore[attr-defined,no-any-return]  # a mark that functions carry


def rank_of(method: Callable[..., Any]) -> int:
    """Return the rank of a step among those of its stage."""
    return method.sansip_rank  # type: ignore[attr-defined,no-any-return]  # a mark that functions carry


def marked(kind: type[Module], mark: str) -> list[tuple[str, Any]]:
    """Return name and function of each method of ``kind`` that was marked so."""
    found = ((name, getattr(kind, name, None)) for name in dir(kind))
    return [(name, method) for name, method in found if hasattr(method, mark)]
