"""sansip_server.config.workers: how many processes."""

from __future__ import annotations

import pytest

from sansip.seat import MOST
from sansip_server.config.schema import Settings
from sansip_server.config.workers import check_workers, workers_of


def test_a_number_or_as_many_as_there_are_processors() -> None:
    """An operator who moves to a larger machine need not change the configuration."""
    assert workers_of(Settings()) == 1
    assert workers_of(Settings(workers=3)) == 3
    assert 1 <= workers_of(Settings(workers="auto")) <= MOST


@pytest.mark.parametrize("value", [0, -1, MOST + 1, "many"])
def test_other_values_are_refused(value: int | str) -> None:
    """A mark is one letter, so there is a bound; the message names it."""
    with pytest.raises(ValueError, match="expected 1 to 16"):
        check_workers(value)
