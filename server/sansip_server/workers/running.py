"""A server with workers, from its settings to its end.

Theory of operation: what all workers share is made first (sockets, secret), then the process that makes
workers, then what the parent alone has: the control socket, the store, HTTP. All is closed again at the end.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sansip.location import LocationUpdate, SharedWrite
from sansip.transport.transports import UDP
from sansip_server import logs
from sansip_server.addresses import has_ipv6_loopback
from sansip_server.cluster import SharedStorage
from sansip_server.config import build
from sansip_server.config.protocols import protocol_listeners
from sansip_server.config.redis import parse_redis
from sansip_server.config.schema import Settings
from sansip_server.config.workers import workers_of
from sansip_server.control import open_control
from sansip_server.descriptors import fit, raise_limit
from sansip_server.faults import OperatorError
from sansip_server.http.opening import open_http, start_http
from sansip_server.modules import uses
from sansip_server.provision import Provision
from sansip_server.rows import RowService, open_rows
from sansip_server.secret import read_secret
from sansip_server.storage import open_storage
from sansip_server.supervisor import Supervisor
from sansip_server.workers.first import protocols_of_first
from sansip_server.workers.nursery import Nursery
from sansip_server.workers.parent import Parent
from sansip_server.workers.provisioning import Provisioning
from sansip_server.workers.refusals import refusals
from sansip_server.workers.worker import Common, Worker
from sansip_sockets import BindError, TlsError
from sansip_sockets.bind import bind_group
from sansip_sockets.mesh import inboxes
from sansip_sockets.steering import steer

__all__ = ["Serve", "run_workers"]

logger = logging.getLogger("sansip.workers")

# Seconds that the workers have to end after they have drained.
_GRACE = 3.0

# Runs one worker as a server does: settings, whether they are to be read again, the worker. See ``serving``.
Serve = Callable[[Settings, bool, Worker], int]


def run_workers(
    settings: Settings,
    serve: Serve,
    *,
    journal: Path | None = None,
    may_lack_ipv6: bool = False,
    read_again: Callable[[], Settings] | None = None,
) -> int:
    """Run ``workers`` of ``settings`` until a signal says stop; return the exit status.

    ``serve`` runs one worker; ``read_again`` returns the settings as they are written at that time.
    Raises OperatorError for mistakes that the operator has to correct.
    """
    from sansip_blocking import run

    if may_lack_ipv6 and not has_ipv6_loopback():
        settings.listen = [text for text in settings.listen if "[::1]" not in text]
    build.settle(settings)
    addresses = build.listen_addresses(settings)
    faults = list(refusals(settings, addresses, journal))
    wanted = protocol_listeners(settings, build.listener_configs(addresses, settings.http.listen))
    if faults:
        raise OperatorError(*faults)
    count = workers_of(settings)
    secret = os.urandom(32) if settings.secret_file is None else read_secret(Path(settings.secret_file))
    raise_limit()
    logs.configure(settings.log.level, settings.log.format)
    try:
        spoken = protocols_of_first(settings)
        groups = bind_group(wanted, count, [one.id for one in wanted if one.transport in spoken])
    except BindError as error:
        raise OperatorError(str(error)) from None
    for listener in groups[0]:
        if listener.transport == UDP and listener.pumped and not steer(listener.sock):
            logger.warning("%s: the kernel does not steer responses; workers pass them on", listener)
    common = Common(groups, inboxes(count), secret, int.from_bytes(os.urandom(4), "big"))
    if any(one.config.http for one in groups[0]):
        common.http = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in common.http:
            end.setblocking(False)

    def work(number: int, incarnation: int, reloads: int, link: socket.socket) -> int:
        worker = Worker(common, number, incarnation, link)
        try:
            return serve(replace_lists(settings), bool(reloads), worker)
        except OperatorError as error:
            worker.fail(error.lines)
            return 1

    nursery = Nursery(work)
    try:
        return _serve(settings, addresses, common, nursery, run, read_again or (lambda: settings))
    finally:
        nursery.close()


def replace_lists(settings: Settings) -> Settings:
    """Return a copy of ``settings`` that one worker may settle for itself."""
    file, modules = settings.file, settings.modules
    copy = replace(settings, limits=replace(settings.limits), listen=list(settings.listen))
    copy.file, copy.modules = file, modules
    return copy


def _serve(
    settings: Settings,
    addresses: Any,
    common: Common,
    nursery: Nursery,
    run: Any,
    read_again: Callable[[], Settings],
) -> int:
    from sansip_sockets import TlsContexts

    try:
        control, uncontrolled = open_control(settings.control, settings.store)
    except BindError as error:
        raise OperatorError(str(error)) from None
    storage = http = provision = shared = None
    try:
        storage = open_storage(settings, build.served_domains(settings, addresses))
        if settings.location is not None:
            shared = SharedStorage(parse_redis(settings.location), settings.redis)
        try:
            tls = TlsContexts(settings.tls)
            http = open_http(settings, tls, addresses)
            if http is not None and common.http is not None:
                http.handed = common.http[0]
        except (BindError, TlsError) as error:
            raise OperatorError(str(error)) from None
        place = None if settings.rows is None else parse_redis(settings.rows)
        store = None if storage is None else storage.store
        # Redis has its own way to write together.
        pause = settings.store_interval if place is None else 0.0
        provision = Provision(
            lambda: RowService(open_rows(store, place, settings.redis), pause, storage=storage), "parent"
        )
        provision.start({use.kind: use.settings for use in uses(settings.modules)})
        supervisor = Supervisor()
        fit(settings.limits, raise_limit(), tell=False)
        parent = Parent(settings, common, nursery, control, storage, supervisor, provision, shared)

        def on_ready(server: Any) -> None:
            if shared is not None:
                shared.attach(server.hub, settings.limits.aors)
            if storage is not None:
                storage.watch(server.hub.inbox.post)
            parent.begin(server)
            assert provision is not None
            parent.reloading.outside = Provisioning(
                settings, read_again, provision, server.hub, parent.learn, parent.mounts.take
            )
            if http is not None:
                assert parent.management is not None
                start_http(
                    http,
                    server.hub,
                    settings,
                    build.served_domains(settings, addresses),
                    parent.management,
                    parent.followers,
                    told=parent.also.append,
                )
            parent.reloading.renewed = lambda: tls.reload(settings.tls)
            if uncontrolled is not None:
                logger.info("no control socket for `sansip ctl` (%s); set control", uncontrolled)

        status: int = run(
            lambda listeners: parent.stack,
            [],
            on_ready=on_ready,
            on_reload=parent.on_reload,
            handlers=({} if storage is None else {LocationUpdate: storage.handlers[LocationUpdate]})
            | ({} if shared is None else {SharedWrite: shared.handlers[SharedWrite]})
            | provision.handlers,
            drain_time=settings.drain_time + settings.node.linger + _GRACE,
        )
        if parent.failed:
            raise OperatorError(*parent.failed)
        logger.info("stopped")
        return status
    finally:
        if control is not None:
            control.close()
        if http is not None:
            http.close()
        if provision is not None:
            provision.close()
        if shared is not None:
            shared.leave()
        if storage is not None:
            storage.close()
