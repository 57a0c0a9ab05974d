"""A plain INVITE that a module sends on before anybody has read it: what modules see of it, and how it ends.

Theory of operation: where every step of a stage can say in brief what it would do (``Module.leads``), an
INVITE for one of its targets passes as octets, as one for a phone does (``openings``). The module picks the
target, and hears how soon that answers and that it took the call. If it does not take it the message is read,
the handle is what it would be by then on the long way, and the module waits with it for the outcome: what
follows is its ordinary code. ``tests/routing/test_leading.py`` plays both ways.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.routing.lead import until_decided
from sansip.routing.relaying import Relay
from sansip.routing.request import IncomingRequest
from sansip.routing.stepper import Running
from sansip.wire.headers.name_addr import parse_name_addr

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.proxy.branch import Branch
    from sansip.proxy.context import ResponseContext
    from sansip.proxy.loop import Arrived
    from sansip.proxy.recording import Recording
    from sansip.proxy.relayed import Record
    from sansip.routing.core import Core, ModuleTable
    from sansip.routing.lead import Lead
    from sansip.routing.trust import TrustedPeer
    from sansip.transaction import ServerTransaction
    from sansip.transport import Flow, Listener
    from sansip.wire import OtherUri, Request, SipUri, TelUri
    from sansip.wire.opening import Opening

__all__ = ["LedCall", "PlainCall", "lead_of"]


class PlainCall:
    """A plain INVITE for a user of our domains, as far as it was read.

    Attributes:
        flow: where it came from; ``now``: when.
        authenticated: whether its sender has proved by a password who it is.
        opening: its lines (``sansip.wire.opening``).
    """

    __slots__ = ("_from", "authenticated", "core", "flow", "now", "opening")

    def __init__(self, core: Core, opening: Opening, flow: Flow, now: float, authenticated: bool) -> None:
        self.core = core
        self.opening = opening
        self.flow = flow
        self.now = now
        self.authenticated = authenticated
        self._from: SipUri | TelUri | OtherUri | None = None

    @property
    def user(self) -> str:
        """The user of the Request-URI."""
        user: str = self.opening.user
        return user

    @property
    def from_uri(self) -> SipUri | TelUri | OtherUri:
        """The URI in From."""
        if self._from is None:
            line = self.opening.from_.partition(":")[2].strip()
            self._from = parse_name_addr(line, "From", "RFC 3261 20.20").uri
        return self._from

    @property
    def to_uri(self) -> SipUri | TelUri | OtherUri:
        """The URI in To."""
        line = self.opening.to.partition(":")[2].strip()
        return parse_name_addr(line, "To", "RFC 3261 20.39").uri

    @property
    def authenticates(self) -> bool:
        """Whether the server asks for passwords."""
        return self.core.authenticator is not None

    @property
    def trusted(self) -> TrustedPeer | None:
        """The trusted name of the sender, or None."""
        trusted = self.core.trusted
        return trusted.of(self.flow) if trusted.peers else None

    @property
    def proven(self) -> bool:
        """Whether the sender has proved who it is."""
        return self.authenticated or self.trusted is not None

    def serves(self, uri: SipUri | TelUri | OtherUri) -> bool:
        """Whether ``uri`` is in a domain of this server."""
        host = getattr(uri, "host", "")
        return getattr(uri, "scheme", "") in ("sip", "sips") and self.core.listeners.serves(
            host, getattr(uri, "port", None)
        )


def lead_of(modules: ModuleTable, stage: str, call: PlainCall) -> tuple[Any, Lead] | bool:
    """Return who leads ``call`` in ``stage``; True: none there, the next stage decides; False: read it."""
    leading = modules.leading[stage]
    if leading is None:
        return False
    for module, leads in leading:
        try:
            found = leads(stage, call)
        except Exception as error:
            modules.failed(module, "leads", error)
            return False
        if found is None:
            return False
        if getattr(found, "longest", None) is not None:
            return module, found
    return True


class LedCall:
    """One INVITE on its way to the target that a module picked (``sansip.proxy.led``)."""

    __slots__ = (
        "_arrived",
        "_asked",
        "_authenticated",
        "_core",
        "_flow",
        "_hashed",
        "_heard",
        "_lead",
        "_leaves",
        "_module",
        "_modules",
        "_recording",
        "_records",
        "_stage",
        "_told",
        "handle",
    )

    def __init__(
        self,
        core: Core,
        who: tuple[Any, Lead],
        stage: str,
        flow: Flow,
        hashed: str,
        asked: str,
        leaves: Listener | None,
        recording: Recording,
        records: bool,
        arrived: Callable[[], Arrived | None],
        authenticated: bool,
    ) -> None:
        self._core = core
        # Those that it began with.
        self._modules = core.modules
        self._module, self._lead = who
        self._stage = stage
        self._flow = flow
        self._hashed = hashed
        self._asked = asked
        self._leaves = leaves
        self._recording = recording
        self._records = records
        self._arrived = arrived
        self._authenticated = authenticated
        # When the first provisional response came, and whether the module knows.
        self._heard: float | None = None
        self._told = False
        self.handle: IncomingRequest | None = None

    def begins(self, call: Any) -> None:
        """Tell the module of the record of the call."""
        try:
            self._lead.begins(call)
        except Exception as error:
            self._failed(error)

    def hears(self, status: int, now: float) -> None:
        """The target sent a provisional response."""
        if self._heard is None:
            self._heard = now
        if status != 100:
            self._tell(now)

    def _tell(self, now: float) -> None:
        if not self._told:
            self._told = True
            try:
                self._lead.heard(now if self._heard is None else self._heard)
            except Exception as error:
                self._failed(error)

    def succeeds(self, status: int, data: bytes, now: float) -> None:
        """The first 2xx, ``data``, went back."""
        self._tell(now)
        reason = data[: data.find(b"\r\n")].decode("utf-8", "surrogateescape")[12:].strip()
        try:
            self._lead.succeeded(status, reason, now)
        except Exception as error:
            self._failed(error)

    def appears(
        self, request: Request, server: ServerTransaction, call: Record | None, began: float
    ) -> Record | None:
        """Make the handle, as it would be by now on the long way."""
        core = self._core
        handle = self.handle = IncomingRequest(core, request, self._flow, server, began)
        handle.modules = self._modules
        handle.hashed, handle.asked = self._hashed, self._asked
        handle.arrived = self._arrived()
        handle.leaves = self._leaves
        handle.recording, handle.record = self._recording, self._records
        handle.authenticated = self._authenticated
        handle.decided = True
        try:
            self._lead.appears(handle, self._told)
        except Exception as error:
            self._failed(error)
        if core.proxy.hooks.active and call is not None and call.is_shown(handle):
            return None
        return call

    def goes_on(self, context: ResponseContext, branch: Branch) -> None:
        """Have the module wait for the outcome of its target."""
        core, handle = self._core, self.handle
        assert handle is not None
        handle._context = context
        proxy = core.proxy
        forwarding = context.forwarding
        if not proxy.hooks.active:
            forwarding.handle = None
        began, answer = handle.now, self._lead.answer
        forwarding.answer = answer
        branch.heard = self._heard
        if self._heard is None:
            proxy.timers.put(began + answer, answer, branch, "answer")
        failed = partial(self._modules.failed, self._module, f"step {self._stage}")
        # The route that the long way would have has taken its first steps by now.
        waits = until_decided(self._lead, handle, Relay(context), failed)
        Running(waits, handle).step(None, max(core.ua.now, began))

    def _failed(self, error: Exception) -> None:
        self._modules.failed(self._module, "leads", error)
