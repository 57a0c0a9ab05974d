"""Flows that die under real sockets: one box, an edge in front of a registrar, and Kamailio as either.

The phones are this suite's own (``phone.py``) with an instance and a reg-id: nobody
else can be told to lose one of two flows at a given moment. What they talk to are
programs: ``sansip serve`` alone, two of them, and Kamailio with its outbound and path
modules in the one place or the other (RFC 5626, RFC 3327).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.phone import Message, Phone
from tests.missing import missing
from tools import peers

# An address of this file's own, so that no other test's server is in the way.
LOCAL = "127.34.0.1"
DOMAIN = "biloxi.test"
EXAMPLE = Path(__file__).parents[2] / "examples" / "routes" / "edge.py"
INSTANCE = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
MODULES = "tm sl rr pv maxfwd usrloc registrar textops siputils stun outbound path"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="one of the two is sansip")

KAMAILIO_HEAD = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=2
auto_aliases=no
dns=no
rev_dns=no
alias="{domain}"
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
{modules}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)
modparam("registrar", "outbound_mode", 1)
modparam("outbound", "flow_token_secret", "johGrumbluWyecOofOth")
"""
# After the example in the outbound module's own documentation.
KAMAILIO_EDGE = """
request_route {{
  if (is_method("OPTIONS") && uri==myself && $rU==$null) {{ sl_send_reply("200", "Keepalive"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (is_method("REGISTER")) {{
    remove_hf("Route");
    add_path();
    $du = "sip:{registrar}";
    t_relay();
    exit;
  }}
  if (loose_route()) {{
    if (is_method("INVITE|SUBSCRIBE")) record_route();
    # Its own word for a flow that is gone would be 477.
    t_set_disable_internal_reply(1);
    t_on_failure("FLOW");
    if (!t_relay()) sl_send_reply("430", "Flow Failed");
    exit;
  }}
  if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{ sl_send_reply("481", "None"); exit; }}
  if (is_method("INVITE|SUBSCRIBE")) record_route();
  $du = "sip:{registrar}";
  t_relay();
}}
failure_route[FLOW] {{
  if (t_branch_timeout() || t_check_status("477|503")) t_reply("430", "Flow Failed");
}}
"""
KAMAILIO_HOME = """
request_route {
  if (is_method("OPTIONS") && uri==myself && $rU==$null) { sl_send_reply("200", "Keepalive"); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (has_totag()) {
    if (loose_route()) { t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
    sl_send_reply("481", "None"); exit;
  }
  if (is_method("REGISTER")) { save("location"); exit; }
  remove_hf("Route");
  if (is_method("INVITE|SUBSCRIBE")) record_route();
  if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
  t_relay();
}
"""


class FlowPhone(Phone):
    """Bob's phone on one of its flows."""

    def __init__(self, reg_id: int, transport: str, server: tuple[str, int], user: str = "bob") -> None:
        super().__init__(user, DOMAIN, transport, server)
        self.reg_id = reg_id

    def register_flow(self, extra: str = "path, outbound, gruu") -> Message:
        """Register this flow; return the 200."""
        self._cseq += 1
        params = f';+sip.instance="<{INSTANCE}>";reg-id={self.reg_id}'
        lines = [f"From: <{self.aor}>;tag=r", f"To: <{self.aor}>", f"Call-ID: {self._register_id}"]
        lines += [f"Supported: {extra}", f"Contact: {self.contact}{params}", "Expires: 600"]
        self._request("REGISTER", f"sip:{DOMAIN}", lines)
        return self.expect("200")

    def die(self) -> None:
        """Lose the connection, as a phone does whose battery is taken out of a moving train."""
        self._line.reset()


class Site:
    """Where flows are registered (``edges``), and where a caller calls (``home``)."""

    def __init__(self, home: tuple[str, int], edges: list[tuple[str, int]], programs: list[Any]) -> None:
        self.home, self.edges, self.programs = home, edges, programs


def sansip_home(directory: Path, stack: ExitStack, *options: str) -> tuple[Any, tuple[str, int]]:
    address = (LOCAL, peers.free_port())
    directory.mkdir()
    listen = [f"{transport}:{LOCAL}:{address[1]}" for transport in ("udp", "tcp")]
    program = peers.sansip_serve(directory, listen, [DOMAIN], [*OPTIONS, *options])
    return stack.enter_context(program), address


