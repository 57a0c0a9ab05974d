"""Fixtures of the tests of ``media``."""

from __future__ import annotations

import pytest

from tests.modules.media.rig import MediaRig


@pytest.fixture(params=[False, True], ids=["alone", "with calls"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test run with and without the module ``calls``: with it all messages have been read."""
    monkeypatch.setattr(MediaRig, "with_calls", request.param)
