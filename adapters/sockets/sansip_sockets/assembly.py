"""From a stack and a list of listeners to a hub: the part of a front door that all runtimes share.

Theory of operation: sockets first, so that port 0 is known and an error is told
before anything runs; then the stack, which is given the real ports; then the
hub, with the handlers that the stack always needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, Unpack, cast

from sansip.driver import AnyStack, Driver, FilterFactory
from sansip.limits import DEFAULT, Limits
from sansip.transport.entrance import entrances
from sansip.transport.transports import SCTP, TCP, UDP
from sansip_sockets.answering import Handlers, StartCoroutine
from sansip_sockets.bind import BindError, BoundListener, bind_all
from sansip_sockets.hub import Hub
from sansip_sockets.reports import Report
from sansip_sockets.waits import Spawn
from sansip_sockets.workers import Offload

__all__ = ["Build", "Options", "assemble", "prepare"]

# A stack, or what makes one from the listener configs with their real ports.
Build: TypeAlias = AnyStack | Callable[[list[Any]], AnyStack]


class Options(TypedDict, total=False):
    """The options that all front doors take; each may be left out.

    Attributes:
        handlers: question type to the function that answers it: a plain function run in worker
            threads (see ``sansip_sockets.handler``), or an ``async def`` if the runtime has
            coroutines. ``Resolve`` has one already.
        notify: called with every event of the stack.
        filters: transport to what makes the byte filters of its connections.
        limits: default ``stack.limits``, those in force.
        gather: seconds, at most ``gathering.SPAN``, that the blocking runtime, and asyncio as a program,
            sleep before they read while thousands of datagrams come in a second; default: none.
        report: called with a text and an exception when something went wrong
            inside; default: the log ``sansip.sockets``. At most ten each second.
    """

    handlers: Handlers | None
    notify: Callable[[Any], None] | None
    filters: Mapping[str, FilterFactory] | None
    limits: Limits | None
    gather: float
    report: Report | None


def prepare(
    build: Build,
    listeners: Sequence[Any] | None = None,
    filters: Mapping[str, FilterFactory] | None = None,
) -> tuple[AnyStack, list[BoundListener]]:
    """Open the sockets and build the stack. Raises ``BindError``, and what ``build`` raises.

    ``listeners`` may be left out where ``build`` is a stack whose ``config`` names them.
    """
    given = None if callable(build) else build
    if listeners is None:
        if given is None:
            raise TypeError("listeners must be given where build is a function")
        listeners = cast(Any, given).config.listeners
    for config in listeners:
        if config.transport not in (UDP, TCP, SCTP, *(filters or ())):
            raise BindError(f"transport {config.transport!r} is not available; use udp or tcp")
    bound = bind_all(listeners)
    try:
        for listener, config in zip(bound, listeners, strict=True):
            if given is not None and config.port == 0:
                raise BindError(
                    f"cannot listen on {listener}: the stack was built before port 0 became {listener.port}; "
                    "pass a function that builds it"
                )
        stack = given if given is not None else cast(Any, build)([listener.config for listener in bound])
    except BaseException:
        for listener in bound:
            listener.sock.close()
        raise
    return stack, bound


def assemble(
    stack: AnyStack,
    bound: list[BoundListener],
    spawn: Spawn,
    *,
    offload: Offload | None = None,
    start_coroutine: StartCoroutine | None = None,
    **options: Unpack[Options],
) -> Hub:
    """Return a hub that is ready to ``start``; the sockets are closed if that fails.

    ``offload`` and ``start_coroutine`` are the runtime's (see ``Hub``).
    """
    from sansip.transport import Resolve
    from sansip_sockets.resolve import resolve

    limits = options.get("limits")
    if limits is None:
        limits = getattr(stack, "limits", DEFAULT)
    filters = options.get("filters")
    try:
        return Hub(
            Driver(stack, filters, limits, entrances([one.config for one in bound], filters or {}, limits)),
            bound,
            spawn,
            handlers={Resolve: resolve, **(options.get("handlers") or {})},
            notify=options.get("notify"),
            report=options.get("report"),
            gather=options.get("gather", 0.0),
            offload=offload,
            start_coroutine=start_coroutine,
        )
    except BaseException:
        for listener in bound:
            listener.sock.close()
        raise
