"""From the setup of a trace to the configuration of a stack.

Theory of operation: ``config`` lines name fields of the core's configuration in
kebab-case; a route is Python source, compiled here.
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points
from typing import Any

from sansip.auth import AuthConfig, Lookup, Users
from sansip.auth.algorithms import ha1
from sansip.config import ListenerConfig, StackConfig
from sansip.limits import Limits
from sansip.module import Use
from sansip.modules.keepalive import Keepalive, KeepaliveConfig
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from sansip.routing import Route
from sansip.routing.trust import TrustedPeer
from sansip.transaction import TimerValues
from sansip.transport.dns import DnsConfig
from sansip_conformance.trace import MSRP, Setup

__all__ = ["NAME_SERVER", "compile_route", "listeners_of", "place_of", "stack_config"]

_TIMERS = {"t1", "t2", "t4", "timer-c"}
_PROXY = {
    "force-rport",
    "plain-sips",
    "record-route",
    "tcp-above",
    "dialog-tokens",
    "extensions",
    "failover-time",
    "via-maddr",
}
_REGISTRAR = {
    "min-expires", "default-expires", "max-expires", "max-contacts", "on-full",
    "path", "path-from", "service-route",
    "repeat-time", "retry-after", "show-received", "raise-brief",
}  # fmt: skip
_AUTH = {"algorithms", "qop", "nonce-lifetime", "failures-per-user"}
_KEEPALIVE = {f"keepalive-{name}" for name in ("interval", "method", "who", "failures", "remove")}
_TOP = {"server-name", "trusted", "wall-offset"}
_LISTS = {"extensions", "service-route", "algorithms", "qop", "trusted"}


# The ports for transports that do not share the port of UDP and TCP.
PORTS = {"tls": 5061, "ws": 8080, "wss": 8443, "msrps": 2855, "msrp": 2856}
# The address of the name server in a trace with `dns` lines.
NAME_SERVER = ("192.0.2.53", 53)


def place_of(key: str) -> tuple[str, str]:
    """Return where a ``config`` key belongs: the part of ``StackConfig``, "" for itself, and the field."""
    field = key.replace("-", "_")
    if key in _TIMERS:
        return "timers", field.removeprefix("timer_")
    if key in _PROXY:
        return "proxy", field
    if key in _REGISTRAR:
        return "registrar", field
    if key in _AUTH:
        return "auth", field
    if key in _KEEPALIVE:
        return "keepalive", field.removeprefix("keepalive_")
    return ("" if key in _TOP else "limits"), field


def compile_route(source: str, name: str = "route") -> Route:
    """Return the function ``route`` that ``source`` defines. Raises ValueError when it defines none."""
    import sansip.proxy
    import sansip.routing

    scope: dict[str, Any] = {
        "Target": sansip.proxy.Target,
        "ask": sansip.routing.ask,
        "IncomingRequest": sansip.routing.IncomingRequest,
    }
    exec(compile("from __future__ import annotations\n" + source, f"<{name}>", "exec"), scope)
    route = scope.get("route")
    if route is None:
        raise ValueError("the route block defines no function called `route`")
    return route  # type: ignore[no-any-return]  # Any by design


def listeners_of(setup: Setup, host: str, port: int) -> list[ListenerConfig]:
    """Return the listeners of ``setup``: those it names, or one for each transport at ``host``.

    Where an endpoint speaks MSRP there is one for that as well.
    """
    spoken = {one for endpoint in setup.endpoints.values() for one in endpoint.transports if one in MSRP}
    places = setup.listen or [(one, host, PORTS.get(one, port)) for one in setup.transports]
    places = [*places, *((one, host, PORTS[one]) for one in sorted(spoken))]
    return [ListenerConfig(number, *one) for number, one in enumerate(places)]


def stack_config(setup: Setup, listeners: list[ListenerConfig]) -> StackConfig:
    """Return the configuration that ``setup`` describes."""
    parts: dict[str, dict[str, Any]] = {
        "timers": {},
        "proxy": {},
        "registrar": {},
        "limits": {},
        "keepalive": {},
        "auth": {},
        "": {},
    }
    for key, text in setup.config.items():
        part, field = place_of(key)
        if key in _LISTS:
            words = text.replace(",", " ").split()
            parts[part][field] = frozenset(words) if key == "extensions" else tuple(words)
        else:
            parts[part][field] = _value(text)
    known = {one.name for one in dataclasses.fields(Limits)}
    for field in parts["limits"]:
        if field not in known:
            raise ValueError(f"there is no limit {field}")
    top = parts[""]
    if "trusted" in top:
        top["trusted"] = [TrustedPeer(network) for network in top["trusted"]]
    if setup.users:
        top["auth"] = AuthConfig(**parts["auth"])
        top["users"] = _users(setup)
    if parts["keepalive"]:
        top["modules"] = [Use(Keepalive, KeepaliveConfig(**parts["keepalive"]))]
    if setup.modules:
        top["modules"] = [
            *top.get("modules", ()),
            *(_module(name, given) for name, given in setup.modules.items()),
        ]
    if setup.records:
        top["dns"] = DnsConfig(servers=[NAME_SERVER])
    if setup.route:
        top["route"] = compile_route(setup.route)
    return StackConfig(
        listeners,
        list(setup.domains),
        timers=TimerValues(**parts["timers"]),
        proxy=ProxyConfig(**parts["proxy"]),
        registrar=RegistrarConfig(**parts["registrar"]),
        limits=Limits(**parts["limits"]),
        **top,
    )


def _module(name: str, given: dict[str, str]) -> Use:
    """Return the module ``name`` with the settings of a trace. Raises ValueError where there is none."""
    for entry in entry_points(group="sansip.modules"):
        if entry.name == name:
            kind = entry.load()
            return Use(kind, kind.Settings(**{key: _value(text) for key, text in given.items()}))
    raise ValueError(f"there is no module {name}; `sansip modules` lists them")


def _users(setup: Setup) -> Users:
    """Return a look-up of the keys of ``setup``'s users, also under the names of a live run (alice-7)."""
    passwords = {(user.name, user.realm or setup.domains[0]): user.password for user in setup.users}

    def keys(lookup: Lookup) -> dict[str, str] | None:
        password = passwords.get((lookup.username.partition("-")[0], lookup.realm))
        if password is None:
            return None
        return {
            name: ha1(lookup.username, lookup.realm, password, name)
            for name in ("MD5", "SHA-256", "SHA-512-256")
        }

    return keys


def _value(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1].split(",")
    lowered = text.lower()
    if lowered in ("true", "yes", "on"):
        return True
    if lowered in ("false", "no", "off"):
        return False
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text.strip('"')
