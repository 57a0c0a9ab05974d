"""The modules that are installed: ours and those of other packages.

Theory of operation: the entry-point group ``sansip.modules`` names them, each as
``name = "package.file:Class"``; a module needs no other registration. A class is loaded only if its name
is used, so a broken package does no harm to a server that does not use it.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from sansip.module import Module, Use
from sansip_server.faults import OperatorError

__all__ = ["GROUP", "load", "loaded", "look_again", "names", "uses"]

GROUP = "sansip.modules"

logger = logging.getLogger("sansip.modules")


@cache
def _found() -> dict[str, EntryPoint]:
    return {name: points[0] for name, points in _claimed().items()}


def _claimed() -> dict[str, list[EntryPoint]]:
    """Return the packages that claim each name. One package may be on the path twice, with the same claim."""
    claimed: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point))):
        points = claimed.setdefault(point.name, [])
        if all(one.value != point.value or _package(one) != _package(point) for one in points):
            points.append(point)
    return claimed


def _package(point: EntryPoint) -> str:
    return "sansip" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def names() -> list[str]:
    """Return the names of all modules that are installed, in order."""
    return list(_found())


def look_again() -> None:
    """Find the packages that were installed since; loaded classes stay."""
    importlib.invalidate_caches()
    _found.cache_clear()
    # Except those that could not be loaded: two packages claimed one name, or one was broken.
    load.cache_clear()


def strangers(file: Path) -> list[str]:
    """Return the modules with a table in ``file`` whose packages this process has not imported yet."""
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        # The next reader of the file reports the fault.
        return []
    return [
        name
        for name, point in _found().items()
        if name in tables and point.value.partition(":")[0] not in sys.modules
    ]


@cache
def load(name: str) -> type[Module]:
    """Return the class of module ``name``. Raises ``OperatorError`` if its package is broken."""
    point = _found()[name]
    package = _package(point)
    claims = _claimed()[name]
    if len(claims) > 1:
        packages = " and ".join(map(_package, claims))
        raise OperatorError(f"two packages have a module {name}: {packages}; uninstall one of them")
    try:
        kind = point.load()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise OperatorError(f"the module {name} of {package} cannot be loaded: {reason}") from error
    if not (isinstance(kind, type) and issubclass(kind, Module)):
        raise OperatorError(f"the module {name} of {package}: {point.value} is no sansip.module.Module")
    if kind.name != name:
        raise OperatorError(
            f"the module {name} of {package}: {point.value} calls itself {kind.name}; both must be the same"
        )
    return kind


def loaded() -> list[type[Module]]:
    """Return every module that is installed. Raises ``OperatorError`` for a broken one."""
    return [load(name) for name in names()]


def uses(given: dict[str, Any], others: Iterable[Use] = ()) -> list[Use]:
    """Return the modules to run: those with a table in ``given``, and those that a server always has.

    ``others`` are those whose settings the server has made itself.
    """
    made = list(others)
    there = {use.kind.name for use in made}
    made += [Use(load(name), settings) for name, settings in given.items() if name not in there]
    there |= set(given)
    made += [Use(kind) for kind in _sound() if kind.by_default and kind.name not in there]
    return made


@cache
def _sound() -> tuple[type[Module], ...]:
    """Return every module that can be loaded; a broken package is reported, and does not stop the others."""
    found = []
    for name in names():
        try:
            found.append(load(name))
        except OperatorError as error:
            logger.warning("%s; nothing asks for it", error)
    return tuple(found)
