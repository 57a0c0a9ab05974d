"""The server's journal: ``sansip.journal`` with the settings in its head, in a private file.

Theory of operation: the head holds everything that the stack was built from, except the route's
code, so that another machine builds the same stack. A replay does not read the files of the
machine that recorded it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from sansip.config import ListenerConfig, StackConfig
from sansip.journal import Replayed, again
from sansip.journal_values import plain
from sansip.module import Module
from sansip.stack import Stack
from sansip.transport.dns import DnsConfig
from sansip_server.config import build
from sansip_server.config.load import settings_of
from sansip_server.config.peers import trusted_of
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError, os_reason
from sansip_server.modules import load, names
from sansip_server.routes import DEFAULT_ROUTE, default_route, fingerprint, load_again, load_route

__all__ = ["JournalFile", "Scripts", "head", "replay", "stack_of"]

logger = logging.getLogger("sansip.journal")


class JournalFile:
    """The file at ``path``, begun anew, for the server's user alone. Raises OperatorError.

    Written by the line: a journal is wanted most when the process has died.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise OperatorError(f"--journal {path}: {os_reason(error)}") from None
        self._file: TextIO | None = os.fdopen(descriptor, "w", encoding="ascii", buffering=1)

    def write(self, line: str) -> None:
        """Add a line. A full disk ends the journal, not the server."""
        if self._file is None:
            return
        try:
            self._file.write(line)
        except OSError as error:
            logger.error("the journal ends here: %s", os_reason(error))
            self.close()

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError as error:
                logger.error("the journal ends here: %s", os_reason(error))


def head(settings: Settings, config: StackConfig) -> dict[str, Any]:
    """Return the values from which ``stack_of`` builds a stack like the one of ``config``."""
    return {
        "route": _named(settings.route),
        "secret": None if config.secret is None else config.secret.hex(),
        "settings": {**plain(settings), **plain(settings.modules)},
        "listeners": [plain(listener) for listener in config.listeners],
        "domains": list(config.domains),
        "aliases": list(config.aliases),
        # The values of the machine at that time, and not those of the machine that replays.
        "began": config.began,
        "dns": None if config.dns is None else plain(config.dns),
    }


def _named(route: str | None) -> str | None:
    """Return the journal's name of the route; None for the default one, and one that is gone by now."""
    try:
        return None if route is None else fingerprint(route)
    except OSError:
        return None


def stack_of(first: dict[str, Any], route: Callable[..., Any]) -> Stack:
    """Return the stack that a journal's head describes, deciding by ``route``.

    Raises KeyError, TypeError or ValueError if it describes none.
    """
    given = _without_none(first["settings"])
    # Files of the machine where it was recorded.
    for name in ("route", "secret_file"):
        given.pop(name, None)
    settings, faults = settings_of(given)
    if settings is None or faults:
        raise ValueError("; ".join(f"{fault.path}: {fault.problem}" for fault in faults))
    secret = None if first["secret"] is None else bytes.fromhex(first["secret"])
    listeners = [ListenerConfig(**listener) for listener in first["listeners"]]
    config = build.stack_config(settings, listeners, first["domains"], first["aliases"], route, secret)
    config.began = first.get("began")
    config.trusted = trusted_of(settings.trusted)
    dns = first["dns"]
    if dns is not None:
        config.dns = DnsConfig(**{**dns, "servers": [(host, port) for host, port in dns["servers"]]})
    return Stack(config, bytes.fromhex(first["seed"]))


class Scripts:
    """The routes that a replay was given, by their names in a journal.

    Without any, the replay uses the default route. A single one is the route at the start whatever its
    name is, so an author can try a changed script on recorded inputs.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = {fingerprint(path): path for path in paths}

    def first(self, name: str | None) -> Callable[..., Any]:
        """Return the route that the server began with."""
        if not self._paths:
            return default_route()
        path = self._paths.get(name or "", next(iter(self._paths.values())))
        return load_route(path)

    def __call__(self, name: str) -> Callable[..., Any]:
        """Return the route that the server took while it ran."""
        if name == DEFAULT_ROUTE:
            return default_route()
        if name not in self._paths:
            raise ValueError(f"the server took the route {name}; give that version, too: --route FILE.py")
        return load_again(self._paths[name], 1 + list(self._paths).index(name))


def replay(lines: Iterable[str], decide: Scripts | Callable[..., Any]) -> Iterator[Replayed]:
    """Play a journal of this server again, deciding by a route or by scripts. Raises JournalError."""
    if isinstance(decide, Scripts):
        scripts = decide
        return again(
            lines, lambda first: stack_of(first, scripts.first(first.get("route"))), scripts, _module
        )
    return again(lines, lambda first: stack_of(first, decide), modules=_module)


def _module(name: str) -> type[Module]:
    """Return the module that was added while the server ran. Raises ValueError if it is not installed."""
    if name not in names():
        raise ValueError(f"the module {name} was added, and is not installed here")
    return load(name)


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    """Return ``table`` without unset keys: a TOML file has no null."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in table.items()
        if value is not None
    }
