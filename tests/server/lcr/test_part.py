"""Rates of a file are packed by another process, whole or not at all, and mapped."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from click.testing import CliRunner

from sansip.modules.lcr import Gateway, LcrSettings
from sansip.modules.lcr.events import FindZone, LoadRates
from sansip.modules.lcr.packed import PackedRates
from sansip_server.cli import sansip
from sansip_server.lcr.packed_file import digest_of, read_packed
from sansip_server.lcr.packer import job_of, run
from sansip_server.lcr.part import LcrPart


def settings(folder: Path, *lines: str, **options: Any) -> LcrSettings:
    file = folder / "rates.csv"
    file.write_text("\n".join(["gateway,prefix,price", *lines]) + "\n")
    return LcrSettings([Gateway("one", "sip:192.0.2.31")], file=str(file), **options)


def loaded(part: LcrPart, anew: bool = False) -> PackedRates:
    """Ask as the module does: again, while the helper process is at work."""
    table = part.load(LoadRates(anew))
    while table is None:
        table = part.load(LoadRates())
    return table


def prefixes(part: LcrPart, anew: bool = False) -> list[str]:
    table = loaded(part, anew)
    return [table.prefix(place) for place in table.places("4930123")]


def test_packed_and_mapped(tmp_path: Path) -> None:
    """The first table is there when the part is made: the server is ready with it."""
    part = LcrPart(settings(tmp_path, "one,49,0.01", "one,4930,0.02"))
    assert prefixes(part) == ["4930", "49"]
    table = part.load(LoadRates())
    assert isinstance(table, PackedRates)
    # All workers share the pages of the file.
    assert isinstance(table.data, memoryview)
    assert part.figures() == {"octets": float(len(table.data))}
    assert sorted(os.listdir(tmp_path)) == ["rates.csv", "rates.csv.packed", "rates.csv.packed.lock"]


def test_reload(tmp_path: Path) -> None:
    """A changed file is packed anew; a table that is in use stays readable."""
    part = LcrPart(settings(tmp_path, "one,49,0.01"))
    old = part.load(LoadRates())
    settings(tmp_path, "one,4930,0.02")
    assert prefixes(part) == ["49"]
    assert prefixes(part, anew=True) == ["4930"]
    assert old is not None
    assert [old.prefix(place) for place in old.places("4930")] == ["49"]


def test_faults(tmp_path: Path) -> None:
    """At the start they keep the server from starting; later the old table stays. Both name the line."""
    given = settings(tmp_path, "one,49,0.01")
    part = LcrPart(given)
    settings(tmp_path, "one,49,dear")
    said = r"rates.csv:2: column 3 \(price\) is 'dear'; expected a price"
    with pytest.raises(ValueError, match=said):
        loaded(part, anew=True)
    with pytest.raises(ValueError, match=said):
        LcrPart(given)
    settings(tmp_path, "one,49,0.01")
    assert prefixes(part, anew=True) == ["49"]
    (tmp_path / "rates.csv").unlink()
    with pytest.raises(ValueError, match=r"rates.csv: No such file or directory; lcr.file names the rates"):
        loaded(part, anew=True)
    (tmp_path / "rates.csv").write_bytes(b"gateway,prefix\none,\xff\n")
    with pytest.raises(ValueError, match="expected UTF-8"):
        loaded(part, anew=True)


def test_check(tmp_path: Path) -> None:
    """`sansip check` names each fault, and packs nothing."""
    given = settings(tmp_path, "one,49,0.01", "two,49,x")
    faults = LcrPart.faults(given)
    assert [fault.partition(";")[0] for fault in faults] == [
        "rates.csv:3: column 1 (gateway) is 'two'",
        "rates.csv:3: column 3 (price) is 'x'",
    ]
    (tmp_path / "lcr.toml").write_text(
        'listen = ["udp:127.0.0.1:5060"]\n[calls]\n[lcr]\nfile = "rates.csv"\n'
        '[[lcr.gateways]]\nname = "one"\nuri = "sip:192.0.2.31"\n'
    )
    done = CliRunner().invoke(sansip, ["check", str(tmp_path / "lcr.toml")])
    assert done.exit_code != 0
    assert "lcr: rates.csv:3: column 1 (gateway) is 'two'; expected one of the gateways" in done.output
    assert sorted(os.listdir(tmp_path)) == ["lcr.toml", "rates.csv"]
    settings(tmp_path, "one,49,0.01")
    assert CliRunner().invoke(sansip, ["check", str(tmp_path / "lcr.toml")]).exit_code == 0
    (tmp_path / "rates.csv").unlink()
    assert LcrPart.faults(given) == [f"{given.file}: No such file or directory"]
    assert "time zone" in LcrPart.faults(LcrSettings(zone="Mars"))[0]


def test_damaged_tables(tmp_path: Path) -> None:
    """A table that is cut, changed, or of other lines is made anew."""
    given = settings(tmp_path, "one,49,0.01")
    LcrPart(given)
    place = tmp_path / "rates.csv.packed"
    whole = place.read_bytes()
    digest = digest_of(Path(given.file), job_of(given).facts)
    for wrong in (b"", whole[:40], whole[:-1], b"x" + whole[1:], whole[:100] + b"\xff" + whole[101:]):
        place.write_bytes(wrong)
        assert read_packed(place, digest) is None
        assert prefixes(LcrPart(given)) == ["49"]
        assert place.read_bytes() == whole
    assert read_packed(place, b"0" * 32) is None
    # The gateways of the configuration are part of it: a line may name one that has gone.
    other = LcrSettings([Gateway("two", "sip:192.0.2.32")], file=given.file)
    with pytest.raises(ValueError, match="expected one of the gateways"):
        LcrPart(other)


def test_a_helper_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words are told, and the old table stays."""
    part = LcrPart(settings(tmp_path, "one,49,0.01"))
    settings(tmp_path, "one,4930,0.01")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ValueError, match="the process that packs rates ended with 1"):
        loaded(part, anew=True)
    monkeypatch.undo()
    assert prefixes(part, anew=True) == ["4930"]


