"""The ways in which messages are kept: most tests are of all of them."""

from __future__ import annotations

import pytest

from tests.modules.messages.kept import ways


@pytest.fixture(params=["memory", "store", "shared"])
def way(request: pytest.FixtureRequest) -> str:
    """Each test with rows that are in memory as well, that are read from the store, and that nodes share."""
    ways["shared"] = request.param == "shared"
    ways["memory"] = 0 if request.param == "store" else 8_388_608
    return str(request.param)
