"""Kamailio as the next server, which asks for a password, and as a client of ours with one.

Theory of operation: Alice proves to sansip who she is; sansip proves to Kamailio who it
is, for her. Kamailio challenges every request, within the dialog too, and
counts uses of its nonces; the callee is baresip, which refuses a CSeq that does
not rise. What Kamailio does as a client (``uac_reg``) is the same the other way.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.users import ask, serve_users
from tests.missing import missing
from tools import peers
from tools.peers import free_port

LOCAL = "127.0.0.1"

pytestmark = [
    pytest.mark.needs("kamailio"),
    pytest.mark.skipif(TARGET != "sansip", reason="one of the two is sansip"),
    pytest.mark.timeout(120),
]

KAMAILIO = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{host}:{port}
{modules}
modparam("usrloc", "db_mode", 0)
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("auth", "nonce_expire", {expire})
modparam("auth", "algorithm", "{algorithm}")
{more}
request_route {{
  if (is_method("OPTIONS") && $rU==$null) {{ sl_send_reply("200", "Keepalive"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (is_method("ACK")) {{ if (has_totag()) loose_route(); t_relay(); exit; }}
  t_check_trans();
  if ($si == "{host}" && $sp == "{sansip}" && !pv_auth_check("upstream.test", "trunk secret", "0", "0")) {{
    auth_challenge("upstream.test", "1"); exit;
  }}
  consume_credentials();
  if (is_method("REGISTER")) {{ save("location"); exit; }}
  if (has_totag()) {{ if (loose_route()) t_relay(); else sl_send_reply("404", "Not here"); exit; }}
  record_route();
  if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
  t_relay();
}}
"""
MODULES = "tm sl rr pv usrloc registrar textops siputils auth"

UPSTREAM = """
[[upstream]]
hosts = ["127.0.0.1"]
realm = "upstream.test"
username = "trunk"
password_env = "SANSIP_TRUNK"
# Users call the next server by its address, at a port that is not SIP's.
direct = true
"""
REGISTERING = """
register = "sip:trunk@127.0.0.1:{port}"
contact_user = "alice"
"""


def kamailio(
    directory: Path,
    port: int,
    sansip: int,
    *,
    expire: int = 300,
    algorithm: str = "MD5",
    modules: str = "",
    more: str = "",
) -> peers.Program:
    """Start Kamailio; it asks ``sansip``'s port of this machine for a password."""
    loaded = "\n".join(f'loadmodule "{name}.so"' for name in f"{MODULES} {modules}".split())
    text = KAMAILIO.format(
        host=LOCAL, port=port, sansip=sansip, modules=loaded, expire=expire, algorithm=algorithm, more=more
    )
    return peers.kamailio(directory, [f"udp:{LOCAL}:{port}"], text=text)


class Pair:
    """Both servers."""

    def __init__(self, directory: Path, stack: ExitStack, expire: int = 300, algorithm: str = "MD5") -> None:
        self.sansip, self.kamailio = (LOCAL, free_port()), (LOCAL, free_port())
        listeners = [f"udp:{LOCAL}:{self.sansip[1]}"]
        users = {"alice@biloxi.test": "wonderland"}
        self.program = stack.enter_context(serve_users(directory, listeners, users, UPSTREAM))
        ports = self.kamailio[1], self.sansip[1]
        stack.enter_context(kamailio(directory, *ports, expire=expire, algorithm=algorithm))


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    monkeypatch.setenv("SANSIP_TRUNK", "trunk secret")
    with ExitStack() as stack:
        yield stack


@pytest.mark.needs("baresip")
@pytest.mark.parametrize(("expire", "algorithm"), [(300, "SHA-256"), (1, "MD5")])
def test_calls(expire: int, algorithm: str, stack: ExitStack, tmp_path: Path) -> None:
    """Three calls, each side hangs up once; with nonces of one second each request is challenged."""
    pair = Pair(tmp_path, stack, expire, algorithm)
    alice = stack.enter_context(
        Baresip(tmp_path / "alice", "alice", "biloxi.test", pair.sansip, "udp", "wonderland")
    )
    bob = stack.enter_context(Baresip(tmp_path / "bob", "bob", "upstream.test", pair.kamailio, "udp"))
    for phone in (alice, bob):
        phone.wait_until_registered()
    for hangs_up in (alice, bob, alice):
        alice.command("dial", f"sip:bob@{LOCAL}:{pair.kamailio[1]}")
        bob.wait_for("CALL_INCOMING")
        alice.wait_for("CALL_RINGING")
        bob.command("accept")
        for phone in (alice, bob):
            phone.wait_for("CALL_ESTABLISHED")
        if expire == 1:
            time.sleep(2.5)
            # A re-INVITE within the dialog, challenged as well.
            alice.command("hold")
            alice.command("resume")
        hangs_up.command("hangup")
        for phone in (alice, bob):
            phone.wait_for("CALL_CLOSED")
    log = pair.program.output()
    assert "does not take our credentials" not in log
    assert "Traceback" not in log


