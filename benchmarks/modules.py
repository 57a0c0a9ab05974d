"""What each module adds to the CPU time of a call: ``sansip serve`` beside Kamailio with its module.

Theory of operation: each server is started once, plain and with each module, and all of them stay: an idle
one costs next to nothing. A round offers a short load to each in turn, plain first, and the next round in the
opposite order, so what the machine does meanwhile affects all alike. What is added is the difference to the
plain one of the same server in the same round. Its median is told, with the bounds that hold it 95 times of
100 (bootstrap over the rounds), and so is the ratio of sansip's to Kamailio's. A first round warms up, and
does not count. What a transaction leaves behind is cleared up while other servers are measured, so it is in
no figure. What the two do is the same job:

- ``dispatcher``: two destinations in turn, the other one if the first fails, OPTIONS off; Kamailio
  ``ds_select_domain`` with algorithm 4, and ``ds_next_domain`` in a failure route. sansip keeps a record of
  each call there as well (``[calls]``), Kamailio none.
- ``calls``: a record of each call in memory; Kamailio ``dialog``, in memory, with ``dlg_manage()``.
- ``accounting``: calls, and a record of each in SQLite; Kamailio ``dialog`` and ``acc`` with CDRs in SQLite.
- ``lcr``: ``--prefixes`` prefixes (1,000,000) and two gateways, the other one if the first fails; Kamailio
  ``lcr`` from SQLite, in memory, with ``next_gw`` in a failure route. sansip has ``[calls]`` there as well.

    python -m benchmarks.modules --rate 300 --seconds 2 --rounds 12
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.calls import DOMAIN, HOST, Begin, Load, parser_of, pinned
from benchmarks.ends import tables
from sansip_server.modules import names
from tools.cpu import cpu_seconds, idle_share, waited_seconds
from tools.peers import KAMAILIO_MODULES, Program, free_port, kamailio, sansip_serve

__all__ = ["CASES", "Added", "Window", "added", "configured", "dialled", "verdict"]

# Rounds drawn anew, for the bounds of a median.
_DRAWS = 2_000

# Kamailio's part in the place of ``lookup("location")``, and modules and parameters in front.
LOCATION = 'if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }'
KAMAILIO_ROUTE = """
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (!sanity_check("17895", "7")) exit;
  if (is_method("OPTIONS") && uri==myself && $rU==$null) { sl_send_reply("200", "Keepalive"); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); else sl_send_reply("481", "None"); exit; }
  if (has_totag()) {
    if (loose_route()) { WITHIN t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
    sl_send_reply("404", "Not here"); exit;
  }
  if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
  t_check_trans();
  remove_hf("Route");
  if (is_method("INVITE|SUBSCRIBE")) record_route();
  if (is_method("REGISTER") && uri==myself) { save("location"); exit; }
  if (!(uri==myself)) { sl_send_reply("403", "Relay Forbidden"); exit; }
  BEGINS
  WHERE
  if (!t_relay()) sl_reply_error();
}
MORE
"""


class Case:
    """One module, and what both servers need for it."""

    def __init__(
        self,
        toml: str = "",
        modules: str = "",
        parameters: Sequence[str] = (),
        begins: str = "",
        within: str = "",
        where: str = LOCATION,
        options: Sequence[str] = (),
        more: str = "",
    ) -> None:
        self.toml = toml
        self.modules = modules
        self.parameters = parameters
        self.begins = begins
        self.within = within
        self.where = where
        self.options = options
        self.more = more


DIALOG = ('modparam("dialog", "db_mode", 0)', 'modparam("dialog", "dlg_match_mode", 1)')
CDRS = (
    'modparam("acc", "db_flag", 1)',
    'modparam("acc", "cdr_enable", 1)',
    'modparam("acc", "db_url", "sqlite:///FOLDER/acc.db")',
    'modparam("acc", "cdrs_table", "acc_cdrs")',
    'modparam("acc", "cdr_log_enable", 0)',
    'modparam("acc", "log_level", 5)',
)
CASES = {
    "plain": Case(),
    "dispatcher": Case(
        '[calls]\n[dispatcher]\ntakes = "calls"\nprobe_interval = 0\nfile = "farm.csv"\n',
        "dispatcher",
        (
            'modparam("dispatcher", "list_file", "FOLDER/farm.list")',
            # The others are kept for the failure route.
            'modparam("dispatcher", "flags", 2)',
            'modparam("dispatcher", "xavp_dst", "_dsdst_")',
        ),
        where='if (!ds_select_domain("1", "4")) { sl_send_reply("503", "None"); exit; }\n'
        '  if (is_method("INVITE")) t_on_failure("NEXT");',
        more='failure_route[NEXT] { if (t_check_status("5[0-9][0-9]|408") && ds_next_domain()) { '
        't_on_failure("NEXT"); t_relay(); exit; } }',
    ),
    "calls": Case("[calls]\n", "dialog", DIALOG, begins='if (is_method("INVITE")) dlg_manage();'),
    "accounting": Case(
        '[calls]\n[accounting]\nto = "rows"\n',
        "dialog db_sqlite acc",
        (*DIALOG, *CDRS),
        begins='if (is_method("INVITE")) { setflag(1); dlg_manage(); }',
        options=("--store", "FOLDER/sansip.db"),
    ),
    "lcr": Case(
        # SIPp's scenario answers no OPTIONS, and Kamailio's sends none.
        '[calls]\n[lcr]\nfile = "rates.csv"\nprobe_interval = 0\n'
        '[[lcr.gateways]]\nname = "one"\nuri = "sip:HOST:PORT0"\n'
        '[[lcr.gateways]]\nname = "two"\nuri = "sip:HOST:PORT1"\n',
        "db_sqlite lcr",
        (
            'modparam("lcr", "db_url", "sqlite:///FOLDER/lcr.db")',
            'modparam("lcr", "lcr_rule_hash_size", 262144)',
            'modparam("lcr", "gw_uri_avp", "$avp(gw_uri)")',
            'modparam("lcr", "ruri_user_avp", "$avp(ruri_user)")',
        ),
        where='if (!load_gws("1") || !next_gw()) { sl_send_reply("503", "None"); exit; }\n'
        '  if (is_method("INVITE")) t_on_failure("NEXT");',
        more='failure_route[NEXT] { if (t_check_status("5[0-9][0-9]|408") && next_gw()) { '
        't_on_failure("NEXT"); t_relay(); exit; } }',
    ),
}


def filled(text: str, folder: Path, ports: Sequence[int]) -> str:
    """Return ``text`` with the folder, host and ports of this measurement."""
    text = text.replace("FOLDER", str(folder)).replace("HOST", HOST)
    return text.replace("PORT0", str(ports[0])).replace("PORT1", str(ports[1]))


def prefixes(count: int) -> list[str]:
    """Return so many prefixes; the number that is dialled begins with one of them."""
    return [str(100_000 + n) for n in range(min(count, 900_000))] + [
        str(1_000_000 + n) for n in range(count - 900_000)
    ]


def configured(case: Case, ports: Sequence[int], count: int, folder: Path) -> list[str]:
    """Write what ``sansip serve`` needs for the module; return its words for that."""
    (folder / "farm.csv").write_text("uri\n" + "".join(f"sip:{HOST}:{port}\n" for port in ports))
    if "[lcr]" in case.toml:
        rows = (f"{gateway},{one},0.01\n" for one in prefixes(count) for gateway in ("one", "two"))
        with (folder / "rates.csv").open("w") as file:
            file.write("gateway,prefix,price\n")
            file.writelines(rows)
    config = folder / "sansip.toml"
    config.write_text(filled(case.toml, folder, ports))
    return ["--config", str(config), *(filled(word, folder, ports) for word in case.options)]


def dialled(case: str) -> str:
    """Return what is dialled, but for its last digit."""
    return "100000000" if case == "lcr" else "callee"


def begin_sansip(
    case: Case,
    ports: Sequence[int],
    count: int,
    folder: Path,
    listeners: Sequence[str],
    prefix: Sequence[str],
) -> Program:
    """Start ``sansip serve`` with the module."""
    options = configured(case, ports, count, folder)
    return sansip_serve(folder, listeners, [DOMAIN], options, prefix, patience=90.0)


def begin_kamailio(
    case: Case,
    ports: Sequence[int],
    count: int,
    folder: Path,
    listeners: Sequence[str],
    prefix: Sequence[str],
) -> Program:
    """Start Kamailio with its module."""
    (folder / "farm.list").write_text("".join(f"1 sip:{HOST}:{port}\n" for port in ports))
    if "acc" in case.modules:
        quick_tables(folder / "acc.db", "acc")
    if "lcr" in case.modules:
        quick_tables(folder / "lcr.db", "lcr")
        fill_lcr(folder / "lcr.db", ports, count)
    lines = ["#!KAMAILIO", "debug=1", "log_stderror=yes", "children=1", "tcp_children=1"]
    lines += ["auto_aliases=no", "dns=no", "rev_dns=no", f'alias="{DOMAIN}"']
    lines += [f"listen={listener}" for listener in listeners]
    lines += [f'loadmodule "{module}.so"' for module in f"{KAMAILIO_MODULES} {case.modules}".split()]
    lines += ['modparam("usrloc", "db_mode", 0)', 'modparam("registrar", "max_expires", 3600)']
    lines += [filled(one, folder, ports) for one in case.parameters]
    route = KAMAILIO_ROUTE.replace("WITHIN", case.within).replace("BEGINS", case.begins)
    text = "\n".join(lines) + route.replace("WHERE", case.where).replace("MORE", case.more)
    return kamailio(folder, listeners, [DOMAIN], ["-x", "fm", "-m", "6000", "-M", "3000"], prefix, text)


def quick_tables(path: Path, name: str) -> None:
    """Make Kamailio's tables in SQLite."""
    tables(path, name)
    with sqlite3.connect(path) as database:
        # Else each record costs three trips to the disk, and Kamailio's only worker waits for each.
        database.execute("PRAGMA journal_mode = WAL")


