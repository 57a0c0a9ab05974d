"""Requests to a GRUU (RFC 5627 6), in a stack with the default route."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.registrar import RegistrarConfig
from tests.rig import BOB, CAROL, HOST, UDP, Rig, only, reply, request, sent, what

WS = 7
LISTENERS = (ListenerConfig(UDP, "udp", HOST, 5060), ListenerConfig(WS, "ws", HOST, 80))
UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
OTHER = "urn:uuid:00000000-0000-1000-8000-aabbccddeeff"
AOR = "sip:bob@biloxi.test"
SECRET = b"the secret of every life"


def register(
    bench: Rig,
    source: Any = BOB,
    instance: str = UUID,
    *,
    expires: int = 3600,
    cseq: int = 1,
    call_id: str = "",
) -> tuple[str, str]:
    """Bob's phone at ``source``; return its public and its temporary GRUU."""
    headers = [
        ("Contact", f'<sip:bob@{source[0]}>;+sip.instance="<{instance}>"'),
        ("Supported", "gruu"),
        ("Expires", str(expires)),
    ]
    call_id = call_id or instance[-4:]
    data = request("REGISTER", "sip:biloxi.test", source=source, branch=f"z9hG4bKr{source[0]}{cseq}{call_id}",
                   sender=f"<{AOR}>", to=f"<{AOR}>", call_id=call_id, cseq=cseq, headers=headers)  # fmt: skip
    (answer,) = bench.udp(data, source)
    assert answer.what == "200"
    for value in answer.message.get_all("contact"):
        if source[0] in value:
            found = [re.search(f'{name}="([^"]+)"', value) for name in ("pub-gruu", "temp-gruu")]
            return found[0][1], found[1][1]  # type: ignore[index]  # known to be there
    return "", ""


def rig(**options: Any) -> Rig:
    return Rig(listeners=LISTENERS, secret=SECRET, **options)


@pytest.mark.parametrize("which", [0, 1])
def test_it_leads_to_one_device(which: int) -> None:
    """RFC 5627 6.1: only to contacts of its instance, and ``gr`` does not go on."""
    bench = rig()
    uri = register(bench)[which]
    register(bench, CAROL, OTHER)
    invite = only(bench.udp(request(uri=uri)), "INVITE")
    assert (invite.to, invite.message.uri_text) == (BOB, "sip:bob@192.0.2.2")
    both = bench.udp(request(call_id="2", branch="z9hG4bK2"))
    assert sorted(sent(both)[1:]) == [("INVITE", BOB), ("INVITE", CAROL)]


def test_nobody_there() -> None:
    """RFC 5627 6.1, 5.3: 480 for a public GRUU, whose device may be back; 404 for an invalid one."""
    bench = rig()
    public, temporary = register(bench)
    bench.now += 1
    register(bench, expires=0, cseq=2)
    answers = [
        what(bench.udp(request(uri=uri, call_id=str(number), branch=f"z9hG4bK{number}")))
        for number, uri in enumerate((public, temporary, f"{AOR};gr", f"{AOR};gr={OTHER}"))
    ]
    assert answers == [["480"], ["404"], ["404"], ["480"]]


def test_after_a_new_call_id() -> None:
    """RFC 5627 5.1: the old temporary one is invalid, 404; the new one is good."""
    bench = rig()
    _, old = register(bench, call_id="a")
    bench.now += 1
    _, new = register(bench, call_id="b")
    assert what(bench.udp(request(uri=old))) == ["404"]
    assert sent(bench.udp(request(uri=new, call_id="2", branch="z9hG4bK2")))[-1] == ("INVITE", BOB)


def test_after_a_restart() -> None:
    """With the same secret and the bindings of the store both are good; with another none is a forgery."""
    before = rig(wall_offset=1_000_000_000.0)
    public, temporary = register(before)
    bindings = [one for _, record in before.stack.location.snapshot() for one in record]
    # The clock of the new process begins elsewhere.
    for one in bindings:
        one.expires_at -= 90.25
        one.registered_at -= 90.25
        one.refreshed_at -= 90.25
    after = rig(seed=b"another process's seed", wall_offset=1_000_000_090.25, now=10.0)
    after.stack.restore(bindings, after.now)
    for number, uri in enumerate((public, temporary)):
        outs = after.udp(request(uri=uri, call_id=str(number), branch=f"z9hG4bK{number}"))
        assert sent(outs)[-1] == ("INVITE", BOB)


def test_a_phone_that_was_restarted() -> None:
    """RFC 5627 6.1: of several contacts of the instance the one refreshed last, the next on 408 or 430."""
    bench = rig()
    register(bench, CAROL, call_id="a")
    bench.now += 1
    public, _ = register(bench, BOB, call_id="b")
    invite = only(bench.udp(request(uri=public)), "INVITE")
    assert invite.to == BOB
    assert sent(bench.udp(reply(invite, 430), BOB)) == [("ACK", BOB), ("INVITE", CAROL)]