def sansip_edge(
    directory: Path, stack: ExitStack, home: tuple[str, int], monkeypatch: Any
) -> tuple[Any, tuple[str, int], int]:
    """The example, as its docstring says to start it; returns also its WebSocket port."""
    address, ws = (LOCAL, peers.free_port()), peers.free_port()
    directory.mkdir()
    monkeypatch.setenv("SANSIP_REGISTRAR", f"{home[0]}:{home[1]}")
    listen = [f"udp:{LOCAL}:{address[1]}", f"tcp:{LOCAL}:{address[1]}", f"ws:{LOCAL}:{ws}"]
    config = directory / "edge.toml"
    config.write_text(f'[[trusted]]\naddress = "{LOCAL}"\n')
    options = [*OPTIONS, "--route", str(EXAMPLE), "--config", str(config)]
    program = peers.sansip_serve(directory, listen, ["edge.test"], options)
    return stack.enter_context(program), address, ws


def kamailio(directory: Path, stack: ExitStack, route: str) -> tuple[Any, tuple[str, int]]:
    if not list(Path("/usr/lib").glob("*/kamailio/modules/outbound.so")):
        missing("not installed: kamailio-outbound-modules")
    address = (LOCAL, peers.free_port())
    directory.mkdir()
    modules = "\n".join(f'loadmodule "{name}.so"' for name in MODULES.split())
    text = KAMAILIO_HEAD.format(domain=DOMAIN, host=LOCAL, port=address[1], modules=modules) + route
    program = peers.kamailio(directory, [f"udp:{LOCAL}:{address[1]}"], text=text)
    return stack.enter_context(program), address


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Site]]:
    """Start one of the sites by name; whatever happens no server trips over it."""
    with ExitStack() as stack:

        def begin(name: str) -> Site:
            if name == "one box":
                program, home = sansip_home(tmp_path / "home", stack)
                made = Site(home, [home], [program])
            elif name == "sansip edges":
                program, home = sansip_home(tmp_path / "home", stack)
                one, first, _ = sansip_edge(tmp_path / "one", stack, home, monkeypatch)
                two, second, _ = sansip_edge(tmp_path / "two", stack, home, monkeypatch)
                made = Site(home, [first, second], [program, one, two])
            elif name == "kamailio edge":
                program, home = sansip_home(tmp_path / "home", stack)
                _, edge = kamailio(
                    tmp_path / "edge", stack, KAMAILIO_EDGE.format(registrar=f"{home[0]}:{home[1]}")
                )
                made = Site(home, [edge], [program])
            else:
                _, home = kamailio(tmp_path / "home", stack, KAMAILIO_HOME)
                program, edge, _ = sansip_edge(tmp_path / "edge", stack, home, monkeypatch)
                made = Site(home, [edge], [program])
            programs.extend(made.programs)
            return made

        programs: list[Any] = []
        yield begin
        for program in programs:
            assert "Traceback" not in program.output(), program.output()


def talk(caller: Phone, phone: FlowPhone) -> None:
    """The phone rings: it answers, both sides speak within the dialog, the phone hangs up."""
    phone.answer(phone.expect("INVITE"), "200 OK")
    caller.established(caller.expect("200"))
    phone.expect("ACK")
    caller.within("INFO")
    phone.answer(phone.expect("INFO"), "200 OK")
    caller.expect("200")
    phone.within("BYE")
    caller.answer(caller.expect("BYE"), "200 OK")
    phone.expect("200")


SITES = [
    "one box",
    "sansip edges",
    pytest.param("kamailio edge", marks=pytest.mark.needs("kamailio")),
    pytest.param("kamailio registrar", marks=pytest.mark.needs("kamailio")),
]


@pytest.mark.parametrize("name", SITES)
def test_a_call_over_a_flow(name: str, start: Callable[[str], Site]) -> None:
    """Registered by outbound (the 200 requires it), called, spoken with from both sides, hung up."""
    site = start(name)
    with FlowPhone(1, "tcp", site.edges[0]) as phone, Phone("alice", DOMAIN, "udp", site.home) as alice:
        phone.contact = "<sip:bob@192.0.2.77:5060;transport=tcp>"
        assert phone.register_flow().get("require") == "outbound"
        alice.invite(phone.aor)
        talk(alice, phone)


