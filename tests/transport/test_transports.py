"""The table of transports: what the rest of the tree takes for granted, and that it takes it from there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from sansip.transport.transports import (
    DATAGRAMS,
    DEFAULT_PORTS,
    FRAMED,
    ON_TCP,
    ONE_WAY,
    PARAMETERS,
    SECURE,
    SECURED,
    TRANSPORTS,
    UNRELIABLE,
    TransportName,
)
from sansip_server.commands.ping import PINGED

ROOT = Path(__file__).parents[2]
TABLE = "sansip/transport/transports.py"
PING = "server/sansip_server/commands/ping.py"
# (file, literal): why it stands there, or is no transport.
OTHERS = {
    **{(PING, name): "choices that `--help` shows without loading the engine" for name in PINGED},
    ("server/sansip_server/config/load.py", "tls"): "the table [tls] of the configuration",
    ("server/sansip_server/reload.py", "tls"): "the table [tls] of the configuration",
}


def test_ports() -> None:
    """An address without a port goes to these: another one would reach nobody."""
    # RFC 3261 19.1.2, RFC 4168 6, RFC 7118 5
    assert DEFAULT_PORTS == {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443, "sctp": 5060}


def test_properties() -> None:
    """Each set decides one thing: the resending, the transports of a sips URI, the framing."""
    # RFC 3261 17: only UDP needs SIP's own retransmissions.
    assert set(UNRELIABLE) == {"udp"}
    # RFC 3261 26.2.2
    assert {"tls", "wss"} == SECURE
    # RFC 4168 4, RFC 7118 5.1
    assert {"udp", "ws", "wss", "sctp"} == FRAMED
    # RFC 7118 5
    assert {"ws", "wss"} == ONE_WAY
    assert set(DATAGRAMS) == {"udp"}
    # One port number for all of these.
    assert {"tcp", "tls", "ws", "wss"} == ON_TCP


def test_what_a_sips_uri_makes_of_them() -> None:
    """It must never go out in the clear; an unknown transport is refused."""
    # RFC 3261 26.2.2, RFC 7118 5.1, RFC 4168 4
    assert SECURED == {
        "udp": "tls",
        "tcp": "tls",
        "tls": "tls",
        "ws": "wss",
        "wss": "wss",
        "sctp": "tls-sctp",
    }
    assert all(one in SECURE or one not in TRANSPORTS for one in SECURED.values())


def test_how_a_uri_names_them() -> None:
    """Peers read it in Via's neighbours: Contact, Record-Route and Path."""
    # RFC 7118 5.2: a secure WebSocket is transport=ws.
    assert PARAMETERS == {
        "udp": "",
        "tcp": ";transport=tcp",
        "tls": ";transport=tls",
        "ws": ";transport=ws",
        "wss": ";transport=ws",
        "sctp": ";transport=sctp",
    }


@pytest.mark.parametrize("name", TRANSPORTS)
def test_names(name: str) -> None:
    """A row stands under its own name, and is over something that the kernel has."""
    row = TRANSPORTS[name]
    assert row.name == name
    assert row.over in ("udp", "tcp", "sctp")
    assert bool(row.inside) is row.secure
    assert name in get_args(TransportName)


def test_what_is_pinged() -> None:
    """`sansip ping` writes them down; it has no client for SCTP."""
    assert [name for name in TRANSPORTS if name != "sctp"] == PINGED


def test_tokens_count_the_rows() -> None:
    """A flow token has the number of a row: tokens that phones hold outlive an upgrade."""
    assert list(TRANSPORTS)[:6] == ["udp", "tcp", "tls", "ws", "wss", "sctp"]


def literals(text: str) -> Iterator[tuple[int, str | int]]:
    """Yield (line, value) for each name of a transport, and each port of one, that stands in ``text``."""
    tree = ast.parse(text)
    # Types have to be written out: what a setting takes is checked against them.
    typed = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"
        for inner in ast.walk(node)
    }
    known: set[str | int] = {*TRANSPORTS, *PARAMETERS.values(), *DEFAULT_PORTS.values()}
    known |= {name.upper() for name in TRANSPORTS}
    # Other protocols' ports, and no parameter at all.
    known -= {80, 443, ""}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in typed:
            value = node.value
            if isinstance(value, str | int) and value in known:
                yield node.lineno, value


def test_the_finder_finds() -> None:
    """It sees names in both cases, in parameters, and ports, and no text that only mentions them."""
    text = 'x = ["udp", "TLS", ";transport=tcp", 5061, "use tcp"]\ny: Literal["ws"] = z\n'
    assert [value for _, value in literals(text)] == ["udp", "TLS", ";transport=tcp", 5061]


def test_nobody_else_writes_them_down() -> None:
    """A further transport is one row: what compares with names elsewhere would have to be found first."""
    found, allowed = [], set()
    for folder in ("sansip", "adapters", "server"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name == TABLE:
                continue
            for line, value in literals(path.read_text()):
                if (name, value) in OTHERS:
                    allowed.add((name, value))
                else:
                    found.append(f"{name}:{line}: {value!r}; take it from {TABLE}")
    assert not found, "\n".join(found)
    assert allowed == set(OTHERS)
