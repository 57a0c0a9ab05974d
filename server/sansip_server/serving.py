"""The running server: the adapter has the sockets, the core the protocol, this file the words.

Theory of operation: the server judges everything that an operator can get wrong before it opens
the first socket. Then the runtime adapter opens the sockets, tells their real ports, builds the
stack and runs it until SIGTERM. The lines for a supervising program (``listening on``, ``ready``)
go to standard output, the log to standard error.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sansip.config import ListenerConfig
from sansip.module import ModuleFault
from sansip.routing.handlers import handlers_of
from sansip.stack import Stack
from sansip.transport.transports import DATAGRAMS
from sansip_server import logs
from sansip_server.access import Access
from sansip_server.addresses import has_ipv6_loopback
from sansip_server.announcing import say_doubts, say_who_lacks_users, say_who_may_register
from sansip_server.bearer import open_bearer
from sansip_server.cluster import SharedStorage
from sansip_server.config import build
from sansip_server.config.dns import dns_config
from sansip_server.config.protocols import protocol_listeners, protocols
from sansip_server.config.redis import parse_redis
from sansip_server.config.schema import Settings
from sansip_server.control import open_control
from sansip_server.descriptors import fit, raise_limit
from sansip_server.eventlog import EventLog
from sansip_server.faults import OperatorError
from sansip_server.followers import Followers
from sansip_server.http.opening import open_http, shared_with, start_http
from sansip_server.huge_pages import HugePages
from sansip_server.journal import JournalFile, head
from sansip_server.management import Management
from sansip_server.modules import uses
from sansip_server.parts import Side
from sansip_server.provision import Provision
from sansip_server.reload import Outcome, Reload
from sansip_server.routes import default_route, load_route
from sansip_server.rows import RowService, open_rows
from sansip_server.runtimes import AUTO, choose, load_runtime
from sansip_server.secret import read_secret
from sansip_server.served_stack import JournaledServedStack, ServedStack
from sansip_server.shared_values import SharedValues
from sansip_server.slowness import Slowness
from sansip_server.storage import Storage, open_storage
from sansip_server.supervisor import Supervisor
from sansip_server.workers.outside import tables_of

if TYPE_CHECKING:
    from sansip.location import Nodes
    from sansip_server.workers.worker import Worker

__all__ = ["run_server"]

logger = logging.getLogger("sansip.server")


def run_server(
    settings: Settings,
    *,
    journal: Path | None = None,
    may_lack_ipv6: bool = False,
    read_again: Callable[[], Settings] | None = None,
    worker: Worker | None = None,
) -> int:
    """Run until a signal says stop; return the exit status.

    ``read_again`` returns the settings as they are written at that time, for a reload.
    ``journal``: a file to record every input and action in, see ``journal``. ``may_lack_ipv6``:
    listeners on ::1 are left out if the machine has no ::1. ``worker``: this process is one of several, and
    its parent has the sockets, the bindings and the operators (``sansip_server.workers``).
    Raises OperatorError for mistakes that the operator has to correct.
    """
    from sansip_sockets import BindError, TlsContexts, TlsError, stream_filters

    lacking = may_lack_ipv6 and not has_ipv6_loopback()
    if lacking:
        settings.listen = [text for text in settings.listen if "[::1]" not in text]
    build.settle(settings)
    addresses = build.listen_addresses(settings)
    route = default_route() if settings.route is None else load_route(settings.route)
    if settings.runtime != AUTO:
        # It may not be installed: report that before anything is opened.
        load_runtime(settings.runtime)
    domains = build.served_domains(settings, addresses)
    aliases = build.other_names(addresses)
    secret = None if settings.secret_file is None else read_secret(Path(settings.secret_file))

    if worker is not None:
        secret = worker.secret
        worker.share(settings)
    access = Access(settings)
    if journal is not None and access.registers:
        raise OperatorError(
            "a journal cannot record registrations at other servers; leave --journal or upstream.register out"
        )
    try:
        tls = TlsContexts(settings.tls)
    except TlsError as error:
        raise OperatorError(f"tls: {error}") from None

    storage: Storage | None = open_storage(settings, domains, writes=worker is None)

    place = None if settings.rows is None else parse_redis(settings.rows)
    store = None if storage is None else storage.store
    # Redis has its own way to write together.
    pause = settings.store_interval if place is None else 0.0
    side: Side = "alone" if worker is None else "worker"
    provision = Provision(
        lambda: RowService(open_rows(store, place, settings.redis), pause, storage=storage), side
    )
    values = None if place is None else SharedValues(place, settings.redis)

    shared = None
    if settings.location is not None:
        if journal is not None:
            raise OperatorError("a journal cannot record a shared location; leave --journal or location out")
        shared = SharedStorage(parse_redis(settings.location), settings.redis)

    try:
        control, uncontrolled = (
            (None, None) if worker is not None else open_control(settings.control, settings.store)
        )
    except BindError as error:
        raise OperatorError(str(error)) from None

    try:
        http = None if worker is not None else open_http(settings, tls, addresses)
    except BindError as error:
        if control is not None:
            control.close()
        raise OperatorError(str(error)) from None

    bearer = open_bearer(settings.bearer, settings.auth)
    recorder = None if journal is None else JournalFile(journal)
    logs.configure(settings.log.level, settings.log.format)
    supervisor = Supervisor()
    exposed = any(address.transport not in DATAGRAMS and not address.loopback for address in addresses)
    fit(settings.limits, raise_limit(), tell=exposed)
    wanted = protocol_listeners(settings, build.listener_configs(addresses, settings.http.listen))

    def settings_again() -> Settings:
        again = settings if read_again is None else read_again()
        if lacking:
            again.listen = [text for text in again.listen if "[::1]" not in text]
        build.settle(again)
        if worker is not None:
            worker.share(again)
        fit(again.limits, raise_limit(), tell=False)
        return again

    reload = Reload(
        settings, settings_again, access, tls, storage, lambda domains: say_doubts(tls, domains), provision
    )

    def make_stack(listeners: list[ListenerConfig]) -> Stack:
        config = build.stack_config(settings, listeners, domains, aliases, route, secret)
        config.dns = dns_config(settings.dns)
        config.began = time.time()
        if worker is not None:
            config.seat, config.durable, config.shares_values = worker.seat, False, True
            # The parent keeps them for the next worker in this place.
            config.keeps_rows = True
        access.configure(config)
        seed = os.urandom(32)
        stack: ServedStack
        try:
            if recorder is None:
                stack = ServedStack(config, seed)
            else:
                stack = JournaledServedStack(config, seed, recorder.write, head(settings, config))
        except ModuleFault as error:
            lacks = [] if worker is None else worker.lacks
            why = f" (the first worker alone has {', '.join(lacks)}: docs/workers.md)" if lacks else ""
            raise OperatorError(f"{error}{why}") from None
        if worker is None:
            stack.on_drain = supervisor.stopping
        else:
            stack.may_end = worker.may_end
        Slowness(stack.modules)
        if shared is not None:
            stack.join(time.monotonic(), shared.look())
            _refuse_another_key(stack.nodes)
        elif storage is not None and worker is None:
            storage.restore(stack)
        if storage is not None and recorder is None:
            # A journal has to hold every answer, so a server with a journal asks for each.
            stack.recall = storage.recall
        return stack

    pages: HugePages | None = None

    def on_ready(server: Any) -> None:
        nonlocal pages
        if shared is not None:
            shared.attach(server.hub, settings.limits.aors)
        provision.attach(server.hub)
        if worker is None:
            click.echo(f"runtime {runtime}: {why}")
        else:
            worker.restore(server, values=values is None)
            worker.carrier.learn(tables_of(use.kind for use in uses(settings.modules)))
        # Modules start at the first input; if one does not start, the server must not run.
        now = server.hub.clock()
        server.hub.perform(server.hub.driver.time_passed(now), now)
        if server.stack.unfit is not None:
            raise OperatorError(str(server.stack.unfit))
        lines = [f"listening on {one}" for one in server.listeners if one.config.accepts]
        if worker is not None:
            reload.attach(server.stack, server.hub, wanted)
            management = Management(
                *(server.stack, server.hub),
                storage=storage,
                reload=on_reload,
                end=lambda: os.kill(os.getpid(), signal.SIGTERM),
                parts=({} if shared is None else {"location": partial(shared.health, server.stack.nodes)})
                | ({} if values is None else {"values": values.health}),
                provision=provision,
            )
            lines = [f"runtime {runtime}: {why}", *lines]
            lines += [f"listening on {one}" for one in shared_with(server.listeners)]
            worker.attach(management, reload, events, lines, reads=shared is not None)
            pages = HugePages.begin() if settings.huge_pages else None
            return
        for line in lines:
            click.echo(line)
        if lacking:
            logger.info("this machine has no IPv6 loopback address; listening on IPv4 only")
        say_who_may_register(addresses, settings)
        if storage is not None:
            say_who_lacks_users(storage, settings, build.realm_hosts(settings, addresses))
            storage.watch(server.hub.inbox.post)
        reload.attach(server.stack, server.hub, wanted)
        if control is not None or http is not None:
            management = Management(
                server.stack,
                server.hub,
                storage=storage,
                reload=on_reload,
                end=lambda: os.kill(os.getpid(), signal.SIGTERM),
                parts=({} if shared is None else {"location": partial(shared.health, server.stack.nodes)})
                | ({} if values is None else {"values": values.health}),
                provision=provision,
            )
            if control is not None:
                control.start(server.hub, management.answer)
            if http is not None:
                start_http(http, server.hub, settings, domains, management, events, storage, bearer)
        if uncontrolled is not None:
            logger.info("no control socket for `sansip ctl` (%s); set control", uncontrolled)
        if shared is not None:
            # Other nodes need not wait for a node whose loop is held.
            server.hub.on_abandon = shared.leave
        logger.info("serving %s", ", ".join([*domains, *(name for name in aliases if name not in domains)]))
        say_doubts(tls, domains)
        # All that each message needs is there by now.
        pages = HugePages.begin() if settings.huge_pages else None
        click.echo("ready")
        supervisor.ready(server.hub)

    def on_reload(done: Callable[[Outcome], None] | None = None) -> None:
        # SIGHUP: existing connections keep their certificate.
        supervisor.reloading()

        def reloaded(outcome: Outcome) -> None:
            supervisor.reloaded()
            if done is not None:
                done(outcome)

        reload(reloaded)

    events = Followers(EventLog())
    try:
        provision.start({use.kind: use.settings for use in uses(settings.modules)})
        handlers = (
            ({} if storage is None else storage.handlers)
            | handlers_of(route, settings.limits.handler_waiting)
            | provision.handlers
            | ({} if bearer is None else bearer.handlers)
            | ({} if values is None else values.handlers)
            | ({} if shared is None else shared.handlers)
        )
        runtime, why = choose(
            settings.runtime,
            uvloop=settings.uvloop,
            transports=[one.transport for one in wanted if one.accepts],
            handlers=handlers.values(),
        )
        run = load_runtime(runtime)
        status = run(
            make_stack,
            wanted if worker is None else worker.listeners,
            on_ready=on_ready,
            on_reload=on_reload,
            filters=stream_filters(tls, settings.websocket, settings.limits, protocols(settings)),
            notify=events,
            handlers=handlers,
            drain_time=settings.drain_time + settings.node.linger,
            gather=settings.gather,
            uvloop=settings.uvloop,
        )
    except BindError as error:
        raise OperatorError(str(error)) from None
    except BaseExceptionGroup as group:
        # Runtimes that have nurseries raise the exceptions of ``on_ready`` in a group.
        found: BaseException | None = group.subgroup(OperatorError)
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        if found is None:
            raise
        raise found from None
    except ModuleNotFoundError as error:
        if "uvloop" not in str(error):
            raise
        raise OperatorError("uvloop is not installed; pip install 'sansip[uvloop]', or --no-uvloop") from None
    finally:
        if pages is not None:
            pages.close()
        provision.close()
        if values is not None:
            values.close()
        if control is not None:
            control.close()
        if http is not None:
            http.close()
        if recorder is not None:
            recorder.close()
        if shared is not None:
            # The other workers of this node live on where one of them fails.
            shared.leave(tells=worker is None or worker.drained)
        if storage is not None:
            storage.close()
    logger.info("stopped")
    return status


def _refuse_another_key(nodes: Nodes | None) -> None:
    """Raise OperatorError if nodes live and none of them has this one's key.

    They could not call phones that registered here, and this node could not call theirs.
    """
    if nodes is not None and nodes.strangers and not nodes.others:
        names = ", ".join(sorted(f"{node.name} at {node.address}" for node in nodes.strangers.values()))
        raise OperatorError(
            f"secret_file: the nodes that share the location have another key ({names}); copy theirs, or"
            " stop them all where the key is to change"
        )
