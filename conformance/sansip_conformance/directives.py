"""The lines before the steps of a trace: its parties, and the setup of the server.

Theory of operation: one function for each directive, called with the text after its keyword. It
changes the trace being read, or raises TraceSyntaxError, which says what to write instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from sansip.transport.transports import TRANSPORTS
from sansip_conformance.lines import Lines
from sansip_conformance.trace import HTTP, MSRP, EndpointSetup, Registration, Trace, User

__all__ = ["CONFIG_KEYS", "DIRECTIVES", "TRANSPORTS", "known_party"]

# The keys that `config` may set; see ``sansip_conformance.setup``.
CONFIG_KEYS = (
    "t1", "t2", "t4",
    "timer-c", "record-route", "tcp-above", "dialog-tokens", "extensions", "min-expires",
    "default-expires", "max-expires", "max-contacts", "on-full", "path", "path-from",
    "service-route", "server-name", "max-breadth",
    "branches", "wall-offset", "connection-idle", "message-time", "first-data-time", "connect-time",
    "source-rate", "source-burst", "transactions", "connections", "connections-per-source", "uri-size",
    "header-count", "header-size", "head-size", "message-size", "via-count", "bindings-per-aor",
    "repeat-time", "failover-time", "force-rport", "plain-sips", "keepalive-interval",
    "keepalive-method", "keepalive-who", "keepalive-failures", "keepalive-remove",
    "answer-time", "route-steps", "retry-after", "show-received", "raise-brief",
    "algorithms", "qop", "nonce-lifetime", "failures-per-user", "trusted", "via-maddr",
)  # fmt: skip
DNS_TYPES = ("A", "AAAA", "SRV", "NAPTR", "CNAME")
# What an endpoint may speak.
_SPOKEN = (*TRANSPORTS, *MSRP, HTTP)
_SECTION = re.compile(r"RFC \d{3,5}(?: [A-Z0-9][\w.]*(?: .+)?)?")


def known_party(lines: Lines, trace: Trace, name: str) -> None:
    """Check that ``name`` is the server or an endpoint."""
    setup = trace.setup
    if name not in setup.endpoints and name != setup.server:
        known = [setup.server, *setup.endpoints]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"add `endpoint {name} udp`"
        raise lines.fail(f"nobody is called {name}; {hint}")


def number_of(lines: Lines, word: str) -> float:
    """Return ``word`` as seconds."""
    try:
        return float(word)
    except ValueError:
        raise lines.fail(f"`{word}` is not a number of seconds") from None


def _title(lines: Lines, trace: Trace, rest: str) -> None:
    trace.title = rest


def sections_of(lines: Lines, rest: str) -> tuple[str, ...]:
    """Return the sections that an ``rfc:`` line names."""
    sections = tuple(part.strip() for part in rest.split(";") if part.strip())
    for section in sections:
        if not _SECTION.fullmatch(section):
            raise lines.fail(f"cannot read the section `{section}`; write `RFC 3261 16.6 step 3`")
    if not sections:
        raise lines.fail("rfc: names no section; write `rfc: RFC 3261 16.6 step 3`")
    return sections


def _level(lines: Lines, trace: Trace, rest: str) -> None:
    if rest not in ("MUST", "SHOULD", "MAY", "policy"):
        raise lines.fail(f"level {rest}; expected MUST, SHOULD, MAY or policy")
    trace.level = rest


def _covers(lines: Lines, trace: Trace, rest: str) -> None:
    trace.covers += tuple(part for part in re.split(r"[,\s]+", rest) if part)


def _loose(lines: Lines, trace: Trace, rest: str) -> None:
    trace.loose = True


def _tolerance(lines: Lines, trace: Trace, rest: str) -> None:
    trace.tolerance = number_of(lines, rest)


def _needs(lines: Lines, trace: Trace, rest: str) -> None:
    trace.needs.append(rest)


def _server(lines: Lines, trace: Trace, rest: str) -> None:
    setup = trace.setup
    words = rest.split()
    if not words:
        raise lines.fail("server needs a name; write `server proxy udp tcp`")
    setup.server = words[0]
    transports, address = _transports(lines, words[1:], tuple(TRANSPORTS))
    setup.transports = transports or ["udp", "tcp"]
    setup.address = address


def _listen(lines: Lines, trace: Trace, rest: str) -> None:
    match = re.fullmatch(rf"({'|'.join(TRANSPORTS)}) (\S+):(\d+)", rest)
    if match is None:
        raise lines.fail("write `listen udp 192.0.2.1:5060`, or `listen tcp [2001:db8::1]:5060`")
    setup = trace.setup
    setup.listen.append((match[1], match[2].strip("[]"), int(match[3])))
    setup.transports = list(dict.fromkeys(one[0] for one in setup.listen))


def _transports(lines: Lines, words: list[str], known: tuple[str, ...]) -> tuple[list[str], str | None]:
    transports: list[str] = []
    address = None
    for word in words:
        word = word.strip(",")
        if word in known:
            transports.append(word)
        elif re.fullmatch(r"(?:[\d.]+|\[[0-9a-f:.]+\]):\d+", word):
            address = word
        else:
            raise lines.fail(
                f"`{word}` is no transport ({', '.join(known)}) and no address like 192.0.2.1:5060"
            )
    return transports, address


def _domain(lines: Lines, trace: Trace, rest: str) -> None:
    trace.setup.domains += rest.replace(",", " ").split()


def _endpoint(lines: Lines, trace: Trace, rest: str) -> None:
    head, _, aor = rest.partition(" as ")
    words = head.split()
    if not words:
        raise lines.fail("endpoint needs a name; write `endpoint alice udp`")
    names = []
    while words and words[0].strip(",") not in _SPOKEN and re.fullmatch(r"[A-Za-z][\w-]*,?", words[0]):
        names.append(words.pop(0).strip(","))
    transports, address = _transports(lines, words, _SPOKEN)
    for name in names:
        trace.setup.endpoints[name] = EndpointSetup(name, transports or ["udp"], address, aor.strip() or None)


def _register(lines: Lines, trace: Trace, rest: str) -> None:
    line = lines.at
    match = re.fullmatch(r"([\w-]+)(?:\s+as\s+(\S+))?((?:;\S+)?)", rest)
    if match is None:
        raise lines.fail(f"cannot read `register {rest}`; write `register bob as sip:team@biloxi.test;q=0.5`")
    name, aor, params = match[1], match[2], match[3]
    if aor and ";" in aor:
        aor, _, params = aor.partition(";")
        params = f";{params}"
    block = lines.block()
    headers = [(one.name, one.value) for one in block.lines if one.kind == "header"]
    known_party(lines, trace, name)
    trace.setup.registrations.append(Registration(name, aor, headers, params, line))


def _user(lines: Lines, trace: Trace, rest: str) -> None:
    match = re.fullmatch(r"(\S+) (\S+)(?: realm (\S+))?", rest)
    if match is None:
        raise lines.fail("write `user alice PASSWORD`, or `user alice PASSWORD realm biloxi.test`")
    trace.setup.users.append(User(match[1], match[2], match[3]))


def _config(lines: Lines, trace: Trace, rest: str) -> None:
    key, equals, value = rest.partition("=")
    key = key.strip()
    if not equals or key not in CONFIG_KEYS:
        near = difflib.get_close_matches(key, CONFIG_KEYS, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(CONFIG_KEYS)}"
        raise lines.fail(f"`config {rest}`: {hint} Write `config t1 = 0.5`")
    trace.setup.config[key] = value.strip()


def _module(lines: Lines, trace: Trace, rest: str) -> None:
    name, _, given = rest.partition(" ")
    words = given.split()
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if not name or len(settings) < len(words):
        raise lines.fail(f"`module {rest}`: write `module events open=true`")
    trace.setup.modules[name] = settings


def _route(lines: Lines, trace: Trace, rest: str) -> None:
    block = lines.indented()
    if not block:
        raise lines.fail("route needs Python below it, indented: a function `route(request)`")
    trace.setup.route = "\n".join(block) + "\n"


def _text(lines: Lines, trace: Trace, rest: str) -> None:
    block = lines.indented()
    if not re.fullmatch(r"[A-Za-z][\w-]*", rest) or not block:
        raise lines.fail("write `text friends` and the text below it, indented")
    trace.setup.texts[rest] = "\n".join(block)


def _name(lines: Lines, trace: Trace, rest: str) -> None:
    name, equals, addresses = rest.partition("=")
    if not equals:
        raise lines.fail("write `name gateway.test = bob, carol`")
    trace.setup.names[name.strip().lower()] = addresses.replace(",", " ").split()


def _dns(lines: Lines, trace: Trace, rest: str) -> None:
    match = re.fullmatch(rf"(\S+) (?:(silent|failing)|({'|'.join(DNS_TYPES)}) (\S.*))", rest)
    if match is None:
        raise lines.fail(
            "write `dns gw.test A bob`, `dns _sip._udp.gw.test SRV 10 5 5060 one.gw.test`, "
            '`dns gw.test NAPTR 50 50 "s" "SIP+D2U" "" _sip._udp.gw.test` or `dns gw.test silent`'
        )
    name, mood, kind, data = match.groups()
    trace.setup.records.append((name.lower().rstrip("."), mood or kind, data or ""))


# keyword -> the function that reads it
DIRECTIVES: dict[str, Callable[[Lines, Trace, str], None]] = {
    "title": _title,
    "level": _level,
    "covers": _covers,
    "loose": _loose,
    "tolerance": _tolerance,
    "needs": _needs,
    "server": _server,
    "listen": _listen,
    "domain": _domain,
    "endpoint": _endpoint,
    "register": _register,
    "user": _user,
    "config": _config,
    "module": _module,
    "route": _route,
    "text": _text,
    "name": _name,
    "dns": _dns,
}
