"""Paths of the HTTP listeners that modules claim: declared by ``@mount``, found, asked, and bounded.

Theory of operation: the outside reads a request whole, finds out who sends it, and gives it to the stack as
an input (``Stack.web_received``), with the receiver of the answer. The module's method answers at once, or
later as a coroutine. Whatever the method does, there is one answer: 500 if it raises, or returns no valid
answer; 504 if it takes too long; 503 if too many wait already. A client that has gone ends the work for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypeVar

from sansip.errors import LocalProtocolError
from sansip.events import ModuleFailed
from sansip.routing.tasks import begin

if TYPE_CHECKING:
    from sansip.clock import Timer, Timers
    from sansip.module.base import Module
    from sansip.routing.core import Core
    from sansip.routing.stepper import Running

__all__ = ["OURS", "Access", "Mount", "Visits", "WebRequest", "WebResponse", "find", "mount", "mounted"]

Function = TypeVar("Function", bound=Callable[..., Any])
# The clients that may ask: any client; a user of ours who has proved it; a holder of a token with the role.
Access: TypeAlias = Literal["open", "user", "read", "operate"]
_ACCESS: Final = ("open", "user", "read", "operate")
# Paths that the server answers itself.
OURS: Final = ("/rpc", "/health", "/metrics")
# RFC 3986 3.3: segments of a path.
_PATH = re.compile(r"/|(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@]+)+")


@dataclass(slots=True)
class WebRequest:
    """An HTTP request, whole.

    Attributes:
        path, query: as they came, with their escapes; ``path`` from the first slash on.
        headers: names are lower-case.
        remote: the client's address; ``secure``: whether it came over TLS.
        user: the user of ours that it is from, ``sip:alice@example.com``, who has proved it; None otherwise.
        role: the role of its token, ``"read"`` or ``"operate"``; "" without one.
        mount: the path that the module claimed.
        now: the time of the stack.
    """

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    remote: str = ""
    secure: bool = False
    user: str | None = None
    role: str = ""
    mount: str = ""
    now: float = 0.0

    def header(self, name: str) -> str | None:
        """Return the values of a field (lower-case name) as one, or None (RFC 9110 5.3)."""
        values = [value for known, value in self.headers if known == name]
        return ", ".join(values) if values else None


@dataclass(slots=True)
class WebResponse:
    """An answer. Content-Length, Connection and the like are HTTP's own, and not among ``headers``."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: list[tuple[str, str]] = field(default_factory=list)


# Told the answer and the time.
Answered = Callable[[WebResponse, float], None]


def mount(path: str, *, access: Access, key: str | None = None) -> Callable[[Function], Function]:
    """Mark a method, ``serve(self, request: WebRequest) -> WebResponse``, as what answers below ``path``.

    It may be ``async``. ``access``: the clients that may ask; HTTP refuses others before it calls the method.
    ``key``: the setting in which an operator may name another path; ``path`` holds where it is "".
    """
    if access not in _ACCESS:
        raise LocalProtocolError(f"access is {access!r}; expected one of {', '.join(_ACCESS)}")

    def mark(method: Function) -> Function:
        method.sansip_mount = (path, access, key)  # type: ignore[attr-defined]  # a mark that functions carry
        return method

    return mark


@dataclass(slots=True)
class Mount:
    """A path that ``module`` answers below, and the clients that may ask there."""

    path: str
    access: Access
    module: Module
    method: Callable[[WebRequest], Any]


def mounted(
    methods: Iterable[tuple[Module, Callable[..., Any]]], settings: Mapping[type, Any]
) -> list[Mount]:
    """Return the mounts, the longest path first. Raises ``LocalProtocolError`` for paths that cannot be.

    ``settings`` are those that are not yet the module's own, by its class.
    """
    found: dict[str, Mount] = {}
    for module, method in methods:
        path, access, key = method.sansip_mount  # type: ignore[attr-defined]  # a mark that functions carry
        if key is not None:
            path = getattr(settings.get(type(module), module.settings), key) or path
        where = f"the module {module.name}: {path!r}"
        if not _PATH.fullmatch(path):
            raise LocalProtocolError(f"{where} is not an HTTP path; expected something like /xcap-root")
        if any(_is_below(one, path) or _is_below(path, one) for one in OURS if path != "/"):
            raise LocalProtocolError(f"{where} is one of the server's own paths ({', '.join(OURS)})")
        if path in found:
            other = found[path].module.name
            raise LocalProtocolError(f"{where} is claimed by the module {other} as well; name another path")
        found[path] = Mount(path, access, module, method)
    return sorted(found.values(), key=lambda one: -len(one.path))


