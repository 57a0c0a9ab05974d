"""A user with a password against a gateway that somebody pays for: past lcr, dispatcher, limits and quotas.

Theory of operation: Mallory is a user of the server, with a password, and knows where its gateways are. She
names a gateway herself, in each way that a request has for it. No INVITE may arrive there, the answer is 403,
and the log names the gateway and the setting. Calls that the module sends there go on, with all their
requests.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.interop.callee import Callee
from tests.interop.conftest import TARGET
from tests.interop.phone import Message, Phone
from tests.interop.siege import Siege, request
from tests.interop.test_module_calls import ctl
from tests.interop.users import ask, credentials
from tests.transport.dns.name_server import NameServer
from tests.transport.dns.zone import Zone

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the test brings its own configuration")

DOMAIN = "biloxi.test"
USERS = {f"{user}@{DOMAIN}": "secret" for user in ("mallory", "friend")}
# Nothing else is there.
GATEWAY = "127.0.0.9"
DEAR = "+88213555"
MODULES = {
    "lcr": '[lcr]\ntakes = "nothing"\n[[lcr.gateways]]\nname = "north"\nuri = "{uri}"\n',
    "dispatcher": '[dispatcher]\ntakes = "nothing"\n[[dispatcher.destinations]]\nuri = "{uri}"\n',
    "voicemail": '[voicemail]\nuri = "{uri}"\n',
    "upstream": '[[upstream]]\nhosts = ["{host}"]\nrealm = "r"\nusername = "u"\nha1 = ["MD5:00"]\n',
}


class Attack:
    """The server, a gateway of its, and the phones of Mallory and her friend."""

    def __init__(
        self, tmp_path: Path, stack: ExitStack, zone: NameServer, config: str, gateway: Callee
    ) -> None:
        host, port = zone.address
        names = f'[dns]\nservers = ["{host}:{port}"]\ntimeout = 0.3\n'
        # No probe counts as a request here.
        config = re.sub(r"\[(lcr|dispatcher)\]", r"[\1]\nprobe_interval = 0", f"[calls]\n{config}\n{names}")
        self.gateway = gateway
        self.place = f"{gateway.host}:{gateway.port}"
        control = 'control = "ctl.sock"\n'
        self.siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, users=USERS, config=control + config))
        self._stack = stack
        self.phone = self._phone("mallory")
        self.friend = self._phone("friend")
        # Modules start with the first message; the names of gateways are looked up then.
        ask(self.phone, "OPTIONS", f"sip:{DOMAIN}", "secret")
        time.sleep(0.3)

    def _phone(self, user: str) -> Phone:
        return self._stack.enter_context(Phone(user, DOMAIN, "udp", self.siege.address("udp")))

    def call(self, uri: str, *lines: str) -> Message:
        """Send an INVITE, and prove who sends it. Each by a socket of its own: failures come again."""
        self.phone = self._phone("mallory")
        return ask(self.phone, "INVITE", uri, "secret", [f"Contact: {self.phone.contact}", *lines])

    def registered(self, phone: Phone, contact: str, *lines: str) -> None:
        given = [f"Contact: <{contact}>", "Expires: 600", *lines]
        assert ask(phone, "REGISTER", f"sip:{DOMAIN}", "secret", given).what == "200"

    def refused(self, answer: Message, setting: str = "lcr.direct", gateway: Callee | None = None) -> None:
        """No INVITE came to the gateway, and the log says why."""
        time.sleep(0.1)
        assert (gateway or self.gateway).calls("INVITE") == []
        assert answer.what == "403"
        assert re.search(rf"a request of .* was not sent to .*{re.escape(setting)}", self.siege.log)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def zone(stack: ExitStack) -> NameServer:
    return stack.enter_context(closing(NameServer(Zone())))


def attack(
    tmp_path: Path,
    stack: ExitStack,
    zone: NameServer,
    *,
    name: str = "",
    transport: str = "udp",
    rates: bool = False,
    more: str = "",
    last: str = "",
) -> Attack:
    """Return the server with one gateway of lcr, ``rates`` with one for 49."""
    gateway = stack.enter_context(Callee("alive", transport, GATEWAY))
    uri = f"sip:{name or f'{gateway.host}:{gateway.port}'};transport={transport}"
    config = MODULES["lcr"].format(uri=uri)
    if rates:
        (tmp_path / "rates.csv").write_text("gateway,prefix,price\nnorth,49,0.01\n")
        config = config.replace('takes = "nothing"', 'file = "rates.csv"')
    zone.server.zone.add("gw.carrier.test", "A", GATEWAY)
    zone.server.zone.add("mallory.test", "A", GATEWAY)
    for owner in ("srv.carrier.test", "mallory-srv.test"):
        zone.server.zone.add(f"_sip._udp.{owner}", "SRV", f"1 1 {gateway.port} gw.carrier.test.")
    return Attack(tmp_path, stack, zone, f"{more}\n{config}{last}", gateway)


WAYS = {
    "address": "sip:{dear}@{place}",
    "tcp": "sip:{dear}@{place};transport=tcp",
    "mapped": "sip:{dear}@[::ffff:127.0.0.9]:{port}",
    "maddr": "sip:{dear}@elsewhere.test:{port};maddr=127.0.0.9",
    "name": "sip:{dear}@gw.carrier.test:{port}",
    "a name of hers": "sip:{dear}@mallory.test:{port}",
    "SRV of hers": "sip:{dear}@mallory-srv.test",
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_by_the_request_uri(transport: str, tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """She dials the gateway itself: its address in each spelling, a name of it, a name of her own."""
    here = attack(tmp_path, stack, zone, transport=transport)
    for uri in WAYS.values():
        here.refused(here.call(uri.format(dear=DEAR, place=here.place, port=here.gateway.port)))


def test_of_each_module(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """A destination, a voicemail server and a carrier's account are as dear as a gateway.

    Each has a setting of its own, and a reload opens the one without the others.
    """
    hosts = {module: f"127.0.0.{number}" for number, module in enumerate(MODULES, 9)}
    gateways = {
        module: stack.enter_context(Callee("alive", "udp", host, 5060 if module == "upstream" else 0))
        for module, host in hosts.items()
    }
    places = {module: f"{one.host}:{one.port}" for module, one in gateways.items()}
    config = "".join(
        text.format(uri=f"sip:{places[module]}", host=hosts[module]) for module, text in MODULES.items()
    )
    here = Attack(tmp_path, stack, zone, config, gateways["lcr"])
    for module, place in places.items():
        here.refused(here.call(f"sip:{DEAR}@{place}"), f"{module}.direct", gateways[module])
    path = tmp_path / "siege.toml"
    path.write_text(
        re.sub(r"(?m)^(\[dispatcher\]|\[\[upstream\]\])$", "\\1\ndirect = true", path.read_text())
    )
    ctl(tmp_path, "reload")
    for module, place in places.items():
        opened = module in ("dispatcher", "upstream")
        assert here.call(f"sip:{DEAR}@{place}").what == ("200" if opened else "403")
        assert bool(gateways[module].calls("INVITE")) is opened


def test_a_gateway_with_a_name(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """Its name, however it is written, and all places that the name leads to (RFC 3263 4.2)."""
    here = attack(tmp_path, stack, zone, name="srv.carrier.test")
    for dialled in ("srv.carrier.test", "SRV.Carrier.Test.", here.place, "mallory-srv.test"):
        here.refused(here.call(f"sip:{DEAR}@{dialled}"))


def test_by_route(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """She loads a Route that leads there (RFC 3261 8.1.2), for a domain of others and for a user of ours."""
    here = attack(tmp_path, stack, zone)
    for uri in (f"sip:{DEAR}@192.0.2.9", f"sip:{DEAR}@{here.place}"):
        here.call(uri, f"Route: <sip:{here.place};lr>")
    time.sleep(0.1)
    assert here.gateway.calls("INVITE") == []


def test_by_a_contact(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """She registers the gateway as her phone, and calls herself: by Contact, by Path, by maddr."""
    here = attack(tmp_path, stack, zone)
    port = here.gateway.port
    for contact, lines in (
        (f"sip:{DEAR}@{here.place}", ()),
        (f"sip:{DEAR}@192.0.2.9", (f"Path: <sip:{here.place};lr>", "Supported: path")),
        (f"sip:{DEAR}@192.0.2.9:{port};maddr={GATEWAY}", ()),
    ):
        here.registered(here.phone, contact, *lines)
        here.refused(here.call(here.phone.aor))
        assert (
            ask(here.phone, "REGISTER", f"sip:{DOMAIN}", "secret", ["Contact: *", "Expires: 0"]).what == "200"
        )
    # A call from the gateway would come back to it: her Contact, and not the gateway, asks for that.
    here.registered(here.phone, f"sip:{DEAR}@{here.place}")
    with here.siege.line("udp", source=(GATEWAY, 0)) as line:
        line.send(request("INVITE", here.phone.aor, line, from_="<sip:+4930@carrier.test>;tag=c"))
        while (answer := Message(line.receive().decode())).what == "100":
            pass
    here.refused(answer)


def test_by_a_redirection(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """Her friend's phone answers 302 with the gateway, where the operator has redirections followed."""
    here = attack(tmp_path, stack, zone, more="[proxy]\nrecurse = true\n")
    here.refused(answered_by_friend(here, "302 Moved Temporarily"))


