"""No object waits for an input that cannot happen, and ended objects hold nothing.

Theory of operation: every trace of the conformance suite is played, and after each
input of the stack all its timers, transactions, branches and response contexts are
looked into. There are thousands of transactions in their last, waiting state on
a busy server, so what they hold is what the server holds; and a timer that was
forgotten keeps its transaction for half a minute. No trace can see either.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sansip.proxy
import sansip.transaction
from sansip.proxy.branch import Branch
from sansip.proxy.context import ResponseContext
from sansip.stack import Stack
from sansip.testing import Server
from sansip.transaction.base import ClientTransaction, ServerTransaction, Transaction
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED
from sansip_conformance import load_suites, play_on_core

TRACES = [trace for trace in load_suites() if "torture" not in trace.suite]
SUITES = sorted({trace.suite for trace in TRACES})


class Seen:
    """Every machine that was made, in the order of making."""

    def __init__(self) -> None:
        self.machines: list[Any] = []
        self.checks = 0

    def remember(self, kind: type) -> Callable[..., None]:
        plain = kind.__init__  # type: ignore[misc]  # replaced for the test

        def init(machine: Any, *arguments: Any, **options: Any) -> None:
            plain(machine, *arguments, **options)
            self.machines.append(machine)

        return init


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Look into every machine after each input."""
    seen = Seen()
    for kind in (Transaction, Branch, ResponseContext):
        monkeypatch.setattr(kind, "__init__", seen.remember(kind))
    perform = Server._perform

    def checked(server: Server, actions: list[Any]) -> None:
        seen.checks += 1
        check_timers(server.stack)
        for machine in seen.machines:
            check(machine)
        perform(server, actions)

    monkeypatch.setattr(Server, "_perform", checked)
    return seen


def check_timers(stack: Stack) -> None:
    for queue in stack.timers._queues.values():
        for timer in queue:
            owner = timer.owner
            if isinstance(owner, Transaction):
                # RFC 3261 17: a timer of another state does nothing when it fires.
                assert owner.state is not TERMINATED
                assert owner.rows[timer.name][0] not in (IGNORE, IMPOSSIBLE), (owner.state, timer.name)
                assert timer in (owner.resend_timer, owner.end_timer)
            elif isinstance(owner, Branch):
                assert owner.final is None
                assert timer in (owner._timer, owner._hurry)
                if timer is owner._hurry:
                    # RFC 3263 4.3: a server that was heard of has not failed.
                    assert owner.transaction is not None
                    assert owner.transaction.unanswered
            elif isinstance(owner, ResponseContext):
                assert not owner.done
                assert owner._trying_timer is timer


def check(machine: Any) -> None:
    if isinstance(machine, ClientTransaction):
        if machine.state not in ("calling", "trying", "proceeding", TERMINATED):
            # The response has come: what was sent is not sent again.
            assert machine._request is None
            assert machine.data == b""
            # Where modules look at responses, they get a further 2xx with its branch.
            assert not isinstance(machine.user, Branch) or machine.user.final is not None
    elif isinstance(machine, ServerTransaction):
        if machine.state is TERMINATED:
            assert machine.user is None
        elif machine.method == "INVITE" and machine.state == "accepted":
            # RFC 6026 7.1: the 2xx is the far end's to repeat.
            assert machine.last == b""
        elif machine.method != "INVITE" and machine.state == "completed":
            assert machine.user is None
    elif isinstance(machine, Branch):
        if machine.final is not None:
            assert machine._timer is None
            assert machine._hurry is None
    else:
        check_context(machine)
    if isinstance(machine, Transaction) and machine.state is TERMINATED:
        assert machine.resend_timer is None
        assert machine.end_timer is None


def check_context(context: ResponseContext) -> None:
    if context.done:
        assert context._trying_timer is None
        assert context.failure is None
        assert context.on_failure is None
        assert context._queue.pending == []
        if not context._running:
            assert context.forwarding.request is None
            assert context._branches == []


@pytest.mark.parametrize("suite", SUITES)
def test_every_trace(suite: str, seen: Seen) -> None:
    """At no moment of any trace is there a timer or a message too many."""
    for trace in TRACES:
        if trace.suite == suite and not trace.needs:
            seen.machines.clear()
            verdict = play_on_core(trace)
            assert verdict.outcome == "pass", f"{trace.id}: {verdict.reason}"
    assert seen.checks


def classes(package: Any) -> Iterator[type]:
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == info.name:
                yield value


@pytest.mark.parametrize(
    "kind",
    [
        one
        for package in (sansip.transaction, sansip.proxy)
        for one in classes(package)
        if dataclasses.is_dataclass(one)
    ],
)
def test_values_have_slots(kind: type) -> None:
    """A dict for each value would be most of what a waiting call holds."""
    # Of plain and of compiled classes.
    assert kind.__dictoffset__ == 0
    assert "__dict__" not in dir(kind)
