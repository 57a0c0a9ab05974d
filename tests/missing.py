"""Programs and packages that a test needs: without one the test is skipped here, and fails in CI.

Theory of operation: a developer may lack SIPp or gevent; a build that lacks them
has tested less than it says, so under ``CI=true`` it is red.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from typing import Any, NoReturn

import pytest

__all__ = ["missing", "needed", "needs_pjsua2"]


def missing(reason: str) -> NoReturn:
    """End the test: skipped on a developer's machine, failed in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def needed(name: str) -> Any:
    """Return the module ``name``. Without it the test, or the test file, ends as ``missing`` says."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(f"{name} cannot be imported: {error}")


def needs_pjsua2() -> None:
    """Skip where PyPI has no wheel of PJSIP; elsewhere it must be installed."""
    if importlib.util.find_spec("pjsua2") is None:
        if sys.version_info >= (3, 13) or platform.machine() != "x86_64":
            pytest.skip("PyPI has no pjsua2-python wheel for this Python and machine")
        missing("not installed: pjsua2-python")
