"""The table of a session: total, and every row it names can be carried out."""

from __future__ import annotations

import pytest

from sansip.dialog import InviteUsage
from sansip.dialog.invite_table import INVITE_USAGE, MISUSE, OVER
from sansip.dialog.offer_answer import OFFER_ANSWER
from sansip.transaction.table import IGNORE, IMPOSSIBLE, total

ROWS = [(state, given, *row) for state, inputs in INVITE_USAGE.items() for given, row in inputs.items()]


def test_there_is_a_row_for_every_state_and_input() -> None:
    """A pair without a row is a call that hangs."""
    states = set(INVITE_USAGE)
    inputs = {given for _, given, _, _ in ROWS}
    assert {(state, given) for state, given, _, _ in ROWS} == {(s, g) for s in states for g in inputs}
    assert len(ROWS) == len(states) * len(inputs)


def test_a_table_with_a_hole_does_not_import() -> None:
    """The proof runs at import: a missing row stops the program, not a call."""
    rows = {(state, given): (effect, after) for state, given, effect, after in ROWS}
    del rows[("established", "BYE")]
    with pytest.raises(TypeError, match="no row for"):
        total("INVITE usage", INVITE_USAGE, {given for _, given, _, _ in ROWS}, rows)


@pytest.mark.parametrize("effect", sorted({row[2] for row in ROWS} - {IGNORE, IMPOSSIBLE, MISUSE}))
def test_every_effect_is_a_method(effect: str) -> None:
    """A misspelled one would fail in the middle of a call."""
    assert callable(getattr(InviteUsage, effect))


def test_every_state_can_be_left_for_the_end() -> None:
    """A state from which there is no way to "over" is a call that is never forgotten."""
    reached = {OVER}
    while True:
        # "accept" changes the state within its effect: it may wait for a PRACK.
        more = {state for state, _, _, after in ROWS if after in reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(INVITE_USAGE)


def test_nothing_leads_back_from_the_end() -> None:
    """An ended session stays ended, whichever input comes late."""
    assert {after for state, _, _, after in ROWS if state == OVER} == {OVER}
    assert {after for state, _, _, after in ROWS if state == "mortal"} == {"mortal", OVER}


def test_offer_answer_refuses_by_491_and_500_alone() -> None:
    """RFC 3311 5.2: 491 where our offer is open, 500 where theirs is."""
    effects = {row[0] for inputs in OFFER_ANSWER.values() for row in inputs.values()}
    assert effects == {"go", IGNORE, MISUSE, "491", "500"}
    for state, status in (
        ("local offer", "491"),
        ("remote offer", "500"),
        ("offer wanted", "491"),
        ("offer owed", "500"),
    ):
        assert OFFER_ANSWER[state]["receive offer"][0] == status
