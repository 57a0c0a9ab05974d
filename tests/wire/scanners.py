"""The C module for tests: the installed one, else compiled for them; and who reads what is read in brief."""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

import sansip
from sansip.wire import head

__all__ = ["ROOT", "build", "load", "read_by"]

# Where the sources of what is imported lie, also where it is installed.
ROOT = Path(sansip.__file__).parents[1]
# What is read in brief, by the name of the function of the C module.
_KINDS = ("brief", "echo", "ending", "opening", "passing", "usage")
# Those of which a function of the module reads; of the others a ``BriefReader`` does.
_FUNCTIONS = {"brief": "read_parts", "usage": "read_usage_parts"}

# What asks a ``Cut``, by its name in the file that reads it, and in the module.
_CUTS: dict[str, dict[str, str]] = {
    "echo": {"_text": "cut_text", "_repeats": "cut_repeats", "_returned": "cut_returned"},
    "opening": {"_text": "cut_text", "_opened": "cut_opened", "_answered": "cut_answered"},
    "passing": {"_passed": "cut_passed"},
}


def load(path: Path) -> Any:
    """Return the extension at ``path``, a module of its own each time."""
    loader = ExtensionFileLoader("sansip.wire._head", str(path))
    module = module_from_spec(spec_from_loader("sansip.wire._head", loader))
    loader.exec_module(module)
    return module


def build(folder: Path) -> Any:
    """Return the C module, compiled into ``folder`` where none is installed."""
    if head.HAS_SCANNER:
        return head._MODULE
    from hatch_build import compile_scanner

    strict = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers")
    return load(compile_scanner(ROOT, folder, *strict))


def read_by(patch: pytest.MonkeyPatch, scanner: Any, *names: str) -> None:
    """Have ``scanner`` read in brief, the patterns where it is None; ``names``: all kinds of messages."""
    for name in names or _KINDS:
        module = import_module(f"sansip.wire.{name}")
        cuts = _CUTS.get(name)
        scan = None if scanner is None else getattr(scanner, f"{name}_cut" if cuts else name)
        if name in _FUNCTIONS:
            patch.setattr(module, _FUNCTIONS[name], scan)
        else:
            patch.setattr(module.READER, "scan", scan)
        for own, of_scanner in (cuts or {}).items():
            patch.setattr(module, own, getattr(scanner, of_scanner, None))