def test_workers_at_once(tmp_path: Path) -> None:
    """Of several that find the same file, one packs it; the others wait, and take its table."""
    given = settings(tmp_path, "one,49,0.01")
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: run(job_of(given)), range(4)))
    assert len({one["digest"] for one in said}) == 1


def test_unwritable(tmp_path: Path) -> None:
    """The place of the table may be another folder; one that cannot be written is named."""
    given = settings(tmp_path, "one,49,0.01", packed=str(tmp_path / "no" / "table"))
    with pytest.raises(ValueError, match=r"No such file or directory: .*no/table\.lock"):
        LcrPart(given)


def test_zones(tmp_path: Path) -> None:
    """Time zones come from the machine; one that is not there is a fault of the settings."""
    part = LcrPart(LcrSettings())
    changes = part.zone(FindZone("Europe/Berlin"))
    assert (1_774_746_000, 7_200) in changes
    with pytest.raises(ValueError, match="a time zone of this machine"):
        part.zone(FindZone("Mars/Olympus"))
    with pytest.raises(ValueError, match="a time zone of this machine"):
        LcrPart(LcrSettings(zone="Mars/Olympus"))


# They let other threads run (``hashlib`` from 2 KB on, ``zlib`` from 5 KB on), however long they take.
FREE = {"update", "crc32", "read", "readinto", "poll", "select", "waitpid", "acquire", "communicate"}


def held(read: Callable[[], Any]) -> tuple[int, float]:
    """Return how many functions ``read`` calls, and the CPU seconds in which no other thread can run."""
    calls, spent, begun = 0, 0.0, 0.0

    def note(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal calls, spent, begun
        now = time.thread_time()
        if event.endswith("call"):
            calls += 1
        if event in ("c_return", "c_exception") and function.__name__ in FREE:
            # All since the call, which another thread had.
            begun = now
        spent, begun = spent + now - begun, time.thread_time()

    begun = time.thread_time()
    sys.setprofile(note)
    try:
        read()
    finally:
        sys.setprofile(None)
    return calls, spent


def test_loading_holds_up_no_call(tmp_path: Path) -> None:
    """The loop waits while another thread holds the interpreter: not for longer than 20 ms, in all.

    Counted in CPU time of the thread, and in functions, neither of which another program can change. What
    would take the longer the more prefixes there are is done by the helper, or without the interpreter.
    """
    counts = []
    for number in (1_000, 101_000):
        part = LcrPart(settings(tmp_path, *(f"one,{100_000 + one},0.01" for one in range(number))))
        table = part.load(LoadRates())
        assert table is not None
        assert table.prefixes == number
        # It is packed by now, as it is when the helper has ended.
        calls, seconds = held(part._read)
        # A block of the file is read, added to the digest, and counted.
        blocks = os.path.getsize(tmp_path / "rates.csv") // (1 << 20)
        counts.append(calls - 3 * blocks)
        assert seconds < 0.02
        # The old table goes as the new one comes.
        before = time.thread_time()
        part._table = None
        del table
        assert time.thread_time() - before < 0.02
    assert counts[0] == counts[1] < 200


def test_what_holds_it_is_seen() -> None:
    """Without this the test above would prove nothing."""
    text = "[" + "1," * 3_000_000 + "1]"
    calls, seconds = held(lambda: json.loads(text))
    assert calls < 20
    assert seconds > 0.02
