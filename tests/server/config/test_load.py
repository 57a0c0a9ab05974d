"""A configuration file is judged whole: every fault, its line, and the expected value."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.limits import Limits
from sansip_server.config.lines import KeyLines
from sansip_server.config.listen import EXAMPLE
from sansip_server.config.load import keys_of, load_file, load_text
from sansip_server.config.rules import ZERO_MEANS_OFF
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from tests.certificates import Authority

ALL = "udp, tcp, tls, ws, wss or sctp"


def faults(text: str) -> list[str]:
    return [fault.text("f") for fault in load_text(text).faults]


def test_empty_file_is_the_defaults() -> None:
    """Every key has a default: the server runs without any configuration."""
    loaded = load_text("")
    assert loaded.faults == []
    assert loaded.settings == Settings()


def test_values_arrive() -> None:
    """Each kind of key, at the top and in a table, reaches the settings."""
    loaded = load_text(
        """
        listen = ["udp:127.0.0.1:5070"]
        domains = ["example.org"]
        auth = "none"
        uvloop = true
        [limits]
        branches = 4
        answer_time = 3
        [timers]
        t1 = 0.25
        [registrar]
        max_expires = 7200
        path = "lenient"
        [log]
        level = "debug"
        """
    )
    assert loaded.faults == []
    settings = loaded.settings
    assert settings is not None
    assert settings.listen == ["udp:127.0.0.1:5070"]
    assert (settings.auth, settings.uvloop) == ("none", True)
    assert settings.limits == Limits(branches=4, answer_time=3.0)
    assert settings.timers.t1x64 == 16.0
    assert (settings.registrar.max_expires, settings.registrar.path) == (7200, "lenient")
    assert settings.log.level == "debug"


def test_every_fault_is_named_at_once() -> None:
    """An operator mends a file once, not once for each fault."""
    found = faults(
        """lisen = ["udp:127.0.0.1:5060"]
listen = ["dccp:127.0.0.1:5060", 7]
uvloop = "yes"

[limits]
branhces = 4
branches = 0
message_size = "big"
t2 = 4

