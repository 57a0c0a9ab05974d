"""The outer half of the module ``accounting``: lines at the end of a file, and to the disk.

Theory of operation: one thread writes. It opens the file for appending, and opens it anew if its name leads
to another file (logrotate renamed it). If a crash left half a line, the thread ends that line before it
writes the next one, so no other line is damaged. The answer goes back after ``fsync``: the record outlives
the process and the machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from sansip.modules.accounting import AccountingSettings, Append
from sansip_server.parts import Function, Part

__all__ = ["AccountingPart"]

# By the file's path.
_LOCKS: dict[str, threading.Lock] = {}


class AccountingPart(Part):
    """Writes records as lines."""

    parallel = 1

    def __init__(self, settings: AccountingSettings) -> None:
        super().__init__(settings)
        self._path = settings.file
        self._file: int | None = None
        self._lines = 0
        # One writer for a file: a write that hung, and the next part after a reload, take their turns.
        self._lock = _LOCKS.setdefault(os.path.abspath(settings.file), threading.Lock())

    def handlers(self) -> Mapping[type, Function]:
        return {Append: self.append}

    def append(self, question: Append) -> None:
        """Write the lines. Raises ``OSError`` where the disk does not take them; then some may be there."""
        data = "".join(f"{line}\n" for line in question.lines).encode("ascii")
        with self._lock:
            descriptor = self._open()
            size = os.fstat(descriptor).st_size
            done = 0
            try:
                while done < len(data):
                    done += os.write(descriptor, data[done:])
                os.fsync(descriptor)
            except OSError:
                # The module writes all of them again, so half a batch would be there twice. Lines that
                # another process has written behind ours stay.
                if os.fstat(descriptor).st_size == size + done:
                    os.ftruncate(descriptor, size)
                raise
            self._lines += len(question.lines)

    def _open(self) -> int:
        if self._file is not None:
            try:
                named = os.stat(self._path)
            except FileNotFoundError:
                named = None
            mine = os.fstat(self._file)
            if named is not None and (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino):
                return self._file
            self._close()
        # Only the server's user may read records of calls.
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")
        folder = os.open(os.path.dirname(os.path.abspath(self._path)), os.O_RDONLY)
        try:
            # The name of a new file has to be on the disk, too.
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._file

    def figures(self) -> dict[str, float]:
        return {"lines": self._lines}

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
