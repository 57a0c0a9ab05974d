"""Questions to workers: each gets one answer, whichever workers die and however long the replies are."""

from __future__ import annotations

from typing import Any

import pytest

from sansip_server.workers import questions as file
from sansip_server.workers.questions import Questions


class Rig:
    """Workers 0 and 1, which get messages and say nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, tuple[Any, ...]]] = []
        self.questions = Questions(
            lambda number, message: self.sent.append((number, message)), lambda: [0, 1]
        )


def test_all_are_asked_and_answer_once() -> None:
    """The answer is made when the last reply has come, in the order of the workers."""
    rig, found = Rig(), []
    rig.questions.ask_workers(b"calls.list\n", False, found.append)
    assert rig.sent == [(0, ("command", 1, b"calls.list\n")), (1, ("command", 1, b"calls.list\n"))]
    rig.questions.replied(1, 1, b"one")
    rig.questions.replied(1, 1, b"again")
    assert found == []
    rig.questions.replied(0, 1, b"zero")
    rig.questions.replied(0, 1, b"late")
    assert found == [{0: b"zero", 1: b"one"}]


def test_one_is_asked() -> None:
    """A command that one worker does reaches no other."""
    rig, found = Rig(), []
    rig.questions.ask_workers(b"lcr.reload\n", True, found.append)
    assert [number for number, _ in rig.sent] == [0]
    rig.questions.replied(0, 1, b"done")
    assert found == [{0: b"done"}]


def test_a_dead_worker_is_not_waited_for() -> None:
    """Its question ends with the replies of the others."""
    rig, found = Rig(), []
    rig.questions.ask([0, 1], ("reload",), found.append)
    rig.questions.gone(0)
    assert found == []
    rig.questions.replied(1, 1, ([], []))
    assert found == [{1: ([], [])}]


def test_nobody_to_ask() -> None:
    """Without workers the answer is empty, and comes at once."""
    rig, found = Rig(), []
    rig.questions.ask([], ("reload",), found.append)
    assert found == [{}]


def test_pieces_are_put_together() -> None:
    """A long reply comes in pieces; each is asked for when the one before has come."""
    rig, found = Rig(), []
    rig.questions.ask_workers(b"calls.list\n", True, found.append)
    rig.questions.piece(0, 1, b"a")
    assert rig.sent[-1] == (0, ("more", 1))
    rig.questions.replied(0, 1, b"b")
    assert found == [{0: b"ab"}]
    # Nobody waits any more: the worker is told so.
    rig.questions.piece(0, 1, b"c")
    assert rig.sent[-1] == (0, ("stop", 1))


def test_a_reply_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's memory holds so much of replies, and the operator is told."""
    monkeypatch.setattr(file, "_LONGEST", 3)
    rig, found = Rig(), []
    rig.questions.ask_workers(b"calls.list\n", True, found.append)
    rig.questions.piece(0, 1, b"long")
    assert rig.sent[-1] == (0, ("stop", 1))
    assert found[0][0].endswith(b'ask for less"}\n')


def test_a_stream_is_given_up() -> None:
    """A client that left costs the worker nothing more, and a piece under way is not asked after."""
    rig, taken = Rig(), []
    question = rig.questions.stream(1, b"calls.list\n", lambda piece, last: taken.append((piece, last)))
    rig.questions.piece(1, question, b"a")
    rig.questions.stop(1, question)
    assert rig.sent[-1] == (1, ("stop", question))
    rig.questions.replied(1, question, b"b")
    assert taken == [(b"a", False)]
