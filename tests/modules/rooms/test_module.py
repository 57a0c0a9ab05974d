"""Rooms on virtual time: who may say something, and who hears it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sansip.auth import Lookup
from sansip.module import CommandError
from sansip.modules.rooms import Room, Rooms, RoomsSettings
from sansip.modules.rooms.notices import RoomRefused
from sansip.testing import ModuleBench, check_module
from sansip.wire import Request, Response

TEAM = "sip:team@example.com"
ALICE, BOB, CAROL = (f"sip:{name}@example.com" for name in ("alice", "bob", "carol"))
HOSTS = {"alice": "192.0.2.11", "bob": "192.0.2.12", "carol": "192.0.2.13", "mallory": "192.0.2.66"}


def users(lookup: Lookup) -> Mapping[str, str] | None:
    return {}


def made(who: tuple[str, ...] = (ALICE, BOB, CAROL), *, open: bool = False, **options: Any) -> Any:
    settings = RoomsSettings(rooms=[Room(TEAM, list(who), open)], **options)
    return ModuleBench(Rooms, settings, answers={Lookup: users})


_numbers = iter(range(1, 1_000_000))


def ask(
    bench: ModuleBench[Rooms], method: str, user: str, uri: str, *fields: str, body: str = "", to: str = ""
) -> list[int]:
    """Send a request of ``user`` from the user's host; return the statuses of its answers."""
    number, host = next(_numbers), HOSTS[user]
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number}",
        "Max-Forwards: 70",
        f"From: <sip:{user}@example.com>;tag={number}",
        f"To: <{to or uri}>",
        f"Call-ID: {number}",
        f"CSeq: {number} {method}",
        *fields,
        f"Content-Length: {len(body.encode())}",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), (host, 5060))
    return [one.status for one in bench.sent if isinstance(one, Response) and one.call_id == str(number)]


def register(bench: ModuleBench[Rooms], *names: str) -> None:
    for user in names:
        fields = (f"Contact: <sip:{user}@{HOSTS[user]}:5060>;expires=3600",)
        assert ask(bench, "REGISTER", user, "sip:example.com", *fields, to=f"sip:{user}@example.com") == [200]
    bench.sent.clear()


def say(bench: ModuleBench[Rooms], user: str, text: str, kind: str = "text/plain") -> list[int]:
    return ask(bench, "MESSAGE", user, TEAM, f"Content-Type: {kind}", body=text)


def heard(bench: ModuleBench[Rooms]) -> dict[str, Request]:
    """Take the messages that have left; return them by the host that they went to."""
    found = {
        getattr(one.uri, "host", ""): one
        for one in bench.sent
        if isinstance(one, Request) and one.method == "MESSAGE"
    }
    bench.sent.clear()
    return found


def answer(bench: ModuleBench[Rooms], request: Request, status: str = "200 OK") -> None:
    lines = [f"SIP/2.0 {status}", *(f"Via: {one}" for one in request.get_all("via"))]
    lines += [f"{name}: {request.get(name)}" for name in ("from", "call-id", "cseq")]
    lines += [f"To: {request.get('to')};tag=p", "Content-Length: 0"]
    host = getattr(request.uri, "host", "")
    bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (host, 5060))


def test_contract() -> None:
    """What every module promises."""
    check_module(Rooms, RoomsSettings(rooms=[Room(TEAM, [ALICE])]))


def test_all_others_hear() -> None:
    """RFC 3428 7: 202 without Contact and body; From is the room, so an answer goes to all."""
    bench = made()
    register(bench, "alice", "bob", "carol")
    assert say(bench, "alice", "lunch?") == [202]
    [response] = [one for one in bench.sent if isinstance(one, Response)]
    assert not response.has("contact")
    assert response.body == b""
    found = heard(bench)
    assert sorted(found) == [HOSTS["bob"], HOSTS["carol"]]
    for one in found.values():
        assert one.body == b"<sip:alice@example.com> lunch?"
        assert str(one.from_.uri) == TEAM
        assert str(one.from_).startswith(chr(34) + "alice" + chr(34))
    assert bench.figure("messages") == {(): 1}


def test_cpim() -> None:
    """RFC 3862: by setting text becomes a message/cpim from its sender; one that came stays what it is."""
    bench = made(form="cpim")
    register(bench, "alice", "bob")
    say(bench, "alice", "grüße", "text/plain;charset=UTF-8")
    [one] = heard(bench).values()
    assert one.get("content-type") == "message/cpim"
    head, _, rest = one.body.decode().partition("\r\n\r\n")
    assert f"From: <{ALICE}>\r\nTo: <{TEAM}>\r\nDateTime: " in head
    assert rest == "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 7\r\n\r\ngrüße"
    answer(bench, one)
    bench.sent.clear()
    text = "From: A <im:alice@example.com>\r\nTo: <im:team@example.com>\r\n\r\n"
    text += "Content-Type: text/plain\r\n\r\nhi"
    assert say(bench, "alice", text, "message/cpim") == [202]
    [one] = heard(bench).values()
    assert one.body.decode() == text