def answered_by_friend(here: Attack, status: str) -> Message:
    """Call the friend, whose phone answers ``status`` with the gateway in Contact; return what came back."""
    friend = here.friend
    here.registered(friend, friend.contact.strip("<>"))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(here.call, friend.aor)
        ringing = friend.expect("INVITE")
        friend.contact = f"<sip:{DEAR}@{here.place}>"
        friend.answer(ringing, status)
        return answer.result(10)


def within(here: Attack, answer: Message) -> Phone:
    """Return Mallory's phone in the dialog that ``answer`` made."""
    phone = here.phone
    phone._call_id, phone._local, phone._cseq = f"ask-{phone.aor}", f"<{phone.aor}>;tag=a", 1_000
    phone.established(answer)
    return phone


def test_by_a_remote_target(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """Her friend takes the call with the gateway in Contact: requests of that dialog lead there.

    RFC 3261 12.2.2: a server may take an INVITE of a dialog that it does not know for a call.
    """
    here = attack(tmp_path, stack, zone)
    phone = within(here, answered_by_friend(here, "200 OK"))
    phone.within("INVITE")
    here.refused(phone.expect("403"))
    phone.within("REFER")
    phone.expect("403")


def test_calls_of_the_module(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """A call that lcr sent to the gateway goes on: ACK, a re-INVITE, INFO and BYE (RFC 3261 12.2.1)."""
    here = attack(tmp_path, stack, zone, name="srv.carrier.test", rates=True)
    answer = here.call(f"sip:4930123@{DOMAIN}")
    assert answer.what == "200", here.siege.log
    phone = within(here, answer)
    asked = ("INVITE", "INFO", "UPDATE", "BYE")
    for method in asked:
        phone.within(method)
        phone.expect("200")
    assert [one[0] for one in here.gateway.heard] == ["INVITE", "ACK", *asked]


def proved(phone: Phone, method: str, *lines: str) -> Message:
    """Send a request within the dialog, answer one challenge to it, and return the last answer."""
    who = [f"From: {phone._local}", f"To: {phone._remote}", f"Call-ID: {phone._call_id}"]
    who += [f"Contact: {phone.contact}", *lines, *(f"Route: {route}" for route in phone._routes)]
    given: list[str] = []
    while True:
        phone._cseq += 1
        phone._request(method, phone._target, [*who, *given])
        while (answer := phone.receive()).what == "100":
            pass
        if answer.what != "407" or given:
            return answer
        challenge = answer.get("proxy-authenticate")
        text = credentials(challenge, method, phone._target, "mallory", "secret")
        given = [f"Proxy-Authorization: {text}"]


def test_a_call_opens_no_other_gateway(tmp_path: Path, stack: ExitStack, zone: NameServer) -> None:
    """Within a call to a cheap number by one gateway she sends INVITE and REFER to another one.

    She has a password, so her phone may send from elsewhere than where it called from; but not elsewhere.
    """
    other = stack.enter_context(Callee("alive", "udp", "127.0.0.8"))
    more = f'[[lcr.gateways]]\nname = "dear"\nuri = "sip:{other.host}:{other.port}"\n'
    here = attack(tmp_path, stack, zone, rates=True, last=more)
    answer = here.call(f"sip:4930123@{DOMAIN}")
    assert answer.what == "200", here.siege.log
    phone = within(here, answer)
    own = phone._target
    for method in ("INVITE", "REFER"):
        phone._target = f"sip:{DEAR}@{other.host}:{other.port}"
        here.refused(proved(phone, method, "Refer-To: <sip:1@a.test>"), gateway=other)
    assert other.heard == []
    phone._target = own
    # A gateway would call the number in Refer-To (RFC 3515), past prices, limits and quotas.
    assert proved(phone, "REFER", f"Refer-To: <sip:{DEAR}@a.test>").what == "403"
    assert "lcr.refer" in here.siege.log
    assert proved(phone, "INVITE").what == "200"
    assert "REFER" not in [one[0] for one in here.gateway.heard]
