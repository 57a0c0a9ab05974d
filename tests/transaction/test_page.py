"""docs/transactions.md says what the tables say."""

from __future__ import annotations

from tools.transactions_page import FIGURES, PAGE, page


def test_up_to_date() -> None:
    """The page is written by ``python -m tools.transactions_page``; run it when this fails."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_action_is_used() -> None:
    """A word for an effect that no row has would be a leftover."""
    for figure in FIGURES:
        effects = {effect for rows in figure.machine.values() for effect, _ in rows.values()}
        assert effects - {"ignore", "impossible"} == set(figure.actions)
