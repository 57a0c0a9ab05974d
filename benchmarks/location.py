"""The location service and the registrar: memory per binding, time per operation.

    python benchmarks/location.py [--million]
    python benchmarks/location.py --restart 100000

Every binding is like that of a real phone: one contact with an instance, a Call-ID, a User-Agent
and a source address of its own, put there as an update. Memory is the growth of the process,
indexes and allocator included. Times are the best of five, on random addresses-of-record, so that
caches are as cold as in a server. ``refresh`` is ``Registrar.register`` on a message that is
split but not otherwise read: typed values, plan, commit and the header fields of the 200.
"""

from __future__ import annotations

import argparse
import gc
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sansip.limits import Limits  # noqa: E402 (needs the path above)
from sansip.location import Binding, LocationUpdate, MemoryLocation, Source  # noqa: E402 (needs the path above)
from sansip.registrar import Registrar  # noqa: E402 (needs the path above)
from sansip.wire import Request, parse_message  # noqa: E402 (needs the path above)

LIMITS = Limits(aors=10_000_000)
REGISTER = (
    "REGISTER sip:example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnashds7;rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:user{n}@example.com>;tag=456248\r\n"
    "To: <sip:user{n}@example.com>\r\n"
    "Call-ID: {n:032x}\r\n"
    "CSeq: {cseq} REGISTER\r\n"
    'Contact: <sip:user{n}@192.0.2.1:{port};ob>;+sip.instance="<urn:uuid:{n:032x}>"\r\n'
    "Expires: 3600\r\n"
    "User-Agent: Deskphone 300 v1.2\r\n"
    "Content-Length: 0\r\n\r\n"
)


def resident() -> int:
    """Return the octets of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def fill(location: MemoryLocation, count: int, flows: Sequence[Hashable]) -> None:
    """Register ``count`` phones, spread over one hour, each over its own of ``flows``."""
    agent = "Deskphone 300 v1.2"
    for n in range(count):
        now = n * 3600 / count
        aor = f"sip:user{n}@example.com"
        binding = Binding(
            aor,
            f"sip:user{n}@192.0.2.1:{1024 + n % 60000};ob",
            now + 3600,
            f"{n:032x}",
            1000 + n % 1000,
            None,
            now,
            now,
            (),
            f"urn:uuid:{n:032x}",
            None,
            "",
            flows[n],
            Source("udp", f"198.51.{n >> 8 & 255}.{n & 255}", 1024 + n % 60000),
            agent,
        )
        location.apply(LocationUpdate(aor, (), (binding,)), now)


def register(n: int, cseq: int) -> Request:
    """Return the REGISTER number ``cseq`` of phone ``n``, split and not read any further."""
    request = parse_message(REGISTER.format(n=n, cseq=cseq, port=1024 + n % 60000).encode())
    assert isinstance(request, Request)
    return request


def best(work: Callable[[], None], count: int) -> float:
    """Return the least µs per operation of ``work()``, which does ``count`` of them."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) / count * 1e6


def report(count: int, *, connections: bool) -> None:
    """Print the line of ``count`` phones, registered over one connection each or over datagrams."""
    # The connections exist anyway: their memory does not belong to the bindings.
    flows = [("tcp", n) if connections else 0 for n in range(count)]
    gc.collect()
    before = resident()
    location = MemoryLocation(LIMITS)
    fill(location, count, flows)
    gc.collect()
    octets = (resident() - before) / count

    chosen = random.Random(1).choices(range(count), k=min(count, 20_000))
    aors = [f"sip:user{n}@example.com" for n in chosen]

    def look() -> None:
        lookup = location.lookup
        for aor in aors:
            lookup(aor, 3600.0)

    now, cseq = 3600.0, 2000
    registrar = Registrar()

    def refresh() -> None:
        nonlocal now, cseq
        cseq += 1
        for request in requests[cseq]:
            registrar.register(request, location, now, flow=None, wall_offset=1e9)
            now += 0.001

    few = list(dict.fromkeys(chosen))[:2_000]
    # A server tunes the collector (design.md, section 6); here it would count as work.
    gc.freeze()
    gc.disable()
    requests = {c: [register(n, c) for n in few] for c in range(2001, 2006)}
    found = best(look, len(aors))
    refreshed = best(refresh, len(few))
    start = time.perf_counter()
    swept = 0
    while expired := location.expire(1e6):
        swept += len(expired)
    sweep = (time.perf_counter() - start) / swept * 1e6
    kind = "tcp" if connections else "udp"
    print(f"{count:>9,} {kind}  {octets:7.0f} B  {found:6.2f} µs  {refreshed:6.2f} µs  {sweep:6.2f} µs")


def phone(n: int) -> LocationUpdate:
    """Return the registration of phone ``n``."""
    aor = f"sip:user{n}@example.com"
    contact = f"sip:user{n}@192.0.2.1:{1024 + n % 60000};ob"
    source = Source("udp", f"198.51.{n >> 8 & 255}.{n & 255}", 1024 + n % 60000)
    binding = Binding(
        aor,
        contact,
        36_000.0,
        f"{n:032x}",
        1000,
        instance=f"urn:uuid:{n:032x}",
        received=source,
        user_agent="Deskphone 300 v1.2",
    )
    return LocationUpdate(aor, (), (binding,))


def restart(count: int) -> None:
    """Print how long ``sansip serve`` takes until ``ready`` with ``count`` registrations in SQLite."""
    from sansip_server.stores import SqliteStore
    from tools import peers
    from tools.cpu import cpu_seconds

    with tempfile.TemporaryDirectory(prefix="sansip-bench-") as temporary:
        folder = Path(temporary)
        store = SqliteStore(folder / "sansip.db", synchronous="normal")
        for begin in range(0, count, 1_000):
            store.save([phone(n) for n in range(begin, min(begin + 1_000, count))], time.time())
        store.close()
        for _ in range(3):
            start = time.perf_counter()
            listener = f"udp:127.0.0.1:{peers.free_port()}"
            with peers.sansip_serve(folder, [listener], ["example.com"], ["--store", "sansip.db"]) as server:
                ready = time.perf_counter() - start
                cpu = cpu_seconds(server.pid)
                memory = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096 / 2**20
            print(
                f"{count:>9,} restart: ready in {ready:.2f} s, {cpu:.2f} s of CPU, {memory:.0f} MiB",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--million", action="store_true", help="1,000,000 bindings too (1 GB, a minute)")
    parser.add_argument("--one", nargs=2, metavar=("COUNT", "KIND"), help="one line, in this process")
    parser.add_argument("--restart", type=int, metavar="COUNT", help="only: restart with COUNT registrations")
    options = parser.parse_args()
    if options.restart:
        restart(options.restart)
        return
    if options.one:
        report(int(options.one[0]), connections=options.one[1] == "tcp")
        return
    print(" bindings      memory each     lookup    refresh      sweep", flush=True)
    for count in [1_000, 100_000] + [1_000_000] * options.million:
        for kind in ("udp", "tcp"):
            # A process for each: freed memory of one would serve the next.
            subprocess.run([sys.executable, __file__, "--one", str(count), kind], check=True)


if __name__ == "__main__":
    main()
