"""The table [calls]: what is wrong is refused with its key."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from tests.modules.calls.calling import bench


@pytest.mark.parametrize(
    "settings", [{"min_se": 0}, {"session_expires": 60}, {"max_duration": -1.0}, {"most": 0}]
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    """Said before the server starts, with the key."""
    with pytest.raises(LocalProtocolError, match=next(iter(settings))):
        bench(**settings)
