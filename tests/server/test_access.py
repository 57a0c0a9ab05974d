"""Trusted peers, accounts, keys and secrets: from the configuration to the stack, and anew on SIGHUP."""

from __future__ import annotations

from pathlib import Path

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.auth import AuthConfig
from sansip.config import Reconfiguration
from sansip.modules.upstream import Upstreams
from sansip_server.access import Access
from sansip_server.announcing import say_who_lacks_users
from sansip_server.config.load import Loaded, load_file, load_text
from sansip_server.config.peers import accounts_of, read_keys
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from sansip_server.storage import Storage
from sansip_server.stores import User, open_store

CONFIG = """\
auth = "digest"
nonce_file = "nonces"
ephemeral_file = "secrets"

[[upstream]]
hosts = ["sip.carrier.test", "192.0.2.0/28"]
realm = "carrier.test"
username = "trunk"
password_file = "password"
register = "sip:trunk@carrier.test"
registrar = "sip:192.0.2.9"
contact_user = "alice"

[[trusted]]
address = "10.0.0.0/8"
name = "office"

[[trusted]]
address = "192.0.2.7"
transport = "tls"
relay = true
"""
KEY, OTHER = "k" * 32, "o" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sansip.toml").write_text(CONFIG)
    (tmp_path / "password").write_text("p\u00e4ss word\nnot this\n", "utf-8")
    (tmp_path / "nonces").write_text(f"# newest first\n{KEY}\n")
    (tmp_path / "secrets").write_text(f"{KEY}\n\n{OTHER}\n")
    return tmp_path


def settings_in(folder: Path) -> Settings:
    loaded = load_file(folder / "sansip.toml")
    assert loaded.settings is not None, loaded.faults
    return loaded.settings


def stack_of(access: Access) -> Stack:
    config = StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["biloxi.test"], auth=AuthConfig())
    access.configure(config)
    return Stack(config, b"s" * 16)


def test_from_the_file_to_the_stack(folder: Path) -> None:
    """File names are relative to the file; the password is the first line."""
    stack = stack_of(Access(settings_in(folder)))
    stack.time_passed(100.0)
    assert stack.modules.get(Upstreams).states() == {"sip:trunk@carrier.test": False}
    (account,) = stack.client.auth.accounts
    assert (account.realm, account.username, account.password) == ("carrier.test", "trunk", "p\u00e4ss word")
    assert account.serves("192.0.2.15")
    peer = stack.trusted.find("tls", "192.0.2.7", 1234)
    assert peer is not None
    assert peer.relay
    assert stack.trusted.find("udp", "192.0.2.7", 1234) is None
    assert stack.authenticator is not None
    assert stack.authenticator.ephemeral is not None


def test_read_again(folder: Path) -> None:
    """SIGHUP: peers, accounts, keys and secrets are new; a nonce made before stays good."""
    access = Access(settings_in(folder))
    stack = stack_of(access)
    assert stack.authenticator is not None
    ring = stack.authenticator._nonces
    made = ring.make("biloxi.test", "192.0.2.1", 1_700_000_000.0, 1.0)
    (folder / "sansip.toml").write_text(
        CONFIG.replace("10.0.0.0/8", "172.16.0.0/12").replace('"trunk"', '"other"')
    )
    (folder / "nonces").write_text(f"{OTHER}\n{KEY}\n")
    change = Reconfiguration()
    access.change(access.read(settings_in(folder)), change)
    stack.configure(change, 100.0)
    assert stack.trusted.find("udp", "10.0.0.1", 5060) is None
    assert stack.trusted.find("udp", "172.16.0.1", 5060) is not None
    assert stack.client.auth.accounts[0].username == "other"
    assert ring.read(made, "biloxi.test", None, 1_700_000_001.0) is not None


def test_what_is_as_before_is_no_change(folder: Path) -> None:
    """A reload does not forget the challenges that servers sent to our accounts."""
    access = Access(settings_in(folder))
    change = Reconfiguration()
    access.change(access.read(settings_in(folder)), change)
    assert change == Reconfiguration()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("nonces", "", "holds no key"),
        ("secrets", "short\n", "needs 16 or more"),
        ("password", "", "is empty"),
    ],
)
def test_a_slip_changes_nothing(file: str, text: str, said: str, folder: Path) -> None:
    """The error names the file and the fix."""
    access = Access(settings_in(folder))
    (folder / file).write_text(text)
    with pytest.raises(OperatorError, match=said):
        access.read(settings_in(folder))


def faults(text: str) -> list[str]:
    loaded: Loaded = load_text(text)
    return [fault.text("f") for fault in loaded.faults]


