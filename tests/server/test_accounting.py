"""Lines of records on a real disk: whole, in order, through renamed files, torn ends and full disks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sansip.modules.accounting import AccountingSettings, Append
from sansip_server.accounting import AccountingPart


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def part(path: Path) -> AccountingPart:
    return AccountingPart(AccountingSettings(file=str(path)))


def test_lines(path: Path) -> None:
    """At the end, for the server's user alone, after what another process wrote."""
    path.write_text("0\n")
    one = part(path)
    one.append(Append(("1", "2")))
    one.append(Append(("3",)))
    one.close()
    assert path.read_text() == "0\n1\n2\n3\n"


def test_mode(path: Path) -> None:
    """Calls are read by the server's user alone."""
    one = part(path)
    one.append(Append(("1",)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert one.figures() == {"lines": 1}
    one.close()


def test_renamed(path: Path) -> None:
    """logrotate: later lines go to a new file of the old name."""
    one = part(path)
    one.append(Append(("1",)))
    path.rename(path.with_suffix(".1"))
    one.append(Append(("2",)))
    one.close()
    assert (path.with_suffix(".1").read_text(), path.read_text()) == ("1\n", "2\n")


def test_a_torn_line(path: Path) -> None:
    """A crash in the middle of a write spoils that line and no other."""
    path.write_text('{"name": "a"}\n{"na')
    one = part(path)
    one.append(Append(('{"name": "b"}',)))
    one.close()
    assert path.read_text().splitlines() == ['{"name": "a"}', '{"na', '{"name": "b"}']


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a batch is taken back: it will be written again as a whole."""
    one = part(path)
    one.append(Append(("1",)))
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 4:
            return write(descriptor, data[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        one.append(Append(("22", "33")))
    monkeypatch.undo()
    one.append(Append(("22", "33")))
    one.close()
    assert path.read_text() == "1\n22\n33\n"


def test_two_parts_of_one_file(path: Path) -> None:
    """After a reload the old part may still hang in a write: the new one waits its turn."""
    one, other = part(path), part(path)
    with one._lock:
        writer = threading.Thread(target=other.append, args=(Append(("2",)),))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
    writer.join(5)
    one.append(Append(("3",)))
    assert path.read_text() == "2\n3\n"
    one.close()
    other.close()
