"""Phones behind NATs, over UDP: every request of a dialog finds the phone, whatever its Contact says."""

from __future__ import annotations

from typing import Any

from tests.rig import HOST, HOST6, UDP, UDP6, Out, Rig, only, reply, request, what

# Two homes with the same network, behind one NAT each.
ALICE, BOB = ("198.51.100.1", 41000), ("198.51.100.2", 42000)
AT_HOME = "10.0.0.9:5060"
PUBLIC = ("203.0.113.5", 5060)


def ask(
    method: str,
    source: Any,
    *,
    user: str,
    via: str = f"{AT_HOME};rport",
    contact: str = AT_HOME,
    **options: Any,
) -> bytes:
    """A request of a phone that knows only its address at home."""
    headers = [("Contact", f"<sip:{user}@{contact}>"), *options.pop("headers", [])]
    branch = options.pop("branch", f"z9hG4bK{method}{source[1]}{options.get('cseq', 1)}")
    return request(
        method, via=f"SIP/2.0/UDP {via};branch={branch}", headers=headers, source=source, **options
    )


def register(rig: Rig, source: Any, user: str = "bob", cseq: int = 1, **options: Any) -> None:
    data = ask(
        "REGISTER",
        source,
        user=user,
        uri="sip:biloxi.test",
        to=f"<sip:{user}@biloxi.test>",
        sender=f"<sip:{user}@biloxi.test>",
        call_id=f"r-{user}",
        cseq=cseq,
        headers=[("Expires", "3600")],
        **options,
    )
    assert what(rig.udp(data, source)) == ["200"]


class Call:
    """A call from ``caller`` to bob, up to its 200."""

    def __init__(self, rig: Rig, caller: Any, callee: Any, answered: str = AT_HOME, **options: Any) -> None:
        self.rig = rig
        self.places = {"alice": AT_HOME, "bob": answered}
        outs = rig.udp(ask("INVITE", caller, user="alice", **options), caller)
        invite = only(outs, "INVITE")
        assert invite.to == callee
        self.recorded = invite.message.values("record-route")
        contact = [("Contact", f"<sip:bob@{answered}>")]
        answer = only(rig.udp(reply(invite, 200, headers=contact), callee), "200")
        assert answer.to == caller
        # Each side has values of its own (``proxy.dialog_mark``).
        self.told = answer.message.values("record-route")
        self.invite = invite

    def from_alice(self, method: str, source: Any, cseq: int) -> Out:
        """The messages that leave for a request of alice's within the dialog."""
        return self._within(method, source, cseq, list(reversed(self.told)), "alice", "bob")

    def from_bob(self, method: str, source: Any, cseq: int) -> Out:
        return self._within(method, source, cseq, self.recorded, "bob", "alice")

    def _within(self, method: str, source: Any, cseq: int, routes: list[str], user: str, other: str) -> Out:
        data = ask(
            method,
            source,
            user=user,
            uri=f"sip:{other}@{self.places[other]}",
            sender=f"<sip:{user}@biloxi.test>",
            from_tag=user,
            to=f"<sip:{other}@biloxi.test>",
            to_tag=other,
            cseq=cseq,
            headers=[("Route", value) for value in routes],
        )
        return only(self.rig.udp(data, source), method)


def test_calls_go_to_the_source() -> None:
    """The binding has where the REGISTER came from, and by which listener."""
    rig = Rig()
    register(rig, BOB)
    [binding] = rig.stack.location.lookup("sip:bob@biloxi.test", rig.now)
    assert str(binding.received) == "sip:198.51.100.2:42000"
    assert binding.flow == UDP


