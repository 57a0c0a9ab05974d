"""Records on the local disk that their own place did not take: a reserved file that a full disk has room for.

Theory of operation: the file is reserved (``posix_fallocate``) when the server starts, so a write into it
needs no free block. Each line has a number and a checksum in front. A reader stops at the first line that has
another number, or a wrong sum: what a crash tore, and what is left of earlier lines behind it, is never taken
for a record. To empty the file, the number is changed by rewriting the first line. One process holds the file
(``flock``); another one has none, and says so.
"""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from collections.abc import Iterable, Mapping

__all__ = ["RecordSpool", "spool_at"]

_HEAD = 32
# By path: parts before and after a reload share the one file.
_OPEN: dict[str, RecordSpool] = {}
_OPENING = threading.Lock()


def spool_at(path: str, size: int) -> RecordSpool:
    """Return the spool at ``path``, the same for all of this process."""
    name = os.path.abspath(path)
    with _OPENING:
        found = _OPEN.get(name)
        if found is None:
            found = _OPEN[name] = RecordSpool(name, size)
        return found


class RecordSpool:
    """Lines by their names, on the disk. Methods raise ``OSError`` where the disk does not take them."""

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self._size = size
        self._lock = threading.Lock()
        self._file: int | None = None
        self._number = 0
        self._end = _HEAD
        self._kept: dict[str, str] = {}

    def open(self) -> None:
        """Reserve the file, and read what an earlier process left in it."""
        with self._lock:
            self._open()

    def _open(self) -> int:
        if self._file is not None:
            return self._file
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OSError(
                    f"another process has {self.path}; give each its own accounting.spool"
                ) from None
            if os.fstat(file).st_size < self._size:
                os.posix_fallocate(file, 0, self._size)
                os.fsync(file)
            self._read(file)
        except OSError:
            os.close(file)
            raise
        self._file = file
        return file

    def _read(self, file: int) -> None:
        data = os.pread(file, os.fstat(file).st_size, 0)
        head = data[:_HEAD].split(b"\n")[0].split(b" ")
        number = int(head[1]) if len(head) == 2 and head[0] == b"spool" and head[1].isdigit() else 0
        self._number, self._end = number, _HEAD
        mark = b"%d " % number
        while number and data.startswith(mark, self._end):
            end = data.find(b"\n", self._end)
            line = data[self._end + len(mark) : max(end, 0)]
            sum_, _, rest = line.partition(b" ")
            name, _, text = rest.partition(b" ")
            if end < 0 or sum_ != b"%08x" % zlib.crc32(rest):
                break
            self._kept[name.decode("ascii")] = text.decode("ascii")
            self._end = end + 1
        if not number:
            self._clear(file)

    def put(self, lines: Mapping[str, str]) -> None:
        """Keep ``lines`` by their names, on the disk when this returns."""
        with self._lock:
            file = self._open()
            fresh = {name: line for name, line in lines.items() if name not in self._kept}
            data = b""
            for name, line in fresh.items():
                rest = f"{name} {line}".encode("ascii")
                data += b"%d %08x %b\n" % (self._number, zlib.crc32(rest), rest)
            if self._end + len(data) > self._size:
                raise OSError(f"{self.path} is full ({len(self._kept)} records, accounting.spool_size)")
            done = 0
            while done < len(data):
                done += os.pwrite(file, data[done:], self._end + done)
            os.fdatasync(file)
            self._end += len(data)
            self._kept |= fresh

    def drop(self, names: Iterable[str]) -> None:
        """These are in their own place. Once all are, the file is empty again."""
        with self._lock:
            had = len(self._kept)
            for name in names:
                self._kept.pop(name, None)
            if had and not self._kept:
                self._clear(self._open())

    def _clear(self, file: int) -> None:
        self._number += 1
        os.pwrite(file, (b"spool %d\n" % self._number).ljust(_HEAD, b"\0"), 0)
        os.fdatasync(file)
        self._end = _HEAD

    @property
    def kept(self) -> dict[str, str]:
        """The lines, by name. Raises ``OSError``."""
        with self._lock:
            self._open()
            return dict(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Let the file go; for tests, since a server keeps it."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            self._kept = {}
        _OPEN.pop(self.path, None)
