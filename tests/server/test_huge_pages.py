"""The server's memory in large pages: moved where the kernel can, left alone where it cannot."""

from __future__ import annotations

import ctypes
import mmap
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sansip_server import huge_pages
from sansip_server.huge_pages import PIECE, HugePages

# A process of its own: the memory of the test run must not count.
GROW = """
from sansip_server.huge_pages import HugePages
kept = [bytearray(300) for _ in range(60_000)]
pages = HugePages.begin()
print(pages is not None)
if pages is not None:
    pages.close()
print(open("/proc/self/smaps_rollup").read())
assert all(len(one) == 300 and not any(one) for one in kept)
"""


def can_move() -> bool:
    """Whether this kernel moves memory into large pages, tried without the code under test."""
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    with mmap.mmap(-1, 2 * PIECE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"x" * 2 * PIECE)
        place = ctypes.c_char.from_buffer(memory)
        address = (ctypes.addressof(place) + PIECE - 1) // PIECE * PIECE
        moved: bool = libc.madvise(address, PIECE, huge_pages.MADV_COLLAPSE) == 0
        del place
        return moved


def test_what_is_used_is_moved() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROW], capture_output=True, text=True, check=True, timeout=60
    )
    if not can_move():
        assert done.stdout.startswith("False")
        pytest.skip("this kernel moves no memory into large pages")
    assert done.stdout.startswith("True")
    found = re.search(r"AnonHugePages: +(\d+) kB", done.stdout)
    # How many pieces of the 21 MB have a large page to go to is the kernel's affair.
    assert found is not None
    assert int(found[1]) >= 2048


class Libc:
    """A C library whose kernel says ``present`` of the pages, and ``moved`` when it is to move them."""

    def __init__(self, present: bytes, moved: int) -> None:
        self.present = present
        self.asked: list[int] = []
        self.moved = moved
        self.mincore = self._mincore
        self.madvise = self._madvise

    def _mincore(self, address: int, length: int, into: Any) -> int:
        into.raw = self.present
        return 0

    def _madvise(self, address: int, length: int, advice: int) -> int:
        assert address % PIECE == 0
        assert (length, advice) == (PIECE, huge_pages.MADV_COLLAPSE)
        self.asked.append(address)
        return self.moved


def pages_on(libc: Libc) -> HugePages:
    pages = HugePages()
    pages._libc = libc  # type: ignore[assignment]  # what it calls of it
    return pages


def test_what_is_mostly_unused_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_pieces", lambda: iter([PIECE, 4 * PIECE]))
    full, sparse = bytes([1]) * 512, bytes([1, 0]) * 256
    for present, expected in ((full, [PIECE, 4 * PIECE]), (sparse, [])):
        libc = Libc(present, moved=0)
        assert pages_on(libc).gather() == len(expected)
        assert libc.asked == expected


def test_a_kernel_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_pieces", lambda: iter([PIECE]))
    assert pages_on(Libc(bytes([1]) * 512, moved=-1)).gather() == 0


def test_no_system_of_that_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "Path", lambda name: Path("/nonexistent") / name.lstrip("/"))
    assert HugePages.begin() is None


def test_stacks_and_files_stay() -> None:
    kinds = {
        (int(first, 16), int(last, 16)): line
        for line in Path("/proc/self/maps").read_text().splitlines()
        for first, last in [line.split()[0].split("-")]
    }
    for piece in huge_pages._pieces():
        lines = [line for (first, last), line in kinds.items() if first <= piece < last]
        assert len(lines) <= 1
        for line in lines:
            assert " rw-p " in line
            assert "/" not in line
            assert "[stack]" not in line