UPSTREAM = '[[upstream]]\nhosts = ["h"]\nrealm = "r"\nusername = "u"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[upstream]]\n", "f:1: upstream[0]: needs hosts, realm and username"),
        (UPSTREAM, "f:1: upstream[0]: needs one of password_file, password_env and ha1"),
        (UPSTREAM + 'ha1 = ["SHA3:00"]\n', "f:1: upstream[0]: expected ALGORITHM:HEXADECIMAL in ha1"),
        (UPSTREAM + 'ha1 = ["SHA-256:xy"]\n', "f:1: upstream[0]: expected ALGORITHM:HEXADECIMAL in ha1"),
        (UPSTREAM + 'password_env = "X"\nalgorithms = ["SHA3"]\n', "unknown digest algorithm 'SHA3'"),
        (
            '[[trusted]]\naddress = "::"\n[[trusted]]\naddress = "10.0.0.1/8"\n',
            "f:3: trusted[1]: expected an IP",
        ),
        ('[[trusted]]\naddress = "::"\n[[trusted]]\nadress = "::"\n', "did you mean trusted[1].address?"),
        ('[[trusted]]\naddress = "::"\nport = -1\n', "f:3: trusted[0].port: expected a number above 0"),
        ('[[trusted]]\naddress = "::"\ntransport = "UDP"\n', 'f:3: trusted[0].transport: expected "udp" or'),
        (UPSTREAM + 'password_env = "X"\nregister = "trunk"\n', "'trunk' is no SIP URI"),
        (
            UPSTREAM + 'password_env = "X"\nregister = "sip:u@x"\n',
            "hosts must have x, which is where register",
        ),
        (UPSTREAM + 'password_env = "X"\nregistrar = "sip:h"\n', "register (whose address) is missing"),
        ("[trusted]\n", "f:1: trusted: expected tables, each begun by [[trusted]]; found a table"),
        ('trusted = ["10.0.0.1"]\n', "f:1: trusted: expected tables"),
    ],
)
def test_faults(text: str, fault: str) -> None:
    """Each with its line, of the right table among several, and the expected value."""
    (found,) = faults(text)
    assert fault in found


def test_passwords_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_text(UPSTREAM + 'password_env = "SANSIP_TEST_PASSWORD"\n')
    assert loaded.settings is not None
    monkeypatch.delenv("SANSIP_TEST_PASSWORD", raising=False)
    with pytest.raises(OperatorError, match="set it to the password"):
        accounts_of(loaded.settings.upstream)
    monkeypatch.setenv("SANSIP_TEST_PASSWORD", "secret")
    assert accounts_of(loaded.settings.upstream)[0].password == "secret"


def test_ha1_in_place_of_a_password() -> None:
    loaded = load_text(UPSTREAM + 'ha1 = ["MD5:00FF", "SHA-256:aa"]\n')
    assert loaded.settings is not None
    (account,) = accounts_of(loaded.settings.upstream)
    assert (account.key("MD5"), account.key("SHA-256"), account.key("SHA-512-256")) == ("00ff", "aa", None)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The fix is one command."""
    with pytest.raises(OperatorError, match=r"nonce_file .*openssl rand -hex 32"):
        read_keys(tmp_path / "none", "nonce_file")


@pytest.mark.parametrize(
    ("realms", "said"),
    [
        ((), ["nobody can register in b.test yet: {store} has no user for it; `sansip user add NAME@b.test"]),
        (("b.test a.test",), []),
        (
            ("a.test x y", "b.test z"),
            ["add NAME@a.test --realm 'x y' --store", "add NAME@b.test --realm 'z'"],
        ),
    ],
)
def test_domains_without_users(
    realms: tuple[str, ...], said: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that waits for passwords, and has no users, names the missing command."""
    store = tmp_path / "users.db"
    storage = Storage(open_store(str(store)))
    try:
        storage._store.put_user(User("alice", "a.test", {"MD5": "0" * 32}))
        domains = ["a.test", "b.test"]
        settings = Settings(
            auth="digest", store=str(store), digest=AuthConfig(realms=realms), domains=domains
        )
        say_who_lacks_users(storage, settings, domains)
    finally:
        storage.close()
    assert len(caplog.messages) == len(said)
    for message, part in zip(caplog.messages, said, strict=True):
        assert part.format(store=store) in message


@pytest.mark.parametrize(("realm", "said"), [("192.0.2.10", 0), ("127.0.0.1", 0), ("elsewhere", 1)])
def test_addresses_without_users(
    realm: str, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a domain one address with users is enough: phones are given that one."""
    store = tmp_path / "users.db"
    storage = Storage(open_store(str(store)))
    try:
        storage._store.put_user(User("alice", realm, {"MD5": "0" * 32}))
        settings = Settings(auth="digest", store=str(store))
        say_who_lacks_users(storage, settings, ["192.0.2.10", "127.0.0.1"])
    finally:
        storage.close()
    assert len(caplog.messages) == said
    assert all("`sansip user add NAME@192.0.2.10 --store" in message for message in caplog.messages)
