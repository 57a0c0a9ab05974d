"""Questions to workers: operators' commands, and whatever else wants an answer of each.

Theory of operation: a question has a number, and waits for the replies of the workers that it was given to; a
worker that dies meanwhile is waited for no longer. A long reply comes in pieces, each asked for by itself, so
a slow reader costs the parent one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Questions"]

# Octets of the replies of all workers to one command, and the reply in the place of a longer one.
_LONGEST = 64 * 1024 * 1024
_TOO_LONG = b'{"ok": false, "error": "the reply is too long; ask for less"}\n'


class Questions:
    """Asks workers. ``send(number, message)`` reaches one; ``serving()`` are those that can be asked."""

    def __init__(
        self, send: Callable[[int, tuple[Any, ...]], None], serving: Callable[[], list[int]]
    ) -> None:
        self._send = send
        self._serving = serving
        self._question = 0
        # What workers were asked by operators: question -> the function that gets a worker's reply.
        self._replies: dict[int, Callable[[int, Any], None]] = {}
        self._pieces: dict[int, Callable[[int, bytes], None]] = {}

    # --- for those who ask

    @property
    def serving(self) -> list[int]:
        """The workers that serve."""
        return self._serving()

    def ask_workers(self, line: bytes, one: bool, done: Callable[[dict[int, bytes]], None]) -> None:
        """Give a command to all workers that serve, or to one of them; ``done`` gets their replies."""
        asked = self.serving
        if one:
            del asked[1:]
        question = self._question + 1
        pieces: dict[int, bytes] = {}

        def taken(number: int, piece: bytes) -> None:
            pieces[number] = pieces.get(number, b"") + piece
            if sum(map(len, pieces.values())) <= _LONGEST:
                self.more(number, question)
            else:
                self._send(number, ("stop", question))
                self._replies[question](number, _TOO_LONG)

        def replied(found: dict[int, bytes]) -> None:
            self._pieces.pop(question, None)
            done({number: pieces.get(number, b"") + reply for number, reply in found.items()})

        self._pieces[question] = taken
        self.ask(asked, ("command", line), replied)

    def stream(self, number: int, line: bytes, taken: Callable[[bytes, bool], None]) -> int:
        """Give a command to one worker; return the number of the question.

        ``taken`` gets a piece of the reply, and whether it is the last; ask for another by ``more``.
        """
        question = self._question + 1

        def replied(found: dict[int, bytes]) -> None:
            self._pieces.pop(question, None)
            taken(found.get(number, b""), True)

        self._pieces[question] = lambda _, piece: taken(piece, False)
        self.ask([number], ("command", line), replied)
        return question

    def more(self, number: int, question: int) -> None:
        """Ask for another piece of a reply."""
        self._send(number, ("more", question))

    def stop(self, number: int, question: int) -> None:
        """Give a reply up."""
        if self._replies.pop(question, None) is not None:
            self._pieces.pop(question, None)
            self._send(number, ("stop", question))

    def ask(
        self, numbers: Sequence[int], message: tuple[Any, ...], done: Callable[[dict[int, Any]], None]
    ) -> None:
        """Ask workers; ``done`` gets the replies of those that did not die meanwhile."""
        self._question += 1
        question = self._question
        left = set(numbers)
        found: dict[int, Any] = {}

        def replied(number: int, reply: Any) -> None:
            if number in left:
                left.discard(number)
                if reply is not None:
                    found[number] = reply
                if not left:
                    del self._replies[question]
                    done(dict(sorted(found.items())))

        if not numbers:
            done({})
            return
        self._replies[question] = replied
        for number in numbers:
            self._send(number, (message[0], question, *message[1:]))

    # --- what comes of workers

    def replied(self, number: int, question: int, reply: Any) -> None:
        """The reply of a worker, or its last piece, has come."""
        if (taken := self._replies.get(question)) is not None:
            taken(number, reply)

    def piece(self, number: int, question: int, piece: bytes) -> None:
        """A piece of the reply of a worker has come."""
        taken = self._pieces.get(question)
        if taken is None:
            self._send(number, ("stop", question))
        else:
            taken(number, piece)

    def gone(self, number: int) -> None:
        """The worker died: nobody waits for its replies any more."""
        for reply in list(self._replies.values()):
            reply(number, None)
