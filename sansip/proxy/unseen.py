"""The branch of a usual relay, as modules get it: a ``Branch`` when one of them looks at it.

Theory of operation: as with a message that nobody has read (``sansip.wire.unread``). Nothing stands for the
branch but an empty object, whose owner is the usual relay; the first attribute that is asked for, or set, has
the owner become a response context with one branch, which is that very object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.client.life import OVER
from sansip.proxy.branch import GONE, Branch
from sansip.proxy.budget import Budget
from sansip.proxy.forwarding import Forwarding

if TYPE_CHECKING:
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.transaction import ClientTransaction
    from sansip.transport.flow import Flow

__all__ = ["fill_over", "is_over", "is_unseen", "seen", "unseen"]

_new: Final = object.__new__
_set: Final = object.__setattr__


def _class() -> type[Branch]:
    class UnseenBranch(Branch):
        """A branch that nobody has looked at yet."""

        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            owner: Any = self._owner
            if name == "transaction" and type(owner) is not tuple:
                # Not kept: it is not there before the copy has left.
                return owner.shown_transaction
            if name == "_place" and type(owner) is not tuple and (place := owner.shown_place) is not None:
                return place
            _show(self, name)
            return getattr(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            _show(self, name)
            setattr(self, name, value)

    return UnseenBranch


# In the compiled build none is made: there ``LAZY`` of ``sansip.wire.unread`` is False.
_class_of_unseen: Final = _class()


def _show(branch: Branch, name: str) -> None:
    owner: Any = branch._owner
    if type(owner) is tuple:
        fill_over(branch, *owner)
    elif name == "target":
        _set(branch, "target", owner.shown_target)
    else:
        owner.show(branch)


def unseen(owner: Any) -> Branch:
    """Return the branch of ``owner``, a ``Watched``."""
    branch = _new(_class_of_unseen)
    _set(branch, "_owner", owner)
    return branch


def is_unseen(branch: Branch) -> bool:
    """Whether nobody has looked at ``branch`` yet."""
    return type(branch) is _class_of_unseen


def is_over(branch: Branch, known: tuple[Any, ...]) -> None:
    """The request of ``branch`` has its answer; ``known`` are the other arguments of ``fill_over``."""
    _set(branch, "_owner", known)


def fill_over(
    branch: Branch,
    transaction: ClientTransaction | None,
    handle: Any,
    caller: Flow,
    hashed: str,
    leaves: int,
    goal: Any,
) -> None:
    """Make ``branch`` one that is over: of its final response there is only that there was one.

    ``goal``: its target, or what makes it.
    """
    invite = handle.method == "INVITE"
    forwarding = Forwarding(None, caller, hashed, Budget(0), invite, caller.listener, leaves, handle)
    owner: Any = None
    seen(branch, handle.core.proxy, forwarding, owner, goal() if callable(goal) else goal, 0)
    branch.state = OVER
    branch.transaction = transaction
    branch.final = GONE


def seen(
    branch: Branch, proxy: Proxy, forwarding: Forwarding, owner: Any, target: Target, breadth: int
) -> Branch:
    """Make ``branch`` what ``Branch(...)`` would be."""
    _set(branch, "__class__", Branch)
    branch.__init__(proxy, forwarding, owner, target, breadth)  # type: ignore[misc]  # it was made without
    return branch