def test_both_behind_nats() -> None:
    """ACK, re-INVITE and BYE of both sides, though both Contacts are the same private address."""
    rig = Rig()
    register(rig, BOB)
    call = Call(rig, ALICE, BOB)
    # One value for each side, and neither tells a phone's address to the other.
    assert [value.startswith("<sip:f-") for value in call.recorded] == [True, True]
    assert not any("198.51" in value for value in call.recorded)
    assert call.from_alice("ACK", ALICE, 1).to == BOB
    assert call.from_alice("INVITE", ALICE, 2).to == BOB
    assert call.from_bob("INVITE", BOB, 1).to == ALICE
    bye = call.from_bob("BYE", BOB, 2)
    assert bye.to == ALICE
    assert bye.message.uri_text == f"sip:alice@{AT_HOME}"
    assert not bye.message.has("route")


def test_one_behind_a_nat() -> None:
    """A phone without a NAT gets no token: its Contact is its address, and is used."""
    rig = Rig()
    register(rig, BOB)
    call = Call(rig, PUBLIC, BOB, via="203.0.113.5:5060;rport", contact="203.0.113.5:5060")
    assert [value.startswith("<sip:f-") for value in call.recorded] == [True, False]
    assert call.from_alice("BYE", PUBLIC, 2).to == BOB

    rig = Rig()
    register(rig, PUBLIC, via="203.0.113.5:5060;rport", contact="203.0.113.5:5060")
    call = Call(rig, ALICE, PUBLIC)
    assert [value.startswith("<sip:f-") for value in call.recorded] == [False, True]
    assert call.from_bob("BYE", PUBLIC, 1).to == ALICE


def test_nobody_behind_a_nat() -> None:
    """One Record-Route value, and nothing is different."""
    rig = Rig()
    register(rig, PUBLIC, via="203.0.113.5:5060;rport", contact="203.0.113.5:5060")
    caller = ("203.0.113.6", 5060)
    call = Call(rig, caller, PUBLIC, via="203.0.113.6:5060;rport", contact="203.0.113.6:5060")
    assert len(call.recorded) == 1
    assert "f-" not in call.recorded[0]


def test_the_senders_nat_took_another_port() -> None:
    """A request of alice's goes to bob still, though her token names a port that is hers no more."""
    rig = Rig()
    register(rig, BOB)
    call = Call(rig, ALICE, BOB)
    assert call.from_alice("INFO", ("198.51.100.1", 41001), 2).to == BOB
    rig = Rig()
    register(rig, PUBLIC, via="203.0.113.5:5060;rport", contact="203.0.113.5:5060")
    call = Call(rig, ALICE, PUBLIC, answered="203.0.113.5:5060")
    assert call.from_alice("BYE", ("198.51.100.1", 41001), 2).to == PUBLIC


def test_ipv6_and_ipv4() -> None:
    """A home's NAT is IPv4's, the caller's network has IPv6 alone (and a unique local address)."""
    caller = ("2001:db8::1", 5060, 0, 0)
    rig = Rig()
    register(rig, BOB)
    data = ask("INVITE", caller, user="alice", via="[2001:db8::1]:5060;rport", contact="[fd00::9]:5060")
    invite = only(rig.udp(data, caller, UDP6), "INVITE")
    assert invite.to == BOB
    far, near = invite.message.values("record-route")
    assert far.startswith("<sip:f-")
    assert f"@{HOST}:5060" in far
    assert near.startswith("<sip:f-")
    assert f"@[{HOST6}]:5060" in near


def test_a_link_local_phone() -> None:
    """RFC 4007: its zone is kept with the binding, and no peer learns it."""
    phone = ("fe80::9%eth0", 5060, 0, 2)
    rig = Rig()
    data = request(
        "REGISTER",
        "sip:biloxi.test",
        via="SIP/2.0/UDP [fe80::9]:5060;rport;branch=z9hG4bKr",
        to="<sip:bob@biloxi.test>",
        headers=[("Contact", "<sip:bob@[fe80::9]:5060>")],
    )
    answer = only(rig.udp(data, phone, UDP6), "200")
    assert answer.action.address == phone
    assert b"eth0" not in answer.data
    invite = only(rig.udp(request(), ("192.0.2.1", 5060)), "INVITE")
    assert invite.to == ("fe80::9%eth0", 5060)
    assert b"eth0" not in invite.data