def test_a_websocket_at_an_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7118 at the edge: the registrar speaks no WebSocket, and calls browsers all the same."""
    with ExitStack() as stack:
        _, home = sansip_home(tmp_path / "home", stack)
        edge, _, ws = sansip_edge(tmp_path / "edge", stack, home, monkeypatch)
        phone = stack.enter_context(FlowPhone(1, "ws", (LOCAL, ws)))
        alice = stack.enter_context(Phone("alice", DOMAIN, "udp", home))
        assert phone.register_flow().get("require") == "outbound"
        alice.invite(phone.aor)
        talk(alice, phone)
        alice.register()
        phone.invite(alice.aor)
        alice.answer(alice.expect("INVITE"), "200 OK")
        phone.established(phone.expect("200"))
        alice.expect("ACK")
        alice.within("BYE")
        phone.answer(phone.expect("BYE"), "200 OK")
        alice.expect("200")
        assert "Traceback" not in edge.output()


@pytest.mark.parametrize("name", SITES[:3])
def test_the_second_flow_rings(name: str, start: Callable[[str], Site]) -> None:
    """RFC 5626 7: the newer flow dies, unseen by the registrar or not, and the older one rings at once."""
    site = start(name)
    with ExitStack() as stack:
        alice = stack.enter_context(Phone("alice", DOMAIN, "udp", site.home))
        first = stack.enter_context(FlowPhone(1, "tcp", site.edges[0]))
        first.contact = "<sip:bob@192.0.2.77:5060;transport=tcp>"
        first.register_flow()
        time.sleep(0.01)
        second = stack.enter_context(FlowPhone(2, "tcp", site.edges[-1]))
        second.contact = first.contact
        second.register_flow()
        second.die()
        time.sleep(0.3)
        began = time.monotonic()
        alice.invite(first.aor)
        invite = first.expect("INVITE")
        assert time.monotonic() - began < 2.0
        first.answer(invite, "486 Busy Here")
        alice.expect("486")


@pytest.mark.parametrize("name", SITES[:3])
def test_no_flow_is_left(name: str, start: Callable[[str], Site]) -> None:
    """The caller hears so at once: nothing waits for a timeout, and no 430 leaves the registrar."""
    site = start(name)
    with Phone("alice", DOMAIN, "udp", site.home) as alice:
        phone = FlowPhone(1, "tcp", site.edges[0])
        phone.contact = "<sip:bob@192.0.2.77:5060;transport=tcp>"
        phone.register_flow()
        phone.die()
        time.sleep(0.3)
        began = time.monotonic()
        alice.invite(phone.aor)
        answer = alice.receive()
        while answer.what == "100":
            answer = alice.receive()
        assert answer.what == ("404" if name == "one box" else "480")
        assert time.monotonic() - began < 2.0


def test_a_flow_that_ends_between_two_calls_is_logged(start: Callable[[str], Site]) -> None:
    """The operator sees why a phone is gone."""
    site = start("one box")
    phone = FlowPhone(1, "tcp", site.home)
    phone.register_flow()
    phone.die()
    site.programs[0].wait_for("lost")


def test_datagram_flows_outlive_an_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5626 5.2: the token is in the registrar's binding, its key in a file; the edge stores nothing."""
    with ExitStack() as stack:
        _, home = sansip_home(tmp_path / "home", stack)
        config = tmp_path / "edge.toml"
        config.write_text(f'secret_file = "edge.key"\n[[trusted]]\naddress = "{LOCAL}"\n')
        port = peers.free_port()
        monkeypatch.setenv("SANSIP_REGISTRAR", f"{home[0]}:{home[1]}")

        def edge(name: str) -> Any:
            (tmp_path / name).mkdir()
            options = [*OPTIONS, "--route", str(EXAMPLE), "--config", str(config)]
            return peers.sansip_serve(tmp_path / name, [f"udp:{LOCAL}:{port}"], ["edge.test"], options)

        with edge("before"):
            phone = stack.enter_context(FlowPhone(1, "udp", (LOCAL, port)))
            phone.contact = "<sip:bob@192.0.2.77:5060>"
            phone.register_flow()
        alice = stack.enter_context(Phone("alice", DOMAIN, "udp", home))
        with edge("after"):
            alice.invite(phone.aor)
            talk(alice, phone)


