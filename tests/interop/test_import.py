"""``sansip import kamailio`` from databases that a real Kamailio filled, and ``sansip serve`` going on.

Theory of operation: Kamailio's own scripts make the tables, its ``auth_db`` asks phones for
their passwords, its ``usrloc`` writes their registrations; then it stops, the import runs, and
the same phones are known to ``sansip serve`` with the same passwords.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sansip import Response, parse_message
from sansip_server.stores import open_store
from tests.missing import missing
from tools import peers
from tools.databases import PostgresqlServer, postgresql_programs
from tools.kamailio_db import (
    POSTGRESQL_SCRIPTS,
    SCRIPTS,
    create_database,
    registrar_config,
    subscribers,
)

pytestmark = pytest.mark.interop

DOMAIN = "biloxi.test"
USERS = [("alice", DOMAIN, "geheim"), ("b.ob", DOMAIN, "secret")]
TABLES = ("standard", "usrloc", "auth_db", "domain", "alias_db", "permissions", "uac")
FILL = """
INSERT INTO domain (domain) VALUES ('biloxi.test'), ('Atlanta.test');
INSERT INTO dbaliases (alias_username, alias_domain, username, domain)
    VALUES ('sales', 'biloxi.test', 'alice', 'biloxi.test');
INSERT INTO address (grp, ip_addr, mask, port, tag) VALUES (1, '10.1.2.0', 24, 5060, 'trunk "a"');
INSERT INTO address (grp, ip_addr, mask) VALUES (1, 'not an address', 32);
INSERT INTO uacreg (l_uuid, l_username, l_domain, r_username, r_domain, realm, auth_username, auth_password,
    auth_proxy, expires) VALUES ('u1', 'alice', 'biloxi.test', 'trunk', 'carrier.test', 'carrier.test',
    'trunk', 'pw', 'sip:192.0.2.9:5060', 600);