def find(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Return whose ``path`` is: the longest mount above it, whole segments compared."""
    for one in mounts:
        if _is_below(path, one.path):
            return one
    return None


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top if top == "/" else f"{top}/")


class Table(Protocol):
    """The modules (``sansip.module.assembly``): the part of them that is needed here."""

    def mount_of(self, path: str) -> Mount | None: ...
    def wrapped(self, module: Module, what: str, method: Callable[..., Any]) -> Callable[..., Any]: ...


class Visits:
    """The requests of one stack that modules have not answered yet. ``table()`` returns the modules."""

    __slots__ = ("_core", "_open", "_table", "_timers")

    def __init__(self, core: Core, timers: Timers, table: Callable[[], Table]) -> None:
        self._core = core
        self._timers = timers
        self._table = table
        self._open: dict[int, _Visit] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, number: int, request: WebRequest, now: float, answered: Answered) -> None:
        """Have the module answer whose path it is; ``answered`` is called once, now or later."""
        limits = self._core.limits
        found = self._table().mount_of(request.path)
        if found is None:
            answered(_said(404, "there is nothing here"), now)
            return
        if len(self._open) >= limits.mount_requests:
            text = "too many requests wait for modules (limits.mount_requests)"
            answered(_said(503, text, ("Retry-After", "1")), now)
            return
        request.mount, request.now = found.path, now
        visit = self._open[number] = _Visit(self, number, found, answered, limits.mount_answer)
        try:
            method = self._table().wrapped(found.module, f"mount {found.path}", found.method)
            result = method(request)
        except Exception as error:
            visit.end(error, now)
            return
        if not inspect.iscoroutine(result):
            visit.end(result, now)
            return
        visit.timer = self._timers.start(now, limits.mount_time, visit, None)
        running = begin(self._core, result, visit.end, now)
        if number in self._open:
            visit.running = running

    def close(self, number: int) -> None:
        """The client has gone: no answer is sent."""
        visit = self._open.pop(number, None)
        if visit is not None:
            visit.stop()

    def pop(self, number: int) -> bool:
        """Forget ``number``; return whether it was still to be answered."""
        return self._open.pop(number, None) is not None

    def failed(self, module: Module, path: str, error: BaseException) -> None:
        """Tell of a module that did not answer as it should."""
        self._core.notify(ModuleFailed(module.name, f"mount {path}", error))


class _Visit:
    """One request."""

    __slots__ = ("_answered", "_most", "_mount", "_number", "_visits", "running", "timer")

    def __init__(self, visits: Visits, number: int, mount: Mount, answered: Answered, most: int) -> None:
        self._visits = visits
        self._number = number
        self._mount = mount
        self._answered = answered
        self._most = most
        self.running: Running | None = None
        self.timer: Timer | None = None

    def stop(self) -> None:
        """End the work, and the wait for it."""
        if self.timer is not None:
            self.timer.cancel()
        if self.running is not None:
            self.running.stop()

    def end(self, result: Any, now: float) -> None:
        """The method returned ``result``, or raised it."""
        if self._visits.pop(self._number):
            if self.timer is not None:
                self.timer.cancel()
            self._answered(self._judged(result), now)

    def _judged(self, result: Any) -> WebResponse:
        error: BaseException
        if isinstance(result, BaseException):
            error = result
        elif not _is_sound(result):
            error = TypeError(f"it answered {result!r:.80}, which is no WebResponse")
        elif len(result.body) > self._most:
            error = ValueError(f"it answered {len(result.body)} octets (limits.mount_answer)")
        else:
            sound: WebResponse = result
            return sound
        self._visits.failed(self._mount.module, self._mount.path, error)
        return _said(500, "the module failed; the server's log says how")

    def timer_fired(self, name: None, now: float) -> None:
        """It takes too long."""
        if self._visits.pop(self._number):
            self.stop()
            module = self._mount.module
            self._visits.failed(module, self._mount.path, TimeoutError("no answer (limits.mount_time)"))
            self._answered(_said(504, "the module did not answer in time (limits.mount_time)"), now)


def _is_sound(result: Any) -> bool:
    """Whether it is an answer. RFC 9110 15: there is one for each request, a final one."""
    if not (isinstance(result, WebResponse) and type(result.body) is bytes):
        return False
    return type(result.status) is int and 200 <= result.status <= 599


def _said(status: int, text: str, *headers: tuple[str, str]) -> WebResponse:
    return WebResponse(status, f"{text}\n".encode(), headers=list(headers))