[log]
format = "JSON"
"""
    )
    assert found == [
        "f:1: lisen: unknown key; did you mean listen?",
        f"f:2: listen[0]: expected transport:host:port with transport {ALL}, like {EXAMPLE}",
        "f:2: listen[1]: expected a string; found 7",
        'f:3: uvloop: expected true or false; found "yes"',
        "f:6: limits.branhces: unknown key; did you mean limits.branches?",
        "f:7: limits.branches: expected a number above 0; found 0",
        'f:8: limits.message_size: expected a whole number; found "big"',
        "f:9: limits.t2: unknown key; did you mean timers.t2?",
        'f:12: log.format: expected "text" or "json"; found "JSON"; did you mean json?',
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limits = 3", "limits: expected a table, [limits]; found 3"),
        ("listen = 'udp:127.0.0.1:5060'", "listen: expected a list of strings"),
        ("listen = []", "listen: expected at least one address"),
        ("listen = ['udp:127.0.0.1:1', 'udp:127.0.0.1:1']", "listen[1]: udp:127.0.0.1:1 is listed twice"),
        ("listen = ['tls:127.0.0.1:1']", "listen[0]: tls:127.0.0.1:1 needs tls.certificate"),
        ("listen = ['tcp:127.0.0.1:1', 'ws:127.0.0.1:1']", "listen[1]: ws:127.0.0.1:1 and tcp:127.0.0.1:1"),
        ("[tls]\ncertificate = 'nowhere.pem'", "tls: there is no file nowhere.pem"),
        ("[tls]\nnames = ['example.net']", "tls.names[0]: expected `name certificate [key]`"),
        ("[tls]\nmin_version = '1.1'", 'tls.min_version: expected "1.2" or "1.3"; found "1.1"'),
        ("[tls]\nciphers = 'NONESUCH'", "tls: ciphers 'NONESUCH': OpenSSL knows none of them"),
        ("[websocket]\norigins = ['example.org']", "websocket.origins[0]: expected an origin"),
        ("drain_time = true", "drain_time: expected a number; found true"),
        ("drain_time = inf", "drain_time: expected a finite number"),
        ("drain_time = -1", "drain_time: expected a number of 0 or more"),
        ("zebra = 1", "zebra: unknown key; expected one of listen, domains"),
        ("runtime = 'asynio'", "there is no runtime 'asynio' here; did you mean asyncio?"),
        ("domains = ['sip:example.org']", "domains[0]: expected a domain name"),
        ("route = 'nowhere.py'", "route: there is no file nowhere.py"),
        ("[timers]\nt1 = 5", "timers.t1: expected at most timers.t2 (4); found 5"),
        ("[timers]\nc = 180", "timers.c: expected more than 180 (RFC 3261 16.6 step 11)"),
        ("[limits]\nhead_size = 99999", "limits.head_size: expected at most limits.message_size (65535)"),
        ("[log]\nlisten = []", "did you mean listen, at the top of the file before the first table?"),
        ("[registrar]\nmin_expires = 9999", "registrar: expected 0 <= min_expires"),
        ("[registrar]\nservice_route = [1]", "registrar.service_route[0]: expected a string"),
        ("listen = [", "not valid TOML"),
        ("a = 1\na = 2", "cannot overwrite a value; this key stands in this table already"),
        (
            "listen = [udp:127.0.0.1:5060]",
            'invalid value; a text stands in quotes, "like this"',
        ),
        ("[dispacher]", "dispacher: unknown table, and no module of this name is installed"),
        ("[dispacher]", "; did you mean dispatcher?"),
        ('workers = "two"', 'workers: expected a whole number or "auto"; found "two"'),
        ("when = 1979-05-27", "when: unknown key"),
        ("drain_time = 1979-05-27", "drain_time: expected a number; found date 1979-05-27"),
        ("a = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_one_fault(text: str, says: str) -> None:
    """Every kind of fault is one line with the expected value."""
    found = faults(text)
    assert len(found) == 1, found
    assert says in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize("key", sorted(ZERO_MEANS_OFF))
def test_zero_turns_off_where_it_is_said(key: str) -> None:
    """A limit of 0 refuses everything, so 0 is taken only where it has a meaning."""
    assert faults(f"{key} = 0") == []


def test_each_number_refuses_zero_or_says_what_it_means() -> None:
    """A new number in the core is either above 0 or somebody has decided otherwise."""
    for table, hint in keys_of(Settings).items():
        if is_dataclass(hint) and isinstance(hint, type):
            for name, kind in keys_of(hint).items():
                if kind in (int, float) and f"{table}.{name}" not in ZERO_MEANS_OFF:
                    assert faults(f"{table}.{name} = 0") != [], f"{table}.{name}"


def test_every_limit_is_a_key() -> None:
    """The operator can change each limit on peers."""
    assert set(keys_of(keys_of(Settings)["limits"])) == {field.name for field in fields(Limits)}


@given(st.text())
def test_any_text_gives_settings_or_faults(text: str) -> None:
    """No file makes the program fail in another way, and no fault spans two lines of the source text."""
    loaded = load_text(text)
    assert (loaded.settings is None) == bool(loaded.faults)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file is the operator's business, not a traceback."""
    with pytest.raises(OperatorError, match="no such file or directory"):
        load_file(tmp_path / "missing.toml")
    with pytest.raises(OperatorError, match="is a directory"):
        load_file(tmp_path)


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    """TOML is UTF-8; the line of the first other octet helps to find it."""
    file = tmp_path / "latin.toml"
    file.write_bytes(b"# one\n# \xe9\n")
    assert [fault.text("f") for fault in load_file(file).faults] == ["f:2: not UTF-8, which TOML requires"]


def test_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Some editors begin a file with one."""
    file = tmp_path / "bom.toml"
    file.write_bytes(b"\xef\xbb\xbfuvloop = false\n")
    assert load_file(file).faults == []


def test_route_is_relative_to_the_file(tmp_path: Path) -> None:
    """A service manager starts the server from another folder than the operator's."""
    (tmp_path / "mine.py").write_text("def route(request): ...\n")
    file = tmp_path / "sansip.toml"
    file.write_text('route = "mine.py"\n')
    loaded = load_file(file)
    assert loaded.settings is not None
    assert loaded.settings.route == str(tmp_path / "mine.py")


