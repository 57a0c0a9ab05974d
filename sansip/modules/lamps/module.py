"""The module ``lamps``: the calls of users, told to the phones that have a key for them (RFC 4235).

Theory of operation: the caller's dialog follows the call (``sansip.modules.calls``), the callee's dialogs
follow the branches, one each. They are as ordered as the messages that this server relays, for one process
relays a call, and each state is told in the input that brought it. What a branch does after the call is
over changes nothing: its lamp is gone. A restart takes the lamps of answered calls back with the calls.

Of several workers each has the lamps of its own calls. The subscriptions are at the first worker, which all
others tell each state (``elsewhere``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.events import NodeChanged
from sansip.module import Module, Slot, command
from sansip.modules.calls import (
    CallAnswered,
    CallFinished,
    CallRang,
    Calls,
    CallsRead,
    CallTakenBack,
    CallTried,
)
from sansip.modules.events import Events
from sansip.modules.lamps.elsewhere import announce, heard
from sansip.modules.lamps.keeping import lamps_of, note_lamp
from sansip.modules.lamps.keeping import party as _party
from sansip.modules.lamps.lamp import CONFIRMED, EARLY, PROCEEDING, TERMINATED, Lamp, Party
from sansip.modules.lamps.nodes import OtherNodes
from sansip.modules.lamps.package import DialogPackage
from sansip.modules.lamps.settings import LampsSettings
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls import Call
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.wire import Request, Response

__all__ = ["Lamps"]

# Dialogs that are shown of one call: the caller's, and one for each phone.
_MOST_OF_CALL: Final = 32


class Lamps(Module):
    """Tells phones of the calls of other users: busy lamps, and what picking a call up needs (RFC 4235)."""

    name = "lamps"
    over_workers = True
    Settings = LampsSettings
    requires = (Calls, Events)
    events = (CallTried, CallRang, CallAnswered, CallFinished, CallTakenBack, CallsRead, NodeChanged)
    settings: LampsSettings

    # The lamp of each branch of an INVITE.
    _of: Slot[dict[Branch, str]] = Slot()

    def __init__(self, settings: LampsSettings) -> None:
        super().__init__(settings)
        # User -> id -> lamp; call -> ids of its lamps and their users.
        self._lamps: dict[str, dict[str, Lamp]] = {}
        self._of_call: dict[str, dict[str, str]] = {}
        # Those of calls at other workers, where this is the first one.
        self._others: dict[str, Lamp] = {}
        # The subscriptions; None where another worker has them.
        self._engine: Events | None = None

    # --- its life

    def start(self, core: Core, now: float) -> None:
        self._calls = core.module(Calls)
        self._nodes: OtherNodes | None = None
        if core.seat is None or not core.seat.number:
            self._engine = core.module(Events)
            if core.node and core.shares:
                self._nodes = OtherNodes(
                    core, self._own, self._is_watched, self._watched, self._changed_there, now
                )
        self._package = DialogPackage(self.settings, self._shown, self._is_user, self._nodes)
        self._package.ready = self._calls.is_read
        if self._engine is not None:
            self._engine.add(self._package, now)

    def configure(self, settings: LampsSettings, now: float) -> None:
        """Take new settings; watchers are judged anew."""
        super().configure(settings, now)
        self._package.take(settings)
        if self._engine is not None:
            self._engine.judge("dialog", now)

    def figures(self) -> dict[str, Any]:
        """Return how many dialogs are shown, of calls at this worker."""
        return {"now": sum(map(len, self._lamps.values())) - len(self._others)}

    def announced(self, key: str, word: Any, now: float) -> None:
        """Follow the calls of the other workers."""
        if self._engine is not None and (lamp := heard(key, word, self._others)) is not None:
            if lamp.state == TERMINATED:
                self._take_away(lamp)
            else:
                self._lamps.setdefault(lamp.entity, {})[lamp.id] = lamp
            self._changed(lamp, now)

    def _own(self, resource: str) -> list[Lamp]:
        return list(self._lamps.get(resource, {}).values())

    def _shown(self, resource: str) -> list[Lamp]:
        own = self._own(resource)
        return own if self._nodes is None else [*own, *self._nodes.of(resource)]

    def _is_watched(self, resource: str) -> bool:
        return self._engine is not None and bool(self._engine.of("dialog", resource))

    def _watched(self) -> list[str]:
        return [] if self._engine is None else self._engine.resources("dialog")

    def _changed_there(self, lamp: Lamp, now: float) -> None:
        """A lamp of another node is another one."""
        if self._engine is not None:
            self._engine.changed("dialog", lamp.entity, now, lamp.id, lamp)

    def _changed(self, lamp: Lamp, now: float) -> None:
        self._changed_there(lamp, now)
        if self._nodes is not None:
            self._nodes.tell(lamp.entity, now)

    def _is_user(self, address: str) -> bool:
        return self._user_of(address) == address

    def _user_of(self, address: str) -> str:
        """Return the address-of-record of a user of ours, "" for anybody else."""
        try:
            uri = parse_uri(address)
        except RemoteProtocolError:
            return ""
        if not isinstance(uri, SipUri) or uri.user is None or not self.core.listeners.serves(uri.host):
            return ""
        return self.core.address_of(uri)

    # --- what the calls do

    def event_received(self, event: Any, now: float) -> None:
        """Follow a call: the caller's dialog, and the end of all."""
        if isinstance(event, NodeChanged):
            if self._nodes is not None:
                self._nodes.nodes_changed(now)
            return
        if isinstance(event, CallsRead):
            self._tell_all(now)
            return
        call: Call = event.call
        if isinstance(event, CallTried):
            self._tried(call, now)
        elif isinstance(event, CallRang):
            self._move(call, f"{call.id}.0", EARLY, now)
        elif isinstance(event, CallAnswered):
            tag = next(iter(call.talks), "")
            self._move(call, f"{call.id}.0", CONFIRMED, now, tag=tag)
        elif isinstance(event, CallFinished):
            why, code = _why(call)
            for lamp in tuple(self._of_call.get(call.id, ())):
                self._move(call, lamp, TERMINATED, now, event=why, code=code)
            self._of_call.pop(call.id, None)
        elif isinstance(event, CallTakenBack) and not call.over:
            for each in lamps_of(call):
                self._put(call, each, now)

    def _tell_all(self, now: float) -> None:
        """The calls of the process before are known: all phones are told what goes on."""
        self._package.ready = True
        if self._engine is None:
            return
        for resource in self._engine.resources("dialog"):
            for one in self._engine.of("dialog", resource):
                one.full = True
            self._engine.changed("dialog", resource, now)

    def _tried(self, call: Call, now: float) -> None:
        request = call.request
        if request is None or not request.is_from_us or request.is_stranger:
            # Nobody has proved to be that user.
            return
        message = request.message
        try:
            caller, callee = _party(message.from_, _contact(message)), _party(message.to, "")
        except RemoteProtocolError:
            return
        entity = self._user_of(call.caller)
        if entity:
            tag = call.caller_tag
            self._put(
                call,
                Lamp(f"{call.id}.0", entity, call.call_id, "initiator", caller, callee, now, local_tag=tag),
                now,
            )

    def branch_leaving(self, request: IncomingRequest, branch: Branch, message: Request) -> None:
        """A phone is about to ring."""
        if request.method != "INVITE" or request.in_dialog:
            return
        call = self._calls.of(request)
        if call is None or call.over:
            return
        known = self._of.get(request)
        if known is None:
            known = {}
            self._of.set(request, known)
        if branch in known or len(known) >= _MOST_OF_CALL:
            return
        binding = branch.target.binding
        entity = self._user_of(call.asked) if binding is None else str(binding.aor)
        if not entity:
            return
        try:
            caller, callee = _party(message.from_, _contact(message)), _party(message.to, message.uri_text)
        except RemoteProtocolError:
            return
        # The one that it was sent to, whatever the caller wrote into To.
        callee = Party(entity, callee.display, callee.target)
        known[branch] = f"{call.id}.{len(known) + 1}"
        self._put(
            call,
            Lamp(
                known[branch],
                entity,
                call.call_id,
                "recipient",
                callee,
                caller,
                request.now,
                remote_tag=call.caller_tag,
            ),
            request.now,
        )

    def response_received(self, request: IncomingRequest, branch: Branch, response: Response) -> None:
        """A phone rings, or answers."""
        known = self._of.get(request)
        if known is None or branch not in known:
            return
        call = self._calls.of(request)
        if call is None:
            return
        status, tag = response.status, response.to_tag or ""
        if status < 200:
            state = EARLY if tag else PROCEEDING
        elif status < 300:
            state = CONFIRMED
        else:
            return
        try:
            target = _contact(response)
        except RemoteProtocolError:
            target = ""
        self._move(call, known[branch], state, request.now, tag=tag, target=target)

    def branch_ended(self, request: IncomingRequest, branch: Branch, status: int) -> None:
        """A phone rings no more; the others go on."""
        known = self._of.get(request)
        if known is None or branch not in known or 200 <= status < 300:
            return
        call = self._calls.of(request)
        if call is None:
            return
        if status == 487:
            why, code = "cancelled", 0
        elif status == 408:
            why, code = "timeout", 0
        else:
            why, code = "rejected", status
        self._move(call, known[branch], TERMINATED, request.now, event=why, code=code)

    # --- lamps

    def _put(self, call: Call, lamp: Lamp, now: float) -> None:
        self._lamps.setdefault(lamp.entity, {})[lamp.id] = lamp
        self._of_call.setdefault(call.id, {})[lamp.id] = lamp.entity
        self._tell(lamp, now)

    def _tell(self, lamp: Lamp, now: float) -> None:
        """Tell the watchers the state of ``lamp``, or the first worker, which has them."""
        if self._engine is not None:
            self._changed(lamp, now)
        else:
            announce(self.core, lamp)

    def _take_away(self, lamp: Lamp) -> None:
        lamps = self._lamps.get(lamp.entity, {})
        lamps.pop(lamp.id, None)
        if not lamps:
            self._lamps.pop(lamp.entity, None)

    def _move(
        self,
        call: Call,
        id: str,
        state: str,
        now: float,
        *,
        event: str = "",
        code: int = 0,
        tag: str = "",
        target: str = "",
    ) -> None:
        entity = self._of_call.get(call.id, {}).get(id)
        if entity is None:
            return
        lamps = self._lamps[entity]
        after = lamps[id].moved(state, event=event, code=code, tag=tag, target=target)
        if after is None:
            return
        if state == TERMINATED:
            self._take_away(after)
            del self._of_call[call.id][id]
        else:
            lamps[id] = after
            if state == CONFIRMED:
                # Before the row of the call is written.
                note_lamp(call, after)
        self._tell(after, now)

    # --- operators

    @command("lamps.list")
    def list_lamps(self, user: str = "", limit: int = 1_000) -> list[dict[str, Any]]:
        """Return the dialogs that are shown, those of `user` alone where named."""
        found = [
            {
                "user": lamp.entity,
                "id": lamp.id,
                "state": lamp.state,
                "direction": lamp.direction,
                "remote": lamp.remote.uri,
                "call_id": lamp.call_id,
            }
            for entity, lamps in self._lamps.items()
            if user in ("", entity)
            for lamp in lamps.values()
        ]
        return found[: max(1, min(limit, 10_000))]


def _contact(message: Request | Response) -> str:
    contacts = message.contacts
    return str(contacts[0].uri) if isinstance(contacts, list) and contacts else ""


def _why(call: Call) -> tuple[str, int]:
    """Return the event and the code of a call that is over (RFC 4235 3.7.1)."""
    if call.answered is not None:
        return ("local-bye" if call.ended_by == "caller" else "remote-bye"), 0
    if call.status == 487:
        return "cancelled", 0
    if call.status == 408:
        return "timeout", 0
    return "rejected", call.status
