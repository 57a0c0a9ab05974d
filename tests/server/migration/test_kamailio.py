"""Kamailio's rows, one by one: what each becomes, and why it becomes nothing."""

from __future__ import annotations

import math
import os
import sqlite3
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sansip.auth import HASHES, ha1
from sansip_server.cli import sansip
from sansip_server.config.load import load_text
from sansip_server.migration.kamailio import (
    Left,
    binding_of,
    trusted_of,
    unix_time,
    upstream_of,
    users_of,
)
from sansip_server.stores import SqliteStore, StoreLock

NOW = 1_795_479_465.0
KEY = "a" * 32
LOCATION: dict[str, Any] = {
    "username": "alice",
    "domain": "Biloxi.Test",
    "contact": "sip:alice@192.0.2.4",
    "expires": NOW / 86_400 + 2_440_587.5 + 0.01,
    "last_modified": NOW / 86_400 + 2_440_587.5 - 0.01,
    "callid": "c",
    "cseq": 3,
    "q": -1.0,
}
SUBSCRIBER = {"username": "alice", "domain": "biloxi.test", "password": "", "ha1": KEY, "ha1b": ""}
UACREG = {"r_username": "trunk", "r_domain": "carrier.test", "auth_username": "t", "auth_ha1": KEY}


def test_subscriber_by_key() -> None:
    """HA1 is taken as it is, by its length; ha1b is the key of another name."""
    (user,) = users_of(SUBSCRIBER, None)
    assert (user.username, user.realm, user.keys) == ("alice", "biloxi.test", {"MD5": KEY})
    (user,) = users_of(SUBSCRIBER | {"ha1": "B" * 64}, None)
    assert user.keys == {"SHA-256": "b" * 64}
    _, long = users_of(SUBSCRIBER | {"ha1b": KEY}, None)
    assert (long.username, long.realm) == ("alice@biloxi.test", "biloxi.test")


def test_subscriber_by_password() -> None:
    """A password is hashed with all algorithms, and agrees with the key that stands beside it."""
    plain = {"username": "alice", "domain": "biloxi.test", "password": "pw"}
    (user,) = users_of(plain, None)
    assert user.keys == {name: ha1("alice", "biloxi.test", "pw", name) for name in HASHES}
    users = users_of(plain | {"ha1": ha1("alice", "biloxi.test", "pw", "MD5"), "ha1b": KEY}, None)
    assert users[1].keys == {name: ha1("alice@biloxi.test", "biloxi.test", "pw", name) for name in HASHES}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"domain": None}, "--domain"),
        ({"username": ""}, "no user name"),
        ({"ha1": ""}, "neither ha1 nor password"),
        ({"ha1": "secret"}, "neither MD5 nor SHA-256"),
        ({"ha1": "z" * 32}, "neither MD5 nor SHA-256"),
        ({"password": "other"}, "not that of its password"),
    ],
)
def test_subscriber_left(change: dict[str, Any], why: str) -> None:
    """A subscriber whose key would never fit becomes no user."""
    with pytest.raises(Left, match=why):
        users_of(SUBSCRIBER | change, None)


def test_location() -> None:
    """Empty and missing columns are treated alike."""
    binding = binding_of(LOCATION, None, NOW)
    assert binding.aor == "sip:alice@biloxi.test"
    assert (binding.q, binding.path, binding.instance, binding.reg_id) == (None, (), None, None)
    assert binding.expires_at == pytest.approx(NOW + 864, abs=0.01)
    assert binding.refreshed_at == pytest.approx(NOW - 864, abs=0.01)
    full = LOCATION | {
        "username": "a lice",
        "q": 0.35,
        "path": "<sip:a;lr>,<sip:b;lr>",
        "instance": '"<urn:x>"',
        "reg_id": 2,
        "received": "sip:203.0.113.9:5",
    }
    binding = binding_of(full | {"domain": None}, "Other.Test", NOW)
    assert binding.aor == "sip:a%20lice@other.test"
    assert (binding.q, binding.path) == (350, ("<sip:a;lr>", "<sip:b;lr>"))
    assert (binding.instance, binding.reg_id, str(binding.received)) == ("urn:x", 2, "sip:203.0.113.9:5")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"domain": ""}, "--domain"),
        ({"contact": "nonsense"}, "no URI"),
        ({"expires": "2001-01-01 00:00:00"}, "expired"),
        ({"expires": "tomorrow"}, "a date that is none"),
        ({"expires": None}, "a date that is none"),
        ({"contact": "sip:x@abc.invalid;transport=ws"}, "WebSocket"),
    ],
)
def test_location_left(change: dict[str, Any], why: str) -> None:
    """The importer takes no binding that nobody could call."""
    with pytest.raises(Left, match=why):
        binding_of(LOCATION | change, None, NOW)


