"""What each module adds to the CPU time of a call: ``sansip serve`` beside Kamailio with its module.

Theory of operation: as ``calls.py``, in one run: each server is measured plain and with each module, in
turn, several rounds. The added cost is the median of a server with the module minus its own median without.
The ratio is sansip's added cost to Kamailio's. What the two do is the same job:

- ``dispatcher``: two destinations in turn, OPTIONS off; Kamailio ``ds_select_domain`` with algorithm 4.
- ``calls``: a record of each call in memory; Kamailio ``dialog``, in memory.
- ``accounting``: calls, and a record of each in SQLite; Kamailio ``dialog`` and ``acc`` with CDRs in SQLite.
- ``lcr``: ``--prefixes`` prefixes (1,000,000) and two gateways; Kamailio ``lcr`` from SQLite.

    python -m benchmarks.modules --rate 300 --seconds 8 --rounds 3
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.calls import DOMAIN, HOST, Result, line, measure, parser_of
from benchmarks.ends import tables
from sansip_server.modules import names
from tools.peers import KAMAILIO_MODULES, Program, free_port, kamailio, sansip_serve

__all__ = ["CASES", "configured", "dialled"]

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
    ) -> None:
        self.toml = toml
        self.modules = modules
        self.parameters = parameters
        self.begins = begins
        self.within = within
        self.where = where
        self.options = options


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
        ('modparam("dispatcher", "list_file", "FOLDER/farm.list")',),
        where='if (!ds_select_domain("1", "4")) { sl_send_reply("503", "None"); exit; }',
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
        '[calls]\n[lcr]\nfile = "rates.csv"\n[[lcr.gateways]]\nname = "one"\nuri = "sip:HOST:PORT0"\n'
        '[[lcr.gateways]]\nname = "two"\nuri = "sip:HOST:PORT1"\n',
        "db_sqlite lcr",
        (
            'modparam("lcr", "db_url", "sqlite:///FOLDER/lcr.db")',
            'modparam("lcr", "lcr_rule_hash_size", 262144)',
            'modparam("lcr", "gw_uri_avp", "$avp(gw_uri)")',
            'modparam("lcr", "ruri_user_avp", "$avp(ruri_user)")',
        ),
        where='if (!load_gws("1") || !next_gw()) { sl_send_reply("503", "None"); exit; }',
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
    text = "\n".join(lines) + route.replace("WHERE", case.where)
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


def main() -> int:
    parser = parser_of((__doc__ or "").split("\n")[0])
    known = [name for name in CASES if name == "plain" or name in names()]
    parser.add_argument("--only", choices=known[1:], action="append", help="module; may be repeated")
    parser.add_argument("--prefixes", type=int, default=1_000_000)
    parser.add_argument("--no-kamailio", action="store_true", help="sansip alone")
    arguments = parser.parse_args()
    servers = {"sansip": begin_sansip} | ({} if arguments.no_kamailio else {"kamailio": begin_kamailio})
    needed = ["sipp", "taskset"] + ["kamailio"] * ("kamailio" in servers)
    if missing := [name for name in needed if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    cases = ["plain", *(arguments.only or known[1:])]
    results: list[Result] = []
    for _ in range(arguments.rounds):
        for case in cases:
            for server, begin in servers.items():
                ports = [free_port(), free_port()]
                start = partial(begin, CASES[case], ports, arguments.prefixes)
                result = measure(f"{server} {case}", "calls", arguments, start, ports, dialled(case))
                results.append(result)
                if not arguments.json:
                    print(line(result), flush=True)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    else:
        print(verdict(results, cases, list(servers)))
    return 0


def verdict(results: Sequence[Result], cases: Sequence[str], servers: Sequence[str]) -> str:
    """Return the added cost of each module, and the ratio of it where both servers took part."""

    def median(server: str, case: str) -> float:
        return statistics.median(one.cpu_us for one in results if one.server == f"{server} {case}")

    lines = [f"plain: {', '.join(f'{server} {median(server, cases[0]):.1f} µs' for server in servers)}"]
    for case in cases[1:]:
        added = {server: median(server, case) - median(server, cases[0]) for server in servers}
        words = ", ".join(f"{server} {cost:+.1f} µs" for server, cost in added.items())
        if added.get("kamailio", 0.0) > 0:
            words += f", ratio {added['sansip'] / added['kamailio']:.2f}"
        lines.append(f"{case}: {words}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
