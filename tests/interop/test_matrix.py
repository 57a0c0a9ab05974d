"""Every ordered pair of transports and families: register, call, speak in the dialog, hang up.

One server, twenty phones, a hundred calls, and the table of them.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.conftest import TARGET
from tests.interop.phone import Message, Phone
from tests.missing import missing
from tools import peers

TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss")
HOSTS = {"4": "127.0.0.1", "6": "::1"}
KINDS = [f"{transport}{family}" for family in HOSTS for transport in TRANSPORTS]
RUNTIMES = ("asyncio", "anyio", "blocking", "gevent", "curio", "trio")
DOMAIN = "matrix.test"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="Kamailio needs a configuration for each pair")


class Matrix:
    """The server, and two phones on each kind of connection: ``a`` calls, ``b`` is called."""

    def __init__(
        self, directory: Path, runtime: str, stack: ExitStack, transports: tuple[str, ...] = TRANSPORTS
    ) -> None:
        authority = Authority(directory)
        certificate = authority.issue("server.pem", DOMAIN, *HOSTS.values())
        ports = {"udp": (shared := peers.free_port()), "tcp": shared}
        ports |= {transport: peers.free_port() for transport in transports[2:]}
        addresses = {"4": "127.0.0.1", "6": "[::1]"}
        kinds = [f"{transport}{family}" for family in HOSTS for transport in transports]
        listeners = [f"{kind[:-1]}:{addresses[kind[-1]]}:{ports[kind[:-1]]}" for kind in kinds]
        options = ["--certificate", str(certificate), "--runtime", runtime]
        self.server = stack.enter_context(peers.sansip_serve(directory, listeners, [DOMAIN], options))
        self.phones = {
            (kind, side): stack.enter_context(
                Phone(
                    f"{kind}-{side}",
                    DOMAIN,
                    kind[:-1],
                    (HOSTS[kind[-1]], ports[kind[:-1]]),
                    authority.authority,
                )
            )
            for kind in kinds
            for side in "ab"
        }

    def call_all(self, pairs: Iterable[tuple[str, str]], runtime: str) -> tuple[str, list[str]]:
        """One call of each pair until one fails; return the table of milliseconds, and what failed."""
        kinds = list(dict.fromkeys(kind for kind, _ in self.phones))
        cells: dict[tuple[str, str], str] = {}
        faults = []
        for number, (one, other) in enumerate(pairs):
            begun = time.monotonic()
            try:
                self.call(one, other, "caller" if number % 2 else "callee")
                cells[one, other] = f"{1000 * (time.monotonic() - begun):.0f}"
            except (AssertionError, OSError) as error:
                cells[one, other] = "FAIL"
                faults.append(f"{one} calls {other}: {error}")
                break
        table = ["", "", f"Register, call, INFO both ways, hang up, on {runtime}: milliseconds"]
        table.append("caller \\ callee" + "".join(f"{kind:>6}" for kind in kinds))
        for one in kinds:
            row = "".join(f"{cells.get((one, other), '-'):>6}" for other in kinds)
            table.append(f"{one:>15}{row}")
        return "\n".join(table), faults

    def call(self, one: str, other: str, hangs_up: str) -> None:
        """One call, all the way."""
        a, b = self.phones[one, "a"], self.phones[other, "b"]
        a.register()
        b.register()
        a.invite(b.aor)
        invite = b.expect("INVITE")
        check_recorded(invite, one, other)
        b.answer(invite, "180 Ringing")
        a.expect("180")
        b.answer(invite, "200 OK")
        a.established(a.expect("200"))
        b.expect("ACK")
        for sender, receiver in ((a, b), (b, a)):
            sender.within("INFO")
            receiver.answer(receiver.expect("INFO"), "200 OK")
            sender.expect("200")
        sender, receiver = (a, b) if hangs_up == "caller" else (b, a)
        sender.within("BYE")
        receiver.answer(receiver.expect("BYE"), "200 OK")
        sender.expect("200")


def check_recorded(invite: Message, one: str, other: str) -> None:
    """The Via says how it came; each side has a Record-Route value of its own (RFC 5658, RFC 5626 5.2)."""
    assert invite.all("via")[0].startswith(f"SIP/2.0/{other[:-1].upper()} ")
    routes = invite.all("record-route")
    for kind, route in zip((other, one), routes, strict=False):
        transport = {"wss": "ws"}.get(kind[:-1], kind[:-1])
        assert ("[::1]" if kind[-1] == "6" else "127.0.0.1") in route
        assert (f";transport={transport}" in route) is (transport != "udp")
        assert ("<sip:f-" in route) is (kind[:-1] in ("tls", "ws", "wss"))
    assert len(routes) == 1 + (one != other or one[:-1] in ("tls", "ws", "wss"))


@pytest.fixture(params=RUNTIMES)
def matrix(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Matrix]:
    """A server on each runtime that is installed."""
    if request.param not in {point.name for point in entry_points(group="sansip.runtimes")}:
        missing(f"runtime {request.param} is not installed")
    with ExitStack() as stack:
        yield Matrix(tmp_path, request.param, stack)


def test_every_pair(
    matrix: Matrix, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """No pair may fail; the table says which did, and how many milliseconds a call took."""
    runtime = request.node.callspec.params["matrix"]
    table, faults = matrix.call_all(itertools.product(KINDS, KINDS), runtime)
    with capsys.disabled():
        sys.stdout.write(table)
    assert not faults, "\n".join([*faults, matrix.server.output()])
    assert "Traceback" not in matrix.server.output()
