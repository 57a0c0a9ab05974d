"""The targets of a URI of ours: of an address-of-record or of a GRUU.

Theory of operation: an address-of-record leads to all its bindings, a GRUU (RFC 5627) to those of one
instance. Each binding becomes a target, and targets of one instance have its name, so that the proxy tries
one of them at a time (RFC 5626 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.proxy import Target
from sansip.registrar import instance_key
from sansip.routing.awaitables import ENDLESS
from sansip.routing.shared import lead, locate_shared
from sansip.transport import Flow
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS, UDP
from sansip.wire import SipUri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sansip.location import Binding, Source
    from sansip.registrar import Gruu
    from sansip.routing.core import Core
    from sansip.routing.incoming import Incoming
    from sansip.wire import OtherUri, TelUri

__all__ = [
    "absence",
    "asked_for",
    "borrows_gruu",
    "locate",
    "locate_at_hand",
    "meant",
    "names_gruu",
    "target_of",
]


def names_gruu(core: Core, uri: SipUri | TelUri | OtherUri) -> bool:
    """Whether ``uri`` is, or looks like, a GRUU of this server (RFC 5627 6.1)."""
    return (
        isinstance(uri, SipUri)
        and "gr" in uri.params
        and core.registrar.gruus is not None
        and core.listeners.serves(uri.host, uri.port)
    )


def asked_for(core: Core, uri: SipUri | TelUri | OtherUri) -> str:
    """Return which user of ours, which many URIs name, a request for ``uri`` asks for, or ""."""
    if not isinstance(uri, SipUri) or not core.listeners.serves(uri.host, uri.port):
        return ""
    aor = core.addresses.of(uri)
    return f"{aor};gr={uri.params['gr']}" if names_gruu(core, uri) else aor


async def locate(request: Incoming, asked: SipUri | TelUri | OtherUri) -> list[Target]:
    """Return the targets that ``asked`` is registered at, best first, on any node."""
    if request.takes_too_many_steps():
        await ENDLESS
    core = request.core
    aor, gruu = meant(core, asked)
    if core.nodes is None:
        bindings = core.location.lookup(aor, request.now)
    else:
        bindings = await locate_shared(request, aor)
    return _targets(request, aor, gruu, bindings)


def locate_at_hand(request: Incoming, asked: SipUri | TelUri | OtherUri) -> list[Target]:
    """Return the same from this node's own memory, without a question to the outside."""
    aor, gruu = meant(request.core, asked)
    return _targets(request, aor, gruu, request.core.location.lookup(aor, request.now))


def borrows_gruu(request: Incoming) -> bool:
    """Whether Contact is a GRUU of this server, and of another user than the one in From (RFC 5627 6.2)."""
    message = request.message
    core = request.core
    if request.method == "REGISTER":
        return False
    line = (message.first_line("contact") or "").lower()
    # RFC 3261 19.1.4, 25.1: names of parameters have no case, and may be escaped.
    if ";gr" not in line and "%" not in line:
        return False
    contacts = message.contacts
    uri = contacts[0].uri if isinstance(contacts, list) and contacts else None
    if uri is None or not names_gruu(core, uri):
        return False
    return meant(core, uri)[0] != core.addresses.of(message.from_.uri)


def absence(core: Core, uri: SipUri | TelUri | OtherUri) -> int:
    """Return the status of the answer to a request for ``uri``, whose user is registered nowhere."""
    gruu = meant(core, uri)[1]
    # RFC 5627 6.1: 480 where the GRUU is valid, which a public one is as long as
    # its user exists; a temporary one goes with the registration: 404.
    return 404 if gruu is None or gruu.instance is None else 480


def meant(core: Core, asked: SipUri | TelUri | OtherUri) -> tuple[str, Gruu | None]:
    """Return the address-of-record that ``asked`` means, "" for a GRUU that we did not make."""
    gruus = core.registrar.gruus
    if not isinstance(asked, SipUri) or "gr" not in asked.params:
        return core.addresses.of(asked), None
    if gruus is None or not names_gruu(core, asked):
        return core.addresses.of(asked), None
    gruu = gruus.read(asked)
    if gruu is None:
        return "", None
    return core.addresses.of(asked.replace(user=gruu.user, params={})), gruu


def _targets(
    request: Incoming,
    aor: str,
    gruu: Gruu | None,
    bindings: Sequence[Binding],
) -> list[Target]:
    core = request.core
    gruus = core.registrar.gruus
    if gruu is not None and gruus is not None:
        bindings = gruus.bindings(gruu, aor, bindings, core.wall.offset)
    targets = [target_of(binding) for binding in bindings]
    if gruu is not None and request.message.has("route"):
        # RFC 5627 6.1: within a dialog the way on is in Route already.
        for target in targets:
            target.path = ()
    if len(targets) > 1 and core.proxy.config.one_branch:
        for target in targets:
            target.alone = not target.path and not _is_of_trusted(core, target)
    if core.nodes is not None:
        targets = lead(core.nodes, request.message, bindings, targets)
    return targets


def _is_of_trusted(core: Core, target: Target) -> bool:
    """Whether the phone is behind a peer that is trusted by its address: a gateway, which may have many."""
    if not len(core.trusted):
        return False
    uri = target.uri
    transport, host, port = UDP, "", 0
    if isinstance(uri, SipUri):
        transport = uri.transport or transport
        host, port = uri.host, uri.port or DEFAULT_PORTS.get(transport, DEFAULT_PORT)
    if target.address is not None:
        host, port = target.address
    if target.flow is not None and core.trusted.of(target.flow) is not None:
        return True
    if target.flow is not None:
        transport, host, port = target.flow.transport, target.flow.host, target.flow.port
    return core.trusted.find(transport, host, port) is not None


def target_of(binding: Binding) -> Target:
    """Return the target that a binding is for a proxy (RFC 3261 16.5)."""
    flow = binding.flow
    address = None if binding.received is None else binding.received.address
    target = Target(
        binding.uri,
        1000 if binding.q is None else binding.q,
        binding.path,
        flow if isinstance(flow, Flow) else None,
        address,
        listener=flow if isinstance(flow, int) else None,
        binding=binding,
    )
    if binding.instance is None:
        target.instance = binding.contact
    else:
        target.instance = f"{binding.aor} {instance_key(binding.instance)}"
        if binding.reg_id is not None and not binding.path:
            _bind_flow(target, binding.received)
    return target


def _bind_flow(target: Target, received: Source | None) -> None:
    """Have ``target`` lead over the flow of its registration alone (RFC 5626 7)."""
    if target.flow is None and (received is None or received.by_datagram):
        # Datagrams.
        if target.address is None or target.listener is None:
            # From a former life of this process: the source address has to do.
            return
        target.flow = Flow(UDP, target.listener, target.address)
    target.only = True
