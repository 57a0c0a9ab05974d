"""Lists that a SUBSCRIBE brings (RFC 5367): served as stored ones are, to those who proved who they are."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from sansip.modules.lists import Lists, ListsSettings
from sansip.modules.watches import Watches
from tests.modules.lists.test_module import (
    ALICE,
    BOB,
    CAROL,
    ELSEWHERE,
    LIST,
    YAN,
    ZOE,
    bench,
    listen,
    publish,
    put,
    services,
    told,
)
from tests.modules.presence.test_module import command
from tests.modules.watches.elsewhere import Elsewhere
from tests.modules.watching import Watcher
from tests.rig import Rig, request

SERVICE = "sip:rls@biloxi.test"
TYPE = "application/resource-lists+xml"
REQUIRE = ("Require", "recipient-list-subscribe")
FIELDS = [("Content-Type", TYPE), ("Content-Disposition", "recipient-list")]


def document(*uris: str, inner: str = "") -> bytes:
    entries = "".join(f'<entry uri="{uri}"/>' for uri in uris)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><resource-lists '
        f'xmlns="urn:ietf:params:xml:ns:resource-lists"><list>{entries}{inner}</list></resource-lists>'
    ).encode()


def phone(rig: Rig, **options: Any) -> Watcher:
    return Watcher(rig, SERVICE, headers=[("Supported", "eventlist"), REQUIRE], **options)


def subscribe(one: Watcher, body: bytes, fields: Any = FIELDS, expires: int = 3600) -> int:
    return one.subscribe(expires, fields, body=body)


def index(rig: Rig) -> int:
    return len(rig.stack.modules.get(Lists)._index)


def test_full_then_partial() -> None:
    """The list in the body is that of the subscription, told as RFC 4662 says; a refresh keeps it."""
    rig = bench()
    publish(rig, "bob")
    one = phone(rig)
    assert subscribe(one, document(BOB, CAROL, ELSEWHERE)) == 200
    assert one.response is not None
    assert one.response.get("require") == one.last.get("require") == "eventlist"
    members = {BOB: ("active", "open"), CAROL: ("active", "closed"), ELSEWHERE: ("", "")}
    assert told(one.last) == ("0", "true", members)
    publish(rig, "carol", one)
    assert told(one.last) == ("1", "false", {CAROL: ("active", "open")})
    # As linphone does: the fields of the body that is not there.
    assert one.subscribe(headers=[*FIELDS[1:], ("Content-Encoding", "deflate")]) == 200
    assert told(one.last) == ("2", "true", {**members, CAROL: ("active", "open")})
    assert index(rig) == 1
    one.subscribe(0)
    assert one.state == "terminated;reason=timeout"
    assert index(rig) == 0


def test_no_list_later() -> None:
    """RFC 5367 5.1: within the dialog a list means nothing, and is a 415; the list stays as it was."""
    rig = bench()
    one = phone(rig)
    subscribe(one, document(BOB))
    assert subscribe(one, document(CAROL)) == 415
    one.subscribe()
    assert told(one.last)[2] == {BOB: ("active", "closed")}


def test_each_once() -> None:
    """RFC 5363 4.1: one URI is one member, however it is written; lists in lists are flat (RFC 5367 4)."""
    rig = bench()
    one = phone(rig)
    inner = f'<list><entry uri="{CAROL}"/><entry uri="{BOB}"/></list><entry-ref ref="x"/>'
    assert subscribe(one, document(BOB, "SIP:bob@BILOXI.test", inner=inner)) == 200
    assert list(told(one.last)[2]) == [BOB, CAROL]


def test_no_entries() -> None:
    """A phone whose user has no friends yet is no error."""
    rig = bench()
    one = phone(rig)
    assert subscribe(one, document()) == 200
    assert told(one.last) == ("0", "true", {})


def test_compressed() -> None:
    """linphone deflates the list."""
    rig = bench()
    one = phone(rig)
    assert subscribe(one, zlib.compress(document(BOB)), [*FIELDS, ("Content-Encoding", "deflate")]) == 200
    assert told(one.last)[2] == {BOB: ("active", "closed")}


def multipart(*parts: tuple[str, bytes]) -> tuple[bytes, list[tuple[str, str]]]:
    body = b"".join(b"--x\r\n%s\r\n\r\n%s\r\n" % (head.encode(), part) for head, part in parts)
    return body + b"--x--\r\n", [("Content-Type", "multipart/mixed;boundary=x")]


HEAD = f"Content-Type: {TYPE}\r\nContent-Disposition: recipient-list"


def test_several_lists() -> None:
    """RFC 5363 4.1: they are one list; a part that may be left out is."""
    rig = bench()
    one = phone(rig)
    optional = "Content-Type: text/plain\r\nContent-Disposition: render;handling=optional"
    parts = [(HEAD, document(BOB)), (optional, b"x"), (HEAD, document(CAROL, BOB))]
    assert subscribe(one, *multipart(*parts)) == 200
    assert list(told(one.last)[2]) == [BOB, CAROL]


BOMB = zlib.compress(bytes(10_000_000))


@pytest.mark.parametrize(
    ("status", "fields", "body"),
    [
        (400, FIELDS[:1], document(BOB)),
        (400, [FIELDS[0], ("Content-Disposition", "render")], document(BOB)),
        (400, FIELDS, b""),
        (400, FIELDS, b"<x/>"),
        (400, FIELDS, document("nobody")),
        (400, FIELDS, document(inner="<list>" * 30 + "</list>" * 30)),
        (400, [*FIELDS, ("Content-Encoding", "deflate")], document(BOB)),
        (400, [*FIELDS, ("Content-Encoding", "deflate")], zlib.compress(document(BOB))[:-9]),
        (413, [*FIELDS, ("Content-Encoding", "deflate")], BOMB),
        (413, FIELDS, document(*(f"sip:u{number}@biloxi.test" for number in range(1_500)))),
        (415, [*FIELDS, ("Content-Encoding", "gzip")], document(BOB)),
        (415, [("Content-Type", "text/plain"), FIELDS[1]], b"sip:bob@biloxi.test"),
        (415, [("Content-Type", "application/simple-filter+xml")], b"<x/>"),
        (415, [*multipart()[1], ("Content-Encoding", "deflate")], zlib.compress(b"--x--")),
        (415, multipart()[1], multipart((HEAD, document(BOB)), ("Content-Type: text/plain", b"x"))[0]),
        (415, multipart()[1], multipart((f"{HEAD}\r\nContent-Encoding: x", document(BOB)))[0]),
        (400, multipart()[1], multipart((HEAD.partition("\r")[0], document(BOB)))[0]),
        (400, multipart()[1], b"--x\r\n"),
        (413, multipart()[1], multipart(*[(f"{HEAD}\r\nContent-Encoding: deflate", BOMB)] * 3)[0]),
    ],
)
def test_refused(status: int, fields: list[tuple[str, str]], body: bytes) -> None:
    """RFC 3261 8.2.3, 20.11, 21.4.11: each with its status, and nothing of it stays."""
    rig = bench(body=32_768)
    one = phone(rig)
    assert subscribe(one, body, fields) == status
    if status == 415:
        assert one.response is not None
        assert one.response.has("accept") or one.response.has("accept-encoding")
    assert (one.notifies, index(rig)) == ([], 0)


def test_not_required() -> None:
    """RFC 5367 3: without the option tag it is the body of an ordinary SUBSCRIBE, which has none."""
    one = Watcher(bench(), SERVICE, headers=[("Supported", "eventlist")])
    assert subscribe(one, document(BOB)) == 415


def test_other_refusals() -> None:
    """Another extension is a 420, a client without eventlist a 421, an unknown package a 489."""
    rig = bench()
    one = phone(rig, name="w1")
    assert one.subscribe(headers=[*FIELDS, ("Require", "x")], body=document(BOB)) == 420
    assert one.response is not None
    assert one.response.get("unsupported") == "x"
    one = Watcher(rig, SERVICE, headers=[REQUIRE], name="w2")
    assert subscribe(one, document(BOB)) == 421
    assert one.response is not None
    assert one.response.get("require") == "eventlist"
    assert subscribe(phone(rig, event="unknown", name="w3"), document(BOB)) == 489


def test_options() -> None:
    """RFC 5367 5: an OPTIONS hears that it is supported, and while the module is there."""
    rig = bench()
    (out,) = rig.udp(request("OPTIONS", "sip:biloxi.test", to="<sip:biloxi.test>"))
    supported = [one.strip() for one in (out.message.get("supported") or "").split(",")]
    assert {"eventlist", REQUIRE[1]} <= set(supported)
    rig.stack.modules.get(Lists).core.rest()
    (out,) = rig.udp(
        request("OPTIONS", "sip:biloxi.test", to="<sip:biloxi.test>", call_id="2", branch="z9hG4bK2")
    )
    assert "eventlist" not in out.message.get("supported")


def test_documents_do_not_matter() -> None:
    """A list of the same address that the user has written is another one."""
    rig = bench()
    put(rig, services(CAROL, uri=SERVICE))
    one = phone(rig)
    subscribe(one, document(BOB))
    put(rig, services(CAROL, uri=LIST), one)
    publish(rig, "carol", one)
    assert len(one.notifies) == 1
    publish(rig, "bob", one)
    assert told(one.last) == ("1", "false", {BOB: ("active", "open")})
    assert command(rig, "lists.show", user=ALICE) == {LIST: [CAROL]}


def test_a_restart() -> None:
    """The list is kept with the subscription, which is told whole and goes on."""
    rig = bench()
    one = phone(rig)
    subscribe(one, zlib.compress(document(BOB)), [*FIELDS, ("Content-Encoding", "deflate")])
    rig = bench(rig.rows, now=150.0)
    one.rig = rig
    one.wait(5)
    assert told(one.last)[1:] == ("true", {BOB: ("active", "closed")})
    publish(rig, "bob", one)
    assert told(one.last)[1:] == ("false", {BOB: ("active", "open")})
    assert one.subscribe() == 200
    assert subscribe(one, document(CAROL)) == 415


def test_members_are_bounded() -> None:
    """`members` is the most that one list tells; a row holds no more."""
    rig = bench(members=3)
    one = phone(rig)
    subscribe(one, document(*(f"sip:u{number}@biloxi.test" for number in range(10))))
    assert list(told(one.last)[2]) == [f"sip:u{number}@biloxi.test" for number in range(3)]
    assert index(rig) == 1


def test_lists_are_bounded() -> None:
    """`most_of_watcher`: the lists of one user, so that nobody holds a million members; a fetch is none."""
    rig = bench(most_of_watcher=2)
    several = [phone(rig, name=f"w{number}") for number in range(3)]
    assert [subscribe(one, document(BOB)) for one in several] == [200, 200, 403]
    assert subscribe(phone(rig, user="dave", name="w4"), document(BOB)) == 200
    several[0].subscribe(0)
    assert subscribe(phone(rig, name="w5"), document(BOB)) == 200
    for number in (6, 7):
        assert subscribe(phone(rig, user="erin", name=f"w{number}"), document(BOB), expires=0) == 200
    assert index(rig) == 3
    for name in ("body", "most_of_watcher"):
        with pytest.raises(ValueError, match=f"{name} is -1"):
            ListsSettings(**{name: -1})


def test_all_phones_name_one_address() -> None:
    """`events.most_of_resource` counts no lists: the service has one address for all users."""
    rig = bench()
    rig.stack.modules.get(Lists)._engine.settings.most_of_resource = 1
    assert subscribe(phone(rig), document(BOB)) == 200
    assert subscribe(phone(rig, user="dave", name="w2"), document(BOB)) == 200


def test_strangers() -> None:
    """RFC 5363 5.2: a stranger gets no list, also where anybody may subscribe."""
    rig = bench()
    source = ("198.51.100.9", 5060)
    assert subscribe(phone(rig, source=source), document(BOB)) == 403
    rig.stack.modules.get(Lists)._engine.settings.open = True
    one = phone(rig, source=source, name="w2")
    assert subscribe(one, document(BOB)) == 403
    assert (one.notifies, index(rig)) == ([], 0)


def test_members_elsewhere() -> None:
    """They are subscribed to for the watcher, within the limits of `watches`, while the list lasts."""
    rig = bench(elsewhere=True)
    server = Elsewhere(rig)
    one = phone(rig)
    subscribe(one, document(ZOE, YAN))
    listen(server, one)
    assert {asked.uri_text for asked in server.asked} == {ZOE, YAN}
    assert {uri: state for uri, (state, _) in told(one.last)[2].items()}
    one.subscribe()
    assert told(one.last)[2] == {ZOE: ("active", "open"), YAN: ("active", "open")}
    one.subscribe(0)
    server.take(rig.log[-20:])
    listen(server, one)
    server.wait(40)
    assert len(rig.stack.modules.get(Watches)) == 0


def test_taken_over() -> None:
    """A subscription that another node has taken over leaves nothing here."""
    rig = bench()
    one = phone(rig)
    subscribe(one, document(BOB))
    engine = rig.stack.modules.get(Lists)._engine
    assert one.tag is not None
    engine._book.remove(engine._book.ids[one.tag])
    publish(rig, "bob", one)
    assert (len(one.notifies), index(rig)) == (1, 0)


def test_many_lists_with_one_member() -> None:
    """A change that many hear of reaches all of them, a group at a time."""
    rig = bench()
    several = [phone(rig, user=f"u{number}", name=f"w{number}") for number in range(20)]
    for one in several:
        subscribe(one, document(BOB))
    publish(rig, "bob", *several)
    for _ in several:
        outs = rig.take(rig.stack.time_passed(rig.now))
        for one in several:
            one.take(outs)
    assert [told(one.last) for one in several] == [("1", "false", {BOB: ("active", "open")})] * 20
