"""Phones and servers behind real NATs: the kernel's, between network namespaces.

Both homes have the same private network, so a request that goes by a Contact and not
by the flow reaches nobody, or the wrong phone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.homes import AT_HOME, Home, Internet, inside
from tests.interop.line import Silence
from tests.interop.phone import Message, Phone
from tools import peers

EXAMPLES = Path(__file__).parents[2] / "examples" / "routes"
SERVER = "203.0.113.10"
DOMAIN = "nat.test"

# These phones do what they are told, and know no OPTIONS.
QUIET = "[keepalive]\ninterval = 0\n"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="Kamailio needs nathelper configured")


@pytest.fixture
def internet() -> Iterator[Internet]:
    with Internet() as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


class Place:
    """Where a phone can be."""

    def __init__(self, namespace: str, stack: ExitStack, server: str = SERVER) -> None:
        self.namespace = namespace
        self.stack = stack
        self.server = server

    def phone(self, user: str, transport: str = "udp", port: int = 5060, domain: str = DOMAIN) -> Phone:
        with inside(self.namespace):
            return self.stack.enter_context(Phone(user, domain, transport, (self.server, port)))


def serve(
    stack: ExitStack,
    namespace: str,
    directory: Path,
    listeners: list[str],
    config: str = QUIET,
    domain: str = DOMAIN,
) -> peers.Program:
    """The installed server, in ``namespace``, open to everybody there."""
    options = ["--auth", "none", *OPTIONS]
    file = directory / "sansip.toml"
    file.write_text(config)
    options += ["--config", str(file)]
    prefix = ["ip", "netns", "exec", namespace]
    return stack.enter_context(peers.sansip_serve(directory, listeners, [domain], options, prefix))


def link_local(interface: str) -> tuple[str, int, int, int]:
    """Return the socket address of ``interface`` on its link, in the namespace we are in."""
    for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines():
        digits, number, _, scope, _, name = line.split()
        if name == interface and scope == "20":
            return str(ip_address(bytes.fromhex(digits))), 0, 0, int(number, 16)
    raise LookupError(interface)


def ring(caller: Phone, callee: Phone) -> Message:
    """Call; the call stands. Returns the INVITE as the callee saw it."""
    caller.invite(callee.aor)
    invite = callee.expect("INVITE")
    callee.answer(invite, "180 Ringing")
    caller.expect("180")
    callee.answer(invite, "200 OK")
    caller.established(caller.expect("200"))
    callee.expect("ACK")
    return invite


def ask(one: Phone, other: Phone, method: str) -> None:
    """A request within the dialog, and its 200."""
    one.within(method)
    request = other.expect(method)
    other.answer(request, "200 OK")
    answer = one.expect("200")
    if method == "INVITE":
        one.established(answer)
        other.expect("ACK")


def call(caller: Phone, callee: Phone, hangs_up: str = "caller") -> None:
    """Everything that goes over a dialog, from both sides; the callee's re-INVITE, too."""
    ring(caller, callee)
    for one, other in ((caller, callee), (callee, caller)):
        ask(one, other, "INFO")
    ask(callee, caller, "INVITE")
    if hangs_up == "caller":
        ask(caller, callee, "BYE")
    else:
        ask(callee, caller, "BYE")


@pytest.mark.parametrize("kind", ["cone", "symmetric"])
def test_two_homes(internet: Internet, stack: ExitStack, tmp_path: Path, kind: str) -> None:
    """UDP and TCP, both ways, between two homes and with a phone that has a public address."""
    listeners = [f"udp:{SERVER}:5060", f"tcp:{SERVER}:5060"]
    server = serve(stack, internet.host("srv", SERVER), tmp_path, listeners)
    one = Place(internet.home("one", "203.0.113.21", kind).namespace, stack)
    two = Place(internet.home("two", "203.0.113.22", kind).namespace, stack)
    outside = Place(internet.host("pub", "203.0.113.40"), stack)
    for transport in ("udp", "tcp"):
        alice, bob = one.phone(f"alice-{transport}", transport), two.phone(f"bob-{transport}", transport)
        carol = outside.phone(f"carol-{transport}", transport)
        for phone in (alice, bob, carol):
            phone.register()
        assert alice.contact.partition("@")[2].startswith(AT_HOME)
        for caller, callee in ((alice, bob), (bob, alice), (carol, bob), (alice, carol)):
            call(caller, callee, "caller")
            call(caller, callee, "callee")
    udp, tcp = one.phone("dave", "udp"), two.phone("erin", "tcp")
    for phone in (udp, tcp):
        phone.register()
    call(udp, tcp)
    call(tcp, udp, "callee")
    assert "Traceback" not in server.output()


