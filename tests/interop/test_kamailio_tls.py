"""Kamailio as the next server over TLS, both ways: each proves its name to the other (RFC 5922)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.phone import Phone
from tools import peers
from tools.peers import Sipp, free_port

LOCAL = "127.0.0.1"
HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.needs("kamailio", "sipp"),
    pytest.mark.skipif(
        not os.environ.get("CI") and not list(Path("/usr/lib").glob("*/kamailio/modules/tls.so")),
        reason="not installed: kamailio-tls-modules",
    ),
    pytest.mark.skipif(TARGET != "sansip", reason="one of the two is sansip"),
]

ROUTE = """\
from sansip.routing.default import route as ours

async def route(request):
    if not request.in_dialog and request.uri.host == "kamailio.test":
        if request.validate():
            request.record_route()
            request.relay(f"sip:{{request.uri.user}}@{host}:{port};transport=tls")
        return
    await ours(request)
"""


class Pair:
    """Kamailio serves kamailio.test, sansip biloxi.test; UDP for phones, TLS between the two.

    Without ``listens`` sansip has no TLS listener, and TCP instead.
    """

    def __init__(self, directory: Path, stack: ExitStack, listens: bool = True) -> None:
        authority = Authority(directory)
        self.sansip, self.kamailio = (LOCAL, free_port()), (LOCAL, free_port())
        ours, theirs = free_port(), free_port()
        certificate = authority.issue("sansip.pem", LOCAL, "biloxi.test")
        other = authority.issue("kamailio.pem", LOCAL, "kamailio.test")
        (directory / "route.py").write_text(ROUTE.format(host=LOCAL, port=theirs))
        (directory / "sansip.toml").write_text(
            f'route = "route.py"\n[tls]\ncertificate = "{certificate.name}"\n'
            f'authorities = "{authority.authority.name}"\nverify_clients = "required"\n'
        )
        self.program = stack.enter_context(
            peers.sansip_serve(
                directory,
                [f"udp:{LOCAL}:{self.sansip[1]}", f"{'tls' if listens else 'tcp'}:{LOCAL}:{ours}"],
                ["biloxi.test"],
                [*OPTIONS, "--config", str(directory / "sansip.toml")],
            )
        )
        tls = f"""
enable_tls=yes
listen=tls:{LOCAL}:{theirs}
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{other}")
modparam("tls", "private_key", "{other}")
modparam("tls", "ca_list", "{authority.authority}")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 1)
request_route {{
    if (is_method("INVITE") && !has_totag() && $rd == "biloxi.test") {{
        record_route();
        $du = "sip:{LOCAL}:{ours};transport=tls";
        t_relay();
        exit;
    }}"""
        listener = f"udp:{LOCAL}:{self.kamailio[1]}"
        both = [listener, f"tcp:{LOCAL}:{self.kamailio[1]}"]
        text = peers.kamailio_config(both, ["kamailio.test"])
        text = text.replace("request_route {", tls, 1)
        stack.enter_context(peers.kamailio(directory, [listener], text=text))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        pair = Pair(tmp_path_factory.mktemp("kamailio"), stack)
        yield pair
        assert "Traceback" not in pair.program.output()


@pytest.mark.parametrize("callee", ["biloxi.test", "kamailio.test"])
def test_call(callee: str, pair: Pair, tmp_path: Path) -> None:
    """The caller's server is one, the callee's the other: INVITE, 200, ACK and BYE through both."""
    home, away = (pair.sansip, pair.kamailio) if callee == "biloxi.test" else (pair.kamailio, pair.sansip)
    port = free_port()
    with Phone("bob", callee, "udp", home) as bob:
        bob.contact = f"<sip:bob@{LOCAL}:{port}>"
        bob.register()

    def sipp(scenario: str, server: tuple[str, int], port: int) -> Sipp:
        path = HERE / "scenarios" / f"{scenario}.xml"
        return Sipp(path, server, tmp_path, local=(LOCAL, port), service="bob", domain=callee)

    with sipp("browser_uas", home, port) as uas:
        uas.wait_until_bound()
        with sipp("browser_uac", away, free_port()) as uac:
            uac.succeed()
        uas.succeed()


def test_a_call_to_tls_without_a_listener_for_it(tmp_path: Path) -> None:
    """TLS on the way out, with our certificate; what Kamailio sends in the dialog comes back by TCP."""
    with ExitStack() as stack:
        pair = Pair(tmp_path, stack, listens=False)
        alice = stack.enter_context(Phone("alice", "biloxi.test", "udp", pair.sansip))
        bob = stack.enter_context(Phone("bob", "kamailio.test", "udp", pair.kamailio))
        bob.register()
        alice.invite("sip:bob@kamailio.test")
        invite = bob.expect("INVITE")
        # Below Kamailio's own: the hop between the two.
        assert invite.all("via")[1].startswith(f"SIP/2.0/TLS {LOCAL}:")
        bob.answer(invite, "200 OK")
        alice.established(alice.expect("200"))
        bob.expect("ACK")
        for sender, receiver in ((alice, bob), (bob, alice)):
            sender.within("INFO")
            receiver.answer(receiver.expect("INFO"), "200 OK")
            sender.expect("200")
        bob.within("BYE")
        alice.answer(alice.expect("BYE"), "200 OK")
        bob.expect("200")
        assert "Traceback" not in pair.program.output()
