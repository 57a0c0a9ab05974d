"""Hooks that look at nothing cost a call each; what a module kept is right when it looks at it later."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.proxy.watched_pair import WatchedPair
from sansip.transaction.base import Transaction
from sansip.wire import Request
from sansip.wire.unread import LAZY
from tests.proxy.sides import BUSY, CALLEE, INVITE, OTHER, RINGS, TAKES, TRIES, Side
from tests.proxy.test_watched import CALL, ENDS, WITHIN, Looks, acting, compare, read_request

pytestmark = pytest.mark.skipif(not LAZY, reason="attributes of compiled classes cannot be missing")


def test_hooks_that_look_at_nothing_need_no_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction and its timers would cost more than all hooks together."""
    with acting({}):
        side = Side(None, modules=[Use(Looks)])
        made: list[Any] = []
        begin = Transaction.__init__

        def noted(self: Any, *given: Any) -> None:
            made.append(self)
            begin(self, *given)

        monkeypatch.setattr(Transaction, "__init__", noted)
        for step in (INVITE, TRIES, RINGS, TAKES):
            side.play(step)
            stand = side.stack.proxy.transactions.servers["z9hG4bKa 192.0.2.1:5060"]
            assert type(stand) is WatchedPair
        behind: list[tuple[Any, ...]] = [*WITHIN, *ENDS]
        for one in behind:
            side.play(one)
        side.pass_time(400.0)
    assert made == []
    assert 0 == len(side.stack.proxy.transactions) == len(side.stack.proxy.transactions.owners)


def test_nothing_holds_a_relay_that_is_over() -> None:
    """Thousands of calls end each minute: what they leave is freed at once, not by the collector."""
    with acting({}):
        side = Side(None, modules=[Use(Looks)])
        side.play(INVITE)
        stand = side.stack.proxy.transactions.servers["z9hG4bKa 192.0.2.1:5060"]
        side.play(TAKES)
        assert stand.handle is not None
        side.pass_time(400.0)
    assert stand.handle is None
    assert stand._shown is None


def read_state(branch: Any, *_: Any) -> str:
    return repr((branch.target.uri, branch.state, branch.final is None))


# When a module keeps what it gets, and at which message after that it looks.
PLAYS: dict[str, list[tuple[Any, ...]]] = {
    "a call": CALL,
    "busy": [INVITE, RINGS, BUSY],
    "taken twice": [INVITE, RINGS, TAKES, TAKES, ("response", "200 OK", "c", CALLEE, True)],
    "moves": [INVITE, RINGS, ("response", "200 OK", "b", OTHER, True), TAKES],
    "long over": [INVITE, TAKES, ("wait", 60.0), *WITHIN, *ENDS, ("wait", 60.0), ("request", "MESSAGE", "")],
}


@pytest.mark.parametrize("play", PLAYS)
@pytest.mark.parametrize(
    "moment", ["request_received", "branch_leaving", "response_received", "branch_ended"]
)
@pytest.mark.parametrize("later", range(6))
@pytest.mark.parametrize("what", ["request", "branch"])
def test_what_was_kept_is_right_when_it_is_looked_at(play: str, moment: str, later: int, what: str) -> None:
    """A module may keep a handle or a branch, and ask it much later what became of it."""
    if what == "branch" and moment == "request_received":
        pytest.skip("there is no branch yet")
    kept: list[Any] = []
    arrived = [0]

    def keeps(*given: Any) -> None:
        if not kept:
            kept.append(given)

    def looks(message: Any, _flow: Any) -> str:
        if type(message) is Request and message.method == "REGISTER":
            # Each side begins so.
            kept.clear()
            arrived[0] = 0
        elif kept and arrived[0] >= 0:
            arrived[0] += 1
            if arrived[0] > later:
                arrived[0] = -1
                request, *others = kept[0]
                return read_request(request) if what == "request" else read_state(*others)
        return ""

    compare(PLAYS[play], {moment: keeps, "message_arrived": looks})