def test_dates() -> None:
    """Julian days in SQLite; local time as text or as a date elsewhere; 0 is for ever."""
    local = datetime(2026, 11, 24, 0, 17, 45).astimezone()
    assert unix_time(local.replace(tzinfo=None)) == local.timestamp()
    assert unix_time("2026-11-24 00:17:45") == local.timestamp()
    assert unix_time(2_440_588.5) == 86_400.0
    assert unix_time(2_440_587.5) == unix_time(0) == unix_time("1970-01-01 00:00:00") == math.inf


@pytest.mark.parametrize(
    "row",
    [
        {"ip_addr": "10.0.0.0", "mask": 8, "port": 0, "tag": None, "grp": 1},
        {"ip_addr": "2001:db8::1", "mask": 128, "port": 5060, "tag": 'a "b" \\ \n\x7f', "grp": 1},
    ],
)
def test_address_is_configuration(row: dict[str, Any]) -> None:
    """The server takes the printed configuration, with any text in a tag."""
    loaded = load_text(trusted_of(row))
    assert loaded.settings is not None, [fault.problem for fault in loaded.faults]
    (trusted,) = loaded.settings.trusted
    assert trusted.address.startswith(row["ip_addr"])
    assert trusted.name == (row["tag"] or "group 1").strip()


def test_uacreg_is_configuration() -> None:
    """An account elsewhere comes with its key, never with its password."""
    for change in ({}, {"auth_ha1": "", "auth_password": "geheim", "auth_proxy": "sip:192.0.2.9:5080"}):
        text = upstream_of(UACREG | change)
        assert "geheim" not in text
        loaded = load_text(text)
        assert loaded.settings is not None, [fault.problem for fault in loaded.faults]
        (upstream,) = loaded.settings.upstream
        assert (upstream.realm, upstream.username) == ("carrier.test", "t")
        assert upstream.register == "sip:trunk@carrier.test"
    with pytest.raises(Left, match="neither auth_ha1 nor auth_password"):
        upstream_of(UACREG | {"auth_ha1": ""})


def test_older_database(tmp_path: Path) -> None:
    """Missing tables and columns are no error; later registrations here stay."""
    with closing(sqlite3.connect(tmp_path / "k.db")) as database:
        database.execute("CREATE TABLE subscriber (username, domain, ha1)")
        database.executemany(
            "INSERT INTO subscriber VALUES (?, ?, ?)",
            [("alice", "biloxi.test", KEY), ("\udc80".encode("utf-8", "surrogateescape"), "x", 7)],
        )
        database.commit()
    store = str(tmp_path / "sansip.db")
    words = ["import", "kamailio", "--db", str(tmp_path / "k.db"), "--store", store]
    result = CliRunner().invoke(sansip, [*words, "--only", "subscriber", "--only", "location"])
    assert result.exit_code == 0, result.output
    assert "location           -" in result.stdout
    assert "left 1 of subscriber" in result.stdout
    opened = SqliteStore(Path(store))
    assert [user.username for user in opened.users()] == ["alice"]
    opened.close()


def test_beside_a_running_server(tmp_path: Path) -> None:
    """The server holds its registrations in memory and writes them whole: imported ones would be lost."""
    row = LOCATION | {"expires": 1e7}
    with closing(sqlite3.connect(tmp_path / "k.db")) as database:
        database.execute(f"CREATE TABLE location ({', '.join(row)})")
        database.execute(f"INSERT INTO location VALUES ({', '.join('?' * len(row))})", list(row.values()))
        database.execute("CREATE TABLE subscriber (username, domain, ha1)")
        database.execute("INSERT INTO subscriber VALUES ('alice', 'biloxi.test', ?)", [KEY])
        database.commit()
    store = tmp_path / "sansip.db"
    words = ["import", "kamailio", "--db", str(tmp_path / "k.db"), "--store", str(store)]
    lock = StoreLock(store)
    result = CliRunner().invoke(sansip, words)
    assert result.exit_code == 2, result.output
    assert f"is in use by process {os.getpid()}" in result.stderr
    assert "--only subscriber" in result.stderr
    assert CliRunner().invoke(sansip, [*words, "--dry-run"]).exit_code == 0
    assert CliRunner().invoke(sansip, [*words, "--only", "subscriber"]).exit_code == 0
    lock.close()
    result = CliRunner().invoke(sansip, words)
    assert result.exit_code == 0, result.output
    assert "location           1       1" in result.stdout


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///nowhere.db", "there is no file nowhere.db"),
        ("nonsense://x/y", "nonsense"),
        ("mysql://openser:secret@127.36.0.1:1/openser", "pip install pymysql"),
    ],
)
def test_faults_name_their_fix(url: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is missing names its package; a password is not shown."""
    monkeypatch.setitem(sys.modules, "pymysql", None)
    words = ["import", "kamailio", "--db", url, "--store", str(tmp_path / "sansip.db")]
    result = CliRunner().invoke(sansip, words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "secret" not in result.stderr
