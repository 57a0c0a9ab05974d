"""Kamailio with an SQLite database of its own: made by Kamailio's scripts, filled by Kamailio.

Theory of operation: for the benchmark beside Kamailio, and for the import from it; both need the
tables exactly as Kamailio makes them.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from tools.peers import KAMAILIO_MODULES

__all__ = ["POSTGRESQL_SCRIPTS", "SCRIPTS", "create_database", "registrar_config", "subscribers"]

SCRIPTS = Path("/usr/share/kamailio/db_sqlite")
POSTGRESQL_SCRIPTS = Path("/usr/share/kamailio/postgres")

_REGISTRAR_ROUTE = """
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (!sanity_check("17895", "7")) exit;
  if (is_method("OPTIONS") && uri==myself && $rU==$null) { sl_send_reply("200", "Keepalive"); exit; }
  if (is_method("REGISTER") && uri==myself) {
    if (!www_authenticate("$td", "subscriber")) { www_challenge("$td", "1"); exit; }
    if ($au != $tU) { sl_send_reply("403", "Forbidden"); exit; }
    consume_credentials();
    save("location");
    exit;
  }
  if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
  if (!t_relay()) sl_reply_error();
}
"""


def create_database(
    path: Path,
    users: Iterable[tuple[str, str, str]],
    tables: Sequence[str] = ("standard", "usrloc", "auth_db"),
) -> None:
    """Make ``path`` with Kamailio's own scripts; ``users`` are names, domains and passwords."""
    with closing(sqlite3.connect(path)) as database:
        for table in tables:
            database.executescript((SCRIPTS / f"{table}-create.sql").read_text())
        # The server writes with every registration: as ours, in write-ahead mode.
        database.execute("PRAGMA journal_mode = WAL")
        database.executemany(
            "INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES (?, ?, ?, ?, ?)",
            subscribers(users),
        )
        database.commit()


def subscribers(users: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str, str, str]]:
    """Return rows of ``subscriber``, without the passwords: user name, domain, password, ha1, ha1b."""
    rows = []
    for name, domain, password in users:
        ha1 = hashlib.md5(f"{name}:{domain}:{password}".encode()).hexdigest()
        ha1b = hashlib.md5(f"{name}@{domain}:{domain}:{password}".encode()).hexdigest()
        rows.append((name, domain, "", ha1, ha1b))
    return rows


def registrar_config(
    listeners: Sequence[str], domains: Sequence[str], database: Path | str, *, more: Sequence[str] = ()
) -> str:
    """Return a configuration that asks for passwords and writes registrations through (``db_mode`` 1).

    ``database`` is an SQLite file or the URL of a PostgreSQL database (``postgres://…``);
    ``more`` are further lines, after the modules.
    """
    lines = ["#!KAMAILIO", "debug=1", "log_stderror=yes", "children=1", "tcp_children=1"]
    lines += ["auto_aliases=no", "dns=no", "rev_dns=no"]
    lines += [f"listen={listener}" for listener in listeners]
    lines += [f'alias="{domain}"' for domain in domains]
    driver = "db_sqlite" if isinstance(database, Path) else "db_postgres"
    modules = f"{driver} {KAMAILIO_MODULES} auth auth_db"
    lines += [f'loadmodule "{module}.so"' for module in modules.split()]
    # Two slashes end the scheme, the third begins the path.
    url = f"sqlite:///{database}" if isinstance(database, Path) else database
    lines += [
        f'modparam("usrloc", "db_url", "{url}")',
        'modparam("usrloc", "db_mode", 1)',
        'modparam("usrloc", "use_domain", 1)',
        f'modparam("auth_db", "db_url", "{url}")',
        'modparam("auth_db", "calculate_ha1", 0)',
        'modparam("auth_db", "password_column", "ha1")',
        'modparam("auth_db", "use_domain", 1)',
        'modparam("registrar", "max_expires", 3600)',
        *more,
    ]
    return "\n".join(lines) + _REGISTRAR_ROUTE
