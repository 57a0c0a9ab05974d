"""Users as operators write them: addresses, passwords, and files of other programs.

Theory of operation: a user is one row of keys (HA1, one for each algorithm) for one name in one
realm. The realm is nearly always the domain. Phones that give their whole address as user name
need keys of their own (HA1B): a second row, whose name is ``user@domain``. A disabled user keeps
its keys with a ``!`` in front, as with ``passwd -l``: no answer to a challenge can match them.
"""

from __future__ import annotations

import csv
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import IO, Any

from sansip.auth import HASHES, ha1, hash_name
from sansip.wire.host import split_host_port
from sansip_server.faults import OperatorError
from sansip_server.stores import User

__all__ = [
    "FORMATS",
    "generate_password",
    "is_disabled",
    "keys_of",
    "named",
    "read_users",
    "split",
    "with_state",
]

FORMATS = ("csv", "json", "htdigest")
# Digits of each algorithm's HA1.
_SIZES = {"MD5": 32, "SHA-256": 64, "SHA-512-256": 64}
_DISABLED = "!"


def split(address: str, realm: str | None = None) -> tuple[str, str]:
    """Return user name and realm of ``user@domain``; ``realm``: its name if it is not the domain."""
    name, at, domain = address.removeprefix("sip:").rpartition("@")
    if not at or not name or not domain:
        raise OperatorError(f"{address!r} is not user@domain, like alice@example.org")
    if realm is not None:
        return name, realm
    # An IPv6 host has brackets in an address (RFC 3261 25.1), and none as a realm.
    host = split_host_port(domain)
    if host is not None and host[1] is not None:
        raise OperatorError(f"{address!r}: users belong to a domain or an address, without a port")
    return name, domain.lower().strip("[]")


def keys_of(name: str, realm: str, password: str) -> User:
    """Return the user with a key for each algorithm."""
    if not password:
        raise OperatorError("an empty password would let everybody in; give one")
    return User(name, realm, {algorithm: ha1(name, realm, password, algorithm) for algorithm in HASHES})


def generate_password() -> str:
    """Return a password of 20 letters and digits (119 bits), none of which looks like another."""
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "".join(secrets.choice(letters) for _ in range(20))


def named(user: User, domain: str) -> User | None:
    """Return the user of this second row (HA1B), without keys, or None for a first row."""
    name, at, behind = user.username.rpartition("@")
    return User(name, user.realm, {}) if at and name and behind.lower() == domain.lower() else None


def is_disabled(user: User) -> bool:
    """Whether the user is disabled: every password is wrong."""
    return any(key.startswith(_DISABLED) for key in user.keys.values())


def with_state(user: User, disabled: bool) -> User:
    """Return the user disabled or enabled."""
    keys = {name: key.lstrip(_DISABLED) for name, key in user.keys.items()}
    if disabled:
        keys = {name: _DISABLED + key for name, key in keys.items()}
    return User(user.username, user.realm, keys)


def read_users(file: IO[str], form: str | None) -> list[User]:
    """Return the users in ``file``; raise OperatorError naming the first line that is wrong.

    ``form`` is one of ``FORMATS``, or None to recognise the format: a first character ``[`` is
    JSON, a first line of three parts between colons is htdigest.
    """
    text = file.read()
    if form is None:
        begin = text.lstrip()[:1]
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        is_htdigest = bool(lines) and lines[0].count(":") == 2 and "," not in lines[0]
        form = "json" if begin in ("[", "{") else "htdigest" if is_htdigest else "csv"
    readers = {"csv": _csv, "json": _json, "htdigest": _htdigest}
    return list(readers[form](text))


def _csv(text: str) -> Iterator[User]:
    """Lines ``user@domain,password``."""
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) != 2:
            raise _wrong(f"line {number}", f"expected user@domain,password, got {len(row)} columns")
        yield keys_of(*split(row[0].strip()), row[1])


def _htdigest(text: str) -> Iterator[User]:
    """Lines ``user:realm:HA1`` of Apache's htdigest and others; the HA1 is MD5 by its length, or SHA-256."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        realm, _, key = rest.rpartition(":")
        algorithm = {32: "MD5", 64: "SHA-256"}.get(len(key.strip()))
        if not name or not realm or algorithm is None:
            raise _wrong(f"line {number}", "expected user:realm:HA1")
        yield User(name, realm, {algorithm: _checked(key.strip(), algorithm, f"line {number}")})


def _json(text: str) -> Iterator[User]:
    """An array of objects: user, domain or realm, and password or ha1 (an object by algorithm)."""
    try:
        rows: Any = json.loads(text)
    except ValueError as error:
        raise _wrong("the file", f"is no JSON: {error}") from None
    if not isinstance(rows, list):
        raise _wrong("the file", "expected an array of objects")
    for number, row in enumerate(rows, 1):
        where = f"object {number}"
        if not isinstance(row, dict) or not isinstance(row.get("user"), str):
            raise _wrong(where, 'expected {"user": …, "domain": …, "password": …}')
        realm = row.get("realm", row.get("domain"))
        if not isinstance(realm, str) or not realm or not row["user"]:
            raise _wrong(where, "has no domain (or realm)")
        password, keys = row.get("password"), row.get("ha1")
        if isinstance(password, str):
            user = keys_of(row["user"], realm, password)
        elif isinstance(keys, Mapping) and keys:
            user = User(row["user"], realm, _keys(keys, where))
        else:
            raise _wrong(where, 'has neither password nor ha1 ({"MD5": …})')
        yield with_state(user, bool(row.get("disabled")))


def _keys(given: Mapping[str, Any], where: str) -> dict[str, str]:
    keys = {}
    for algorithm, key in given.items():
        name = hash_name(algorithm)
        if name is None or not isinstance(key, str):
            raise _wrong(where, f"unknown algorithm {algorithm!r}; known are {', '.join(HASHES)}")
        keys[name] = _checked(key, name, where)
    return keys


def _checked(key: str, algorithm: str, where: str) -> str:
    if len(key) != _SIZES[algorithm] or set(key.lower()) - set("0123456789abcdef"):
        raise _wrong(where, f"an HA1 of {algorithm} has {_SIZES[algorithm]} hexadecimal digits")
    return key.lower()


def _wrong(where: str, problem: str) -> OperatorError:
    return OperatorError(f"{where}: {problem}; nothing was added")
