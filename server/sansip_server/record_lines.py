"""Records as lines at the end of a file, on the disk when ``append`` returns.

Theory of operation: the file is opened for appending, and anew where its name leads to another file
(logrotate renamed it). If a crash left half a line, that line is ended before the next one is written, so no
other line is damaged. The names of the last records are remembered: a write that hung, and was asked for
again, is not done twice.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping

__all__ = ["RecordLines"]

# By the file's path.
_LOCKS: dict[str, threading.Lock] = {}
# Names that are remembered: more than all that wait in one write.
_REMEMBERED = 20_000
# Octets at the end of a file in which records of an earlier process are looked for.
_TAIL = 16 << 20


class RecordLines:
    """The file at ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        self.written = 0
        # One writer for a file: a write that hung, and the next part after a reload, take their turns.
        self._lock = _LOCKS.setdefault(os.path.abspath(path), threading.Lock())
        self._names: dict[str, None] = {}

    def append(self, lines: Mapping[str, str]) -> None:
        """Write the lines. Raises ``OSError`` where the disk does not take them; then none is there."""
        with self._lock:
            fresh = {name: line for name, line in lines.items() if name not in self._names}
            data = "".join(f"{line}\n" for line in fresh.values()).encode("ascii")
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
            self.written += len(fresh)
            self._names |= dict.fromkeys(fresh)
            for name in list(self._names)[: max(len(self._names) - _REMEMBERED, 0)]:
                del self._names[name]

    def found(self, names: Iterable[str]) -> set[str]:
        """Return those of ``names`` that an earlier process has written, here or before logrotate came by."""
        wanted, found = set(names), set()
        for path in (self._path, f"{self._path}.1"):
            try:
                with open(path, "rb") as file:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
                    lines = file.read(_TAIL).split(b"\n")
            except OSError:
                continue
            for line in lines:
                try:
                    name = json.loads(line)["name"]
                except (ValueError, KeyError, TypeError):
                    continue
                if name in wanted:
                    found.add(name)
        return found

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
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
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

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
