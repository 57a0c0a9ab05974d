"""The cost of bindings and users as rows of ``sansip.rows``, beside their cost in their own tables.

Theory of operation: the same users and bindings, in SQLite files of one schema each, among ``COUNT`` others.
CPU of the process for one binding written (in batches of 1 and 16), for one user looked up, and for all
bindings read at a start. No flush to disk (``normal``): its cost is the same for both.

    python benchmarks/rows.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sansip.auth import Lookup  # noqa: E402 (needs the path above)
from sansip.location import Binding, LocationUpdate, Source, read_source  # noqa: E402 (needs the path above)
from sansip.rows import Change, Read, Scan, Table, Write  # noqa: E402 (needs the path above)
from sansip_server.rows.sqlite import SqliteRows  # noqa: E402 (needs the path above)
from sansip_server.stores import User  # noqa: E402 (needs the path above)
from sansip_server.stores.sqlite import SqliteStore  # noqa: E402 (needs the path above)

COUNT, FEW = 100_000, 8_000


@dataclass
class BindingRow:
    """A binding as a row: its contact is its place."""

    aor: str
    contact: str
    expires: float | None
    call_id: str
    cseq: int
    q: int | None
    registered: float
    refreshed: float
    path: str | None
    instance: str | None
    reg_id: int | None
    params: str
    received: str | None
    user_agent: str | None
    clock: int | None


@dataclass
class UserRow:
    """A user as a row."""

    realm: str
    username: str
    md5: str | None = None
    sha256: str | None = None
    sha512_256: str | None = None


BINDINGS = Table("bench_bindings", BindingRow, ("aor", "contact"))
USERS = Table("bench_users", UserRow, ("realm", "username"))


def binding(number: int, cseq: int = 1) -> Binding:
    return Binding(
        f"sip:user{number}@example.com",
        f"sip:user{number}@192.0.2.1:{1024 + number % 60000};ob",
        3_600.0,
        f"{number:032x}",
        cseq,
        instance=f"urn:uuid:{number:032x}",
        received=Source("udp", f"198.51.{number >> 8 & 255}.{number & 255}", 40_000),
        user_agent="Deskphone 300 v1.2",
    )


def row(one: Binding) -> BindingRow:
    return BindingRow(
        one.aor,
        one.contact,
        one.expires_at,
        one.call_id,
        one.cseq,
        one.q,
        one.registered_at,
        one.refreshed_at,
        json.dumps(one.path) if one.path else None,
        one.instance,
        one.reg_id,
        one.params,
        None if one.received is None else str(one.received),
        one.user_agent,
        1,
    )


def again(values: tuple) -> Binding:  # type: ignore[type-arg]  # of any length
    (aor, contact, expires, call_id, cseq, q, registered, refreshed,
     path, instance, reg_id, params, received, agent, _) = values  # fmt: skip
    source = None if received is None else read_source(received)
    paths = () if path is None else tuple(json.loads(path))
    return Binding(
        *(aor, contact, expires, call_id, cseq, q, registered, refreshed, paths, instance, reg_id, params),
        *(None, source, agent),
    )


def cost(work: Callable[[], object], times: int) -> float:
    """Return microseconds of CPU for one of ``times``, the best of three."""
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best / times * 1e6


def main() -> None:
    assert len(fields(BindingRow)) == 15
    with tempfile.TemporaryDirectory(prefix="sansip-bench-") as temporary:
        store = SqliteStore(Path(temporary) / "as-it-is.db", synchronous="normal")
        beside = SqliteStore(Path(temporary) / "rows.db", synchronous="normal")
        rows = SqliteRows(beside)
        rows.prepare([BINDINGS, USERS])
        every = [binding(number) for number in range(COUNT)]
        store.save([LocationUpdate(one.aor, (), (one,)) for one in every], 0.0)
        rows.write([Write((Change(BINDINGS, tuple(BINDINGS.values_of(row(one)) for one in every)),))])
        for number in range(FEW):
            store.put_user(User(f"user{number}", "example.com", {"MD5": "0" * 32}))
        users = (UserRow("example.com", f"user{number}", "0" * 32) for number in range(FEW))
        rows.write([Write((Change(USERS, tuple(map(USERS.values_of, users))),))])

        def saved(size: int) -> None:
            for begin in range(0, FEW, size):
                few = every[begin : begin + size]
                updates = [LocationUpdate(one.aor, (one,), (replace(one, cseq=2),)) for one in few]
                store.save(updates, 0.0, 1)

        def written(size: int) -> None:
            for begin in range(0, FEW, size):
                writes = []
                for before in every[begin : begin + size]:
                    after = row(replace(before, cseq=2))
                    writes.append(Write((Change(BINDINGS, (BINDINGS.values_of(after),)),)))
                rows.write(writes)

        def looked_up() -> None:
            for number in range(FEW):
                (found,) = store.lookup([Lookup(f"user{number}", "example.com")])
                assert found

        def read() -> None:
            for number in range(FEW):
                (values,) = rows.read(Read(USERS, (("example.com", f"user{number}"),)))
                assert values

        def restored() -> None:
            assert sum(1 for _ in store.bindings(0.0, 0.0)) == COUNT

        def scanned() -> None:
            after, count = None, 0
            while page := rows.scan(Scan(BINDINGS, (), after, 1_000)):
                count += len([again(values) for values in page])
                after = BINDINGS.key_of(page[-1])
            assert count == COUNT

        print("CPU, µs                      as it is   as rows")
        for name, one, other, times in (
            ("a binding, batches of 1", lambda: saved(1), lambda: written(1), FEW),
            ("a binding, batches of 16", lambda: saved(16), lambda: written(16), FEW),
            ("a user looked up", looked_up, read, FEW),
            ("a binding at the start", restored, scanned, COUNT),
        ):
            print(f"{name:28} {cost(one, times):8.1f}  {cost(other, times):8.1f}")
        store.close()
        beside.close()


if __name__ == "__main__":
    main()
