"""The values that a route may await."""

from __future__ import annotations

import pytest

from sansip.routing import Question, Relay, ask


def test_ask_makes_a_question() -> None:
    """Any object may be asked; the core is yielded the question itself."""
    question = ask(("anything", 1))
    assert isinstance(question, Question)
    assert next(question.__await__()) is question


def test_the_answer_is_the_value() -> None:
    """The await returns the value that is sent in."""
    waiting = ask("x").__await__()
    next(waiting)
    with pytest.raises(StopIteration) as stopped:
        waiting.send("answer")
    assert stopped.value.value == "answer"


def test_a_relay_of_nothing_ends_at_once() -> None:
    """An ACK, a stateless forward, a request that was answered: there is no outcome to wait for."""
    with pytest.raises(StopIteration) as stopped:
        next(Relay(None).__await__())
    assert stopped.value.value is None