def test_certificates_are_relative_to_the_file(tmp_path: Path) -> None:
    """Like every other file that it names."""
    authority = Authority(tmp_path)
    authority.issue("server.pem", "example.org")
    authority.issue("net.pem", "example.net")
    file = tmp_path / "sansip.toml"
    file.write_text('[tls]\ncertificate = "server.pem"\nnames = ["example.net net.pem"]\n')
    loaded = load_file(file)
    assert loaded.faults == []
    assert loaded.settings is not None
    assert loaded.settings.tls.certificate == str(tmp_path / "server.pem")
    assert loaded.settings.tls.names == [f"example.net {tmp_path / 'net.pem'}"]


def test_records_are_relative_to_the_file(tmp_path: Path) -> None:
    """Records of calls that a service manager's working directory hides are lost to billing."""
    file = tmp_path / "sansip.toml"
    for text, records, spool in (
        ("[accounting]\n", tmp_path / "accounting.jsonl", ""),
        ('[accounting]\nfile = "cdr/calls"\nspool = "s"\n', tmp_path / "cdr/calls", str(tmp_path / "s")),
        ('[accounting]\nfile = "/var/log/calls"\n', "/var/log/calls", ""),
    ):
        file.write_text(f"[calls]\n{text}")
        loaded = load_file(file)
        assert loaded.settings is not None
        accounting = loaded.settings.modules["accounting"]
        assert (accounting.file, accounting.spool) == (str(records), spool)


def test_lines_of_keys() -> None:
    """A key is found by its dotted path, however it was written."""
    lines = KeyLines('a = 1\n"b".c = 2\n[t]\nd = 3\n  [t.u]\n  e.f = 4\n[[v]]\ng = 5\n')
    places = {
        "a": 1,
        "b": 2,
        "b.c": 2,
        "t": 3,
        "t.d": 4,
        "t.u.e.f": 6,
        "v.g": 8,
        "a[3]": 1,
        "t.d.x": 4,
        "t.d[1]": 4,
        "z": None,
    }
    assert {path: lines.find(path) for path in places} == places


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        ("tcp:127.0.0.1:5060", "ws:127.0.0.1:5060", "tcp+ws:127.0.0.1:5060"),
        ("tcp+ws:[::1]:5060", "ws+tcp:[::1]:5060", "tcp+ws:[::1]:5060"),
    ],
)
def test_two_listeners_on_one_port_are_to_be_one(one: str, other: str, joined: str) -> None:
    """The message has what to write instead."""
    (line,) = faults(f"listen = ['{one}', '{other}']\n")
    assert f"{other} and {one} cannot share a port so; choose another, or write {joined}" in line


def test_rows_of_a_file(tmp_path: Path) -> None:
    """A module's table in a CSV file is read with the configuration, and judged like it."""
    (tmp_path / "gateways.csv").write_text("uri,weight\nsip:192.0.2.1,3\n")
    text = (
        '[calls]\n[dispatcher]\nfile = "gateways.csv"\n[[dispatcher.destinations]]\nuri = "sip:192.0.2.2"\n'
    )
    loaded = load_text(text, tmp_path)
    assert loaded.faults == []
    assert loaded.settings is not None
    table = loaded.settings.modules["dispatcher"].destinations
    assert [(one.uri, one.weight) for one in table] == [("sip:192.0.2.2", 1), ("sip:192.0.2.1", 3)]


@pytest.mark.parametrize(
    ("csv", "said"),
    [
        (b"uri,weight\nsip:192.0.2.1,much\n", "gateways.csv:2:15: weight is 'much'; expected a whole number"),
        (b"uri\nsip:192.0.2.2\n", "destination sip:192.0.2.2 stands twice in group default"),
        (b"uri\n\xff\n", "gateways.csv:2: not UTF-8"),
        (None, "cannot read"),
    ],
)
def test_faults_of_such_a_file(tmp_path: Path, csv: bytes | None, said: str) -> None:
    """The fault names the file, its line and column, and the line of the configuration."""
    if csv is not None:
        (tmp_path / "gateways.csv").write_bytes(csv)
    text = (
        '[calls]\n[dispatcher]\nfile = "gateways.csv"\n[[dispatcher.destinations]]\nuri = "sip:192.0.2.2"\n'
    )
    (fault,) = load_text(text, tmp_path).faults
    assert (fault.line, fault.path) == (3, "dispatcher.file")
    assert said in fault.text("f")
