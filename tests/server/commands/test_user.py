"""``sansip user`` and ``sansip ha1``: users in, keys out, passwords nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sansip.auth import Ephemeral, Lookup, ha1
from sansip_server.cli import sansip
from sansip_server.faults import OperatorError
from sansip_server.stores import open_store
from sansip_server.users import split


def run(*words: str, input: str = "") -> tuple[int, str]:
    """Run a command with ``input`` on standard input."""
    result = CliRunner().invoke(sansip, list(words), input=input)
    return result.exit_code, result.output


def test_ha1_and_ha1b() -> None:
    """RFC 2617 3.5's HA1; HA1B has user@realm as its user name."""
    status, output = run("ha1", "Mufasa", "testrealm@host.com", "--with-domain", input="Circle Of Life\n")
    assert status == 0
    assert "HA1: 939e7578ed9e3c518a452acee763bce9" in output
    assert "HA1B: " in output


def test_ha1_of_another_algorithm() -> None:
    """RFC 7616 3.9.1's HA1 with SHA-256."""
    status, output = run(
        "ha1", "Mufasa", "http-auth@example.org", "--algorithm", "sha-256", "--json", input="Circle of Life\n"
    )
    assert status == 0
    assert json.loads(output)["HA1"] == "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"


def test_unknown_algorithm() -> None:
    """One line that names what there is."""
    status, output = run("ha1", "a", "b", "--algorithm", "SHA-3", input="x\n")
    assert status == 2
    assert "SHA-256" in output


def test_life_of_a_user(tmp_path: Path) -> None:
    """Add, list, change, remove; each repeated step says what to do instead."""
    store = str(tmp_path / "users.db")
    assert run("user", "add", "alice@Biloxi.test", "--store", store, input="secret\n")[0] == 0
    status, output = run("user", "add", "alice@biloxi.test", "--store", store, input="secret\n")
    assert status == 2
    assert "passwd" in output
    assert run("user", "passwd", "alice@biloxi.test", "--store", store, input="other\n")[0] == 0
    status, output = run("user", "list", "--json", "--store", store)
    assert json.loads(output) == [
        {
            "user": "alice",
            "domain": "biloxi.test",
            "algorithms": ["MD5", "SHA-256", "SHA-512-256"],
            "with_domain": False,
            "disabled": False,
        }
    ]
    assert run("user", "remove", "alice@biloxi.test", "--store", store)[0] == 0
    assert run("user", "remove", "alice@biloxi.test", "--store", store)[0] == 2
    assert b"secret" not in Path(store).read_bytes()


def test_import(tmp_path: Path) -> None:
    """Many at once, from CSV; a bad line adds no user."""
    store = str(tmp_path / "users.db")
    status, output = run("user", "import", "--store", store, input="a@b.test,one\n# comment\nc@b.test,two\n")
    assert status == 0
    assert "added 2" in output
    status, output = run("user", "import", "--store", store, input="d@b.test,three\noops\n")
    assert status == 2
    assert "line 2" in output
    assert json.loads(run("user", "list", "--json", "--store", store)[1]) != []
    assert "d" not in [one["user"] for one in json.loads(run("user", "list", "--json", "--store", store)[1])]


@pytest.mark.parametrize("address", ["alice", "@b", "alice@"])
def test_not_an_address(tmp_path: Path, address: str) -> None:
    """The error names the expected form, user@domain."""
    status, output = run("user", "add", address, "--store", str(tmp_path / "u.db"), input="x\n")
    assert status == 2
    assert "user@domain" in output


def test_empty_password(tmp_path: Path) -> None:
    """An empty password is refused."""
    assert run("user", "add", "a@b.test", "--store", str(tmp_path / "u.db"), input="\n")[0] == 2


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "users.db")


def listed(store: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("user", "list", "--json", "--store", store)[1])
    return found


def keys(store: str, name: str, realm: str = "biloxi.test") -> dict[str, str] | None:
    """Return the key that the server finds for a user."""
    opened = open_store(store)
    try:
        found = opened.lookup([Lookup(name, realm)])[0]
        return None if found is None else dict(found)
    finally:
        opened.close()