def fill_lcr(path: Path, ports: Sequence[int], count: int) -> None:
    with sqlite3.connect(path) as database:
        for number, port in enumerate(ports, 1):
            database.execute(
                "INSERT INTO lcr_gw (id, lcr_id, gw_name, ip_addr, port, uri_scheme, transport, strip)"
                " VALUES (?, 1, ?, ?, ?, 1, 1, 0)",
                (number, f"gw{number}", HOST, port),
            )
        rules = [(number, one) for number, one in enumerate(prefixes(count), 1)]
        database.executemany("INSERT INTO lcr_rule (id, lcr_id, prefix) VALUES (?, 1, ?)", rules)
        targets = ((number, gateway) for number, _ in rules for gateway in (1, 2))
        database.executemany(
            "INSERT INTO lcr_rule_target (lcr_id, rule_id, gw_id, priority, weight) VALUES (1, ?, ?, 1, 1)",
            targets,
        )


@dataclass
class Window:
    """One server under one short load: µs of CPU for each completed call, and how busy others were.

    A large ``wait_share`` means that other programs used the server's core at the same time.
    """

    server: str
    case: str
    round: int
    cpu_us: float
    completed: int
    failed: int
    retransmissions: int
    wait_share: float


class Bench:
    """A server that runs from the first round to the last, with its callees."""

    def __init__(
        self,
        stack: ExitStack,
        arguments: argparse.Namespace,
        server: str,
        case: str,
        begin: Begin,
        ports: list[int],
    ) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sansip-bench-")))
        port = free_port()
        self.name = server, case
        self._arguments = arguments
        self._stack = stack
        self._program = stack.enter_context(
            begin(directory, [f"udp:{HOST}:{port}"], pinned(arguments.server_core))
        )
        self._load = Load(arguments, "calls", port, directory, ports, dialled(case))
        self._load.prepare(stack)
        # Each measured anew, for a run takes minutes: the median of these counts.
        self._idle = [idle_share(self._program.pid, arguments.idle)]

    def play(self, number: int) -> Window:
        """Offer the load once; return what it cost."""
        load, pid, arguments = self._load, self._program.pid, self._arguments
        del load.files[len(load.callees) :]
        load.offered = 0
        sent_again = load.totals()[2] if number else 0
        self._idle.append(idle_share(pid, arguments.idle))
        begun, spent, waited = time.monotonic(), cpu_seconds(pid), waited_seconds(pid)
        load.run(self._stack)
        elapsed = time.monotonic() - begun
        waited = waited_seconds(pid) - waited
        time.sleep(arguments.settle)
        whole = time.monotonic() - begun
        cost = cpu_seconds(pid) - spent - statistics.median(self._idle) * whole
        completed, failed, again = load.totals()
        return Window(
            *self.name,
            number,
            round(cost * 1e6 / completed, 1) if completed else float("nan"),
            completed,
            failed,
            max(again - sent_again, 0),
            round(waited / elapsed, 3),
        )


