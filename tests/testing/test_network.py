"""The virtual network: time, links, faults, and what phones fill in."""

from __future__ import annotations

import pytest

from sansip import ListenerConfig, StackConfig
from sansip.errors import LocalProtocolError
from sansip.testing import Endpoint, Network, TrafficError
from sansip.wire import Request


def world(seed: int = 0, transport: str = "udp") -> tuple[Network, Endpoint, Endpoint]:
    network = Network(seed=seed)
    listeners = [ListenerConfig(0, "udp", "192.0.2.1", 5060), ListenerConfig(1, "tcp", "192.0.2.1", 5060)]
    network.server(StackConfig(listeners, ["biloxi.test"]))
    alice = network.endpoint("alice", "192.0.2.11", transport=transport)
    bob = network.endpoint("bob", "192.0.2.12", transport=transport)
    bob.register()
    return network, alice, bob


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call(transport: str) -> None:
    """INVITE to BYE; the ACK and the BYE find the dialog by themselves."""
    network, alice, bob = world(transport=transport)
    alice.request("INVITE", "sip:bob@biloxi.test")
    invite = bob.expect("INVITE")
    bob.reply(invite, 180)
    bob.reply(invite, 200)
    alice.expect("180")
    alice.expect("200")
    alice.request("ACK")
    ack = bob.expect("ACK")
    assert isinstance(ack, Request)
    assert str(ack.uri).startswith("sip:bob@192.0.2.12")
    alice.request("BYE")
    bob.reply(bob.expect("BYE"), 200)
    alice.expect("200")
    network.run()
    assert network.servers[0].stack.snapshot()["server_transactions"] == 0


def test_time_jumps() -> None:
    """Thirty-two seconds pass when somebody waits for them, and no sooner."""
    network, alice, bob = world()
    start = network.now
    alice.request("INVITE", "sip:bob@biloxi.test")
    alice.expect("408", within=40)
    assert network.now - start == pytest.approx(32.0)
    assert [one.what for one in bob.history].count("INVITE") == 7


def test_latency() -> None:
    """A packet takes its time, each way."""
    network, alice, _ = world()
    network.set_links(latency=0.1)
    start = network.now
    alice.request("OPTIONS", "sip:biloxi.test")
    alice.expect("200")
    assert network.now - start == pytest.approx(0.2)


def test_the_same_seed_is_the_same_run() -> None:
    """Loss and jitter are drawn from the seed, so a failure can be looked at again."""

    def history(seed: int) -> list[tuple[float, bytes]]:
        network, alice, bob = world(seed)
        network.set_links(loss=0.3, jitter=0.2)
        alice.request("INVITE", "sip:bob@biloxi.test")
        network.run(60.0)
        return [(one.time, one.data) for one in (*alice.history, *bob.history)]

    assert history(1) == history(1)
    assert history(1) != history(2)


def test_drop_and_duplicate() -> None:
    """Faults hit exactly the packets they are meant for."""
    network, alice, _ = world()
    link = network.link("192.0.2.11", "192.0.2.1")
    link.drop_next = 1
    alice.request("OPTIONS", "sip:biloxi.test")
    alice.expect_nothing(1.0)
    link.duplicate_next = 1
    alice.request("OPTIONS", "sip:biloxi.test")
    network.run(1.0)
    assert [one.what for one in alice.inbox] == ["200", "200"]
    assert alice.inbox[0].data == alice.inbox[1].data


def test_reordering() -> None:
    """With jitter a later packet may arrive first."""
    network, alice, bob = world(seed=4)
    network.link("192.0.2.1", "192.0.2.12").jitter = 1.0
    bob.inbox.clear()
    for number in range(8):
        alice.request("MESSAGE", "sip:bob@biloxi.test", [("X-Number", str(number))])
    network.run(0.999)
    order = [one.message.get("X-Number") or "" for one in bob.inbox if one.message is not None]
    assert sorted(set(order)) != order


def test_refused_and_unreachable() -> None:
    """A phone that is gone is known at once where the transport tells."""
    _, alice, bob = world(transport="tcp")
    bob.disconnect()
    bob.accepts = False
    alice.request("MESSAGE", "sip:bob@biloxi.test")
    # RFC 3261 21.4.18: the phone's connection is lost, so the callee is unavailable.
    assert alice.expect("4xx").status == 480
    _, alice, bob = world()
    bob.is_unreachable = True
    alice.request("MESSAGE", "sip:bob@biloxi.test")
    assert alice.expect("5xx").status == 500


