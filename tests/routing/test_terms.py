"""Through the whole stack: what a stranger with an account cannot have this server send to."""

from __future__ import annotations

import pytest

from sansip.events import RegistrationRefused
from sansip.registrar import RegistrarConfig
from sansip.routing import TrustedPeer
from tests.rig import BOB, HOST, HOST6, TCP, Rig, only, request, what
from tests.shelf import Cluster

AOR = "<sip:bob@biloxi.test>"


def register(contact: str, number: int = 1, source=BOB, **options) -> bytes:
    options.setdefault("headers", [])
    return request(
        "REGISTER",
        "sip:biloxi.test",
        source=source,
        branch=f"z9hG4bKr{number}",
        to=AOR,
        sender=AOR,
        cseq=number,
        headers=[("Contact", contact), *options.pop("headers")],
        **options,
    )


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:carol@biloxi.test>",
        f"<sip:carol@{HOST};a=1>",
        f"<sip:carol@{HOST}:5060;transport=tcp>",
        f"<sip:carol@[{HOST6.upper()}]>",
        "<sip:carol@biloxi.test.>",
        f"<sip:x@203.0.113.9;maddr={HOST}>",
        "<sip:x@127.0.0.1:9>",
        "<sip:x@0.0.0.0>",
        "<sip:x@255.255.255.255>",
        "<http://biloxi.test/>",
    ],
)
def test_refused_and_told(contact: str) -> None:
    """Nothing is bound, and the operator reads the user and the address."""
    rig = Rig()
    assert what(rig.udp(register(contact), BOB)) == ["403"]
    assert rig.stack.snapshot()["addresses_of_record"] == 0
    (event,) = rig.events
    assert isinstance(event, RegistrationRefused)
    assert (event.aor, event.source, event.key) == ("sip:bob@biloxi.test", BOB[0], "")


def test_another_port_of_this_machine() -> None:
    """A gateway beside the server, on a port of its own, is no loop."""
    assert what(Rig().udp(register(f"<sip:bob@{HOST}:5080>"), BOB)) == ["200"]


def test_many_contacts_that_name_the_server() -> None:
    """Issue 9: 32 of them made one INVITE burn a core for minutes. None of them stands."""
    rig = Rig()
    contacts = ", ".join(f"<sip:bob@{HOST};n={number}>" for number in range(10))
    rig.udp(register(contacts), BOB)
    outs = rig.udp(request(branch="z9hG4bKi"))
    assert what(outs) == ["404"]


def test_two_users_who_point_at_each_other() -> None:
    """Each names a user of the other one's domain: both are refused."""
    rig = Rig()
    assert what(rig.udp(register("<sip:alice@biloxi.test>"), BOB)) == ["403"]


def test_edge_proxies_are_known() -> None:
    """RFC 3327 6: the Path of a peer in [[trusted]], or of this machine, is believed; a stranger's is not."""
    headers = [("Path", "<sip:192.0.2.77;lr>"), ("Supported", "path")]
    for source, options, wanted in (
        (BOB, {}, "403"),
        (BOB, {"trusted": [TrustedPeer(BOB[0])]}, "200"),
        (BOB, {"registrar": RegistrarConfig(path_from="all")}, "200"),
        (("127.0.0.1", 5080), {}, "200"),
    ):
        rig = Rig(**options)
        outs = rig.udp(register("<sip:bob@192.0.2.2>", source=source, headers=headers), source)
        assert what(outs) == [wanted]
        if wanted == "403":
            assert rig.events[0].key == "registrar.path_from"


def test_loopback_from_this_machine() -> None:
    """A soft phone beside the server registers 127.0.0.1, and is called there."""
    rig = Rig()
    assert what(
        rig.udp(register("<sip:bob@127.0.0.1:5090>", source=("127.0.0.1", 5090)), ("127.0.0.1", 5090))
    ) == ["200"]


def test_connections_that_are_gone_do_not_count() -> None:
    """A phone that reconnects under another Contact each time gets in, whatever the policy of lost flows."""
    rig = Rig(registrar=RegistrarConfig(max_contacts=2, lost_flow="keep"))
    for number in range(1, 8):
        source = ("192.0.2.2", 40_000 + number)
        conn = rig.accept(source)
        data = register(f"<sip:bob{number}@192.0.2.2:{source[1]};transport=tcp>", number, transport="TCP")
        assert what(rig.tcp(conn, data)) == ["200"]
        rig.closed(conn)
    names = [one.contact[4:8] for one in rig.stack.location.lookup("sip:bob@biloxi.test", rig.now)]
    assert sorted(names) == ["bob6", "bob7"]


def test_those_that_live_do_count() -> None:
    """Or the limit were none."""
    rig = Rig(registrar=RegistrarConfig(max_contacts=2))
    for number, wanted in ((1, "200"), (2, "200"), (3, "503")):
        source = ("192.0.2.2", 40_000 + number)
        conn = rig.accept(source, TCP)
        data = register(f"<sip:bob{number}@192.0.2.2:{source[1]};transport=tcp>", number, transport="TCP")
        assert what(rig.tcp(conn, data)) == [wanted]
    assert rig.events[-1].key == "registrar.max_contacts"


def test_a_route_decides_for_a_user() -> None:
    """``register(max_contacts=, on_full=)``: the settings of one user, out of a route."""

    async def route(incoming) -> None:
        await incoming.register(max_contacts=1, on_full="replace-oldest")

    rig = Rig(route)
    for number in (1, 2, 3):
        rig.wait(1)
        assert what(rig.udp(register(f"<sip:bob{number}@192.0.2.2>", number), BOB)) == ["200"]
    (binding,) = rig.stack.location.lookup("sip:bob@biloxi.test", rig.now)
    assert binding.contact == "sip:bob3@192.0.2.2"


def test_several_nodes() -> None:
    """The rules are those of the registrar, wherever the bindings are; a dead node's connections are gone."""
    cluster = Cluster("a", "b", registrar=RegistrarConfig(max_contacts=1, lost_flow="keep"))
    assert what(cluster.udp("a", register("<sip:carol@biloxi.test>"), BOB)) == ["403"]
    rig = cluster.rigs["a"]
    conn = rig.accept(("192.0.2.2", 40_001))
    data = register("<sip:bob@192.0.2.2:40001;transport=tcp>", 2, transport="TCP")
    outs = [*rig.tcp(conn, data), *cluster.settle("a")]
    assert what(outs) == ["200"]
    second = register("<sip:bob@192.0.2.2>", 3, call_id="other")
    assert what(cluster.udp("b", second, BOB)) == ["503"]
    cluster.die("a")
    assert what(cluster.udp("b", register("<sip:bob@192.0.2.2>", 4, call_id="other"), BOB)) == ["200"]
    assert only(cluster.udp("b", request(branch="z9hG4bKi", source=BOB), BOB), "INVITE").to == (
        "192.0.2.2",
        5060,
    )
