"""Hostile users on the virtual network: their packets reach no host that they could not reach themselves.

Theory of operation: a server that asks for passwords, honest users with calls among each other and
with mallory (a stranger) and eve (a user of the server who is no better), and two hosts that nobody has
to do with: one on the internet, and one that only the server can reach. The hostile ones know all that
was ever sent to anybody: Record-Route values with their marks and tokens, Call-IDs, tags, Contacts, nonces
and credentials. Hypothesis puts requests and answers together from these pieces, and they send
them from their own addresses. The honest phones say nothing after the beginning, so what arrives anywhere
was caused by that. Then each message that arrived is looked at:

    at the two hosts    nothing, ever
    at an honest phone  a request that begins something, for its user and not in the name of a user of
                        ours; or one of its own dialog with a hostile one, of that one's side; or the
                        answer to a request of its own
    anywhere            no asserted identity; no credentials and no challenges of ours

Eve sends no credentials of her own, for with those she may call anybody (docs/trust.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sansip import ListenerConfig, StackConfig
from sansip.auth import AuthConfig
from sansip.auth.algorithms import ha1
from sansip.testing import Dialog, Draft, Endpoint, Network
from sansip.wire import Request, Response, SipUri
from tests.interop.users import credentials

HOST = "192.0.2.10"
DOMAIN = "biloxi.test"
LISTENERS = [
    ListenerConfig(0, "udp", HOST, 5060),
    ListenerConfig(1, "tcp", HOST, 5060),
    ListenerConfig(2, "ws", HOST, 80),
]
PASSWORD = "wonderland"
OUTSIDE, INSIDE = "198.51.100.7", "10.0.0.5"
HONEST = ("alice", "bob", "carol")
METHODS = (
    *("INVITE", "ACK", "BYE", "CANCEL", "INFO", "MESSAGE", "OPTIONS", "UPDATE", "PRACK", "NOTIFY"),
    *("REFER", "SUBSCRIBE", "PUBLISH", "REGISTER", "NEWMETHOD"),
)
STATUSES = (100, 180, 183, 200, 202, 302, 401, 407, 430, 486, 503, 603)
ASSERTED = ("p-asserted-identity", "remote-party-id", "p-preferred-identity", "alert-info")


@dataclass
class World:
    """The network with its calls, and what is known of them."""

    network: Network = field(default_factory=lambda: Network(seed=1))
    phones: dict[str, Endpoint] = field(default_factory=dict)
    # Pieces for messages of one's own.
    routes: list[str] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    proofs: list[tuple[str, str]] = field(default_factory=list)
    # The answers that hostile peers may give.
    asked: list[tuple[str, Request]] = field(default_factory=list)
    # Both sides' view of each call, and places that must get nothing.
    sides: list[Dialog] = field(default_factory=list)
    victims: list[str] = field(default_factory=list)
    # Call-ID -> who of us is in a dialog with a hostile one, and the tag of that one where it called
    dialogs: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = StackConfig(
            LISTENERS,
            [DOMAIN],
            auth=AuthConfig(),
            secret=b"a secret of the whole site",
            users=lambda one: {"MD5": ha1(one.username, DOMAIN, PASSWORD)},
        )
        self.network.server(config)
        for name, host, transport in (
            ("alice", "203.0.113.1", "udp"),
            ("bob", "203.0.113.2", "tcp"),
            ("carol", "203.0.113.3", "ws"),
            ("eve", "203.0.113.66", "udp"),
        ):
            phone = self.phones[name] = self.network.endpoint(name, host, transport=transport)
            self.proven(phone, "REGISTER", f"sip:{DOMAIN}")
            phone.expect("200")
        elsewhere = "sip:mallory@elsewhere.example"
        self.phones["mallory"] = self.network.endpoint("mallory", "203.0.113.77", aor=elsewhere)
        for name, host in (("outside", OUTSIDE), ("inside", INSIDE)):
            self.network.endpoint(name, host)
        self.call("alice", "bob")
        self.call("alice", "mallory")
        self.call("mallory", "bob")
        self.call("mallory", "carol", 180)
        self.call("mallory", "alice", 486)
        self.call("carol", "eve")
        self.learn()

    def proven(self, phone: Endpoint, method: str, uri: str) -> None:
        """Send a request, and once more with the password."""
        draft = phone.request(method, uri)
        answer = phone.expect("401|407")
        challenge = answer.get("www-authenticate") or answer.get("proxy-authenticate") or ""
        phone_user = phone.name
        value = credentials(challenge, method, uri, phone_user, PASSWORD)
        name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
        if method == "INVITE":
            phone.request("ACK", of=answer)
        keep = [(one, draft.get(one) or "") for one in ("From", "To", "Call-ID")]
        phone.request(method, uri, [*keep, (name, value)])

    def call(self, caller: str, callee: str, status: int = 200) -> None:
        """One call, up to its answer."""
        one, other = self.phones[caller], self.phones[callee]
        uri = f"sip:{callee}@{DOMAIN}" if callee != "mallory" else f"sip:mallory@{other.agent.address}"
        if caller == "mallory":
            one.request("INVITE", uri)
        else:
            self.proven(one, "INVITE", uri)
        invite = other.expect("INVITE")
        assert isinstance(invite, Request)
        other.reply(invite, status)
        answer = one.expect(str(status))
        assert isinstance(answer, Response)
        if status >= 200:
            one.request("ACK", of=answer)
        self.network.run(0.1)
        self.sides += [one.agent.dialog for one in (one, other) if one.agent.dialog is not None]
        hostile = {"mallory", "eve"} & {caller, callee}
        ours = ({caller, callee} - hostile).pop() if hostile else ""
        self.dialogs[invite.call_id] = ours, (invite.from_tag or "") if caller in hostile else ""

    def learn(self) -> None:
        """Read all that anybody received."""
        for name, phone in (*self.phones.items(),):
            for one in phone.history:
                message = one.message
                if message is None:
                    continue
                recorded = message.values("record-route")
                self.routes += [value for value in recorded if value not in self.routes]
                self.tags += [
                    tag for tag in (message.from_tag, message.to_tag) if tag and tag not in self.tags
                ]
                if message.call_id not in self.call_ids:
                    self.call_ids.append(message.call_id)
                contacts = message.contacts
                if isinstance(contacts, list):
                    self.uris += [str(one.uri) for one in contacts if str(one.uri) not in self.uris]
                if isinstance(message, Request):
                    self.uris += [message.uri_text] if message.uri_text not in self.uris else []
                    if name in ("mallory", "eve") and message.method != "ACK":
                        self.asked.append((name, message))
                for header in ("www-authenticate", "proxy-authenticate"):
                    self.proofs += [(header, value) for value in message.get_all(header)]
            for draft in phone.agent._sent.values():
                for header in ("Authorization", "Proxy-Authorization"):
                    self.proofs += [(header, value) for value in draft.get_all(header)]
        for host in (OUTSIDE, INSIDE):
            self.victims += [f"sip:x@{host}", f"sip:x@{host};transport=tcp", f"sip:{host};lr"]
            self.victims += [f"{uri};maddr={host}" for uri in self.uris[:4]]
            self.routes += [f"<sip:{host};lr>", f"<sip:x@{host}>"]
        self.uris += self.victims
        self.uris += [f"sip:{name}@{DOMAIN}" for name in (*HONEST, "eve")]
        self.uris += [f"sip:{HOST}", f"sip:{DOMAIN};lr", *(value.strip("<>") for value in self.routes[:6])]
        self.routes += [f"<sip:{HOST};lr>", f"<sip:{DOMAIN};lr>"]
        # The mark of one in the value of another, and a token without a mark.
        marks = [value.partition(";d=")[2].rstrip(">") for value in self.routes if ";d=" in value]
        plain = [value.partition(";d=")[0] for value in self.routes if ";d=" in value]
        self.routes += [f"{plain[n % len(plain)]};d={marks[-n]}>" for n in range(len(marks))]
        self.routes += [f"{value}>" for value in plain[:4]]


pick = st.integers(0, 1_000_000)
NAMES = (
    "mallory@elsewhere.example",
    *("alice@biloxi.test", "bob@biloxi.test", "bob@biloxi.test.", "eve@biloxi.test"),
    f"carol@{HOST}:5099",
)
PIECES = ("uri", "routes", "sender", "to", "from_tag", "to_tag", "call_id")
requests = st.fixed_dictionaries(
    {
        "who": st.sampled_from(["mallory", "eve"]),
        "method": st.sampled_from(METHODS),
        "uri": pick,
        "routes": st.lists(pick, max_size=3),
        "sender": st.sampled_from(NAMES),
        "to": st.sampled_from(NAMES),
        "from_tag": st.none() | pick,
        "to_tag": st.none() | pick,
        "call_id": st.none() | pick,
        "proof": st.none() | pick,
        "transport": st.sampled_from(["udp", "tcp", "ws"]),
    }
)
# Requests that nearly are of one of the dialogs, which is where the walls are thin.
near = st.fixed_dictionaries(
    {
        "who": st.sampled_from(["mallory", "eve"]),
        "dialog": pick,
        "side": st.booleans(),
        "method": st.sampled_from(METHODS),
        # A target of one's own choice and another name are what pays.
        "wrong": st.sampled_from([("uri",), ("sender",), ("uri", "sender"), ("routes",), ("uri", "routes")])
        | st.sets(st.sampled_from(PIECES), max_size=2),
        "victim": st.none() | pick,
        "uri": pick,
        "routes": st.lists(pick, max_size=3),
        "sender": st.sampled_from(NAMES),
        "to": st.sampled_from(NAMES),
        "from_tag": st.none() | pick,
        "to_tag": st.none() | pick,
        "call_id": pick,
        "proof": st.none() | pick,
        "transport": st.sampled_from(["udp", "tcp", "ws"]),
    }
)
answers = st.fixed_dictionaries(
    {
        "asked": pick,
        "status": st.sampled_from(STATUSES),
        "contact": pick,
        "routes": st.none() | st.lists(pick, max_size=3),
        "tag": st.none() | pick,
        "proof": pick,
    }
)


def headers_of(world: World, plan: dict[str, Any]) -> list[tuple[str, str]]:
    """The header fields that each hostile message adds to the usual ones."""
    headers = [
        ("P-Asserted-Identity", "<sip:boss@biloxi.test>"),
        ("Remote-Party-ID", "<sip:boss@biloxi.test>"),
        ("Alert-Info", "<http://elsewhere.example/loud.wav>"),
    ]
    if plan["proof"] is not None:
        headers.append(world.proofs[plan["proof"] % len(world.proofs)])
    return headers


def send(world: World, plan: dict[str, Any], number: int) -> None:
    """Send a request put together from pieces, or one that nearly belongs to a dialog."""
    phone = world.phones[plan["who"]]
    method = plan["method"]
    pieces: dict[str, Any] = {
        "uri": world.uris[plan["uri"] % len(world.uris)],
        "routes": [world.routes[n % len(world.routes)] for n in plan["routes"]],
        "sender": f"<sip:{plan['sender']}>",
        "to": f"<sip:{plan['to']}>",
        "from_tag": None if plan["from_tag"] is None else world.tags[plan["from_tag"] % len(world.tags)],
        "to_tag": None if plan["to_tag"] is None else world.tags[plan["to_tag"] % len(world.tags)],
        "call_id": "fresh"
        if plan["call_id"] is None
        else world.call_ids[plan["call_id"] % len(world.call_ids)],
    }
    if "dialog" in plan:
        dialog = world.sides[plan["dialog"] % len(world.sides)]
        local, remote = (dialog.local, dialog.remote) if plan["side"] else (dialog.remote, dialog.local)
        right = {
            "uri": dialog.target,
            "routes": dialog.routes,
            "sender": local.partition(";tag=")[0],
            "to": remote.partition(";tag=")[0],
            "from_tag": local.partition(";tag=")[2],
            "to_tag": remote.partition(";tag=")[2],
            "call_id": dialog.call_id,
        }
        if plan["victim"] is not None:
            pieces["uri"] = world.victims[plan["victim"] % len(world.victims)]
        pieces = {name: pieces[name] if name in plan["wrong"] else right[name] for name in pieces}
    sent_by = phone.agent.address
    lines = [("Via", f"SIP/2.0/{plan['transport'].upper()} {sent_by};branch=z9hG4bKhostile{number}")]
    lines += [("Route", value) for value in pieces["routes"]]
    lines += [
        ("From", pieces["sender"] + (f";tag={pieces['from_tag']}" if pieces["from_tag"] else "")),
        ("To", pieces["to"] + (f";tag={pieces['to_tag']}" if pieces["to_tag"] else "")),
        ("Call-ID", pieces["call_id"]),
        ("CSeq", f"{100 + number} {method}"),
        ("Max-Forwards", "70"),
        ("Contact", f"<sip:{phone.name}@{sent_by}>"),
        *headers_of(world, plan),
        ("Content-Length", "0"),
    ]
    phone.send(Draft(f"{method} {pieces['uri']} SIP/2.0", lines, b""), transport=plan["transport"])


def answer(world: World, plan: dict[str, Any]) -> None:
    """Answer a request of a hostile peer, with fields that do not belong there."""
    name, asked = world.asked[plan["asked"] % len(world.asked)]
    phone = world.phones[name]
    headers = headers_of(world, plan)
    # A phone may only name itself as its Contact: phones decide what they do with it.
    headers.append(("Contact", f"<sip:{name}@{phone.agent.address}>"))
    if plan["routes"] is not None:
        headers += [("Record-Route", world.routes[n % len(world.routes)]) for n in plan["routes"]]
    tag = None if plan["tag"] is None else world.tags[plan["tag"] % len(world.tags)]
    phone.reply(asked, plan["status"], None, headers, tag=tag)


def check(world: World, name: str, message: Request | Response) -> None:
    """Look at one message that an honest phone got."""
    sender = message.to if isinstance(message, Response) else message.from_
    for field_name in ASSERTED:
        # Eve is a user of ours, and may ring, and answer, as she likes.
        if field_name != "alert-info" or not str(sender.uri).startswith("sip:eve@"):
            assert not message.has(field_name), (name, str(message))
    if isinstance(message, Response):
        for field_name in ("www-authenticate", "proxy-authenticate"):
            assert DOMAIN not in " ".join(message.get_all(field_name)).lower(), (name, str(message))
        # It is the answer to a request of its own.
        assert world.phones[name].agent.request_of(message) is not None, (name, str(message))
        return
    for field_name in ("authorization", "proxy-authorization"):
        assert DOMAIN not in " ".join(message.get_all(field_name)).lower(), (name, str(message))
    ours = world.network.servers[0].stack.proxy.trust.user(message.from_.uri)
    # RFC 3261 16.10, 22.1: a CANCEL of an unknown call is passed on, and cannot be asked whose it is.
    assert not ours or ours.startswith("eve@") or message.method == "CANCEL", (name, str(message))
    if message.to_tag is None:
        # RFC 3261 16.5: for its user, where it is registered.
        assert isinstance(message.uri, SipUri)
        assert message.uri.user == name, (name, str(message))
        return
    party, tag = world.dialogs.get(message.call_id, ("", ""))
    assert party == name, (name, world.dialogs, str(message))
    # A callee may use any tag: its mark was made before it had one (RFC 3261 12.1.1).
    assert tag in ("", message.from_tag), (name, world.dialogs, str(message))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests | near | answers, min_size=4, max_size=16))
def test_nobody_is_reached_by_way_of_us(plans: list[dict[str, Any]]) -> None:
    """Issue 9: an open relay, a drawn call, a stolen password or a false name is found by this alone."""
    world = World()
    network = world.network
    before = {name: len(phone.history) for name, phone in world.phones.items()}
    for number, plan in enumerate(plans):
        if "asked" in plan:
            answer(world, plan)
        else:
            send(world, plan, number)
        network.run(1.0)
    network.run(40.0)
    for host in (OUTSIDE, INSIDE):
        endpoint = network.endpoint_at((host, 5060))
        assert endpoint is not None
        assert endpoint.history == []
    for name in HONEST:
        for one in world.phones[name].history[before[name] :]:
            if one.message is not None:
                check(world, name, one.message)
    for name in ("mallory", "eve"):
        for one in world.phones[name].history[before[name] :]:
            if isinstance(one.message, Request):
                assert not one.message.has("authorization")
                assert not one.message.has("proxy-authorization")