def test_the_whole_address_as_name(store: str) -> None:
    """HA1B is a row of its own that the operator need not know: changed and removed with its user."""
    assert (
        run("user", "add", "alice@biloxi.test", "--with-domain", "--store", store, input="secret\n")[0] == 0
    )
    for password in ("secret", "other"):
        for name in ("alice", "alice@biloxi.test"):
            found = keys(store, name)
            assert found is not None
            assert found["MD5"] == ha1(name, "biloxi.test", password)
        run("user", "passwd", "alice@biloxi.test", "--store", store, input="other\n")
    assert [(row["user"], row["with_domain"]) for row in listed(store)] == [("alice", True)]
    assert run("user", "remove", "alice@biloxi.test", "--store", store)[0] == 0
    assert keys(store, "alice@biloxi.test") is None
    assert run("user", "list", "--store", store)[1].startswith("no users; `sansip user add")


def test_disabled(store: str) -> None:
    """No password is right, a new one neither, until the user is enabled; the keys come back as they were."""
    run("user", "add", "alice@biloxi.test", "--store", store, input="secret\n")
    before = keys(store, "alice")
    assert run("user", "disable", "alice@biloxi.test", "--store", store)[0] == 0
    assert run("user", "disable", "alice@biloxi.test", "--store", store)[0] == 0
    locked = keys(store, "alice")
    assert locked is not None
    assert before is not None
    assert not set(locked.values()) & set(before.values())
    assert run("user", "list", "--store", store)[1] == (
        "alice@biloxi.test  MD5, SHA-256, SHA-512-256  disabled\n"
    )
    run("user", "passwd", "alice@biloxi.test", "--store", store, input="secret\n")
    assert keys(store, "alice") == locked
    assert run("user", "enable", "alice@biloxi.test", "--store", store)[0] == 0
    assert keys(store, "alice") == before


def test_a_password_made_up(store: str) -> None:
    """Alone on standard output, for a script; another one each time."""
    made = []
    for command in ("add", "passwd"):
        result = CliRunner().invoke(
            sansip, ["user", command, "alice@biloxi.test", "--generate", "--store", store]
        )
        assert result.exit_code == 0
        made.append(result.stdout.strip())
        found = keys(store, "alice")
        assert found is not None
        assert found["SHA-256"] == ha1("alice", "biloxi.test", made[-1], "SHA-256")
    assert len(set(made)) == 2
    assert all(len(password) == 20 and password.isalnum() for password in made)
    status, output = run(
        "user", "passwd", "alice@biloxi.test", "--generate", "--password", "x", "--store", store
    )
    assert (status, "contradict" in output) == (2, True)


def test_a_realm_with_another_name(store: str) -> None:
    """Case and blanks are part of it: the keys of phones are made with it."""
    status, _ = run(
        "user", "add", "alice@biloxi.test", "--realm", "As Terisk", "--store", store, input="secret\n"
    )
    assert status == 0
    found = keys(store, "alice", "As Terisk")
    assert found is not None
    assert found["MD5"] == ha1("alice", "As Terisk", "secret")
    assert run("user", "remove", "alice@biloxi.test", "--store", store)[0] == 2
    assert run("user", "remove", "alice@biloxi.test", "--realm", "As Terisk", "--store", store)[0] == 0


MD5 = ha1("alice", "biloxi.test", "secret")
SHA256 = ha1("alice", "biloxi.test", "secret", "SHA-256")


@pytest.mark.parametrize(
    ("text", "algorithms"),
    [
        ("# who\nalice@biloxi.test,secret\n", ["MD5", "SHA-256", "SHA-512-256"]),
        (
            '[{"user": "alice", "domain": "biloxi.test", "password": "secret"}]',
            ["MD5", "SHA-256", "SHA-512-256"],
        ),
        (
            json.dumps([{"user": "alice", "realm": "biloxi.test", "ha1": {"sha-256": SHA256.upper()}}]),
            ["SHA-256"],
        ),
        (f"alice:biloxi.test:{MD5}\n", ["MD5"]),
        (f"\nalice:biloxi.test:{SHA256}\n", ["SHA-256"]),
    ],
)
def test_formats(text: str, algorithms: list[str], store: str) -> None:
    """Each format is told by its beginning, and gives the same keys."""
    status, output = run("user", "import", "--store", store, input=text)
    assert (status, "added 1, replaced 0" in output) == (0, True), output
    found = keys(store, "alice")
    assert found is not None
    assert list(found) == algorithms
    assert set(found.values()) <= {MD5, SHA256, ha1("alice", "biloxi.test", "secret", "SHA-512-256")}
    assert "added 0, replaced 1" in run("user", "import", "--store", store, input=text)[1]


