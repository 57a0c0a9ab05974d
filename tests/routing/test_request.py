"""The request handle: the values that a route reads, and its verbs."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.proxy import Target
from sansip.wire import parse_uri
from tests.rig import ALICE, BOB, BOB_URI, Rig, ack, only, reply, request, sent, what


def seen(method: str = "INVITE", **options: Any) -> Any:
    """The handle that a route got for a request."""
    handles: list[Any] = []

    def route(incoming: Any) -> None:
        handles.append(incoming)
        incoming.reply(486)

    Rig(route).udp(request(method, **options))
    return handles[0]


def test_reading() -> None:
    """Method, Request-URI, source, time, dialog."""
    handle = seen()
    assert handle.method == "INVITE"
    assert str(handle.uri) == "sip:bob@biloxi.test"
    assert (handle.flow.transport, handle.flow.host, handle.flow.port) == ("udp", *ALICE)
    assert handle.now == 100.0
    assert not handle.in_dialog
    assert seen(to_tag="bob").in_dialog


@pytest.mark.parametrize(
    ("uri", "served"),
    [
        ("sip:bob@biloxi.test", True),
        ("sip:bob@192.0.2.10", True),
        ("sip:bob@other.test", False),
        ("tel:+1555", False),
    ],
)
def test_serves(uri: str, served: bool) -> None:
    """16.5: a domain of this server, or an address of it."""
    assert seen(uri=uri).serves() is served
    assert seen().serves(parse_uri(uri)) is served


# --- reply


def test_reply() -> None:
    """8.2.6: Via, From, To with a tag, Call-ID and CSeq of the request, and what the route adds."""
    rig = Rig(lambda incoming: incoming.reply(480, "Gone Fishing", [("Retry-After", "60")], b"body"))
    data = request(headers=[("Via", "SIP/2.0/UDP 192.0.2.55;branch=z9hG4bKbelow")])
    (out,) = rig.udp(data)
    message = out.message
    assert message.start_line == "SIP/2.0 480 Gone Fishing"
    assert message.get_all("via") == [
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1",
        "SIP/2.0/UDP 192.0.2.55;branch=z9hG4bKbelow",
    ]
    assert message.get("from") == "<sip:alice@biloxi.test>;tag=alice"
    assert message.get("call-id") == "call@192.0.2.1"
    assert message.get("cseq") == "1 INVITE"
    assert message.get("retry-after") == "60"
    assert message.body == b"body"
    assert message.content_length == 4
    assert message.to_tag


def test_one_tag_for_all_answers() -> None:
    """8.2.6.2: the same To tag in every answer to one request; none in a 100."""

    def route(incoming: Any) -> None:
        for status in (100, 180, 183, 486):
            incoming.reply(status)

    outs = Rig(route).udp(request())
    assert what(outs) == ["100", "180", "183", "486"]
    assert outs[0].message.to_tag is None
    assert len({out.message.to_tag for out in outs[1:]}) == 1


def test_a_tag_that_is_there_stays() -> None:
    """8.2.6.2: a request within a dialog has one."""
    assert (
        Rig(lambda incoming: incoming.reply(481)).udp(request("BYE", to_tag="bob"))[0].message.to_tag == "bob"
    )


def test_one_final_answer() -> None:
    """The second is ignored."""

    def route(incoming: Any) -> None:
        incoming.reply(486)
        incoming.reply(200)

    assert what(Rig(route).udp(request())) == ["486"]


def test_the_server_field() -> None:
    """StackConfig.server_name: in messages made here, not in forwarded ones."""
    rig = Rig(lambda incoming: incoming.reply(486), server_name="sansip")
    assert rig.udp(request())[0].message.get("server") == "sansip"
    rig = Rig(lambda incoming: incoming.relay(BOB_URI), server_name="sansip")
    branch = only(rig.udp(request()), "INVITE")
    assert not branch.message.has("server")
    assert not rig.udp(reply(branch, 200), BOB)[0].message.has("server")


def test_an_answer_while_it_rings() -> None:
    """A final answer of the route ends the relay: the phones are cancelled."""
    handles: list[Any] = []

    def route(incoming: Any) -> None:
        handles.append(incoming)
        incoming.relay(BOB_URI)

    rig = Rig(route)
    branch = only(rig.udp(request()), "INVITE")
    rig.udp(reply(branch, 180), BOB)
    handles[0].reply(480)
    assert what(rig.wait(0)) == []
    # The actions are handed over with the next input.
    outs = rig.udp(reply(branch, 180), BOB)
    assert what(outs) == ["480", "CANCEL"]


def test_no_answer_to_an_ack() -> None:
    """17: an ACK is never answered, whatever the route says."""
    assert Rig(lambda incoming: incoming.reply(200)).udp(request("ACK")) == []


def test_a_bad_answer_is_the_routes_mistake() -> None:
    """A line end in a field would add a field."""
    rig = Rig(lambda incoming: incoming.reply(486, None, [("X", "a\r\nY: b")]))
    assert what(rig.udp(request())) == ["500"]
    assert isinstance(rig.events[0].error, LocalProtocolError)


# --- drop


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "ACK"])
def test_drop(method: str) -> None:
    """No answer at all, and no state."""
    rig = Rig(lambda incoming: incoming.drop())
    assert rig.udp(request(method)) == []
    assert rig.empty


# --- redirect


def test_redirect() -> None:
    """8.3: 302 with Contact values in the order given, with their q."""

    def route(incoming: Any) -> None:
        incoming.redirect(
            ["sip:a@x.test", Target(parse_uri("sip:b@x.test"), 500), Target(parse_uri("sip:c@x.test"), 0)]
        )

    (out,) = Rig(route).udp(request())
    assert out.what == "302"
    assert out.message.get_all("contact") == [
        "<sip:a@x.test>",
        "<sip:b@x.test>;q=0.500",
        "<sip:c@x.test>;q=0.000",
    ]


def test_redirect_with_another_status() -> None:
    """21.3.2: 301 moved permanently."""
    assert what(Rig(lambda incoming: incoming.redirect(["sip:a@x.test"], 301)).udp(request())) == ["301"]


def test_a_redirection_is_acknowledged() -> None:
    """17.2.1: a 3xx is a failure to the transaction."""
    rig = Rig(lambda incoming: incoming.redirect(["sip:a@x.test"]))
    data = request()
    (out,) = rig.udp(data)
    rig.udp(ack(data, out))
    rig.run_out()
    assert rig.empty


# --- locate


def test_locate() -> None:
    """Bindings as targets, best first, with what reaches the phone."""
    found: list[Target] = []

    async def route(incoming: Any) -> None:
        if incoming.method == "REGISTER":
            await incoming.register()
            return
        found.extend(await incoming.locate())
        incoming.reply(486)

    rig = Rig(route)
    rig.register("sip:bob@192.0.2.2", params=";q=0.3")
    rig.register("sip:bob@192.0.2.22", params=";q=0.8")
    rig.udp(request(branch="z9hG4bKx", call_id="x"))
    assert [(str(one.uri), one.q) for one in found] == [
        ("sip:bob@192.0.2.22", 800),
        ("sip:bob@192.0.2.2", 300),
    ]


def test_locate_somebody_else() -> None:
    """Any address-of-record may be asked for; an unknown one has no target."""
    found: list[Any] = []

    async def route(incoming: Any) -> None:
        found.append(await incoming.locate(parse_uri("sip:nobody@biloxi.test")))
        incoming.reply(404)

    Rig(route).udp(request())
    assert found == [[]]


def test_our_addresses_mean_the_first_domain() -> None:
    """A phone that registered with the server's address is found under its name."""
    rig = Rig()
    rig.register("sip:bob@192.0.2.2", aor="sip:bob@192.0.2.10")
    assert sent(rig.udp(request(branch="z9hG4bKx", call_id="x")))[-1] == ("INVITE", BOB)


