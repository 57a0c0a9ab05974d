"""Choosing one final response out of many (RFC 3261 16.7 steps 6 and 7).

Theory of operation: a 6xx wins; otherwise the lowest class, and within 4xx the
responses that tell the caller how to try again. The challenges of all branches
are put into the chosen one, so that the caller can answer all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.wire import Response

__all__ = ["add_challenges", "choose", "slim"]

# RFC 3261 16.7 step 6: these say how to send the request again.
_INSTRUCTIVE = frozenset((401, 407, 415, 420, 484))
# RFC 3261 16.7 step 7: these of all branches go back together.
_CHALLENGES = frozenset(("www-authenticate", "proxy-authenticate"))


def _rank(response: Response) -> tuple[int, int, int]:
    status = response.status
    if status >= 600:
        return (0, 0, status)
    # A 503 or 408 says less than what any other branch of its class said.
    quality = 0 if status in _INSTRUCTIVE else 2 if status in (408, 503) else 1
    return (status // 100, quality, 0)


def choose(responses: Sequence[Response]) -> Response:
    """Return the best of the final ``responses`` (at least one); the first of equals."""
    return min(responses, key=_rank)


def slim(responses: Sequence[Response], best: Response) -> None:
    """Take from each of ``responses`` but ``best`` what ``choose`` and ``add_challenges`` do not need.

    Each callee may answer with 64 KB, and a fork waits for the last one, which may ring for minutes.
    """
    for response in responses:
        if response is not best:
            response.body = b""
            response.keep_only(_CHALLENGES)


def add_challenges(best: Response, responses: Sequence[Response], most: int, size: int) -> None:
    """Put the challenges of every other 401 and 407 into ``best``, if it is one.

    RFC 3261 16.7 step 7. No more than ``most`` come together, and those that are added have
    ``size`` octets in all: each callee writes as many as it likes, and the answer must
    reach the caller.
    """
    if best.status not in (401, 407):
        return
    room = most - len(best.get_all("www-authenticate")) - len(best.get_all("proxy-authenticate"))
    for response in responses:
        if response is best or response.status not in (401, 407):
            continue
        for name, header in (
            ("www-authenticate", "WWW-Authenticate"),
            ("proxy-authenticate", "Proxy-Authenticate"),
        ):
            for value in response.get_all(name)[: max(0, room)]:
                if len(value) > size:
                    continue
                best.append(header, value)
                room -= 1
                size -= len(value)
