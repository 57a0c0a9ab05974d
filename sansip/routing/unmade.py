"""Request handles that nobody has looked at yet: made for modules, which may not look at one at all.

Theory of operation: as with a message that nobody has read (``sansip.wire.unread``). A hook gets an empty
handle, with the request in it; the first attribute that is asked for, or set, has it made, and from then on
it is an ordinary handle with no trace of this. Before its request is sent on, it is made with a new server
transaction; after that the relay makes it (``sansip.proxy.watched_pair``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sansip.proxy.dialog_mark import Reading
from sansip.routing.incoming import Incoming
from sansip.routing.request import IncomingRequest
from sansip.wire.unread import LAZY

if TYPE_CHECKING:
    from sansip.proxy.watched_pair import WatchedPair
    from sansip.routing.core import Core
    from sansip.transaction import ServerTransaction
    from sansip.transport import Flow, Listener
    from sansip.wire import Request

__all__ = ["Given", "UnmadeRequest", "be_made_by", "make", "unmade"]

_new: Final = object.__new__
_set: Final = object.__setattr__

# What a handle is made of: the stack and its modules, the request and its flow, the key of its server
# transaction ("" for an ACK), ``hashed``, ``asked`` and ``leaves`` of the handle, the side of a dialog
# through here that sends it, with a whole mark of ours ("" where it begins one), and the time.
Given: TypeAlias = "tuple[Core, Any, Request, Flow, str, str, str, Listener | None, str, float]"


def make(handle: IncomingRequest, given: Given, server: ServerTransaction | None) -> None:
    """Make ``handle``, with ``server`` to answer through."""
    core, modules, message, flow, _, hashed, asked, leaves, side, now = given
    Incoming.__init__(handle, core, message, flow, server, now)
    handle.modules = modules
    handle.hashed, handle.asked, handle.leaves = hashed, asked, leaves
    if side:
        handle.from_dialog, handle.reading, handle.side = True, Reading.WHOLE, side


def _fill(handle: IncomingRequest) -> None:
    owner: Given | WatchedPair = handle._unmade
    _set(handle, "__class__", IncomingRequest)
    handle._unmade = None
    if not isinstance(owner, tuple):
        owner.meet(handle)
        return
    # Its request has not been sent on.
    core, _, message, flow, key, *_ = owner
    server = core.proxy.transactions.open_server(key, message.method, flow, None) if key else None
    make(handle, owner, server)
    if server is not None:
        server.user = handle


class UnmadeRequest(IncomingRequest):
    """A request handle that nobody has looked at yet."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        _fill(self)
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _fill(self)
        setattr(self, name, value)


if LAZY:
    _owner: Final = Incoming.__dict__["_unmade"].__set__
    _message: Final = Incoming.__dict__["message"].__set__
    _method: Final = Incoming.__dict__["method"].__set__


def unmade(message: Request, given: Given) -> IncomingRequest:
    """Return the handle of ``message``, which is made of ``given`` when a module looks at it."""
    handle: IncomingRequest = _new(UnmadeRequest)
    _owner(handle, given)
    _message(handle, message)
    _method(handle, message.method)
    return handle


def be_made_by(handle: IncomingRequest, owner: WatchedPair) -> None:
    """Have ``handle``, which nobody has looked at, made by ``owner`` from now on."""
    _owner(handle, owner)
