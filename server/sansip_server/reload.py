"""What SIGHUP and ``sansip ctl reload`` read again, and what they say of the rest.

Theory of operation: certificates, users and who is trusted can change while calls run; listeners,
limits and the route cannot yet. An operator who changed one of those has to hear so, or he
believes that it is in force: so the configuration file is compared with what it was when
the server started, and the routing script by its time of change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sansip.journal_values import plain
from sansip_server.config.load import load_file
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip_server.access import Access
    from sansip_server.storage import Storage
    from sansip_sockets import TlsContexts

__all__ = ["Outcome", "Reload"]

logger = logging.getLogger("sansip.server")

# Tables of the configuration file that are read again.
_READ_AGAIN = ("trusted", "upstream")


@dataclass(slots=True)
class Outcome:
    """What a reload did.

    Attributes:
        done: what was read again.
        failed: what could not be, with the reason; it stays as it was.
        left: what has changed and needs a restart.
    """

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Reload:
    """Reads again what can be. ``renewed`` is called when the certificates are other ones, maybe."""

    def __init__(
        self,
        settings: Settings,
        access: Access,
        tls: TlsContexts,
        storage: Storage | None,
        renewed: Callable[[], None],
    ) -> None:
        self._access = access
        self._tls = tls
        self._storage = storage
        self._renewed = renewed
        self._file = settings.file
        self._route = None if settings.route is None else Path(settings.route)
        self._keys = dict(_keys_of(self._file)) if self._file is not None else {}
        self._route_changed = _changed(self._route)

    def __call__(self) -> Outcome:
        """Read again, and log what came of it."""
        from sansip_sockets import TlsError

        outcome = Outcome()
        faults = self._access.reload()
        if faults:
            outcome.failed += faults
        else:
            outcome.done += ["trusted peers", "accounts at other servers", "keys of nonces"]
        if self._storage is not None:
            self._storage.forget_users()
            outcome.done.append("users")
        try:
            self._tls.reload()
        except TlsError as error:
            outcome.failed.append(f"tls: {error}; the certificates stay as they were")
        else:
            outcome.done.append("certificates")
            self._renewed()
        outcome.left += self._left()
        logger.info("read again: %s", ", ".join(outcome.done))
        for line in outcome.failed:
            logger.error("%s", line)
        for line in outcome.left:
            logger.warning("not read again: %s", line)
        return outcome

    def _left(self) -> Iterator[str]:
        if self._file is not None:
            try:
                now = dict(_keys_of(self._file))
            except OperatorError:
                return  # told already
            for key in dict.fromkeys([*self._keys, *now]):
                if self._keys.get(key) != now.get(key):
                    yield f"{key} has changed in {self._file}: restart the server for it"
        if self._route is not None and _changed(self._route) != self._route_changed:
            yield f"{self._route} has changed since the start: restart the server to run it"


def _keys_of(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the configuration in ``file`` that need a restart, with their values."""
    loaded = load_file(file)
    if loaded.settings is None:
        raise OperatorError(*(fault.text(str(file)) for fault in loaded.faults))
    for name, value in plain(loaded.settings).items():
        if name in _READ_AGAIN:
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", one) for inner, one in value.items())
        else:
            yield name, value


def _changed(path: Path | None) -> int | None:
    """Return when ``path`` was written last; None where nothing is there."""
    try:
        return None if path is None else path.stat().st_mtime_ns
    except OSError:
        return None
