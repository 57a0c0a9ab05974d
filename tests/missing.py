"""What a test needs and this machine lacks: a skip here, a failure in CI.

Theory of operation: a developer may lack SIPp or gevent; a build that lacks them
has tested less than it says, so under ``CI=true`` it is red.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

__all__ = ["missing"]


def missing(reason: str) -> NoReturn:
    """End the test: skipped on a developer's machine, failed in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