# --- validate


def test_validate_answers() -> None:
    """16.3: False once it has refused."""
    results: list[bool] = []

    def route(incoming: Any) -> None:
        results.append(incoming.validate())

    assert what(Rig(route).udp(request(hops=0))) == ["483"]
    assert results == [False]
    Rig(route).udp(request())
    assert results == [False, True]


# --- OPTIONS and others for the server itself


def test_options() -> None:
    """11.2: what an OPTIONS is answered with."""
    (out,) = Rig().udp(request("OPTIONS", "sip:biloxi.test"))
    assert out.what == "200"
    for name in ("allow", "accept", "accept-encoding", "accept-language", "supported"):
        assert out.message.has(name), name


def test_options_with_a_require() -> None:
    """8.2.2.3: an extension that we do not know: 420 with Unsupported."""
    (out,) = Rig().udp(request("OPTIONS", "sip:biloxi.test", headers=[("Require", "foo, path")]))
    assert (out.what, out.message.get("unsupported")) == ("420", "foo")


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("INVITE", "484"),
        ("MESSAGE", "484"),
        ("SUBSCRIBE", "484"),
        ("BYE", "405"),
        ("INFO", "405"),
        ("FOO", "501"),
    ],
)
def test_other_methods(method: str, status: str) -> None:
    """21.4.22, 8.2.1, 21.5.2: somebody must be named; or the method is not for a server, or unknown."""
    (out,) = Rig().udp(request(method, "sip:biloxi.test"))
    assert out.what == status
    if status in ("405", "501"):
        assert out.message.has("allow")
