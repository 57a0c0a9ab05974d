"""The settings that cannot change while the server runs, and why.

Theory of operation: a reload compares the settings that run with those in the file now. If a key of this
list has changed, the server refuses the whole reload: an operator who changed it has to hear so, or he
believes that it is in force. The server takes every other change.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from sansip.journal_values import plain
from sansip_server.config.load import ConfigFault
from sansip_server.config.schema import Settings
from sansip_server.config.workers import workers_of
from sansip_server.targets import is_url

__all__ = ["fixed_faults"]

_STORE = "the database is opened at the start, and registrations are read from it then"
_REDIS = "the shared location is joined at the start"
_NODE = "other nodes know this one by what it said when it joined them"
_RUNTIME = "it drives every socket of the process"

# Key (dotted) -> the reason.
_FIXED = {
    "auth": "who may register decides which store is opened, and that is done at the start",
    "store": _STORE,
    "store_interval": _STORE,
    "store_password_file": _STORE,
    "store_timeout": _STORE,
    "store_sync": _STORE,
    "location": _REDIS,
    "redis": _REDIS,
    "rows": "modules read their rows at the start",
    "node": _NODE,
    "control": "the socket is opened at the start, and this command came by it",
    "bearer": "its keys are opened at the start (what is in the file is read again)",
    "http": "its sockets, tokens and roles are set up at the start",
    "secret_file": "marks and flow tokens of running dialogs are sealed with the key in it",
    "runtime": _RUNTIME,
    "uvloop": _RUNTIME,
    "huge_pages": "the memory was moved at the start",
    "gather": "the sockets took it when the server started",
    "workers": "the sockets of all workers are opened at the start",
    "drain_time": "the runtime took it when it began to wait for signals",
    "limits.users_known": "the table of users is made with the store, at the start",
    "limits.datagram_backlog": "each UDP socket has its own since it was opened",
}
# Files that are set or not from the start on; a reload reads their content again.
_THERE = {
    "ephemeral_file": "whether there are users with a time limit is known to all parts from the start",
    "nonce_file": "without one the keys come from secret_file, from the start",
}


def fixed_faults(running: Settings, written: Settings) -> Iterator[ConfigFault]:
    """Yield a fault for each key that has changed in ``written`` and cannot change."""
    for path, reason in _FIXED.items():
        if path == "secret_file" and running.store != written.store:
            # Its default place is beside the store.
            continue
        if plain(attrgetter(path)(running)) != plain(attrgetter(path)(written)):
            yield _fault(path, reason)
    for path, reason in _THERE.items():
        if (getattr(running, path) is None) != (getattr(written, path) is None):
            yield _fault(path, reason)
    if workers_of(running) > 1:
        why = "the sockets of all workers are opened at the start (workers)"
        if running.listen != written.listen:
            yield _fault("listen", why)
        for name in {**running.modules, **written.modules}:
            if _listens(running, name) != _listens(written, name):
                yield _fault(f"{name}.listen", why)
    if (running.dns.resolver == "system") != (written.dns.resolver == "system"):
        yield _fault("dns.resolver", "who resolves names is decided when the stack is built")
    if running.store is not None and is_url(running.store) and running.domains != written.domains:
        yield _fault("domains", "the database is locked for each domain, at the start")


def _listens(settings: Settings, module: str) -> list[str]:
    """Return where a module listens for a protocol of its own."""
    return list(getattr(settings.modules.get(module), "listen", ()))


def _fault(path: str, reason: str) -> ConfigFault:
    return ConfigFault(
        path, f"this cannot change while the server runs: {reason}; restart it, or set it back"
    )
