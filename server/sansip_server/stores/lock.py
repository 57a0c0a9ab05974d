"""One server for one SQLite file: a lock beside it that ends with the process.

Theory of operation: a server holds all registrations in memory and writes an address-of-record whole, so two
servers on one file would undo each other's work. The one that serves holds an advisory lock (flock) on
``FILE.lock``, and writes into that file who it is. The kernel releases the lock when the process ends,
however it ends: a file that is left proves nothing by itself. Commands (``sansip user``, ``sansip store``)
take no lock, because SQLite keeps single writes apart.

The lock is on a file of its own, because closing any descriptor of the database would end
SQLite's locks on it. The server never deletes that file: otherwise two processes could hold two
files of one name. If another user deletes it, the holder makes it anew with the next batch.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sansip_server.faults import OperatorError, os_reason

__all__ = ["StoreLock", "holder"]

# Seconds to wait for a process that was killed: the kernel needs a moment to put away a large one.
PATIENCE = 1.0
_PAUSE = 0.05
# Octets to read of the holder's text.
_MOST = 4_096


class StoreLock:
    """The lock of the store at ``path``, held from here on until ``close``.

    Raises OperatorError, with the holder, if another process has it.
    """

    def __init__(
        self,
        path: Path,
        *,
        patience: float = PATIENCE,
        unix: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = path
        self._path = lock_path(path)
        self._unix = unix
        self._descriptor: int | None = None
        left = patience
        while not self._take():
            if left <= 0:
                raise OperatorError(
                    f"store {path} is in use by {holder(path) or 'another process'}; two servers would"
                    " overwrite each other's registrations: stop that one, or give this one another --store"
                )
            sleep(_PAUSE)
            left -= _PAUSE

    def check(self) -> None:
        """Raise OSError unless this process still holds the lock, or can take it again."""
        if self._is_ours():
            return
        self.close()
        if not self._take():
            who = holder(self._store) or "another process"
            raise OSError(errno.EBUSY, f"another server has taken it: {who}")

    def close(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            # A process that holds no lock leaves no name in the file.
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self) -> bool:
        """Take the lock; return whether that worked."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            parent = self._path.parent
            raise OperatorError(
                f"store {self._store}: there is no folder {parent}; make it, or name another file"
            ) from None
        except OSError as error:
            raise OperatorError(f"store {self._store}: {self._path}: {os_reason(error)}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise OperatorError(
                f"store {self._store}: {self._path} cannot be locked ({os_reason(error)}); put the store on a"
                " local disk, or use a database server"
            ) from None
        self._descriptor = descriptor
        if not self._is_ours():
            # Another process deleted the name between the two steps.
            self.close()
            return False
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": self._since()}
        with suppress(OSError):
            # On a full disk the lock holds too, without the holder's name.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(me).encode() + b"\n", 0)
        return True

    def _is_ours(self) -> bool:
        """Whether the name still means the file that is locked."""
        if self._descriptor is None:
            return False
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        held = os.fstat(self._descriptor)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _since(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self._unix()))


def lock_path(store: Path) -> Path:
    """Return the file beside ``store``; two names of one database (symbolic links) have one."""
    return Path(f"{os.path.realpath(store)}.lock")


def holder(store: Path) -> str | None:
    """Return who serves from ``store``, as ``process 123 on HOST since …``, or None if no process does."""
    path = lock_path(store)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        if not _is_locked(descriptor):
            return None
        told = json.loads(os.read(descriptor, _MOST))
        return f"process {told['pid']} on {told['host']} since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