def test_within_a_dialog() -> None:
    """RFC 5627 6.1: a GRUU as remote target leads to where the device is now, even if that is elsewhere."""
    bench = rig()
    public, temporary = register(bench)
    invite = only(bench.udp(request(headers=[("Contact", "<sip:alice@192.0.2.1>")])), "INVITE")
    bench.udp(reply(invite, 200, headers=[("Contact", f"<{temporary}>")]), BOB)
    route = [("Route", bench.route())]
    ack = request("ACK", temporary, branch="z9hG4bKack", to_tag="bob", headers=route)
    assert sent(bench.udp(ack)) == [("ACK", BOB)]
    bench.now += 1
    # The same device comes back from another address, with the same Call-ID.
    register(bench, CAROL, cseq=2)
    info = request("INFO", temporary, branch="z9hG4bKinfo", to_tag="bob", cseq=2, headers=route)
    info_out = only(bench.udp(info), "INFO")
    assert (info_out.to, info_out.message.uri_text) == (CAROL, "sip:bob@192.0.2.3")
    register(bench, CAROL, cseq=3, expires=0)
    register(bench, BOB, cseq=4, expires=0)
    for number, (uri, status) in enumerate(((temporary, "404"), (public, "480"))):
        bye = request("BYE", uri, branch=f"z9hG4bKb{number}", to_tag="bob", cseq=3 + number, headers=route)
        assert what(bench.udp(bye)) == [status]


def test_a_route_that_just_relays() -> None:
    """A script that knows nothing of GRUUs relays within dialogs all the same."""

    def route(incoming: Any) -> Any:
        if incoming.method == "REGISTER":
            return incoming.register()
        return incoming.relay()

    bench = rig(route=route)
    public, _ = register(bench)
    assert sent(bench.udp(request("INFO", public, to_tag="bob")))[-1] == ("INFO", BOB)


def test_the_path_of_a_dialog_is_its_route() -> None:
    """RFC 5627 6.1: with Route values left the Path of the binding is discarded."""
    bench = rig(registrar=RegistrarConfig(path_from="all"))
    headers = [
        ("Contact", f'<sip:bob@10.0.0.5>;+sip.instance="<{UUID}>"'),
        ("Supported", "gruu, path"),
        ("Path", "<sip:edge.example.com;lr>"),
    ]
    data = request("REGISTER", "sip:biloxi.test", sender=f"<{AOR}>", to=f"<{AOR}>", headers=headers)
    assert what(bench.udp(data)) == ["200"]
    invite = request(headers=[("Contact", "<sip:alice@192.0.2.1>")], branch="z9hG4bKi", call_id="c")
    bench.udp(invite)
    out = only(bench.answer([("192.0.2.77", 5060)]), "INVITE")
    answer = reply(out, 200).replace(
        b"Record-Route:", b"Record-Route: <sip:192.0.2.77;lr>\r\nRecord-Route:", 1
    )
    bench.udp(answer, ("192.0.2.77", 5060))
    route = [("Route", bench.route())]
    uri = f"{AOR};gr={UUID}"
    info = request("INFO", uri, branch="z9hG4bKn", call_id="c", to_tag="bob", headers=route)
    out = only(bench.udp(info), "INFO")
    assert (out.to, out.message.values("route"), out.message.uri_text) == (
        ("192.0.2.77", 5060), ["<sip:192.0.2.77;lr>"], "sip:bob@10.0.0.5",
    )  # fmt: skip


def test_where_there_are_no_gruus() -> None:
    """``registrar.gruu = false``: ``gr`` is a parameter like any other, and goes with the rest."""
    bench = rig(registrar=RegistrarConfig(gruu=False))
    bench.register("sip:bob@192.0.2.2")
    assert sent(bench.udp(request(uri=f"{AOR};gr={OTHER}")))[-1] == ("INVITE", BOB)


def test_others_gruus_are_others() -> None:
    """RFC 5627 4.3: one of another domain goes there, in its dialog, untouched."""
    bench = rig()
    register(bench)
    data = request(uri="sip:x@192.0.2.99;gr=1", to_tag="bob")
    assert what(bench.udp(data)) == ["481"]
    assert what(bench.udp(request(uri="sip:x@192.0.2.99;gr=1", branch="z9hG4bK2", call_id="2"))) == ["403"]


def test_redirects_and_groups() -> None:
    """``;group=1`` is no ``gr``, whatever it begins with."""
    bench = rig()
    register(bench)
    assert sent(bench.udp(request(uri=f"{AOR};group=1")))[-1] == ("INVITE", BOB)


def test_alias_domains() -> None:
    """Our addresses mean the first domain, for GRUUs as well."""
    bench = rig()
    public, _ = register(bench)
    assert sent(bench.udp(request(uri=public.replace("biloxi.test", HOST))))[-1] == ("INVITE", BOB)


def test_a_borrowed_gruu() -> None:
    """RFC 5627 6.2: a Contact with a GRUU of somebody else's is worth a 403; one's own is what it is for."""
    seen: list[bool] = []

    async def route(incoming: Any) -> None:
        if incoming.method == "REGISTER":
            await incoming.register()
        else:
            seen.append(incoming.borrows_gruu)
            incoming.reply(486)

    bench = rig(route=route)
    public, temporary = register(bench)
    contacts = [
        public,
        temporary,
        f"{AOR};gr=urn:uuid:1",
        "sip:bob@192.0.2.2;group=1",
        "sip:x@example.net;gr",
    ]
    contacts += ["sip:tgruu.AAAA@biloxi.test;gr"]
    # RFC 3261 19.1.4, RFC 4475 3.1.1.3: other spellings of the same.
    contacts += [public.replace(";gr=", ";GR="), public.replace(";gr=", ";%67r=")]
    for number, contact in enumerate(contacts):
        for who in ("bob", "mallory"):
            data = request(sender=f"<sip:{who}@biloxi.test>", headers=[("Contact", f"<{contact}>")],
                           call_id=f"{who}{number}", branch=f"z9hG4bK{who}{number}")  # fmt: skip
            bench.udp(data)
    assert seen == [
        False,
        True,
        False,
        True,
        False,
        True,
        False,
        False,
        False,
        False,
        True,
        True,
        False,
        True,
        False,
        True,
    ]
