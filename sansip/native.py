"""Classes of the compiled build that others may derive from.

Theory of operation: mypyc reads the decorator when it compiles, and nothing is left of it when the program
runs: so the package that declares it, which a build has, need not be there.
"""

from __future__ import annotations

from typing import Any

__all__ = ["mypyc_attr"]

try:
    from mypy_extensions import mypyc_attr
except ImportError:

    def mypyc_attr(**given: Any) -> Any:  # type: ignore[misc]  # where there is no mypy
        """Return a decorator that does nothing."""
        return _same


def _same(kind: Any) -> Any:
    return kind
