"""One caller against gateways: he knows numbers that they drop, and has phones behind them that say 5xx.

Theory of operation: two gateways of ours, the first of which is preferred. Mallory calls what it drops, or
what it answers with 5xx. Whatever she does, the next call of somebody else rings at the first gateway.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line
from tests.interop.phone import Message
from tests.interop.siege import Siege, request
from tests.interop.test_module_calls import ctl
from tests.interop.test_workers_routing import Server, farm

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the test brings its own configuration")
DOMAIN = "siege.test"


class Gateway(Server):
    """It drops numbers that begin with 0, and refuses those that begin with 408, 500 and 503 so."""

    def answer(self, message: Message, status: str) -> bytes:
        user = message.start.partition(" sip:")[2].partition("@")[0]
        if message.what == "INVITE" and user[:1] == "0":
            return b"\r\n\r\n"
        if message.what == "INVITE" and user[:3] in ("408", "500", "503"):
            refusal = super().answer(message, f"{user[:3]} No").removesuffix(b"\r\n")
            return refusal + (b"Retry-After: 250\r\n\r\n" if user[3:4] == "9" else b"\r\n")
        return super().answer(message, status)


MODULES = {
    "dispatcher": '[dispatcher]\ntakes = "calls"\nalgorithm = "priority"\n{more}{tables}',
    "lcr": '[lcr]\norder = "prefix"\nfile = "rates.csv"\n{more}{tables}',
}


def config(module: str, servers: list[Server], tmp_path: Path, more: str = "") -> str:
    """Return the configuration; the first server is preferred."""
    head = "destinations" if module == "dispatcher" else "gateways"
    tables, rates = "", "gateway,prefix,price\n"
    for number, one in enumerate(servers):
        name = f"priority = {number}" if module == "dispatcher" else f'name = "g{number}"'
        tables += f'[[{module}.{head}]]\nuri = "{one.uri}"\n{name}\n'
        rates += f"g{number},,0.0{number + 1}\n"
    (tmp_path / "rates.csv").write_text(rates)
    settings = f"answer = 0.4\nprobe_interval = 60\nprobe_timeout = 5\neject_after = 3\n{more}"
    return 'control = "ctl.sock"\n[calls]\n' + MODULES[module].format(more=settings, tables=tables)


@pytest.fixture
def servers(stack: ExitStack) -> list[Server]:
    found: list[Server] = [Gateway(), Gateway()]
    for one in found:
        stack.callback(one.close)
    return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def call(line: Line, number: str, call_id: str) -> None:
    names = {"call_id": call_id, "branch": f"z9hG4bK{call_id}"}
    lines = [f"Contact: <sip:mallory@{line.sent_by}>"]
    line.send(request("INVITE", f"sip:{number}@{DOMAIN}", line, lines=lines, **names))


def rings(server: Server, call_id: str) -> bool:
    """Wait until the call is there; the answer says whether it came."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if any(one.get("call-id") == call_id for _, one in server.all("INVITE")):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("module", list(MODULES))
def test_one_caller_takes_no_gateway_out(
    module: str, tmp_path: Path, stack: ExitStack, servers: list[Server]
) -> None:
    """Silence, 5xx, and 503 with Retry-After: 250 seconds without that gateway for all, before."""
    siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config(module, servers, tmp_path)))
    mallory = stack.enter_context(siege.line("udp"))
    honest = stack.enter_context(siege.line("udp", source=("127.0.0.2", 0)))
    # With Retry-After is the last one: this caller goes to the second gateway from then on.
    for number in ("0900", "4081", "5001", "5031", "5039"):
        for turn in range(1 if number == "5039" else 3):
            call(mallory, number, f"bad{number}{turn}")
            assert rings(servers[0], f"bad{number}{turn}"), siege.log
            # The next gateway has it.
            assert rings(servers[1], f"bad{number}{turn}"), siege.log
        call(honest, "4711", f"good{number}")
        assert rings(servers[0], f"good{number}"), siege.log
    assert ctl(tmp_path, f"{module}.list")[0]["state"] == "up"
    assert " is down" not in siege.log
    assert " is resting" not in siege.log


@pytest.mark.parametrize("module", list(MODULES))
def test_a_request_that_no_socket_takes(
    module: str, tmp_path: Path, stack: ExitStack, servers: list[Server]
) -> None:
    """RFC 3261 18.1.1: too large for UDP, and the gateway has no TCP: the kernel's error is not its fault."""
    siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config(module, servers, tmp_path)))
    line = stack.enter_context(siege.line("tcp"))
    lines = [f"Contact: <sip:mallory@{line.sent_by};transport=tcp>", "Content-Type: text/plain"]
    for turn in range(3):
        names = {"call_id": f"big{turn}", "branch": f"z9hG4bKbig{turn}", "body": "x" * 65_000}
        line.send(request("INVITE", f"sip:4711@{DOMAIN}", line, lines=lines, **names))
        assert line.receive()
    time.sleep(0.5)
    honest = stack.enter_context(siege.line("udp"))
    call(honest, "4711", "good")
    assert rings(servers[0], "good"), siege.log
    assert ctl(tmp_path, f"{module}.list")[0]["state"] == "up"


def test_a_dead_gateway_is_still_found(tmp_path: Path, stack: ExitStack) -> None:
    """One failed call, and the OPTIONS that follows: the next caller does not wait."""
    with farm(2) as servers:
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config("lcr", servers, tmp_path)))
        servers[0].status.clear()
        line = stack.enter_context(siege.line("udp"))
        call(line, "4711", "one")
        assert rings(servers[1], "one")
        # The OPTIONS has not been given up yet, and the other gateway is first already.
        call(line, "4711", "two")
        assert rings(servers[1], "two")
        assert not [one for _, one in servers[0].all("INVITE") if one.get("call-id") == "two"]
        deadline = time.monotonic() + 5
        while "gateway g0 is down: 408" not in siege.log and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "gateway g0 is down: 408" in siege.log