@pytest.mark.parametrize(
    "head",
    [
        f"From: <{BOB}>\r\n",
        "",
        f"From: <{ALICE}>\r\nFrom: <{BOB}>\r\n",
        "From: <tel:+4930>\r\n",
        "From: <sip:[>\r\n",
    ],
)
def test_a_false_from_in_cpim(head: str) -> None:
    """A member must not speak in the name of another one."""
    bench = made()
    register(bench, "alice", "bob")
    assert say(bench, "alice", f"{head}To: <{TEAM}>\r\n\r\n\r\nhi", "message/cpim") == [403]
    assert heard(bench) == {}


def test_strangers() -> None:
    """One datagram of a stranger never becomes many: who may not send, or lies in From, reaches nobody."""
    bench = made()
    register(bench, "bob", "carol", "mallory")
    # No member.
    assert say(bench, "mallory", "buy") == [403]
    # A member, says From; no phone of hers is there.
    assert say(bench, "alice", "buy") == [403]
    register(bench, "alice")
    bench.sent.clear()
    before = HOSTS["alice"]
    try:
        HOSTS["alice"] = HOSTS["mallory"]
        assert say(bench, "alice", "buy") == [403]
    finally:
        HOSTS["alice"] = before
    assert heard(bench) == {}
    assert {one.reason for one in bench.events if isinstance(one, RoomRefused)} == {
        "the sender is no member",
        "the sender has not proved who they are",
    }


def test_a_contact_that_leads_back() -> None:
    """A member's phone at the address of the room, or the room as a member, ends there (no loop)."""
    bench = made((ALICE, BOB, TEAM))
    register(bench, "alice", "bob")
    lines = ("Contact: <sip:team@example.com>;expires=3600",)
    ask(bench, "REGISTER", "alice", "sip:example.com", *lines, to=ALICE)
    assert ask(bench, "REGISTER", "alice", "sip:example.com", *lines, to=TEAM) == [403]
    bench.sent.clear()
    say(bench, "bob", "hello")
    bench.wait(40)
    back = [one for one in bench.sent if isinstance(one, Request) and one.body]
    assert len({one.vias[0].branch for one in back}) <= 3
    ours = (
        f"MESSAGE {TEAM} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11:5060;branch=z9hG4bKback\r\n"
        f"Max-Forwards: 70\r\nFrom: <{TEAM}>;tag=b\r\nTo: <{TEAM}>\r\nCall-ID: back\r\n"
        "CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
    )
    bench.sent.clear()
    bench.receive(ours.encode(), (HOSTS["alice"], 5060))
    # RFC 3261 21.4.18
    assert [one.status for one in bench.sent if isinstance(one, Response)] == [482]


def test_one_at_a_time() -> None:
    """RFC 3428 8: one in flight to a phone; the next follows its answer; a silent phone misses some."""
    bench = made((ALICE, BOB), waiting=2)
    register(bench, "alice", "bob")
    for text in ("one", "two", "three", "four"):
        assert say(bench, "alice", text) == [202]
    bodies = []
    while found := heard(bench):
        [one] = found.values()
        bodies.append(one.body.decode().rpartition(" ")[2])
        answer(bench, one)
    assert bodies == ["one", "two", "three"]
    assert bench.figure("missed") == {(): 1}
    assert bench.figure("delivered") == {(): 3}


def test_a_silent_phone() -> None:
    """It holds nobody up, and is asked again with the next message."""
    bench = made()
    register(bench, "alice", "bob", "carol")
    say(bench, "alice", "one")
    answer(bench, heard(bench)[HOSTS["bob"]])
    say(bench, "alice", "two")
    assert HOSTS["bob"] in heard(bench)
    bench.wait(100)
    heard(bench)
    # Nothing waits any more; carol missed two, and gets the next one.
    assert bench.module._out.total == 0
    assert bench.figure("missed") == {(): 3}
    say(bench, "alice", "three")
    assert HOSTS["carol"] in heard(bench)


def test_limits() -> None:
    """rooms.size, per_minute, most: each with its status and a line in the log."""
    bench = made((ALICE, BOB), size=10, per_minute=3)
    register(bench, "alice", "bob")
    assert say(bench, "alice", "x" * 11) == [413]
    assert [say(bench, "alice", "x") for _ in range(4)] == [[202], [202], [202], [480]]
    [last] = [one for one in bench.sent if isinstance(one, Response) and one.status == 480]
    assert last.get("retry-after") == "10"
    bench = made((ALICE, BOB, CAROL), most=2)
    register(bench, "alice", "bob", "carol")
    assert [say(bench, "alice", "x") for _ in range(2)] == [[202], [480]]
    assert any("rooms.most" in str(one) for one in bench.events)


