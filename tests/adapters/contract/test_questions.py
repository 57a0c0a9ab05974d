"""The contract of every runtime: questions and their handlers, events and the functions that watch them."""

from __future__ import annotations

import threading

import pytest

from sansip.actions import Ask, Notify
from sansip_sockets import handler
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, Question


def test_a_question_is_answered_by_its_handler(start):
    """A plain function runs in a thread of its own; its exception is an answer, too."""
    threads = []

    def look_up(question):
        threads.append(threading.current_thread())
        if question.text == "bad":
            raise KeyError("unknown")
        return question.text.upper()

    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), handlers={Question: look_up})
    server.send(Ask(1, Question("good")), Ask(2, Question("bad")))
    answers = dict(stack.expect("answer") for _ in range(2))
    assert answers[1] == "GOOD"
    assert isinstance(answers[2], KeyError)
    assert server._thread not in threads


def test_questions_that_wait_go_over_as_one_batch(start):
    """A handler that takes lists gets everything that was asked while it worked."""
    batches = []
    go_on = threading.Event()

    @handler(batched=True)
    def store(questions):
        batches.append(len(questions))
        go_on.wait(PATIENCE)
        return [question.text for question in questions]

    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), handlers={Question: store})
    for number in range(50):
        server.send(Ask(number, Question(str(number))))
    go_on.set()
    assert dict(stack.expect("answer") for _ in range(50)) == {n: str(n) for n in range(50)}
    assert batches == [1, 49]


def test_a_question_for_nobody_is_answered_with_an_exception(start):
    """The stack is never left without an answer; the text says what to pass."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    server.send(Ask(5, Question("anyone?")))
    number, error = stack.expect("answer")
    assert number == 5
    assert str(error) == "nobody answers Question; pass handlers={Question: function}"


def test_names_are_resolved(start):
    """``Resolve`` has a handler from the start."""
    from sansip.transport import Resolve

    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    server.send(Ask(1, Resolve("localhost", 5060, "udp")), Ask(2, Resolve("nowhere.invalid", 5060, "tcp")))
    answers = dict(stack.expect("answer") for _ in range(2))
    assert ("127.0.0.1", 5060) in answers[1] or ("::1", 5060) in answers[1]
    assert isinstance(answers[2], OSError)


def test_a_handler_may_be_async_where_the_runtime_is(start):
    """An ``async def`` runs in the server's loop; where there is none, it is refused at the start."""

    async def look_up(question):
        if question.text == "bad":
            raise KeyError("unknown")
        return question.text.upper()

    options = {"handlers": {Question: look_up}}
    if not start.runtime.coroutines:
        with pytest.raises(TypeError, match="use a plain function"):
            start(FakeStack(), Listen(0, "udp", "127.0.0.1"), **options)
        return
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), **options)
    server.send(Ask(1, Question("good")), Ask(2, Question("bad")))
    answers = dict(stack.expect("answer") for _ in range(2))
    assert answers[1] == "GOOD"
    assert isinstance(answers[2], KeyError)


def test_events_reach_whoever_watches(start):
    """``Notify`` needs no answer; a watcher's exception is reported and costs nothing else."""
    events: list[str] = []
    server = start(FakeStack(), Listen(0, "udp", "127.0.0.1"), notify=events.append)
    server.send(Notify("first"), Notify("second"))
    assert events == ["first", "second"]
