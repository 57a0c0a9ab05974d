"""An event package (RFC 6665 5): what is told of a resource, to which watchers, how often.

Theory of operation: a package is one small class. It says who may watch (``judge``), and writes the content
of a NOTIFY at the moment when it leaves (``content``), so that nothing is held for each watcher while one is
slow. The engine (``sansip.modules.events.module``) does all the rest. Other modules give their packages to
``Events.add``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sansip.modules.events.content import Content, Verdict

if TYPE_CHECKING:
    from sansip.dialog import Refusal
    from sansip.modules.events.subscription import Subscription
    from sansip.wire import Request

__all__ = ["Package"]


class Package:
    """The base of all packages.

    Attributes:
        event: the name in Event, templates included (``"presence.winfo"``).
        types: media types that NOTIFY may carry; the first is what a watcher gets that names none.
        filters: media types of the body of a SUBSCRIBE that are understood.
        usual: seconds of a subscription that asks for none.
        interval, burst: seconds between two NOTIFYs in the long run, and how many may follow each other
            without that pause.
        headers: fields of each 2xx to a SUBSCRIBE, and of each NOTIFY.
        hidden: Allow-Events does not name it (it serves lists of another package).
        ignores_body: the body of a SUBSCRIBE means nothing, whatever it is.
        own_body: it is no filter: ``screen_body`` and ``read_body`` take it, at most ``body_size`` octets.
        private: each watcher has its own state of a resource; ``most_of_resource`` does not count.
        serves_all: whether ``serves`` is that of this class.
        known: returns what ``content`` would of a subscription without a filter, if that was written for
            another watcher already; or None.
        each: whether every transition counts: changes wait for each other, and none is left out.
    """

    event: ClassVar[str] = ""
    types: ClassVar[tuple[str, ...]] = ()
    filters: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[int] = 3_600
    interval: float = 1.0
    burst: int = 2
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    hidden: ClassVar[bool] = False
    ignores_body: ClassVar[bool] = False
    own_body: ClassVar[bool] = False
    private: ClassVar[bool] = False
    body_size: int = 0
    each: ClassVar[bool] = False
    serves_all: ClassVar[bool] = True
    known: Callable[[Subscription], Content | None] | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.serves_all = cls.serves is Package.serves

    def serves(self, resource: str) -> bool:
        """Whether there is such a resource; 404 where there is none."""
        return True

    def offers(self, params: Mapping[str, str | None]) -> bool:
        """Whether there is what these parameters of Event ask for; 404 where there is not."""
        return True

    async def prepare(self, resource: str) -> None:
        """Wait until it can be judged who may watch ``resource``, and until its state is known.

        Where this raises, the watcher gets a 503.
        """

    def is_prepared(self) -> bool:
        """Whether ``prepare`` would wait for nothing, whatever the resource."""
        return type(self).prepare is Package.prepare

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        """Return what the watcher may see. It is asked again by ``Events.judge``."""
        return Verdict.ALLOW

    def content(self, subscription: Subscription, now: float) -> Content | None:
        """Return the content of a NOTIFY that is about to leave; None: a NOTIFY without a body.

        ``subscription.full`` says whether it has to hold the whole state.
        """
        raise NotImplementedError

    def join_filters(self, before: bytes, body: bytes) -> bytes:
        """Return what stands after ``body`` of a SUBSCRIBE came; ``before`` stood till then, empty at first.

        Raises as ``check_filter`` does.
        """
        return body

    def check_filter(self, type: str, body: bytes) -> Any:
        """Return what the body of a SUBSCRIBE, or ``join_filters``, means, kept as ``subscription.filter``.

        Raises ``ValueError`` for one that is malformed (400), ``BadFilter`` for what is not supported (488).
        """
        return None

    def screen_body(self, request: Request) -> Refusal | None:
        """Return why the body of a SUBSCRIBE cannot be taken, before anybody has proved who sent it.

        Raises ``RemoteProtocolError``. Only asked with ``own_body``, as is ``read_body``.
        """
        return None

    def read_body(self, request: Request) -> tuple[Any, str, bytes]:
        """Return what the body means, its media type and the octets that are kept, as ``check_filter`` reads.

        Raises as ``check_filter`` does, and ``RemoteProtocolError`` with a status.
        """
        raise NotImplementedError

    def holds_back(self, subscription: Subscription, now: float) -> bool:
        """Whether a change is none that this watcher wants to hear of (RFC 4660 5.3.2)."""
        return False
