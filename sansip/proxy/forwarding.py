"""How one request is forwarded: the request itself, and what its route decided about the copies that leave.

Theory of operation: a response context and its branches share one ``Forwarding``. Verbs of the route
write it before they relay; branches make their copies by it, and take back from responses what
it added. It knows neither of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.auth import Account
    from sansip.proxy.budget import Budget
    from sansip.proxy.path import PathValue
    from sansip.proxy.recording import Recording
    from sansip.proxy.relayed import Record
    from sansip.transport.flow import Flow
    from sansip.wire import Request, SipUri

__all__ = ["Forwarding"]


@dataclass(slots=True)
class Forwarding:
    """One request on its way through here.

    Attributes:
        request: as received; None once nothing can need it any more.
        budget: how many branches it may still have, in all its generations here.
        caller: the flow that it came by.
        hashed: the last part of the branch parameters of its copies (``loop_hash``).
        handle: the object that modules get for this request; None where no module looks at it.
        listener: the number of the listener that it came by.
        leaves: that of the one to send from, where the target does not say.
        record_route: the content of our Record-Route values; None: do not record.
        recording: the same, for answers: within a dialog also where nothing is recorded.
        record_if_raised: the value that ``record_route`` gets once CSeq was raised; None within a dialog.
        path: the value that we add to the Path of a REGISTER that we pass on.
        came: the flow token of the caller's side for Record-Route, or "".
        accounts: those to answer challenges with, before those of the configuration; None: the proxy answers
            no challenge and changes no CSeq.
        marked: the number that was added to CSeq in this dialog, according to our Record-Route value.
        cseq: the caller's CSeq line, once a branch has another one.
        answer: seconds in which each target has to be heard of.
        strange: whether a target is none of our users.
        call: the record of the call that it begins, or ends as a BYE; None: there is none.
        follows: the route's test of a contact in a 3xx; None: no route said anything of redirections.
    """

    request: Request | None
    caller: Flow
    hashed: str
    budget: Budget
    is_invite: bool
    listener: int
    leaves: int
    handle: Any = None
    record_route: Recording | None = None
    recording: Recording | None = None
    record_if_raised: Recording | None = None
    path: PathValue | None = None
    came: str = ""
    accounts: Sequence[Account] | None = None
    marked: int = 0
    cseq: str = ""
    answer: float | None = None
    strange: bool = False
    follows: Callable[[SipUri], bool] | None = None
    call: Record | None = None
