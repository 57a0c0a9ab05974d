"""Lines of records on a real disk: whole, in order, through renamed files, torn ends and full disks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sansip.modules.accounting import AccountingSettings, Append, Spool, Spooled, Unspool
from sansip_server.accounting import AccountingPart
from sansip_server.record_lines import RecordLines
from sansip_server.record_spool import RecordSpool, spool_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def part(path: Path) -> AccountingPart:
    return AccountingPart(AccountingSettings(file=str(path), spool_size=0))


def lines(*texts: str) -> Append:
    return Append({text: text for text in texts})


def test_lines(path: Path) -> None:
    """At the end, for the server's user alone, after what another process wrote."""
    path.write_text("0\n")
    one = part(path)
    one.append(lines("1", "2"))
    one.append(lines("3"))
    one.close()
    assert path.read_text() == "0\n1\n2\n3\n"


def test_mode(path: Path) -> None:
    """Calls are read by the server's user alone."""
    one = part(path)
    one.append(lines("1"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert one.figures() == {"lines": 1, "spooled": 0}
    one.close()


def test_renamed(path: Path) -> None:
    """logrotate: later lines go to a new file of the old name."""
    one = part(path)
    one.append(lines("1"))
    path.rename(path.with_suffix(".1"))
    one.append(lines("2"))
    one.close()
    assert (path.with_suffix(".1").read_text(), path.read_text()) == ("1\n", "2\n")


def test_a_torn_line(path: Path) -> None:
    """A crash in the middle of a write spoils that line and no other."""
    path.write_text('{"name": "a"}\n{"na')
    one = part(path)
    one.append(lines('{"name": "b"}'))
    one.close()
    assert path.read_text().splitlines() == ['{"name": "a"}', '{"na', '{"name": "b"}']


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a batch is taken back: it will be written again as a whole."""
    one = part(path)
    one.append(lines("1"))
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 4:
            return write(descriptor, data[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        one.append(lines("22", "33"))
    monkeypatch.undo()
    one.append(lines("22", "33"))
    one.close()
    assert path.read_text() == "1\n22\n33\n"


def test_two_parts_of_one_file(path: Path) -> None:
    """After a reload the old part may still hang in a write: the new one waits its turn."""
    one, other = part(path), part(path)
    assert isinstance(one._to, RecordLines)
    with one._to._lock:
        writer = threading.Thread(target=other.append, args=(lines("2"),))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
    writer.join(5)
    one.append(lines("3"))
    assert path.read_text() == "2\n3\n"
    one.close()
    other.close()


def test_asked_twice(path: Path) -> None:
    """A write that took too long was asked for again, and both are done: the record is there once."""
    one = part(path)
    one.append(lines("1"))
    one.append(lines("1", "2"))
    one.close()
    assert path.read_text() == "1\n2\n"


# --- the spool


def kept(path: Path) -> dict[str, str]:
    """Return what another process would find."""
    spool = RecordSpool(str(path), 8_192)
    try:
        return spool.kept
    finally:
        spool.close()


def test_spool(path: Path) -> None:
    """A record in the spool outlives the process.

    A dropped one is gone; the file has its size from the start.
    """
    spool = RecordSpool(str(path), 8_192)
    spool.put({"a": "A b", "b": "B"})
    spool.put({"b": "B", "c": ""})
    assert path.stat().st_size == 8_192
    assert path.stat().st_blocks * 512 >= 8_192
    spool.close()
    assert kept(path) == {"a": "A b", "b": "B", "c": ""}
    spool = RecordSpool(str(path), 8_192)
    spool.open()
    spool.drop(["a", "b", "c", "d"])
    spool.close()
    assert kept(path) == {}
    spool = RecordSpool(str(path), 8_192)
    spool.put({"d": "D"})
    spool.close()
    assert kept(path) == {"d": "D"}, "lines of the time before are behind it"


def test_spool_that_was_torn(path: Path) -> None:
    """A crash leaves any beginning of a write: the lines before it are whole, and nothing is made up."""
    spool = RecordSpool(str(path), 8_192)
    spool.put({"old": "O" * 300, "older": "P" * 300})
    spool.drop(["old", "older"])
    spool.put({"a": "A"})
    before = path.read_bytes()
    spool.put({"b": "B" * 200})
    spool.close()
    after = path.read_bytes()
    changed = [place for place, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
    for end in range(changed[0], changed[-1] + 1):
        path.write_bytes(after[:end] + before[end:])
        assert kept(path) == {"a": "A"}


def test_spool_is_full(path: Path) -> None:
    """It says so, and keeps its content."""
    spool = RecordSpool(str(path), 4_096)
    spool.put({"a": "A"})
    with pytest.raises(OSError, match="is full"):
        spool.put({"b": "B" * 5_000})
    assert spool.kept == {"a": "A"}
    spool.close()


def test_spool_of_another_process(path: Path) -> None:
    """Two processes with one spool would lose records of each other."""
    spool = RecordSpool(str(path), 4_096)
    spool.open()
    other = RecordSpool(str(path), 4_096)
    with pytest.raises(OSError, match="another process"):
        other.open()
    spool.close()


def test_part_after_a_crash(path: Path) -> None:
    """Killed between the write and the note that it was done: the record is not written again."""
    settings = AccountingSettings(file=str(path), spool_size=4_096)
    one = AccountingPart(settings)
    line = '{"name": "a"}'
    one.spool(Spool({"a": line, "b": '{"name": "b"}'}))
    one.append(Append({"a": line}))
    one.close()
    spool_at(f"{path}.spool", 4_096).close()
    again = AccountingPart(settings)
    assert again.spooled(Spooled()) == ('{"name": "b"}',)
    again.unspool(Unspool(("b",)))
    assert again.spooled(Spooled()) == ()
    assert again.health() == ""
    again.close()
    spool_at(f"{path}.spool", 4_096).close()
