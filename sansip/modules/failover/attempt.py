"""One attempt at a server: what its answer says of the server, and whether the next one is tried."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from sansip.modules.failover.health import Health, Thresholds

if TYPE_CHECKING:
    from sansip.routing import IncomingRequest
    from sansip.wire import Response

__all__ = ["is_over", "judge", "retry_after"]


def is_over(request: IncomingRequest) -> bool:
    """Whether the request has its final answer: the caller gave up, or it rang for too long."""
    return request.cancelled or (request.server is not None and request.server.answered)


def judge(
    request: IncomingRequest,
    outcome: Response,
    health: Health,
    failover: Container[int],
    probed: bool,
    thresholds: Thresholds,
) -> tuple[bool, str]:
    """Note the failure of an attempt in ``health``.

    Returns whether the next server is to be tried, and ``down`` or ``resting`` where that is news.
    ``failover``: statuses after which the next one is tried; ``probed``: OPTIONS will find out when the
    server is back.
    """
    status, now = outcome.status, request.now
    # RFC 3261 8.1.3.1: the 408 and 503 made here stand for silence, and for errors of the network.
    made = outcome.to_tag == request.local_tag()
    wait = None if made else retry_after(outcome)
    silent = made and status == 408
    if silent and request.method != "INVITE":
        # RFC 4320 4.2: the phone behind it may be silent; and what was delivered is not sent again.
        return False, ""
    news = ""
    if silent or (made and status == 503) or (status == 503 and wait):
        why = f"{status} {outcome.reason} to {request.method}"
        if health.request_failed(why, wait, probed, thresholds, now):
            news = "down" if health.down else "resting"
    # RFC 3261 21.5.4: a 503 without Retry-After is as a 500, and gateways give it for one bad number.
    elif not made and health.request_answered(status, thresholds, now):
        news = "resting"
    return status in failover, news


def retry_after(response: Response) -> int | None:
    """Return the seconds of Retry-After (RFC 3261 20.33), None where it is absent or cannot be read."""
    text = (response.get("retry-after") or "").strip()
    digits = text.partition(" ")[0].partition(";")[0].partition("(")[0]
    return int(digits) if digits.isdigit() and digits.isascii() and len(digits) < 10 else None