def test_through_two_proxies() -> None:
    """Each proxy knows its own phone; the other one only passes its mark on."""
    near, far = Rig(), Rig(listeners=[_listener()], seed=b"another seed for it", domains=["chicago.test"])
    register(near, ALICE, "alice")
    # The call leaves alice's proxy for the other one, which has registered bob.
    data = ask(
        "REGISTER",
        BOB,
        user="bob",
        uri="sip:chicago.test",
        to="<sip:bob@chicago.test>",
        sender="<sip:bob@chicago.test>",
    )
    assert what(far.udp(data, BOB)) == ["200"]

    async def onwards(handle: Any) -> None:
        handle.record_route()
        handle.relay("sip:bob@192.0.2.20;lr" if not handle.in_dialog else None)

    first = Rig(onwards)
    invite = only(first.udp(ask("INVITE", ALICE, user="alice", uri="sip:bob@chicago.test"), ALICE), "INVITE")
    assert invite.to == ("192.0.2.20", 5060)
    data = invite.data.replace(b"INVITE sip:bob@192.0.2.20;lr", b"INVITE sip:bob@chicago.test")
    onward = only(far.udp(data, (HOST, 5060)), "INVITE")
    assert onward.to == BOB
    routes = onward.message.values("record-route")
    # Two of the far proxy (bob's mark), two of the near one (alice's mark).
    assert [value.startswith("<sip:f-") for value in routes] == [True, False, False, True]
    bye = ask(
        "BYE",
        BOB,
        user="bob",
        uri=f"sip:alice@{AT_HOME}",
        from_tag="bob",
        to_tag="alice",
        headers=[("Route", value) for value in routes],
    )
    passed = only(far.udp(bye, BOB), "BYE")
    assert passed.to == (HOST, 5060)
    assert only(first.udp(passed.data, ("192.0.2.20", 5060)), "BYE").to == ALICE
    answer = only(far.udp(reply(onward, 200, headers=[("Contact", f"<sip:bob@{AT_HOME}>")]), BOB), "200")
    told = only(first.udp(answer.data, ("192.0.2.20", 5060)), "200").message.values("record-route")
    back = ask(
        "BYE",
        ALICE,
        user="alice",
        uri=f"sip:bob@{AT_HOME}",
        from_tag="alice",
        to_tag="bob",
        cseq=2,
        headers=[("Route", value) for value in reversed(told)],
    )
    passed = only(first.udp(back, ALICE), "BYE")
    assert passed.to == ("192.0.2.20", 5060)
    assert only(far.udp(passed.data, (HOST, 5060)), "BYE").to == BOB


def _listener() -> Any:
    from sansip import ListenerConfig

    return ListenerConfig(UDP, "udp", "192.0.2.20", 5060)


def test_bobs_nat_took_another_port() -> None:
    """His REGISTER says so, and a dialog that began before goes on; nothing is kept for that."""
    rig = Rig()
    register(rig, BOB)
    call = Call(rig, ALICE, BOB)
    moved = ("198.51.100.2", 42001)
    register(rig, moved, cseq=2)
    assert call.from_alice("INFO", ALICE, 2).to == moved
    register(rig, ("198.51.100.2", 42002), cseq=3)
    assert call.from_alice("INFO", ALICE, 3).to == ("198.51.100.2", 42002)


# --- a callee that is not registered here


def trunk(where: str) -> Rig:
    """A server that sends every call to one address."""

    async def route(handle: Any) -> None:
        handle.record_route()
        handle.relay(None if handle.in_dialog else where)

    return Rig(route)


