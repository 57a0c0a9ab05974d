"""Requests that a module leaves to the quick ways: relayed as its step would, and given back to it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Module, Use, step
from sansip.proxy.usual import Usual
from sansip.testing import ModuleBench
from sansip.wire import Request, Response
from tests.modules.messages.kept import BOB, answer, come, register

LOG: list[str] = []


class Answers(Module):
    """Answers a MESSAGE for a phone that is busy."""

    name = "answers"
    raises = ""
    plain = True

    def start(self, core: Any, now: float) -> None:
        core.relays_plainly("MESSAGE", self._may, self._unreached)

    def _may(self, user: str) -> bool:
        if self.raises == "may":
            raise ValueError("may")
        return self.plain and user == BOB

    @step("relay", methods=("MESSAGE",))
    async def relay_it(self, request: Any) -> None:
        """Relay a message."""
        LOG.append("step")
        outcome = await request.relay(await request.locate())
        await self._unreached(request, outcome)

    async def _unreached(self, request: Any, outcome: Response) -> None:
        LOG.append(str(outcome.status))
        if self.raises == "unreached":
            raise ValueError("unreached")
        if outcome.status == 486:
            request.reply(202)


class Second(Module):
    name = "second"

    @step("relay", methods=("MESSAGE",))
    async def look(self, request: Any) -> None:
        """Look at a message."""


@pytest.fixture(autouse=True)
def clear() -> None:
    LOG.clear()
    Answers.raises, Answers.plain = "", True


def made(*others: Use) -> ModuleBench[Answers]:
    bench = ModuleBench(Answers, others=others)
    register(bench)
    bench.sent.clear()
    return bench


def write(bench: ModuleBench[Answers]) -> list[str]:
    return bench.request("MESSAGE", BOB, ["Content-Type: text/plain"], "hello")


def statuses(bench: ModuleBench[Answers]) -> list[int]:
    return [one.status for one in bench.sent if isinstance(one, Response)]


def test_no_route_runs() -> None:
    """A message costs what an OPTIONS costs that is relayed."""
    bench = made()
    write(bench)
    [user] = [one.user for one in bench.stack.transactions.clients.values()]
    assert type(user) is Usual
    assert not user.watched
    [got] = come(bench)
    answer(bench, got)
    assert statuses(bench) == [200]
    assert LOG == []


@pytest.mark.parametrize(
    ("status", "back"), [("486 Busy Here", 202), ("603 Decline", 603), ("503 No", 500), ("302 There", 302)]
)
def test_the_same_as_its_step(status: str, back: int) -> None:
    """The module decides on a failure, and what it does not answer goes back, as on the long way."""
    sent = []
    for plain in (True, False):
        Answers.plain = plain
        LOG.clear()
        bench = made()
        write(bench)
        [got] = [one for one in bench.sent if isinstance(one, Request)]
        bench.sent.clear()
        answer(bench, got, status)
        assert statuses(bench) == [back]
        assert [*([] if plain else ["step"]), status[:3]] == LOG
        sent.append([one.to_bytes() for one in bench.sent])
        assert not bench.stack.proxy.pending.callees
    assert [len(one) for one in sent[0]] == [len(one) for one in sent[1]]


def test_a_silent_phone() -> None:
    """RFC 4320 4.2: a 408 does not go back; the module hears of it."""
    bench = made()
    write(bench)
    bench.sent.clear()
    bench.wait(33)
    assert LOG == ["408"]
    assert 408 not in statuses(bench)


@pytest.mark.parametrize("raises", ["may", "unreached"])
def test_a_module_that_fails(raises: str) -> None:
    """It is told; the message is relayed, and the failure goes back."""
    Answers.raises = raises
    bench = made()
    write(bench)
    [got] = [one for one in bench.sent if isinstance(one, Request)]
    bench.sent.clear()
    answer(bench, got, "480 Not Now")
    assert statuses(bench) == [480]
    assert len(bench.failures) == 1


def test_another_step_beside_it() -> None:
    """Another module that acts in the same place would not see the message: the route runs."""
    bench = made(Use(Second))
    write(bench)
    assert LOG == ["step"]
