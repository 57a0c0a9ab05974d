"""Questions of the stack (``Ask``) answered by blocking code, in threads.

Theory of operation: a handler is a plain function from a question to its
answer, run in a worker thread; one thread per handler, unless it asks for more.
Questions that arrive while it works wait in a list that belongs to the stack's
thread and go over together: one hop between threads for many questions, and a
handler that takes whole lists (a database transaction, a Redis pipeline) gets
them as one batch. Only the stack's thread touches the lists, so there is no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from sansip.actions import Ask

__all__ = ["Answer", "Offload", "Threads", "Worker", "handler"]

# The function that takes a result: answer(id, result).
Answer: TypeAlias = Callable[[int, Any], None]
# Runs a job in another thread, soon. A runtime may bring its own.
Offload: TypeAlias = Callable[[Callable[[], None]], None]

_Wishes: TypeAlias = tuple[bool, int, Callable[[Any], Hashable] | None]

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def handler(
    *,
    batched: bool = False,
    parallel: int = 1,
    key: Callable[[Any], Hashable] | None = None,
    patient: bool = False,
    mixed: bool = False,
) -> Callable[[AnyFunction], AnyFunction]:
    """Decorate a handler of questions that wants more than one thread and one question at a time.

    Args:
        batched: the function takes a list of questions and returns a list of as many answers (an
            ``Exception`` instance for one that failed).
        parallel: how many threads may run it at once, for code that mostly waits.
        key: questions with equal keys, asked while one of them is being
            answered, share its answer.
        patient: its answers may wait for some milliseconds until the stack's thread looks for them, if that
            is quicker (``sansip_blocking``).
        mixed: a batched function that is given for several kinds of question takes them in one list.
    """

    def mark(function: AnyFunction) -> AnyFunction:
        function.sansip_patient = patient  # type: ignore[attr-defined]  # a mark that functions carry
        function.sansip_mixed = mixed  # type: ignore[attr-defined]  # a mark that functions carry
        function.sansip_handler = (batched, parallel, key)  # type: ignore[attr-defined]  # a mark that functions carry
        return function

    return mark


class Threads:
    """Daemon threads, started when no idle one is left; ``close`` lets them end.

    Daemons, because a name server that does not answer must not hold up the exit.
    """

    __slots__ = ("_idle", "_jobs", "_started")

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # One None for each thread that waits for a job; a Semaphore is a dozen calls of Python.
        self._idle: SimpleQueue[None] = SimpleQueue()
        self._started = 0

    def __call__(self, job: Callable[[], None]) -> None:
        try:
            self._idle.get_nowait()
        except Empty:
            self._started += 1
            name = f"sansip-worker-{self._started}"
            threading.Thread(target=self._run, name=name, daemon=True).start()
        self._jobs.put(job)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job
            self._idle.put(None)

    def close(self) -> None:
        for _ in range(self._started):
            self._jobs.put(None)


class Worker:
    """One handler: its waiting questions and its threads.

    ``post(function, *args)`` runs a function in the stack's thread (``Inbox.post``). ``answer_all`` takes the
    results of a batch, each with its number, in the place of ``answer``.
    """

    __slots__ = ("_answer", "_answer_all", "_batched", "_bound", "_busy", "_function", "_key", "_most",
                 "_offload", "_parallel", "_post", "_shared", "_together", "_waiting")  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any],
        answer: Answer,
        post: Callable[..., None],
        offload: Offload,
        answer_all: Callable[[list[tuple[int, Any]]], None] | None = None,
    ) -> None:
        self._function = function
        self._answer = answer
        self._answer_all = answer_all
        self._post = post
        self._offload = offload
        wishes: _Wishes = getattr(function, "sansip_handler", (False, 1, None))
        self._batched, self._parallel, self._key = wishes
        self._busy = 0
        # How many questions may wait for a thread, and the name of that limit; None: as many
        # as the stack asks (``limits.questions``).
        waiting: tuple[int, str] | None = getattr(function, "sansip_waiting", None)
        self._most: int | None = None if waiting is None else waiting[0]
        self._bound = "" if waiting is None else waiting[1]
        # A store's thread takes everything that waits. A bounded handler may hang: its answers leave one by
        # one, so that none waits for a later question.
        self._together = self._parallel == 1 and waiting is None
        self._waiting: list[Ask] = []
        # Key of a question under way -> the others that wait for its answer.
        self._shared: dict[Hashable, list[int]] = {}

    def ask(self, action: Ask) -> None:
        """Take a question; called in the stack's thread."""
        if self._key is not None:
            key = self._key(action.question)
            others = self._shared.get(key)
            if others is not None:
                others.append(action.id)
                return
            self._shared[key] = []
        if self._most is not None and self._busy >= self._parallel and len(self._waiting) >= self._most:
            # All threads hang, most likely: the question is refused at once, and no queue grows.
            error = BlockingIOError(f"{self._most} questions wait for it already ({self._bound})")
            self._post(self._answer, action.id, error)
            return
        self._waiting.append(action)
        if self._busy < self._parallel:
            self._launch()

    def _launch(self) -> None:
        self._busy += 1
        if self._together:
            batch, self._waiting = self._waiting, []
        else:
            batch = [self._waiting.pop(0)]
        self._offload(lambda: self._work(batch))

    def _work(self, batch: list[Ask]) -> None:
        """Runs in a worker thread."""
        results: list[Any]
        if self._batched:
            try:
                results = list(self._function([ask.question for ask in batch]))
                if len(results) != len(batch):
                    raise ValueError(f"{len(results)} answers to {len(batch)} questions")
            except Exception as error:
                results = [error] * len(batch)
        else:
            results = []
            for ask in batch:
                try:
                    results.append(self._function(ask.question))
                except Exception as error:
                    results.append(error)
        self._post(self._done, batch, results)
        # An error among them has a traceback, which holds this frame.
        del results

    def _done(self, batch: list[Ask], results: list[Any]) -> None:
        self._busy -= 1
        if self._waiting and self._busy < self._parallel:
            self._launch()
        if self._answer_all is not None and self._key is None:
            self._answer_all([(ask.id, result) for ask, result in zip(batch, results, strict=True)])
            return
        for ask, result in zip(batch, results, strict=True):
            self._answer(ask.id, result)
            if self._key is not None:
                for other in self._shared.pop(self._key(ask.question), ()):
                    self._answer(other, result)
