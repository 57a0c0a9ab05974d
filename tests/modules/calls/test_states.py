"""The table of a call's life is total, and a call that has ended stays so."""

from sansip.modules.calls.states import ENDED, HAPPENINGS, STATES, TABLE


def test_total() -> None:
    """Each state knows what each happening makes of it."""
    assert set(TABLE) == {(state, happening) for state in STATES for happening in HAPPENINGS}
    assert set(TABLE.values()) == set(STATES) - {"calling"}


def test_the_end_is_final() -> None:
    """Nothing brings a call back, so its end is told once."""
    assert {TABLE[ENDED, happening] for happening in HAPPENINGS} == {ENDED}


def test_only_forward() -> None:
    """A lamp that shows a call never goes from answered back to ringing."""
    assert all(STATES.index(after) >= STATES.index(state) for (state, _), after in TABLE.items())
