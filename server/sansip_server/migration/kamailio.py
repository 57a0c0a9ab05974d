"""Converts Kamailio's tables to users, bindings, and lines of configuration.

Theory of operation: each table has a function that converts one row, or raises ``Left`` with the
reason why it converts to nothing. No function here reads a database or writes to a store, so a
test can try every rule on a dict. Columns are those of Kamailio 5.6's own scripts; an older
database lacks some, which count as empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sansip.auth import HASHES, ha1
from sansip.errors import RemoteProtocolError
from sansip.location import Binding, address_of_record, read_source
from sansip.transport.transports import ONE_WAY
from sansip.wire import SipUri, parse_uri
from sansip.wire.uri import escape_user
from sansip.wire.values import split_values
from sansip_server.stores import User

__all__ = ["Left", "Row", "binding_of", "domain_of", "trusted_of", "upstream_of", "users_of"]

Row = Mapping[str, Any]

# Days between the beginning of the Julian calendar and 1970, for SQLite's dates.
_JULIAN_1970 = 2_440_587.5
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
# Hash by length of its hexadecimal text, as Kamailio's auth module tells them apart.
_HASH_OF_LENGTH = {32: "MD5", 64: "SHA-256"}


class Left(Exception):
    """The import leaves a row out; the text says why."""


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _domain(row: Row, default: str | None, column: str = "domain") -> str:
    domain = _text(row, column).lower() or (default or "").lower()
    if not domain:
        raise Left("no domain (use_domain = 0 in Kamailio); name it with --domain")
    return domain


def _key(text: str) -> dict[str, str]:
    if not text:
        return {}
    algorithm = _HASH_OF_LENGTH.get(len(text))
    if algorithm is None or not _HEXADECIMAL.fullmatch(text):
        raise Left("its ha1 is neither MD5 nor SHA-256 in hexadecimal")
    return {algorithm: text.lower()}


def users_of(row: Row, default: str | None) -> list[User]:
    """Return the users of a row of ``subscriber``: one, or two if it has ``ha1b``.

    ``ha1b`` is the key of a phone that calls itself ``user@domain``, so it becomes a user of
    that name. A password is hashed with every algorithm, and not kept.
    """
    name, realm, password = _text(row, "username"), _domain(row, default), str(row.get("password") or "")
    if not name:
        raise Left("no user name")
    keys = _key(_text(row, "ha1"))
    if password:
        hashed = {algorithm: ha1(name, realm, password, algorithm) for algorithm in HASHES}
        if any(hashed[algorithm] != key for algorithm, key in keys.items()):
            raise Left("its ha1 is not that of its password in the realm of its domain")
        keys = hashed
    if not keys:
        raise Left("neither ha1 nor password")
    users = [User(name, realm, keys)]
    with_domain = _key(_text(row, "ha1b"))
    if with_domain:
        long = f"{name}@{realm}"
        if password:
            with_domain = {algorithm: ha1(long, realm, password, algorithm) for algorithm in HASHES}
        users.append(User(long, realm, with_domain))
    return users


def unix_time(value: Any) -> float:
    """Return the Unix time of a date as a database gives it; ``math.inf`` for none.

    Kamailio writes Julian days in UTC to SQLite, and its machine's local time elsewhere:
    this machine's, we assume.
    """
    if isinstance(value, int | float):
        return math.inf if value <= _JULIAN_1970 else (value - _JULIAN_1970) * 86_400
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise Left(f"a date that is none: {value}") from None
    if not isinstance(value, datetime):
        raise Left(f"a date that is none: {value}")
    # The year 1970 stands for 0: a contact that an administrator made permanent.
    return math.inf if value.year <= 1970 else value.timestamp()


def binding_of(row: Row, default: str | None, now: float) -> Binding:
    """Return the binding of a row of ``location``, with Unix times.

    Its socket is not kept: the server chooses the listener anew for each request.
    """
    name, domain = _text(row, "username"), _domain(row, default)
    contact = _text(row, "contact")
    try:
        uri = parse_uri(contact)
        target = f"{escape_user(name)}@{domain}" if name else domain
        named = parse_uri(f"sip:{target}")
    except RemoteProtocolError as error:
        raise Left(f"contact or address is no URI: {error.reason}") from None
    expires = unix_time(row.get("expires"))
    if expires <= now:
        raise Left("expired")
    if isinstance(uri, SipUri) and uri.transport in ONE_WAY:
        raise Left("its WebSocket leads to Kamailio; the phone registers here when it connects here")
    q = row.get("q")
    instance = _text(row, "instance").strip('"').removeprefix("<").removesuffix(">")
    modified = unix_time(row.get("last_modified") or 0)
    refreshed = now if modified == math.inf else min(modified, now)
    return Binding(
        address_of_record(named),
        contact,
        expires,
        _text(row, "callid"),
        int(row.get("cseq") or 0),
        q=None if q is None or float(q) < 0 else min(round(float(q) * 1000), 1000),
        registered_at=refreshed,
        refreshed_at=refreshed,
        path=tuple(split_values(_text(row, "path"))) if _text(row, "path") else (),
        instance=instance or None,
        reg_id=int(row.get("reg_id") or 0) or None,
        received=read_source(_text(row, "received")),
        user_agent=_text(row, "user_agent") or None,
    )


def domain_of(row: Row) -> str:
    """Return the name in a row of ``domain``."""
    domain = _text(row, "domain").lower()
    if not domain:
        raise Left("no domain")
    return domain


def trusted_of(row: Row) -> str:
    """Return the ``[[trusted]]`` table for a row of ``address``."""
    from sansip_server.config.peers import TrustedSettings

    address, mask = _text(row, "ip_addr"), row.get("mask")
    bits = 128 if ":" in address else 32
    network = address if mask is None or int(mask) >= bits else f"{address}/{int(mask)}"
    port = int(row.get("port") or 0)
    name = _text(row, "tag") or f"group {row.get('grp', 1)}"
    try:
        TrustedSettings(address=network, port=port or None, name=name)
    except ValueError as error:
        raise Left(str(error)) from None
    lines = ["[[trusted]]", f"address = {_quoted(network)}"]
    if port:
        lines.append(f"port = {port}")
    return "\n".join([*lines, f"name = {_quoted(name)}"])


def upstream_of(row: Row) -> str:
    """Return the ``[[upstream]]`` table for a row of ``uacreg``."""
    from sansip_server.config.peers import UpstreamSettings

    username, realm = _text(row, "auth_username") or _text(row, "r_username"), _text(row, "realm")
    domain, password = _text(row, "r_domain"), str(row.get("auth_password") or "")
    realm = realm or domain
    keys = [f"{name}:{key}" for name, key in _key(_text(row, "auth_ha1")).items()]
    if password and not keys:
        keys = [f"{name}:{ha1(username, realm, password, name)}" for name in HASHES]
    if not keys:
        raise Left("neither auth_ha1 nor auth_password")
    proxy = _text(row, "auth_proxy")
    hosts = [domain]
    try:
        uri = parse_uri(proxy) if proxy else None
        if isinstance(uri, SipUri) and uri.host not in hosts:
            hosts.append(uri.host)
        values: dict[str, Any] = {
            "hosts": hosts,
            "realm": realm,
            "username": username,
            "ha1": keys,
            "register": f"sip:{_text(row, 'r_username')}@{domain}",
        }
        if proxy:
            values["registrar"] = proxy
        if _text(row, "l_username"):
            values["contact_user"] = _text(row, "l_username")
        if int(row.get("expires") or 0):
            values["expires"] = int(row["expires"])
        UpstreamSettings(**values)
    except (ValueError, RemoteProtocolError) as error:
        raise Left(str(error)) from None
    return "\n".join(["[[upstream]]", *(f"{name} = {_toml(value)}" for name, value in values.items())])


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    """Return ``text`` as a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