def test_a_callee_with_a_forwarded_port() -> None:
    """RFC 3261 16.7 step 8: our value in the answer gets the token; from 18x on, for PRACK."""
    rig = trunk("sip:bob@198.51.100.2:42000")
    invite = only(
        rig.udp(ask("INVITE", PUBLIC, user="alice", via="203.0.113.5:5060", contact="203.0.113.5"), PUBLIC),
        "INVITE",
    )
    [recorded] = invite.message.values("record-route")
    assert "f-" not in recorded
    contact = [("Contact", f"<sip:bob@{AT_HOME}>")]
    for status in (180, 200):
        [told] = only(rig.udp(reply(invite, status, headers=contact), BOB), str(status)).message.values(
            "record-route"
        )
        assert told.startswith("<sip:f-")
    call = Call.__new__(Call)
    call.rig, call.told, call.places = rig, [told], {"bob": AT_HOME}
    assert call.from_alice("ACK", PUBLIC, 1).to == BOB
    assert call.from_alice("BYE", PUBLIC, 2).to == BOB
    # The callee has the value as it came; it leads to the caller.
    data = ask(
        "INFO",
        BOB,
        user="bob",
        uri="sip:alice@203.0.113.5",
        from_tag="bob",
        to_tag="alice",
        headers=[("Route", recorded)],
    )
    assert only(rig.udp(data, BOB), "INFO").to == PUBLIC


def test_a_2xx_that_comes_again_shows_the_same_way() -> None:
    """RFC 3261 13.3.1.4, 12.1.2: the caller's route set must not depend on which copy got through."""
    rig = trunk("sip:bob@198.51.100.2:42000")
    invite = only(
        rig.udp(ask("INVITE", PUBLIC, user="alice", via="203.0.113.5:5060", contact="203.0.113.5"), PUBLIC),
        "INVITE",
    )
    answer = reply(invite, 200, headers=[("Contact", f"<sip:bob@{AT_HOME}>")])
    first, again = (only(rig.udp(answer, BOB), "200") for _ in range(2))
    assert first.message.values("record-route")[0].startswith("<sip:f-")
    assert again.data == first.data


def test_a_callee_whose_source_is_the_end_of_its_contact() -> None:
    """172.16.1.2 is no 2.16.1.2, and a user is no address."""
    for contact in ("bob@172.16.1.2", "172.16.1.2", "2.16.1.2@172.16.1.9"):
        rig = trunk("sip:bob@2.16.1.2:42000")
        invite = only(
            rig.udp(
                ask("INVITE", PUBLIC, user="alice", via="203.0.113.5:5060", contact="203.0.113.5"), PUBLIC
            ),
            "INVITE",
        )
        data = reply(invite, 200, headers=[("Contact", f"<sip:{contact}>")])
        [told] = only(rig.udp(data, ("2.16.1.2", 42000)), "200").message.values("record-route")
        assert told.startswith("<sip:f-")


def test_callees_that_mean_what_they_say() -> None:
    """A public Contact, a gateway in the server's own network, a proxy in between: nothing is rewritten."""
    for where, contact, extra in (
        ("198.51.100.2:42000", "198.51.100.2:42000", ""),
        ("198.51.100.2:42000", "203.0.113.77", ""),
        ("198.51.100.2:42000", "198.51.100.20", ""),
        ("10.0.0.4:5060", AT_HOME, ""),
        ("198.51.100.2:42000", AT_HOME, "<sip:198.51.100.2:42000;lr>"),
        ("198.51.100.2:42000", "", ""),
    ):
        rig = trunk(f"sip:bob@{where}")
        invite = only(
            rig.udp(
                ask("INVITE", PUBLIC, user="alice", via="203.0.113.5:5060", contact="203.0.113.5"), PUBLIC
            ),
            "INVITE",
        )
        recorded = invite.message.values("record-route")
        data = reply(invite, 200, headers=[("Contact", f"<sip:bob@{contact}>")] if contact else [])
        if extra:
            data = data.replace(b"Record-Route: ", f"Record-Route: {extra}\r\nRecord-Route: ".encode(), 1)
        told = only(rig.udp(data, (where.partition(":")[0], 5060)), "200").message.values("record-route")
        assert [value.partition(";d=")[0] for value in told] == [
            value.partition(";d=")[0] for value in ([extra] if extra else []) + recorded
        ]