@dataclass
class Added:
    """What a module adds, or a ratio: the median over the rounds, and its bounds at 95 of 100."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:+.1f} µs ({self.low:+.1f} to {self.high:+.1f})"


def by_round(windows: Sequence[Window], server: str, case: str) -> dict[int, float]:
    """Return the cost of a call in each round."""
    return {one.round: one.cpu_us for one in windows if (one.server, one.case) == (server, case)}


def differences(windows: Sequence[Window], server: str, case: str) -> dict[int, float]:
    """Return what ``case`` added in each round to the plain one of the same server."""
    plain = by_round(windows, server, "plain")
    return {
        number: cost - plain[number]
        for number, cost in by_round(windows, server, case).items()
        if number in plain
    }


def bounds(rounds: Sequence[int], figure: Callable[[Sequence[int]], float]) -> Added:
    """Return ``figure`` of all rounds, and the bounds of it where the rounds are drawn anew."""
    # Each run draws alike.
    draw = random.Random(1)
    drawn = sorted(figure(draw.choices(rounds, k=len(rounds))) for _ in range(_DRAWS))
    return Added(figure(rounds), drawn[_DRAWS * 25 // 1000], drawn[_DRAWS * 975 // 1000])


def added(windows: Sequence[Window], server: str, case: str) -> Added:
    """Return what ``case`` adds to a call of ``server``."""
    found = differences(windows, server, case)
    return bounds(list(found), lambda rounds: statistics.median(found[one] for one in rounds))


def ratio(windows: Sequence[Window], case: str) -> Added | None:
    """Return sansip's added cost to Kamailio's; None where Kamailio's is not above zero in all draws."""
    ours, theirs = differences(windows, "sansip", case), differences(windows, "kamailio", case)
    rounds = [number for number in ours if number in theirs]
    if not rounds or added(windows, "kamailio", case).low <= 0:
        return None

    def one(drawn: Sequence[int]) -> float:
        below = statistics.median(theirs[number] for number in drawn)
        above = statistics.median(ours[number] for number in drawn)
        return above / below if below > 0 else float("inf")

    return bounds(rounds, one)


