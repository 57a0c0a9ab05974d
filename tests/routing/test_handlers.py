"""Look-ups that block: asked for by a route, done elsewhere, given up in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.routing import ask, handler
from sansip.routing.handlers import Call, handlers_of
from sansip_sockets.workers import Worker
from tests.rig import Rig, request, what


@handler(parallel=3, within=1.5)
def credit_of(user: str, currency: str = "EUR") -> float:
    """Return what a user may spend."""
    if user == "nobody":
        raise LookupError(user)
    return len(user) + len(currency) / 10


async def route(incoming: Any) -> None:
    try:
        credit = await credit_of(incoming.user, currency="CHF")
    except TimeoutError:
        incoming.reply(503)
    else:
        incoming.reply(200, f"Credit {credit}")


def test_it_is_a_question_to_the_outside() -> None:
    """The core runs nothing: it asks, and goes on with the answer."""
    rig = Rig(route)
    rig.udp(request("MESSAGE"))
    (asked,) = [one.question for one in rig.asks]
    assert isinstance(asked, Call)
    assert (asked.arguments, asked.named) == (("bob",), {"currency": "CHF"})
    answers = handlers_of(route, 7)[type(asked)]
    assert answers.sansip_handler == (False, 3, None)  # type: ignore[attr-defined]  # a mark that functions carry
    assert answers.sansip_waiting == (7, "limits.handler_waiting")  # type: ignore[attr-defined]  # a mark that functions carry
    (answer,) = rig.answer(answers(asked))
    assert answer.message.reason == "Credit 3.3"


def test_handler_waiting() -> None:
    """Where all threads hang, one call more than may wait fails at once, and the queue does not grow."""
    rig = Rig(route)
    answers = handlers_of(route, 2)[credit_of.kind]
    jobs: list[Callable[[], None]] = []
    told: list[tuple[int, Any]] = []
    worker = Worker(answers, lambda *given: told.append(given), lambda do, *given: do(*given), jobs.append)
    for number in range(7):
        rig.udp(request("MESSAGE", branch=f"z9hG4bK{number}", call_id=str(number)))
    for asked in rig.asks:
        worker.ask(asked)
    # Three run, two wait.
    assert len(jobs) == 3
    assert [number for number, _ in told] == [asked.id for asked in rig.asks[5:]]
    assert {repr(error) for _, error in told} == {
        "BlockingIOError('2 questions wait for it already (limits.handler_waiting)')"
    }
    jobs[0]()
    assert len(jobs) == 4


def test_one_that_hangs() -> None:
    """After its time the await raises, and a later answer is dropped."""
    rig = Rig(route)
    rig.udp(request("MESSAGE"))
    assert what(rig.wait(1.4)) == []
    assert what(rig.wait(0.2)) == ["503"]
    assert rig.answer(1.0) == []


def test_the_limit_of_all_questions_holds() -> None:
    """``within`` shortens ``limits.answer_time`` and never lengthens it."""

    async def patient(incoming: Any) -> None:
        await ask("x", within=1_000)

    rig = Rig(patient, limits={"answer_time": 3.0})
    rig.udp(request("MESSAGE"))
    assert what(rig.wait(3.1))[-1:] == ["500"]


def test_each_has_a_class_of_its_own() -> None:
    """Each class has its own threads: a handler that hangs holds up no other."""

    @handler()
    def other(user: str) -> float:
        return 0.0

    assert other.kind is not credit_of.kind
    assert other.kind.__name__ == "other"
    assert credit_of.function("ab") == 2.3
    assert credit_of.__doc__ == "Return what a user may spend."


def test_a_handler_does_not_await() -> None:
    """It runs in a thread, where there is no loop."""
    with pytest.raises(LocalProtocolError, match="a plain def"):

        @handler()
        async def waits(user: str) -> float:
            return 0.0