"""
# Path, received and reg-id are taken as Kamailio's registrar takes them when it is told to.
SETTINGS = [
    'modparam("registrar", "use_path", 1)',
    'modparam("registrar", "path_mode", 0)',
    'modparam("registrar", "default_q", -1)',
    'modparam("registrar", "received_avp", "$avp(received)")',
]


class Phone:
    """Registers with a password, at whichever server."""

    def __init__(self, user: str, password: str, port: int) -> None:
        self._user, self._password, self._server = user, password, ("127.0.0.1", port)
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(10)

    def register(self, cseq: int, *headers: str) -> Response:
        """Return the answer to the REGISTER with credentials; ``headers`` are Contact and more."""
        challenge = self._send(cseq, headers)
        assert challenge.status == 401
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge.get("www-authenticate") or ""))
        key = md5(f"{self._user}:{fields['realm']}:{self._password}")
        response = md5(f"{key}:{fields['nonce']}:00000001:x:auth:{md5(f'REGISTER:sip:{DOMAIN}')}")
        credentials = (
            f'Authorization: Digest username="{self._user}", realm="{fields["realm"]}", '
            f'nonce="{fields["nonce"]}", uri="sip:{DOMAIN}", response="{response}", algorithm=MD5, '
            'qop=auth, nc=00000001, cnonce="x"'
        )
        return self._send(cseq + 1, [*headers, credentials])

    def _send(self, cseq: int, headers: list[str] | tuple[str, ...]) -> Response:
        user, port = self._user, self._sock.getsockname()[1]
        lines = [
            f"REGISTER sip:{DOMAIN} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{user}{time.monotonic_ns()}",
            "Max-Forwards: 70",
            f"From: <sip:{user}@{DOMAIN}>;tag=1",
            f"To: <sip:{user}@{DOMAIN}>",
            f"Call-ID: call-of-{user}",
            f"CSeq: {cseq} REGISTER",
            *headers,
            "Content-Length: 0",
        ]
        self._sock.sendto("\r\n".join([*lines, "", ""]).encode(), self._server)
        while True:
            answer = parse_message(self._sock.recv(65_535))
            assert isinstance(answer, Response)
            if answer.status >= 200:
                return answer

    def close(self) -> None:
        self._sock.close()


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def run_kamailio(folder: Path, database: Path | str) -> None:
    """Have Kamailio register both users, and stop it."""
    if shutil.which("kamailio") is None:
        missing("Kamailio is not installed")
    listener = f"udp:127.0.0.1:{peers.free_port()}"
    text = registrar_config([listener], [DOMAIN], database, more=SETTINGS)
    text = text.replace("    save(", '    $avp(received) = "sip:203.0.113.9:1024";\n    save(')
    with peers.kamailio(folder, [listener], text=text), contextlib.ExitStack() as phones:
        port = int(listener.rpartition(":")[2])
        for name, _, password in USERS:
            phone = phones.enter_context(contextlib.closing(Phone(name, password, port)))
            contact = 'Contact: <sip:phone@192.0.2.4;ob>;q=0.35;+sip.instance="<urn:uuid:1>";reg-id=1'
            more = [contact, "Expires: 600", "User-Agent: Phone 1", "Supported: path, outbound",
                    "Path: <sip:edge1.test;lr>", "Path: <sip:edge2.test;lr>"]  # fmt: skip
            if name != "alice":
                more = ["Contact: <sip:other@192.0.2.5>", "Expires: 300"]
            assert phone.register(1, *more).status == 200
        # The right password did it: a wrong one is challenged again.
        liar = phones.enter_context(contextlib.closing(Phone("alice", "wrong", port)))
        assert liar.register(1, "Contact: <sip:evil@192.0.2.66>").status == 401


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "sansip_server", *words]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=60)


def imported(folder: Path, url: str, *words: str) -> dict[str, dict[str, object]]:
    """Run the import and return the report, by table, and the configuration."""
    done = command(folder, "import", "kamailio", "--db", url, "--store", "sansip.db", "--json", *words)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return {one["table"]: one for one in report["tables"]} | {"config": report["config"]}


def counts(report: dict[str, dict[str, object]]) -> dict[str, tuple[object, ...]]:
    return {
        name: (one["rows"], one["taken"], one["same"]) for name, one in report.items() if name != "config"
    }


def judge(folder: Path, url: str) -> None:
    """Import, twice, and see the store and the server that goes on with it."""
    tried = imported(folder, url, "--dry-run")
    with closing(open_store(folder / "sansip.db")) as store:
        assert list(store.users()) == []
    report = imported(folder, url)
    assert report == tried
    assert counts(report) == {
        "subscriber": (2, 2, 0),
        "location": (2, 2, 0),
        "domain": (2, 2, 0),
        "dbaliases": (1, 0, 0),
        "address": (2, 1, 0),
        "uacreg": (1, 1, 0),
    }
    again = imported(folder, url)
    assert counts(again)["subscriber"] == (2, 0, 2)
    assert counts(again)["location"] == (2, 0, 2)
    assert again["config"] == report["config"]
    now = time.time()
    with closing(open_store(folder / "sansip.db")) as store:
        names = [user.username for user in store.users()]
        assert names == ["alice", f"alice@{DOMAIN}", "b.ob", f"b.ob@{DOMAIN}"]
        alice, bob = sorted(store.bindings(now, 0.0), key=lambda binding: binding.aor)
    assert (alice.aor, bob.aor) == (f"sip:alice@{DOMAIN}", f"sip:b.ob@{DOMAIN}")
    assert alice.contact == "sip:phone@192.0.2.4;ob"
    assert alice.path == ("<sip:edge1.test;lr>", "<sip:edge2.test;lr>")
    assert (alice.q, alice.instance, alice.reg_id) == (350, "urn:uuid:1", 1)
    assert (str(alice.received), alice.user_agent) == ("sip:203.0.113.9:1024", "Phone 1")
    assert (alice.call_id, alice.cseq) == ("call-of-alice", 2)
    assert 500 < alice.expires_at - now <= 600
    assert 200 < bob.expires_at - now <= 300
    assert (bob.q, bob.path, bob.instance, bob.reg_id) == (None, (), None, None)
    serve(folder, str(report["config"]))


def serve(folder: Path, config: str) -> None:
    """The configuration is one, the phones are registered, and their passwords are good."""
    # Kamailio's peers are on networks that are not here; nothing is sent to them in this second.
    keys, tables = config.split("\n\n", 1)
    port = peers.free_port()
    (folder / "sansip.toml").write_text(
        f'listen = ["udp:127.0.0.1:{port}"]\nauth = "digest"\nstore = "sansip.db"\n{keys}\n\n{tables}\n'
    )
    program = [sys.executable, "-m", "sansip_server", "serve", "--config", "sansip.toml"]
    with peers.Program(program, folder / "sansip.log", cwd=folder) as server:
        server.wait_for("2 registrations from")
        server.wait_for("^ready$")
        phone = Phone("alice", "geheim", port)
        with contextlib.closing(phone):
            refreshed = phone.register(3, "Contact: <sip:new@192.0.2.7>")
        assert refreshed.status == 200
        contacts = ", ".join(refreshed.get_all("contact"))
        assert "<sip:phone@192.0.2.4;ob>" in contacts
        assert "<sip:new@192.0.2.7>" in contacts


@pytest.mark.timeout(120)
def test_sqlite(tmp_path: Path) -> None:
    """From Kamailio's db_sqlite, whose dates are Julian days."""
    if not SCRIPTS.is_dir():
        missing("kamailio-sqlite-modules is not installed")
    database = tmp_path / "kamailio.db"
    create_database(database, USERS, TABLES)
    with closing(sqlite3.connect(database)) as opened:
        opened.executescript(FILL)
    run_kamailio(tmp_path, database)
    judge(tmp_path, f"sqlite:///{database}")


@pytest.fixture
def postgresql() -> Iterator[PostgresqlServer]:
    if postgresql_programs() is None:
        missing("PostgreSQL is not installed (apt install postgresql)")
    with PostgresqlServer(["fsync=off"]) as running:
        yield running


@pytest.mark.timeout(120)
def test_postgresql(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    """From Kamailio's db_postgres, whose dates are local time."""
    if not POSTGRESQL_SCRIPTS.is_dir():
        missing("kamailio-postgres-modules is not installed")
    for table in TABLES:
        postgresql.execute((POSTGRESQL_SCRIPTS / f"{table}-create.sql").read_text())
    with postgresql.connect() as connection:
        connection.cursor().executemany(
            "INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES (%s, %s, %s, %s, %s)",
            subscribers(USERS),
        )
        connection.execute(FILL)
    url = f"postgres://sansip@127.0.0.1:{postgresql.port}/postgres"
    run_kamailio(tmp_path, url)
    judge(tmp_path, url)