# Calls for the other domain go to its server; everything else is the default.
BETWEEN = """
from sansip.routing.default import route as default_route

async def route(request):
    if not request.in_dialog and request.method == "INVITE" and request.uri.host == "{domain}":
        request.message.prepend("Route", "<sip:{address}:5060;lr>")
        request.record_route()
        request.relay()
    else:
        await default_route(request)
"""


def test_two_servers(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """A phone behind a NAT at each of two servers: each server marks its phone, and sees no other mark."""
    sides = {"one.test": ("203.0.113.10", "203.0.113.21"), "two.test": ("203.0.113.11", "203.0.113.22")}
    places = {}
    for domain, (address, public) in sides.items():
        [other] = sides.keys() - {domain}
        directory = internet.log(tmp_path)
        (directory / "route.py").write_text(BETWEEN.format(domain=other, address=sides[other][0]))
        namespace = internet.host(domain[:3], address)
        config = f'route = "route.py"\n{QUIET}'
        serve(stack, namespace, directory, [f"udp:{address}:5060", f"tcp:{address}:5060"], config, domain)
        home = internet.home(f"{domain[:3]}-home", public, "symmetric")
        places[domain] = Place(home.namespace, stack, address)
    for transport in ("udp", "tcp"):
        alice = places["one.test"].phone(f"alice-{transport}", transport, domain="one.test")
        bob = places["two.test"].phone(f"bob-{transport}", transport, domain="two.test")
        for phone in (alice, bob):
            phone.register()
        for caller, callee in ((alice, bob), (bob, alice)):
            call(caller, callee, "caller")
            call(caller, callee, "callee")


def test_behind_an_edge(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """RFC 3327: the edge proxy of examples/routes has the flows, a registrar knows the users."""
    edge, registrar = "203.0.113.10", "203.0.113.11"
    # Each believes the other: the Path that the edge adds, and the token in it that comes back.
    trusted = '[[trusted]]\naddress = "{}"\n'
    lenient = f'{QUIET}[registrar]\npath = "lenient"\n{trusted.format(edge)}'
    serve(stack, internet.host("reg", registrar), internet.log(tmp_path), [f"udp:{registrar}:5060"], lenient)
    directory = internet.log(tmp_path)
    script = (EXAMPLES / "edge.py").read_text()
    (directory / "route.py").write_text(script.replace("127.0.0.1:5080", f"{registrar}:5060"))
    listeners = [f"udp:{edge}:5060", f"tcp:{edge}:5060"]
    serve(
        stack,
        internet.host("edge", edge),
        directory,
        listeners,
        f'route = "route.py"\n{QUIET}{trusted.format(registrar)}',
    )
    one = Place(internet.home("one", "203.0.113.21", "symmetric").namespace, stack)
    two = Place(internet.home("two", "203.0.113.22").namespace, stack)
    for transport in ("udp", "tcp"):
        alice, bob = one.phone(f"alice-{transport}", transport), two.phone(f"bob-{transport}", transport)
        for phone in (alice, bob):
            phone.register()
        for caller, callee in ((alice, bob), (bob, alice)):
            call(caller, callee, "caller")
            call(caller, callee, "callee")


def test_the_nat_takes_another_port(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """A router forgets, and the next REGISTER comes from another port: calls and dialogs follow it."""
    serve(stack, internet.host("srv", SERVER), tmp_path, [f"udp:{SERVER}:5060"])
    home = internet.home("one", "203.0.113.21", "symmetric")
    other = internet.home("two", "203.0.113.22", "symmetric")
    alice, bob = Place(home.namespace, stack).phone("alice"), Place(other.namespace, stack).phone("bob")
    bob.register()
    before = alice.register_and_look()
    ring(alice, bob)
    home.forget_after(3)
    # Its next packet gets the new limit, and is the last for long enough.
    ask(alice, bob, "INFO")
    time.sleep(3.5)
    # RFC 3261 12.2.1.1: her route set has the flow of the old port; it is her side's.
    ask(alice, bob, "INFO")
    time.sleep(3.5)
    assert alice.register_and_look() != before
    ask(bob, alice, "INFO")
    ask(bob, alice, "BYE")
    time.sleep(3.5)
    alice.register()
    call(bob, alice)


def test_keepalives(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """A router forgets after seven seconds: a phone with keepalives rings, a phone without them does not."""
    host = internet.host("srv", SERVER)
    directory = internet.log(tmp_path)
    config = 'control = "server.ctl"\n[keepalive]\ninterval = 5\n'
    server = serve(stack, host, directory, [f"udp:{SERVER}:5060"], config)
    serve(stack, host, internet.log(tmp_path), [f"udp:{SERVER}:5070"])
    home = internet.home("one", "203.0.113.21")
    home.forget_after(7)
    place, outside = Place(home.namespace, stack), Place(internet.host("pub", "203.0.113.40"), stack)
    kept, lost = place.phone("kept"), place.phone("lost", port=5070)
    for phone in (kept, lost):
        phone.register()
    began = time.monotonic()
    pings = 0
    while time.monotonic() < began + 12:
        try:
            request = kept.expect("OPTIONS")
        except Silence:
            continue
        pings += 1
        kept.answer(request, "200 OK")
    assert 2 <= pings <= 4
    # Before it is busy: what it then leaves unanswered is shown in place of the time.
    told = r"sip:kept@nat.test at sip:kept@10\.0\.0\.9:\d+ answers keepalives, in [\d.]+ ms"
    assert re.search(told, server.output())
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", "server.ctl", "bindings"]
    shown = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert re.search(r"sip:kept@nat.test .* sip:203\.0\.113\.21:\d+ +[\d.]+ ms", shown)
    caller = outside.phone("carol")
    ring(caller, kept)
    forgotten = outside.phone("carol", port=5070)
    forgotten.invite(lost.aor)
    with pytest.raises((AssertionError, TimeoutError)):
        lost.expect("INVITE")


def test_server_behind_a_nat(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """``advertise``: messages show the public address, the server listens on the private one."""
    public, private = "203.0.113.30", "192.168.5.10"
    office: Home = internet.home("office", public, private=private)
    office.forward(5060)
    listeners = [f"{name}:{private}:5060 advertise {public}:5060" for name in ("udp", "tcp")]
    server = serve(stack, office.namespace, tmp_path, listeners)
    one = Place(internet.home("one", "203.0.113.21").namespace, stack, public)
    two = Place(internet.host("pub", "203.0.113.40"), stack, public)
    for transport in ("udp", "tcp"):
        # One registers by the domain, the other by the server's address as it sees it.
        alice, bob = (
            one.phone(f"alice-{transport}", transport),
            two.phone(f"bob-{transport}", transport, domain=public),
        )
        for phone in (alice, bob):
            phone.register()
        for caller, callee in ((alice, bob), (bob, alice)):
            invite = ring(caller, callee)
            said = [*invite.all("via")[:1], *invite.all("record-route")]
            assert all(f"{public}:5060" in value for value in said)
            assert not any(private in value for _, value in invite.fields)
            ask(callee, caller, "INVITE")
            ask(callee, caller, "BYE")
    # In the office itself its own address is another name of the server.
    clerk = Place(office.namespace, stack, private).phone("clerk", domain=private)
    clerk.register()
    call(clerk, bob)
    call(alice, clerk)
    assert "Traceback" not in server.output()


def test_a_callee_with_a_forwarded_port(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """A gateway that registers nowhere: its first answer shows that it is behind a NAT."""
    public = "203.0.113.30"
    office = internet.home("office", public)
    office.forward(5070)
    (tmp_path / "route.py").write_text(
        "async def route(request):\n"
        "    request.record_route()\n"
        f"    request.relay(None if request.in_dialog else 'sip:gateway@{public}:5070')\n"
    )
    serve(
        stack, internet.host("srv", SERVER), tmp_path, [f"udp:{SERVER}:5060"], f'route = "route.py"\n{QUIET}'
    )
    carol = Place(internet.host("pub", "203.0.113.40"), stack).phone("carol")
    with inside(office.namespace):
        gateway = stack.enter_context(Phone("gateway", DOMAIN, "udp", (SERVER, 5060), source=(AT_HOME, 5070)))
    call(carol, gateway, "caller")
    call(carol, gateway, "callee")


def test_link_local(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """RFC 4007: a phone with no other address than fe80::… is called, and no peer learns its zone."""
    server, caller = "2001:db8::10", "2001:db8::20"
    host, phones = internet.namespace("v6-srv"), internet.namespace("v6-phones")
    internet.link(host, "eth0", f"{server}/64", phones, "eth0", f"{caller}/64")
    # Until duplicate address detection (RFC 4862 5.4) is done no socket may use an address.
    time.sleep(2.5)
    serve(stack, host, tmp_path, [f"udp:[{server}]:5060"])
    with inside(phones):
        alice = stack.enter_context(Phone("alice", DOMAIN, "udp", (server, 5060)))
        bob = stack.enter_context(Phone("bob", DOMAIN, "udp", (server, 5060), source=link_local("eth0")))
    assert bob.contact.startswith("<sip:bob@[fe80::")
    for phone in (alice, bob):
        phone.register()
    call(alice, bob, "caller")
    call(bob, alice, "callee")


@pytest.mark.needs("baresip")
def test_baresip(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """Two phones that people use, each asking the SIP port by STUN for the address of its media (RFC 5389).

    They call each other over UDP; the callee hangs up.
    """
    host = internet.host("srv", SERVER)
    server = serve(stack, host, tmp_path, [f"udp:{SERVER}:5060"], "[keepalive]\ninterval = 5\n")
    phones = []
    for user, public in (("alice", "203.0.113.21"), ("bob", "203.0.113.22")):
        home = internet.home(user, public)
        phone = Baresip(
            tmp_path / user,
            user,
            DOMAIN,
            (SERVER, 5060),
            "udp",
            home=home.namespace,
            address=AT_HOME,
            account=f";medianat=stun;stunserver=stun:{SERVER}:5060",
        )
        phones.append(stack.enter_context(phone))
    alice, bob = phones
    for phone in phones:
        phone.wait_until_registered()
    for caller, callee in ((alice, bob), (bob, alice)):
        caller.command("dial", callee.aor)
        incoming = callee.wait_for("CALL_INCOMING")
        assert incoming["peeruri"] == caller.aor
        caller.wait_for("CALL_RINGING")
        callee.command("accept")
        for phone in phones:
            phone.wait_for("CALL_ESTABLISHED")
        # Each hears the other: what STUN told was right, and stands in the SDP.
        for phone in phones:
            phone.wait_for("CALL_RTPESTAB")
        callee.command("hangup")
        for phone in phones:
            phone.wait_for("CALL_CLOSED")
    for user in ("alice", "bob"):
        server.wait_for(rf"sip:{user}@nat.test at .* answers keepalives")


@pytest.mark.needs("stun")
def test_stun(internet: Internet, stack: ExitStack, tmp_path: Path) -> None:
    """RFC 5626 8 by an independent client, of RFC 3489: it finds its NAT on the SIP port."""
    serve(stack, internet.host("srv", SERVER), tmp_path, [f"udp:{SERVER}:5060"])
    home = internet.home("one", "203.0.113.21")
    command = ["ip", "netns", "exec", home.namespace, "stun", f"{SERVER}:5060", "1", "-v", "-p", "40000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "MappedAddress = 203.0.113.21:40000" in done.stdout + done.stderr
