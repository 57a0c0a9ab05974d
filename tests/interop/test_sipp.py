"""SIPp plays caller, callee and phone against the running server.

The scenarios are in ``conformance/sansip_conformance/data/sipp-own``. A pair is played as its files
say: the callee's port is registered first, then the callee listens there, then the
caller calls. RFC 3261 18 lets each leg have its own transport, so all four are played.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.interop.conftest import TARGET, Server
from tools.peers import Sipp, free_port

OWN = Path(__file__).parents[2] / "conformance" / "sansip_conformance" / "data" / "sipp-own"
REGISTER = {
    "u1": OWN / "s02_register_once.xml",
    "t1": Path(__file__).parent / "scenarios" / "register_transport.xml",
}
SINGLE = [
    "s01_register_fetch_unregister",
    "s02_register_once",
    "s06_unknown_user_404",
    "s07_max_forwards_zero",
]
PAIRS = ["s03_call", "s04_cancel", "s05_busy", "s08_message"]
LOCAL = "127.0.0.1"

pytestmark = pytest.mark.needs("sipp")


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("scenario", SINGLE)
def test_single(scenario: str, transport: str, biloxi: Server, tmp_path: Path) -> None:
    """Scenarios without a second party: the registrar, and requests that go no further."""
    path = OWN / f"{scenario}.xml"
    user = f"{scenario[:3]}-{transport}"
    with Sipp(
        path, biloxi.v4, tmp_path, local=(LOCAL, free_port()), transport=transport, service=user
    ) as sipp:
        sipp.succeed()


class Reached(Protocol):
    """A server, by its addresses of both families."""

    @property
    def v4(self) -> tuple[str, int]: ...
    @property
    def v6(self) -> tuple[str, int]: ...


def play_pair(
    pair: str,
    caller: str,
    callee: str,
    server: Reached,
    tmp_path: Path,
    *,
    hosts: tuple[str, str] = (LOCAL, LOCAL),
    calls: int = 1,
    options: Sequence[str] = (),
) -> None:
    """Play ``pair``; ``caller`` and ``callee`` are SIPp's names of transports, ``hosts`` their addresses."""
    phone = (hosts[1], free_port())
    # One binding each: a user shared by two tests would be forked to.
    user = f"{pair[:3]}-{phone[1]}"
    near, far = (server.v6 if ":" in host else server.v4 for host in hosts)
    with Sipp(REGISTER[callee], far, tmp_path, local=phone, transport=callee, service=user) as register:
        register.succeed()
    uas = Sipp(
        OWN / f"{pair}_uas.xml", far, tmp_path, local=phone, transport=callee, service=user, calls=calls
    )
    with uas:
        uas.wait_until_bound()
        with Sipp(
            OWN / f"{pair}_uac.xml",
            near,
            tmp_path,
            local=(hosts[0], free_port()),
            transport=caller,
            service=user,
            calls=calls,
            options=options,
        ) as uac:
            uac.succeed()
        uas.succeed()


@pytest.mark.parametrize("callee", ["u1", "t1"])
@pytest.mark.parametrize("caller", ["u1", "t1"])
@pytest.mark.parametrize("pair", PAIRS)
def test_pair(pair: str, caller: str, callee: str, biloxi: Server, tmp_path: Path) -> None:
    """Calls, CANCEL, busy and MESSAGE through the proxy, each leg over either transport."""
    play_pair(pair, caller, callee, biloxi, tmp_path)


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_call_over_ipv6(transport: str, biloxi: Server, tmp_path: Path) -> None:
    """RFC 5118: IPv6 references in every place that a call writes an address."""
    play_pair("s03_call", transport, transport, biloxi, tmp_path, hosts=("::1", "::1"))


@pytest.mark.skipif(
    TARGET == "kamailio", reason="needs two Record-Routes, which its configuration here lacks"
)
@pytest.mark.parametrize(("caller", "callee"), [("u1", "u1"), ("u1", "t1"), ("t1", "u1")])
@pytest.mark.parametrize("hosts", [(LOCAL, "::1"), ("::1", LOCAL)], ids=["to-ipv6", "to-ipv4"])
def test_call_between_families(
    hosts: tuple[str, str], caller: str, callee: str, biloxi: Server, tmp_path: Path
) -> None:
    """RFC 5658: a Record-Route for each side, so that ACK and BYE find their way across."""
    play_pair("s03_call", caller, callee, biloxi, tmp_path, hosts=hosts)


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_many_calls_at_once(transport: str, biloxi: Server, tmp_path: Path) -> None:
    """Sixty overlapping calls on one socket or one connection: nothing is mixed up, nothing is lost."""
    play_pair("s03_call", transport, transport, biloxi, tmp_path, calls=60, options=["-r", "60"])
