"""The versions of installed packages."""

from __future__ import annotations

__all__ = ["version_of"]


def version_of(package: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