def test_wrong_expectation_says_what_came() -> None:
    """The message of a failed test is what the reader has."""
    _, alice, _ = world()
    alice.request("OPTIONS", "sip:biloxi.test")
    with pytest.raises(TrafficError, match=r"alice expected 404 within 1 s, and has 200"):
        alice.expect("404")


def test_headers_given_replace_defaults() -> None:
    """A message can be made wrong on purpose."""
    _, alice, _ = world()
    draft = alice.agent.request(
        "OPTIONS", "sip:x.test", [("From", "nonsense"), ("X", "1")], without=["Max-Forwards"], body=b"abc"
    )
    assert draft.get("From") == "nonsense"
    assert draft.get("Max-Forwards") is None
    assert draft.get("Content-Length") == "3"
    assert draft.get("X") == "1"


def test_names_and_answers() -> None:
    """Resolve questions are answered from names; others by the function that is named."""
    from sansip.routing import ask

    class Rate:
        pass

    async def route(request):
        request.reply(await ask(Rate()) if request.method == "OPTIONS" else 404)

    network = Network(answers={Rate: lambda question: 486})
    network.server(StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["x.test"], route=route))
    alice = network.endpoint("alice", "192.0.2.11")
    alice.request("OPTIONS", "sip:x.test")
    assert alice.expect("486")


def test_two_servers() -> None:
    """A request passes two proxies, each with its Via."""
    network = Network(names={"biloxi.test": ["192.0.2.2:5060"]})

    def outbound(request):
        request.record_route()
        request.relay()

    network.server(
        StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["atlanta.test"], route=outbound)
    )
    biloxi = network.server(StackConfig([ListenerConfig(0, "udp", "192.0.2.2", 5060)], ["biloxi.test"]))
    alice = network.endpoint("alice", "192.0.2.11")
    bob = network.endpoint("bob", "192.0.2.12", server=biloxi, domain="biloxi.test")
    bob.register()
    alice.request("INVITE", "sip:bob@biloxi.test")
    invite = bob.expect("INVITE")
    assert len(invite.vias) == 3
    bob.reply(invite, 200)
    alice.expect("200")
    alice.request("ACK")
    bob.expect("ACK")


def broken(request: object) -> None:
    """A route with a bug."""
    raise ZeroDivisionError("oops")


def test_what_a_route_raises_reaches_the_test() -> None:
    """A test that fails with "expected 200, got 500" shows the line of the route, too."""
    network = Network()
    server = network.server(
        StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["x.test"], route=broken)
    )
    alice = network.endpoint("alice", "192.0.2.11")
    alice.request("OPTIONS", "sip:x.test")
    with pytest.raises(ZeroDivisionError, match="oops") as raised:
        alice.expect("200")
    assert raised.traceback[-1].name == "broken"
    # All else happens as on a real server.
    assert alice.expect("500")
    assert len(server.events) == 1


def test_what_a_route_raises_may_be_what_is_tested() -> None:
    """Then the 500 is what a caller gets."""
    network = Network(raise_route_errors=False)
    network.server(StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["x.test"], route=broken))
    alice = network.endpoint("alice", "192.0.2.11")
    alice.request("OPTIONS", "sip:x.test")
    assert alice.expect("500")


def test_a_response_is_not_answered() -> None:
    """A slip in a test: the error says so."""
    _, alice, _ = world()
    alice.request("OPTIONS", "sip:biloxi.test")
    with pytest.raises(TrafficError, match="only a request can be answered, and this is the 200"):
        alice.reply(alice.expect("200"), 200)


def test_connections_and_requests_of_modules() -> None:
    """A module connects to an endpoint from the server's address, and answers an HTTP client."""
    from sansip.module import Module, Use, WebRequest, WebResponse, mount

    class Tries(Module):
        name = "tries"

        def start(self, core, now):
            self.heard = []
            stream = core.connect(
                ("192.0.2.11", 5060), (), received=lambda data, now: self.heard.append(data)
            )
            stream.send(b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n", now)

        @mount("/tries", access="open")
        def serve(self, request: WebRequest) -> WebResponse:
            return WebResponse(200, request.path.encode())

    network = Network(modules=[Use(Tries)])
    server = network.server(StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["x.test"]))
    alice = network.endpoint("alice", "192.0.2.11")
    server.flush()
    network.run(1.0)
    assert alice.inbox[0].transport == "tcp"
    answers: list[bytes] = []
    server.web(WebRequest("GET", "/tries/it"), lambda answer, now: answers.append(answer.body))
    assert answers == [b"/tries/it"]


def test_a_phone_before_its_server() -> None:
    """The first slip of a test's author is told by its fix."""
    with pytest.raises(LocalProtocolError, match=r"call network\.server\(config\) first"):
        Network().endpoint("alice", "192.0.2.11")
