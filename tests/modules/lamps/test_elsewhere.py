"""sansip.modules.lamps.elsewhere: lamps of calls at other workers, as the first worker hears of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from sansip.modules.lamps.elsewhere import announce, heard
from sansip.modules.lamps.lamp import CONFIRMED, TERMINATED, Lamp, Party

LAMP = Lamp(
    "1x.1", "sip:bob@biloxi.test", "call", "recipient",
    Party("sip:bob@biloxi.test", "Bob", "sip:b@192.0.2.2"), Party("sip:alice@biloxi.test"),
    12.5, CONFIRMED, "l", "r",
)  # fmt: skip


def told(*lamps: Lamp) -> list[tuple[str, Any]]:
    """Return the words about ``lamps``: key, word."""
    words: list[tuple[str, Any]] = []

    def note(key: str, word: Any, *, own: bool) -> None:
        # The parent takes them back when the worker dies.
        assert own
        words.append((key, word))

    for lamp in lamps:
        announce(SimpleNamespace(announce=note), lamp)
    return words


def test_a_state_and_its_end() -> None:
    """What was announced is heard as it was; the last state leaves no word behind, and no lamp."""
    over = replace(LAMP, state=TERMINATED, event="remote-bye")
    known: dict[str, Lamp] = {}
    found = [heard(key, word, known) for key, word in told(LAMP, LAMP, over)]
    assert found == [LAMP, None, over, None]
    assert known == {}
    assert told(over)[-1] == ("lamp 1x.1", None)


def test_the_worker_dies() -> None:
    """Nobody knows what became of the call: the lamp goes out (RFC 4235 3.7.1: error)."""
    known = {LAMP.id: LAMP}
    lamp = heard("lamp 1x.1", None, known)
    assert lamp is not None
    assert (lamp.state, lamp.event, lamp.entity) == (TERMINATED, "error", LAMP.entity)
    assert heard("lamp 1x.1", None, known) is None


def test_words_of_others() -> None:
    """A key of another kind is nobody's lamp."""
    assert heard("other 1x.1", ("x",), {}) is None
