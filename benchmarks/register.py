"""CPU time per authenticated, durable registration: ``sansip serve`` beside Kamailio.

Theory of operation: as ``calls.py``, whose harness this is: SIPp offers the same load at the
same rate to each server in turn, each alone on one core, several rounds. One registration is
REGISTER, 401, REGISTER with digest (MD5), 200; the users' keys and the registrations are
in an SQLite file of each server's own, in write-ahead mode, flushed to disk before the 200
(``store_sync = "full"``; Kamailio: ``auth_db``, ``usrloc`` with ``db_mode`` 1, write-through).

    python benchmarks/register.py --rate 300 --seconds 15 --rounds 3
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.calls import (  # noqa: E402 (needs the path above)
    DOMAIN,
    HOST,
    SCENARIOS,
    Result,
    line,
    pinned,
)
from sansip.auth import ha1  # noqa: E402 (needs the path above)
from sansip_server.stores import SqliteStore, User  # noqa: E402 (needs the path above)
from tools.cpu import cpu_seconds, idle_share, system_seconds, waited_seconds  # noqa: E402 (needs the path above)
from tools.kamailio_db import SCRIPTS, create_database, registrar_config  # noqa: E402 (needs the path above)
from tools.peers import Program, Sipp, free_port, kamailio, sansip_serve  # noqa: E402 (needs the path above)

USERS = 1_000
PASSWORD = "geheim"  # noqa: S105 - of a benchmark


def names() -> list[str]:
    return [f"user{number}" for number in range(USERS)]


def start(name: str, directory: Path, port: int, arguments: argparse.Namespace) -> Program:
    """Start a server whose database knows all users."""
    listeners = [f"udp:{HOST}:{port}"]
    prefix = pinned(arguments.server_core)
    if name == "kamailio":
        database = directory / "kamailio.db"
        create_database(database, [(user, DOMAIN, PASSWORD) for user in names()])
        text = registrar_config(listeners, [DOMAIN], database)
        return kamailio(directory, listeners, [DOMAIN], ["-x", "fm"], prefix, text)
    store = SqliteStore(directory / "sansip.db", synchronous="normal")
    for user in names():
        store.put_user(User(user, DOMAIN, {"MD5": ha1(user, DOMAIN, PASSWORD, "MD5")}))
    store.close()
    options = ["--auth", "digest", "--store", "sansip.db", "--log-level", "warning"]
    options += ["--uvloop"] * (name == "sansip+uvloop")
    return sansip_serve(directory, listeners, [DOMAIN], options + arguments.serve_option, prefix)


def measure(name: str, arguments: argparse.Namespace) -> Result:
    """Start a server, let it idle, let its users register, and return its costs."""
    with tempfile.TemporaryDirectory(prefix="sansip-bench-") as temporary, ExitStack() as stack:
        directory = Path(temporary)
        port, phones = free_port(), free_port()
        server = stack.enter_context(start(name, directory, port, arguments))
        lines = [f"{user};[authentication username={user} password={PASSWORD}];" for user in names()]
        users = directory / "users.csv"
        users.write_text("\n".join(["SEQUENTIAL", *lines]) + "\n")

        def offer(calls: int, rate: int) -> tuple[int, int]:
            """Return how many were completed, and how many messages SIPp sent again."""
            statistics_file = directory / "statistics.csv"
            statistics_file.unlink(missing_ok=True)
            options = ["-r", str(rate * 100), "-rp", "100000", "-l", "15000", "-inf", str(users)]
            phone = Sipp(
                SCENARIOS / "register_digest.xml",
                (HOST, port),
                directory,
                local=(HOST, phones),
                calls=calls,
                domain=DOMAIN,
                options=[*options, "-buff_size", "2000000", "-trace_stat", "-stf", str(statistics_file)],
                prefix=pinned(arguments.sipp_core),
            )
            with phone:
                if phone.wait(calls / rate + 60) not in (0, 1):
                    raise phone.failure("could not run its scenario")
            with statistics_file.open(newline="") as text:
                last = list(csv.DictReader(text, delimiter=";"))[-1]
            return int(last["SuccessfulCall(C)"]), int(last["Retransmissions(C)"])

        # All users are registered once before, at the same contacts: the benchmark measures refreshes, as of
        # a server in the middle of its life.
        offer(USERS, arguments.rate)
        time.sleep(1)
        idle = idle_share(server.pid, arguments.idle)

        begun, spent, waited = time.monotonic(), cpu_seconds(server.pid), waited_seconds(server.pid)
        system = system_seconds(server.pid)
        calls = arguments.rate * arguments.seconds
        completed, again = offer(calls, arguments.rate)
        elapsed = time.monotonic() - begun
        waited = waited_seconds(server.pid) - waited
        time.sleep(arguments.settle)
        cost = cpu_seconds(server.pid) - spent - idle * (time.monotonic() - begun)
        system = system_seconds(server.pid) - system
    per_call = 1e6 / completed if completed else float("nan")
    return Result(
        server=name,
        workload="registrations with digest",
        rate=arguments.rate,
        seconds=round(elapsed, 2),
        completed=completed,
        failed=calls - completed,
        retransmissions=again,
        cpu_us=round(cost * per_call, 1),
        system_us=round(system * per_call, 1),
        cpu_share=round(cost / elapsed, 3),
        idle_share=round(idle, 4),
        wait_share=round(waited / elapsed, 3),
        sipp_share=0.0,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rate", type=int, default=300, help="registrations per second")
    parser.add_argument("--seconds", type=int, default=15, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server")
    parser.add_argument("--uvloop", action="store_true", help="measure sansip on uvloop, too")
    parser.add_argument("--no-kamailio", action="store_true", help="sansip alone")
    parser.add_argument("--serve-option", action="append", default=[], help="one more word for `serve`")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--sipp-core", type=int, default=1)
    parser.add_argument("--idle", type=float, default=2.0, help="seconds of idling before the load")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds counted after the load")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    arguments = parser.parse_args()
    servers = ["sansip"] + ["sansip+uvloop"] * arguments.uvloop + ["kamailio"] * (not arguments.no_kamailio)
    lacking = [program for program in ("sipp", "taskset") if shutil.which(program) is None]
    if "kamailio" in servers and (shutil.which("kamailio") is None or not SCRIPTS.is_dir()):
        lacking.append("kamailio with kamailio-sqlite-modules")
    if lacking:
        print(f"not installed: {', '.join(lacking)}", file=sys.stderr)
        return 2
    results: list[Result] = []
    if not arguments.json:
        print("server         completed  failed  resent   µs CPU  system   share  idle   wait", flush=True)
    for _ in range(arguments.rounds):
        for name in servers:
            results.append(measure(name, arguments))
            if not arguments.json:
                print(line(results[-1]).rpartition(" ")[0], flush=True)
    medians = {name: statistics.median(r.cpu_us for r in results if r.server == name) for name in servers}
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
        return 0
    words = [f"{name} {value:.1f} µs" for name, value in medians.items()]
    if "kamailio" in medians:
        theirs = medians["kamailio"]
        words += [
            f"{name}/kamailio {value / theirs:.2f}" for name, value in medians.items() if name != "kamailio"
        ]
    print("median: " + ", ".join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