def verdict(windows: Sequence[Window], cases: Sequence[str], servers: Sequence[str]) -> str:
    """Return the added cost of each module, and the ratio of it where both servers took part."""
    lines = []
    for server in servers:
        costs = by_round(windows, server, "plain")
        lines.append(
            f"plain: {server} {statistics.median(costs.values()):.1f} µs a call, {len(costs)} rounds"
        )
    for case in cases:
        if case == "plain":
            continue
        words = ", ".join(f"{server} {added(windows, server, case)}" for server in servers)
        if "kamailio" in servers:
            found = ratio(windows, case)
            if found is None:
                words += ", no ratio: what Kamailio adds is within the noise"
            else:
                words += f", ratio {found.median:.2f} ({found.low:.2f} to {found.high:.2f})"
        lines.append(f"{case}: {words}")
    return "\n".join(lines)


def line(one: Window) -> str:
    return (
        f"{one.round:>2} {one.server:<8} {one.case:<10} {one.completed:>6} {one.failed:>4} "
        f"{one.retransmissions:>4} {one.cpu_us:>8.1f} µs  wait {one.wait_share:.1%}"
    )


def main() -> int:
    parser = parser_of((__doc__ or "").split("\n")[0])
    known = [name for name in CASES if name == "plain" or name in names()]
    parser.add_argument("--only", choices=known[1:], action="append", help="module; may be repeated")
    parser.add_argument("--prefixes", type=int, default=1_000_000)
    parser.add_argument("--no-kamailio", action="store_true", help="sansip alone")
    parser.set_defaults(rate=300, seconds=2, rounds=12, idle=0.5, settle=0.2)
    arguments = parser.parse_args()
    servers = {"sansip": begin_sansip} | ({} if arguments.no_kamailio else {"kamailio": begin_kamailio})
    needed = ["sipp", "taskset"] + ["kamailio"] * ("kamailio" in servers)
    if missing := [name for name in needed if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    cases = ["plain", *(arguments.only or known[1:])]
    windows: list[Window] = []
    with ExitStack() as stack:
        benches = []
        for case in cases:
            for server, begin in servers.items():
                ports = [free_port(), free_port()]

                def start(
                    folder: Path, listeners: Sequence[str], prefix: Sequence[str],
                    begin: Callable[..., Program] = begin, case: str = case, ports: list[int] = ports,
                ) -> Program:  # fmt: skip
                    return begin(CASES[case], ports, arguments.prefixes, folder, listeners, prefix)

                benches.append(Bench(stack, arguments, server, case, start, ports))
        # Round 0 warms up.
        for number in range(arguments.rounds + 1):
            for bench in benches if number % 2 else benches[::-1]:
                window = bench.play(number)
                if number:
                    windows.append(window)
                    if not arguments.json:
                        print(line(window), flush=True)
    if arguments.json:
        print(json.dumps([vars(window) for window in windows], indent=1))
    else:
        print(verdict(windows, cases, list(servers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