def test_devices() -> None:
    """rooms.devices: a user with many contacts makes no flood."""
    bench = made((ALICE, BOB), devices=2)
    register(bench, "alice")
    for number in range(5):
        fields = (f"Contact: <sip:bob@192.0.2.12:{6000 + number}>;expires=3600",)
        ask(bench, "REGISTER", "bob", "sip:example.com", *fields, to=BOB)
    bench.sent.clear()
    say(bench, "alice", "x")
    assert len([one for one in bench.sent if isinstance(one, Request)]) == 2


def test_joining() -> None:
    """An open room: /join, /who, /leave; only the sender hears of it; it holds over a restart."""
    bench = made((ALICE,), open=True)
    register(bench, "alice", "bob")
    assert say(bench, "bob", "hello") == [403]
    assert say(bench, "bob", "/join") == [202]
    found = heard(bench)
    assert sorted(found) == [HOSTS["bob"]]
    answer(bench, found[HOSTS["bob"]])
    bench = bench.restarted()
    register(bench, "alice", "bob")
    assert say(bench, "bob", "hello") == [202]
    assert sorted(heard(bench)) == [HOSTS["alice"]]
    assert say(bench, "bob", "/who") == [202]
    [told] = heard(bench).values()
    assert told.body.decode() == f"{ALICE}\n{BOB}"
    answer(bench, told)
    assert say(bench, "bob", "/leave") == [202]
    assert say(bench, "bob", "hello") == [403]
    # Who is listed stays.
    assert say(bench, "alice", "/leave") == [403]


def test_joining_a_closed_room() -> None:
    """And one that is full."""
    bench = made((ALICE,))
    register(bench, "bob")
    assert say(bench, "bob", "/join") == [403]
    bench = made((ALICE,), open=True, members=1)
    register(bench, "bob")
    assert say(bench, "bob", "/join") == [480]


@pytest.mark.parametrize(("text", "kind"), [("/join", "text/html"), (" /join", "text/plain")])
def test_what_only_looks_like_joining(text: str, kind: str) -> None:
    """A user who is no member reaches no member with it; a member's text of that kind passes."""
    bench = made((ALICE, CAROL), open=True)
    register(bench, "alice", "bob", "carol")
    assert say(bench, "bob", text, kind) == [403]
    assert heard(bench) == {}
    assert say(bench, "alice", text, kind) == [202]
    assert sorted(heard(bench)) == [HOSTS["carol"]]


def test_other_methods() -> None:
    """RFC 3261 21.4.6: 405 with Allow; nobody is called by a room."""
    bench = made()
    register(bench, "alice", "bob")
    assert ask(bench, "OPTIONS", "alice", TEAM) == [405]
    assert ask(bench, "MESSAGE", "alice", TEAM, "Content-Encoding: gzip", body="x") == [415]


def test_members_elsewhere() -> None:
    """They only receive: this server cannot check who sends in their name."""
    bench = made((ALICE, "sip:dave@192.0.2.99"))
    register(bench, "alice")
    assert say(bench, "alice", "hello") == [202]
    [one] = heard(bench).values()
    assert str(one.uri) == "sip:dave@192.0.2.99"


def test_operators() -> None:
    """rooms.add and rooms.remove hold over a restart."""
    bench = made((ALICE,), members=2)
    assert bench.command("rooms.add", room=TEAM, member=BOB) == 2
    assert "rooms.members" in str(bench.command("rooms.add", room=TEAM, member=CAROL))
    bench = bench.restarted()
    assert bench.command("rooms.members", room=TEAM) == [ALICE, BOB]
    [shown] = bench.command("rooms.list")
    assert (shown["address"], shown["members"], shown["joined"]) == (TEAM, 2, 1)
    assert bench.command("rooms.remove", room=TEAM, member=BOB) == 1
    for name, given in (
        ("rooms.remove", {"room": TEAM, "member": ALICE}),
        ("rooms.members", {"room": "sip:no@example.com"}),
        ("rooms.add", {"room": TEAM, "member": "bob"}),
    ):
        assert isinstance(bench.command(name, **given), CommandError)


@pytest.mark.parametrize(
    "given",
    [
        {"rooms": [Room(TEAM), Room(TEAM)]},
        {"rooms": [Room(TEAM, [ALICE, BOB])], "members": 1},
        {"waiting": 0},
    ],
)
def test_settings_that_are_wrong(given: dict[str, Any]) -> None:
    """`sansip check` names them."""
    with pytest.raises(ValueError, match=r"rooms|waiting"):
        RoomsSettings(**given)


@pytest.mark.parametrize("given", [("tel:+4930",), ("sip:example.com",), (TEAM, ["nobody"])])
def test_rooms_that_are_wrong(given: tuple[Any, ...]) -> None:
    """The message begins with the name of the field."""
    with pytest.raises(ValueError, match=r"^(address|members): "):
        Room(*given)
