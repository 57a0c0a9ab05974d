"""One attempt at a server: what its answer says of the server, and whether the next one is tried."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from sansip.modules.failover.health import Health, Thresholds
from sansip.proxy.trust import identity_of
from sansip.routing.leading import PlainCall
from sansip.sources import source_of

if TYPE_CHECKING:
    from sansip.modules.failover.server import Server
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Response

__all__ = ["caller_of", "is_over", "judge", "retry_after", "sender_among"]

AnyServer = TypeVar("AnyServer", bound="Server")
# Characters of a caller's name that are kept.
_NAME: Final = 64


def is_over(request: IncomingRequest) -> bool:
    """Whether the request has its final answer: the caller gave up, or it rang for too long."""
    return request.cancelled or (request.server is not None and request.server.answered)


def sender_among(servers: Iterable[AnyServer], flow: Flow) -> AnyServer | None:
    """Return the one of ``servers`` that requests over ``flow`` come from, by their address, or None.

    Over UDP by their port as well: a phone may live on the same machine.
    """
    host, port = flow.address[:2]
    by_stream = flow.conn != 0
    for one in servers:
        if host in one.addresses and (by_stream or port == one.port):
            return one
    return None


def caller_of(request: IncomingRequest | PlainCall) -> str:
    """Return who made ``request``, to count failures for: a user whose name is proven, else its source."""
    if (request.authenticates and request.proven) or request.trusted is not None:
        uri = request.from_uri if isinstance(request, PlainCall) else request.message.from_.uri
        if request.serves(uri):
            # Each address of ours is a name of the same user.
            return request.core.addresses.of(uri)[:_NAME]
        user, host = identity_of(uri)
        # Whole names would be told to all workers.
        return f"{user}@{host}"[:_NAME]
    return source_of(request.flow.host)


def judge(
    request: IncomingRequest,
    outcome: Response,
    health: Health,
    failover: Container[int],
    sent: tuple[str, float],
    probed: bool,
    thresholds: Thresholds,
) -> tuple[bool, str]:
    """Note the result of an attempt in ``health``.

    Returns whether the next server is to be tried, and ``resting`` or ``suspected`` where that is news.
    ``failover``: statuses after which the next one is tried; ``sent``: who called (``caller_of``), and when
    this attempt began; ``probed``: whether the server may be asked by OPTIONS.
    """
    status, now = outcome.status, request.now
    caller, since = sent
    if is_over(request):
        if status < 300:
            health.request_answered(status, caller, thresholds, now)
        return False, ""
    # RFC 3261 8.1.3.1: the 408 and 503 made here stand for silence, and for errors of the network.
    made = outcome.to_tag == request.local_tag()
    silent = made and status == 408
    if silent and request.method != "INVITE":
        # RFC 4320 4.2: the phone behind it may be silent; and what was delivered is not sent again.
        return False, ""
    news = ""
    wait = None if made else retry_after(outcome)
    why = f"{status} {outcome.reason} to {request.method}"
    if silent or (made and status == 503):
        news = health.request_failed(why, caller, since, probed, thresholds, now)
    elif status == 503 and wait:
        if health.request_refused(why, wait, caller, thresholds, now):
            news = "resting"
    # RFC 3261 21.5.4: a 503 without Retry-After is as a 500, and gateways give it for one bad number.
    elif not made and health.request_answered(status, caller, thresholds, now):
        news = "resting"
    return status in failover, news


def retry_after(response: Response) -> int | None:
    """Return the seconds of Retry-After (RFC 3261 20.33), None where it is absent or cannot be read."""
    text = (response.get("retry-after") or "").strip()
    digits = text.partition(" ")[0].partition(";")[0].partition("(")[0]
    return int(digits) if digits.isdigit() and digits.isascii() and len(digits) < 10 else None