def test_a_gruu_leads_to_its_device(start: Callable[[str], Site]) -> None:
    """RFC 5627: two phones of one user, and the temporary GRUU of one; after its end it leads to no phone."""
    site = start("one box")
    with ExitStack() as stack:
        alice = stack.enter_context(Phone("alice", DOMAIN, "udp", site.home))
        other = stack.enter_context(Phone("bob", DOMAIN, "udp", site.home))
        other.register()
        phone = stack.enter_context(FlowPhone(1, "tcp", site.home))
        answer = phone.register_flow()
        mine = next(value for value in answer.all("contact") if "temp-gruu" in value)
        temporary = mine.partition('temp-gruu="')[2].partition('"')[0]
        public = mine.partition('pub-gruu="')[2].partition('"')[0]
        assert public == f"{phone.aor};gr={INSTANCE}"
        for uri in (temporary, public):
            alice.invite(uri)
            phone.answer(phone.expect("INVITE"), "486 Busy Here")
            alice.expect("486")
            phone.expect("ACK")
        phone.die()
        time.sleep(0.3)
        alice.invite(temporary)
        alice.expect("404")
        alice.invite(public)
        alice.expect("480")


def test_after_a_crash(tmp_path: Path) -> None:
    """With a store a UDP flow is back, and so is the temporary GRUU, in a process that was killed."""
    port = peers.free_port()
    listen = [f"{transport}:{LOCAL}:{port}" for transport in ("udp", "tcp")]

    def begin(name: str) -> Any:
        (tmp_path / name).mkdir()
        return peers.sansip_serve(
            tmp_path / name, listen, [DOMAIN], [*OPTIONS, "--store", str(tmp_path / "sansip.db")]
        )

    with FlowPhone(1, "udp", (LOCAL, port)) as phone, Phone("alice", DOMAIN, "udp", (LOCAL, port)) as alice:
        phone.contact = "<sip:bob@192.0.2.77:5060>"
        with begin("before") as program:
            answer = phone.register_flow()
            with FlowPhone(2, "tcp", (LOCAL, port)) as tcp:
                tcp.contact = phone.contact.replace(">", ";transport=tcp>")
                tcp.register_flow()
                # The process goes first.
                program.process.kill()
            program.process.wait()
        temporary = answer.get("contact").partition('temp-gruu="')[2].partition('"')[0]
        with begin("after") as program:
            # The TCP flow, refreshed last, is known to be gone: the caller does not wait for it.
            for uri in (phone.aor, temporary):
                alice.invite(uri)
                talk(alice, phone)
            assert "Traceback" not in program.output()


@pytest.mark.needs("baresip")
@pytest.mark.parametrize("dies", [0, 1])
def test_a_real_phone_on_two_edges(dies: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """baresip with two outbound proxies: one edge dies, and the phone rings over the other, at once.

    Which flow it refreshed last, and so rings first, is its own affair: each edge dies once.
    """
    with ExitStack() as stack:
        _, home = sansip_home(tmp_path / "home", stack)
        one, first, _ = sansip_edge(tmp_path / "one", stack, home, monkeypatch)
        two, second, _ = sansip_edge(tmp_path / "two", stack, home, monkeypatch)
        account = f';outbound2="sip:{second[0]}:{second[1]};transport=tcp";sipnat=outbound;answermode=manual'
        bob = stack.enter_context(
            Baresip(tmp_path / "bob", "bob", DOMAIN, first, "tcp", account=account, address=LOCAL)
        )
        bob.program.wait_for(r"200 OK .*\[2 bindings\]")
        alice = stack.enter_context(Phone("alice", DOMAIN, "udp", home))
        began = time.monotonic()
        alice.invite(bob.aor)
        alice.expect("180")
        assert time.monotonic() - began < 2.0
        other = stack.enter_context(Phone("carol", DOMAIN, "udp", home))
        (one, two)[dies].stop()
        began = time.monotonic()
        other.invite(bob.aor)
        other.expect("180")
        assert time.monotonic() - began < 2.0