@pytest.mark.parametrize(
    ("form", "text", "fault"),
    [
        ("csv", "alice@biloxi.test,a,b\n", "line 1: expected user@domain,password, got 3 columns"),
        ("csv", "alice,secret\n", "'alice' is not user@domain, like alice@example.org"),
        ("csv", "alice@biloxi.test,\n", "an empty password"),
        ("htdigest", "alice:biloxi.test:12\n", "line 1: expected user:realm:HA1"),
        ("htdigest", f"alice:biloxi.test:{'x' * 32}\n", "has 32 hexadecimal digits"),
        ("json", "{", "is no JSON"),
        ("json", "{}", "expected an array"),
        ("json", '[{"user": 1}]', "object 1: expected"),
        ("json", '[{"user": "a"}]', "object 1: has no domain"),
        ("json", '[{"user": "a", "domain": "b"}]', "neither password nor ha1"),
        ("json", '[{"user": "a", "domain": "b", "ha1": {"SHA-3": "00"}}]', "unknown algorithm 'SHA-3'"),
        ("json", '[{"user": "a", "domain": "b", "ha1": {"MD5": "00"}}]', "32 hexadecimal digits"),
    ],
)
def test_import_of_what_is_wrong(form: str, text: str, fault: str, store: str) -> None:
    """The line is named, and nothing was added."""
    good = {"csv": "zoe@biloxi.test,z\n", "htdigest": f"zoe:biloxi.test:{MD5}\n", "json": ""}[form]
    status, output = run("user", "import", "--format", form, "--store", store, input=good + text)
    fault = fault.replace("line 1", "line 2")
    assert (status, fault in output) == (2, True), output
    assert not Path(store).exists()


def test_a_password_for_an_hour(tmp_path: Path) -> None:
    """The credentials that a web application gives its page, as the server's ``ephemeral_file`` has them."""
    secrets = tmp_path / "secrets"
    secrets.write_text("0123456789abcdef\nolder0123456789abcdef\n")
    status, output = run("user", "ephemeral", "alice", "--secret-file", str(secrets), "--ttl", "60", "--json")
    assert status == 0
    made = json.loads(output)
    expiry = int(made["username"].partition(":")[0])
    assert made == {
        "username": f"{expiry}:alice",
        "password": Ephemeral([b"0123456789abcdef"]).make("alice", expiry)[1],
        "ttl": 60,
    }
    status, output = run(
        "user", "ephemeral", "alice", "--secret-file", str(secrets), "--algorithm", "SHA-256"
    )
    assert (
        output.splitlines()[1]
        == (Ephemeral([b"0123456789abcdef"]).make("alice", int(output.partition(":")[0]), "SHA-256")[1])
    )
    assert run("user", "ephemeral", "alice@biloxi.test", "--secret-file", str(secrets))[0] == 2
    status, output = run("user", "ephemeral", "alice", "--secret-file", str(tmp_path / "none"))
    assert (status, "openssl rand" in output) == (2, True)


@pytest.mark.parametrize(
    ("address", "name", "realm"),
    [
        ("alice@192.168.1.10", "alice", "192.168.1.10"),
        ("alice@[2001:DB8::1]", "alice", "2001:db8::1"),
        ("sip:alice@Example.ORG", "alice", "example.org"),
    ],
)
def test_where_users_belong(address: str, name: str, realm: str) -> None:
    """The realm is what the server asks in: an IPv6 address without its brackets."""
    assert split(address) == (name, realm)


@pytest.mark.parametrize("address", ["alice@192.168.1.10:5060", "alice@[::1]:5060", "alice@example.org:5060"])
def test_no_port(address: str) -> None:
    """An operator who copies the port from a phone's settings is told of it, and gets no useless user."""
    with pytest.raises(OperatorError, match="without a port"):
        split(address)


@pytest.mark.parametrize(
    "words",
    [("list",), ("list", "--json"), ("remove", "a@b"), ("disable", "a@b"), ("passwd", "a@b", "--generate")],
)
def test_who_only_looks_makes_no_store(words: tuple[str, ...], tmp_path: Path) -> None:
    """An empty list and a new file would hide a slip in the name of the store."""
    path = tmp_path / "other.db"
    status, output = run("user", *words, "--store", str(path))
    assert status == 2
    assert output.startswith(f"sansip: store {path}: there is no such file; `sansip user add` makes it")
    assert list(tmp_path.iterdir()) == []
