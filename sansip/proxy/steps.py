"""The two transactions of a relay of octets as one small number, compiled from their tables.

Theory of operation: a relay (``sansip.proxy.pair``) has a client and a server transaction that step together:
the server transaction sends the response that the client transaction passes up. ``compiled`` walks the tables
of RFC 3261 17 from their first states, input by input, and numbers each pair of states that it reaches. A row
says for each input what there is to do, and the next pair. All that a relay does not do by itself is
``OTHER``: the transactions take its place, and their tables go on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sansip.transaction.invite_client import INVITE_CLIENT
from sansip.transaction.invite_server import INVITE_SERVER
from sansip.transaction.non_invite_client import NON_INVITE_CLIENT
from sansip.transaction.non_invite_server import NON_INVITE_SERVER
from sansip.transaction.table import IGNORE, Machine

__all__ = ["END", "INVITE", "NON_INVITE", "NOTHING", "OTHER", "RESEND", "RING", "Steps", "compiled"]

# What there is to do.
NOTHING: Final = 0
# The transactions know.
OTHER: Final = 1
# Send the 1xx on; it is what a repeated request gets.
RING: Final = 2
# Send the 2xx on; both transactions wait for their end.
END: Final = 3
# Send the last response again.
RESEND: Final = 4

# By the effects of the client and of the server table.
_RESPONSES: Final = {
    ("proceed", "send"): RING,
    ("pass_up", "send"): RING,
    ("accept", "accept"): END,
    ("complete", "complete"): END,
}
_REQUESTS: Final = {IGNORE: NOTHING, "resend": RESEND}


class Steps(NamedTuple):
    """What a relay does, by the number of its pair of states; 0 is the first.

    Attributes:
        states: the states of the client and of the server transaction.
        provisional, success: on a 1xx or a 2xx of the next hop, what to do and the next pair.
        request: on the request once more, what to do.
    """

    states: tuple[tuple[str, str], ...]
    provisional: tuple[tuple[int, int], ...]
    success: tuple[tuple[int, int], ...]
    request: tuple[int, ...]


def compiled(client: Machine, server: Machine) -> Steps:
    """Return the steps of a relay with transactions of these tables."""
    states = [(next(iter(client)), next(iter(server)))]
    rows: dict[str, list[tuple[int, int]]] = {"1xx": [], "2xx": []}
    request = []
    # The list grows while it is walked.
    for number, (asks, answers) in enumerate(states):
        for given, row in rows.items():
            passed, asks_next = client[asks][given]
            sent, answers_next = server[answers][f"send {given}"]
            act = _RESPONSES.get((passed, sent), OTHER)
            following = number
            if act != OTHER:
                pair = asks_next, answers_next
                if pair not in states:
                    states.append(pair)
                following = states.index(pair)
            row.append((act, following))
        effect, state = server[answers]["request"]
        request.append(_REQUESTS.get(effect, OTHER) if state == answers else OTHER)
    return Steps(tuple(states), tuple(rows["1xx"]), tuple(rows["2xx"]), tuple(request))


INVITE: Final = compiled(INVITE_CLIENT, INVITE_SERVER)
NON_INVITE: Final = compiled(NON_INVITE_CLIENT, NON_INVITE_SERVER)
