"""Handlers of questions: threads, batches, sharing; with the threads played by the test."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from sansip.actions import Ask
from sansip.transport import Resolve
from sansip_sockets import Threads, handler
from sansip_sockets.answering import Answering
from sansip_sockets.inbox import Inbox
from sansip_sockets.resolve import resolve
from sansip_sockets.workers import Worker
from tests.adapters.fakes import PATIENCE
from tests.garbage import left_by


class Bench:
    """Jobs wait in ``jobs`` until the test runs one."""

    def __init__(self, function: Any) -> None:
        self.jobs: list[Any] = []
        self.answers: list[tuple[int, Any]] = []
        self.worker = Worker(
            function,
            lambda number, result: self.answers.append((number, result)),
            self._post,
            self.jobs.append,
        )

    @staticmethod
    def _post(function: Any, *args: Any) -> None:
        function(*args)

    def ask(self, *questions: Any) -> None:
        for number, question in enumerate(questions):
            self.worker.ask(Ask(number, question))


def test_a_plain_handler_has_one_thread():
    """It need not be thread-safe: questions that come meanwhile wait, and go over together."""
    bench = Bench(str.upper)
    bench.ask("a", "b", "c")
    assert len(bench.jobs) == 1
    bench.jobs.pop()()
    assert bench.answers == [(0, "A")]
    bench.jobs.pop()()
    assert bench.answers == [(0, "A"), (1, "B"), (2, "C")]
    assert bench.jobs == []


def test_the_answers_of_a_batch_go_together():
    """A store writes many registrations at once: what follows from all of them is performed once."""
    jobs: list[Any] = []
    told: list[list[tuple[int, Any]]] = []
    alone: list[int] = []
    function: Any = handler(batched=True)(lambda texts: [text.upper() for text in texts])
    worker = Worker(
        function,
        lambda number, _: alone.append(number),
        Bench._post,
        jobs.append,
        told.append,
    )
    for number, text in enumerate("abc"):
        worker.ask(Ask(number, text))
    jobs.pop()()
    jobs.pop()()
    assert told == [[(0, "A")], [(1, "B"), (2, "C")]]
    assert alone == []


def test_questions_of_several_kinds_in_one_batch():
    """Registrations and rows are in one file: two threads would wait for each other there."""
    jobs: list[Any] = []
    told: list[Any] = []
    hub: Any = SimpleNamespace(inbox=Inbox())
    mixed: Any = handler(batched=True, mixed=True)(lambda given: [str(one) for one in given])
    apart: Any = handler(batched=True)(lambda given: [str(one) for one in given])

    def asked(function: Any) -> int:
        jobs.clear()
        answering = Answering(
            hub, lambda *_: None, {int: function}, jobs.append, None, lambda all_: told.append(all_)
        )
        # A module comes by a reload.
        answering.answer_with({int: function, float: function}, anew=True)
        for number, question in enumerate((1, 2.0, 3)):
            answering.ask(Ask(number, question))
        return len(jobs)

    assert asked(apart) == 2
    assert asked(mixed) == 1
    for _ in range(2):
        jobs.pop()()
        for posted, given in hub.inbox.take():
            posted(*given)
    hub.inbox.close()
    assert told == [[(0, "1")], [(1, "2.0"), (2, "3")]]


def test_one_thread_answers_each_question_at_once():
    """A bounded handler with one thread (an outer half, a route's function) may hang on the second question.

    The first answer must not wait for it.
    """
    function: Any = handler(parallel=1)(lambda text: text.upper())
    function.sansip_waiting = (3, "waiting")
    bench = Bench(function)
    bench.ask("a", "b", "c")
    for answered in (1, 2, 3):
        assert len(bench.jobs) == 1
        bench.jobs.pop()()
        assert len(bench.answers) == answered
    assert bench.jobs == []


def test_an_exception_is_the_answer_to_its_own_question():
    """The others of the batch have theirs."""
    bench = Bench(int)
    bench.ask("0", "one", "2")
    bench.jobs.pop()()
    bench.jobs.pop()()
    assert [number for number, _ in bench.answers] == [0, 1, 2]
    assert isinstance(bench.answers[1][1], ValueError)
    assert bench.answers[2][1] == 2


@pytest.mark.parametrize("function", [int, handler(batched=True)(lambda questions: [int(questions[0])])])
def test_a_failure_leaves_nothing(function: Any):
    """While a store is down each question fails: none may stay until the cycle collector comes."""

    def play() -> None:
        # Not the bench, which keeps its answers.
        jobs: list[Any] = []
        worker = Worker(function, lambda number, result: None, lambda call, *args: call(*args), jobs.append)
        worker.ask(Ask(1, "one"))
        jobs.pop()()

    assert left_by(play) == {}


def test_a_parallel_handler_has_so_many_threads_and_no_more():
    """The third question waits for one of two threads."""
    bench = Bench(handler(parallel=2)(lambda text: text.upper()))
    bench.ask("a", "b", "c")
    assert len(bench.jobs) == 2
    bench.jobs.pop(0)()
    assert len(bench.jobs) == 2
    bench.jobs.pop(0)()
    bench.jobs.pop(0)()
    assert bench.answers == [(0, "A"), (1, "B"), (2, "C")]


def test_equal_questions_share_an_answer():
    """A hundred calls to one domain cost one look-up; a later question is asked anew."""
    asked = []

    @handler(key=lambda text: text.lower())
    def look_up(text):
        asked.append(text)
        return len(asked)

    bench = Bench(look_up)
    bench.ask("a", "A", "a")
    bench.jobs.pop()()
    assert bench.answers == [(0, 1), (1, 1), (2, 1)]
    bench.ask("a")
    bench.jobs.pop()()
    assert bench.answers[3:] == [(0, 2)]


def test_a_batch_with_too_few_answers_is_a_failed_batch():
    """No question gets the answer of another."""
    bench = Bench(handler(batched=True)(lambda questions: questions[:-1]))
    bench.ask("a", "b", "c")
    bench.jobs.pop()()
    bench.jobs.pop()()
    assert all(isinstance(result, ValueError) for _, result in bench.answers)
    assert "1 answers to 2 questions" in str(bench.answers[1][1])


def test_a_batch_that_raises_fails_each_question():
    """The exception is the answer to all."""
    error = OSError("database is gone")

    @handler(batched=True)
    def store(questions):
        raise error

    bench = Bench(store)
    bench.ask("a")
    bench.jobs.pop()()
    assert bench.answers == [(0, error)]


def test_threads_are_reused_and_end():
    """A thread is started when none is idle, and only then; all end when closed."""
    threads = Threads()
    seen: list[threading.Thread] = []
    done = threading.Semaphore(0)

    def job() -> None:
        seen.append(threading.current_thread())
        done.release()

    threads(job)
    assert done.acquire(timeout=PATIENCE)
    both = threading.Barrier(2)

    def meet() -> None:
        both.wait(PATIENCE)
        done.release()

    for _ in range(2):
        threads(meet)
    for _ in range(2):
        assert done.acquire(timeout=PATIENCE)
    threads.close()
    seen[0].join(PATIENCE)
    assert not seen[0].is_alive()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_resolve(transport):
    """A numeric host is its own answer; a name that does not exist raises."""
    assert resolve(Resolve("127.0.0.1", 5070, transport)) == [("127.0.0.1", 5070)]
    with pytest.raises(OSError, match=r".+"):
        resolve(Resolve("nowhere.invalid", 5060, transport))