@pytest.mark.needs("baresip")
def test_we_register_with_kamailio(stack: ExitStack, tmp_path: Path) -> None:
    """``uac_reg``: the carrier's calls come to us, and stop when we do."""
    theirs, ours = free_port(), free_port()
    listeners = [f"udp:{LOCAL}:{ours}"]
    users = {"alice@biloxi.test": "wonderland"}
    config = UPSTREAM + REGISTERING.format(port=theirs)
    stack.enter_context(kamailio(tmp_path, theirs, ours))
    program = stack.enter_context(serve_users(tmp_path, listeners, users, config))
    alice = stack.enter_context(
        Baresip(tmp_path / "alice", "alice", "biloxi.test", (LOCAL, ours), "udp", "wonderland")
    )
    bob = stack.enter_context(Baresip(tmp_path / "bob", "bob", "upstream.test", (LOCAL, theirs), "udp"))
    for phone in (alice, bob):
        phone.wait_until_registered()
    program.wait_for(f"registered as sip:trunk@{LOCAL}:{theirs} for 3600 s", timeout=60)
    bob.command("dial", f"sip:trunk@{LOCAL}:{theirs}")
    alice.wait_for("CALL_INCOMING")
    alice.command("accept")
    for phone in (alice, bob):
        phone.wait_for("CALL_ESTABLISHED")
    bob.command("hangup")
    for phone in (alice, bob):
        phone.wait_for("CALL_CLOSED")
    program.terminate()
    program.wait(40)
    bob.command("dial", f"sip:trunk@{LOCAL}:{theirs}")
    assert "404" in bob.wait_for("CALL_CLOSED")["param"]


def test_a_wrong_password(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phone gets a 500, no challenge that it could not answer; the log says whose password is wrong."""
    monkeypatch.setenv("SANSIP_TRUNK", "not the secret")
    pair = Pair(tmp_path, stack)
    with Phone("alice", "biloxi.test", "udp", pair.sansip) as alice:
        assert ask(alice, "MESSAGE", f"sip:bob@{LOCAL}:{pair.kamailio[1]}", "wonderland").what == "500"
    pair.program.wait_for("does not take our credentials in realm 'upstream.test'")


def test_kamailio_registers_with_us(stack: ExitStack, tmp_path: Path) -> None:
    """Kamailio's ``uac_reg`` as a phone of ours, with a password, by the first challenge that it knows."""
    if not list(Path("/usr/lib").glob("*/kamailio/modules/db_sqlite.so")):
        missing("not installed: kamailio-sqlite-modules")
    sansip, port = free_port(), free_port()
    users = {"trunk@biloxi.test": "secret"}
    program = stack.enter_context(serve_users(tmp_path, [f"udp:{LOCAL}:{sansip}"], users))
    database = tmp_path / "kamailio.sqlite"
    with sqlite3.connect(database) as connection:
        connection.executescript(
            """
            CREATE TABLE version (table_name VARCHAR(32) PRIMARY KEY, table_version INTEGER);
            INSERT INTO version VALUES ('uacreg', 5);
            CREATE TABLE uacreg (
                id INTEGER PRIMARY KEY, l_uuid VARCHAR(64), l_username VARCHAR(64), l_domain VARCHAR(64),
                r_username VARCHAR(64), r_domain VARCHAR(64), realm VARCHAR(64), auth_username VARCHAR(64),
                auth_password VARCHAR(64), auth_ha1 VARCHAR(128), auth_proxy VARCHAR(255), expires INTEGER,
                flags INTEGER, reg_delay INTEGER, contact_addr VARCHAR(255), socket VARCHAR(255)
            );
            """
        )
        row = (1, "one", "trunk", "kamailio.test", "trunk", "biloxi.test", "biloxi.test", "trunk", "secret")
        end = ("", f"sip:{LOCAL}:{sansip}", 60, 0, 0, "", f"udp:{LOCAL}:{port}")
        connection.execute(f"INSERT INTO uacreg VALUES ({', '.join('?' * 16)})", (*row, *end))
    connection.close()
    more = f"""
modparam("uac", "reg_db_url", "sqlite:///{database}")
modparam("uac", "reg_contact_addr", "{LOCAL}:{port}")
modparam("uac", "reg_timer_interval", 1)
modparam("uac", "restore_mode", "none")
"""
    stack.enter_context(kamailio(tmp_path, port, sansip, modules="db_sqlite uac", more=more))
    program.wait_for("sip:trunk@biloxi.test registered: 1 binding", timeout=30)
