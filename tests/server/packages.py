"""Packages with modules for a server under test, written into a folder: what pip would leave there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["installed"]


def installed(
    folder: Path, code: str, modules: Mapping[str, str], parts: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Install ``code`` as the package ``probe_modules``; return the environment that has it.

    ``modules`` has the class for each name, ``parts`` that of the outer halves.
    """
    site = folder / "site"
    info = site / "probe_modules-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "probe_modules.py").write_text(code)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe-modules\nVersion: 1.0\n")
    lines = ["[sansip.modules]", *(f"{name} = probe_modules:{kind}" for name, kind in modules.items())]
    if parts:
        lines += ["[sansip.parts]", *(f"{name} = probe_modules:{kind}" for name, kind in parts.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {
        "PYTHONPATH": f"{site}:{':'.join(sys.path)}",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
