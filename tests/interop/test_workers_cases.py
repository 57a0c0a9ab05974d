"""Cases for two and three workers, as a tester and an attacker would think of them, seen from outside.

They share a server, and kill nothing; ``test_workers_dying.py`` has those that kill workers.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import PATIENCE, Line, Silence
from tests.interop.phone import Message, Phone
from tests.interop.siege import request
from tests.interop.workers import Crew, contacts, heard, phone, registration

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
SENDERS = 12


@pytest.fixture(scope="module", params=[2, 3])
def crew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """A server that no case of the first part ends, or spoils for another."""
    config = "[registrar]\nmax_contacts = 5\n"
    with Crew(tmp_path_factory.mktemp("crew"), workers=request.param, config=config) as started:
        yield started


@pytest.fixture
def lines(crew: Crew) -> Iterator[list[Line]]:
    """A dozen senders, each from a port of its own."""
    with ExitStack() as closing:
        yield [closing.enter_context(crew.line("udp")) for _ in range(SENDERS)]


_users = iter(range(1_000_000))


def fresh(name: str = "u") -> str:
    """A user that no other case has."""
    return f"{name}{next(_users)}"


def established(crew: Crew, caller: Phone, callee: Phone) -> None:
    caller.invite(callee.aor)
    callee.answer(callee.expect("INVITE"), "200 OK")
    caller.established(caller.expect("200"))
    assert callee.expect("ACK").what == "ACK"


def same_dialog(one: Phone, other: Phone) -> None:
    """Have ``other``, which is at another port, go on with the dialog of ``one``."""
    for name in ("_call_id", "_cseq", "_local", "_remote", "_target", "_routes"):
        setattr(other, name, getattr(one, name))


def answered(lines: list[Line], status: str) -> tuple[Line, Message]:
    """Return the first answer with ``status`` that comes to one of ``lines``, and the line."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in lines:
            for message in (Message(data.decode()) for data in line.received(0.01)):
                if message.what == status:
                    return line, message
    raise Silence(f"no {status} came")


def acknowledge(line: Line, answer: Message, uri: str) -> None:
    """RFC 3261 17.2.1: without an ACK the server repeats its answer for 32 s.

    A case that comes later and has the same port would take it for its own.
    """
    copied = [f"{name}: {answer.get(name)}" for name in ("via", "from", "to", "call-id")]
    lines = [f"ACK {uri} SIP/2.0", *copied, "Max-Forwards: 70", "CSeq: 1 ACK", "Content-Length: 0"]
    line.send("\r\n".join([*lines, "", ""]).encode())


# --- calls


def test_a_fork_rings_all_and_cancels_the_slower(crew: Crew) -> None:
    """RFC 3261 16.7 step 10: phones of one user at many ports; each branch's answer finds its worker."""
    user = fresh("fork")
    with phone(crew, user) as one, phone(crew, user) as two:
        one.register()
        two.register()
        for index in range(SENDERS):
            with phone(crew, fresh("c")) as caller:
                caller.invite(one.aor)
                quick, slow = (one, two) if index % 2 else (two, one)
                invites = {each: each.expect("INVITE") for each in (quick, slow)}
                slow.answer(invites[slow], "180 Ringing")
                assert caller.expect("180").what == "180"
                quick.answer(invites[quick], "200 OK")
                caller.established(caller.expect("200"))
                assert quick.expect("ACK").what == "ACK"
                slow.answer(slow.expect("CANCEL"), "200 OK")
                slow.answer(invites[slow], "487 Request Terminated")
                assert slow.expect("ACK").what == "ACK"
                caller.within("BYE")
                quick.answer(quick.expect("BYE"), "200 OK")
                assert caller.expect("200").what == "200"


def test_a_prack_from_another_port_reaches_the_phone(crew: Crew) -> None:
    """RFC 3262 4: a reliable provisional response is acknowledged in the early dialog."""
    with phone(crew, fresh("bob")) as bob:
        bob.register()
        for _ in range(SENDERS // 2):
            with phone(crew, fresh("c")) as caller, phone(crew, fresh("m")) as moved:
                caller.invite(bob.aor)
                invite = bob.expect("INVITE")
                bob.answer(invite, "183 Session Progress")
                early = caller.expect("183")
                caller._remote, caller._target = early.get("to"), early.get("contact").strip("<>")
                caller._routes = early.all("record-route")[::-1]
                same_dialog(caller, moved)
                moved.within("PRACK")
                bob.answer(bob.expect("PRACK"), "200 OK")
                assert moved.expect("200").get("cseq").endswith("PRACK")
                bob.answer(invite, "486 Busy Here")
                caller.acknowledge(caller.expect("486"))
                assert bob.expect("ACK").what == "ACK"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "BYE"])
def test_requests_in_dialogs_from_other_ports(crew: Crew, method: str) -> None:
    """RFC 3261 12.2: both sides may send from another port than before; the route set leads on."""
    with phone(crew, fresh("bob")) as bob:
        bob.register()
        for index in range(6):
            with phone(crew, fresh("c")) as caller, phone(crew, fresh("m")) as moved:
                established(crew, caller, bob)
                one, other = (caller, bob) if index % 2 else (bob, caller)
                same_dialog(one, moved)
                moved.within(method)
                other.answer(other.expect(method), "200 OK")
                answer = moved.expect("200")
                if method == "INVITE":
                    moved.established(answer)
                    assert other.expect("ACK").what == "ACK"
                if method != "BYE":
                    moved.within("BYE")
                    other.answer(other.expect("BYE"), "200 OK")
                    assert moved.expect("200").what == "200"


def test_a_bye_that_is_repeated_from_another_port_is_one(crew: Crew, lines: list[Line]) -> None:
    """RFC 3261 17.2.2: a NAT's rebinding makes no second transaction; the phone sees one BYE."""
    with phone(crew, fresh("bob")) as bob, phone(crew, fresh("alice")) as alice:
        bob.register()
        established(crew, alice, bob)
        sent = [
            f"BYE {alice._target} SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKonebye;rport",
            "Max-Forwards: 70", f"From: {alice._local}", f"To: {alice._remote}", f"Call-ID: {alice._call_id}",
            "CSeq: 99 BYE", *(f"Route: {route}" for route in alice._routes), "Content-Length: 0", "", "",
        ]  # fmt: skip
        for line in lines[:6]:
            line.send("\r\n".join(sent).encode())
        bob.answer(bob.expect("BYE"), "200 OK")
        assert any(Message(data.decode()).what == "200" for line in lines[:6] for data in line.received(0.5))
        with pytest.raises(Silence):
            bob.receive(0.1)


def test_an_invite_that_is_repeated_from_other_ports_rings_once(crew: Crew, lines: list[Line]) -> None:
    """RFC 3261 17.2.1: copies of one INVITE, at all workers in the same moment, are one call."""
    with phone(crew, fresh("bob")) as bob:
        bob.register()
        for number in range(4):
            branch, call = f"z9hG4bKcopy{fresh()}", f"copy-{fresh()}"
            for line in lines:
                line.send(
                    request(
                        "INVITE", bob.aor, line, branch=branch, call_id=call,
                        lines=["Contact: <sip:e@192.0.2.9>"],
                    )
                    .replace(f"UDP {line.sent_by}".encode(), b"UDP 192.0.2.9:5060")
                )  # fmt: skip
            bob.answer(bob.expect("INVITE"), "486 Busy Here")
            assert bob.expect("ACK").what == "ACK", number
            with pytest.raises(Silence):
                bob.receive(0.1)
            acknowledge(*answered(lines, "486"), bob.aor)


def test_a_cancel_right_behind_its_invite(crew: Crew) -> None:
    """RFC 3261 9.1: it may come before the phone rings; the call ends, and with 487."""
    with phone(crew, fresh("bob")) as bob:
        bob.register()
        for _ in range(SENDERS):
            with crew.line("udp") as line:
                branch, call = f"z9hG4bKback{fresh()}", f"back-{fresh()}"
                for method in ("INVITE", "CANCEL"):
                    given = ["Contact: <sip:e@192.0.2.9>"] if method == "INVITE" else []
                    line.send(request(method, bob.aor, line, branch=branch, call_id=call, lines=given))
                invite = bob.expect("INVITE")
                bob.answer(invite, "180 Ringing")
                bob.answer(bob.expect("CANCEL"), "200 OK")
                bob.answer(invite, "487 Request Terminated")
                assert bob.expect("ACK").what == "ACK"
                messages = [Message(data.decode()) for data in line.received(0.2)]
                answers = {message.get("cseq").split()[1] + message.what for message in messages}
                assert {"INVITE487", "CANCEL200"} <= answers, answers
                acknowledge(line, next(one for one in messages if one.what == "487"), bob.aor)


@pytest.mark.parametrize("mark", ["A", "B", "C", "Z", "@", "\x00", "é", ""])
def test_forged_marks_do_no_harm(crew: Crew, lines: list[Line], mark: str) -> None:
    """A stranger writes a worker's mark into branches and tags: one answer at most, and nobody stumbles."""
    for line in lines[:6]:
        answer = (
            f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:{crew.address('udp')[1]};branch=z9hG4bK{mark}x\r\n"
        )
        rest = "From: <sip:a@b>;tag=a\r\nTo: <sip:c@d>;tag=b\r\nCall-ID: f\r\nCSeq: 1 INVITE\r\n"
        rest += "Content-Length: 0\r\n\r\n"
        line.send((answer + rest).encode())
        line.send(
            request("BYE", f"sip:x@{crew.domain}", line, to=f"<sip:x@{crew.domain}>;tag=s-{mark}0123456789")
        )
        call = f"after-{fresh()}"
        line.send(request("OPTIONS", f"sip:{crew.domain}", line, call_id=call))
        # The worker of the mark answers when it can: before or behind the worker of the line.
        answers = [Message(data.decode()) for data in (line.receive(), *line.received(0.15))]
        while not any(one.get("call-id") == call for one in answers):
            answers.append(heard(line))
        assert [one.what for one in answers if one.get("call-id") == call] == ["200"]
        assert len(answers) <= 2


def test_a_route_with_a_forged_digit_is_followed_once(crew: Crew, lines: list[Line]) -> None:
    """The digit of a mark proves nothing: a request with it gets one refusal, and comes back to nobody."""
    host, port = crew.address("udp")
    for line in lines:
        for digit in "01f":
            route = f"Route: <sip:{host}:{port};lr;d={'0' * 30}{digit}>"
            uri = f"sip:nobody@{crew.domain}"
            line.send(request("BYE", uri, line, to=f"<{uri}>;tag=x", lines=[route]))
            assert heard(line).what[0] in "45"
            assert line.received(0.02) == []


# --- registrations


def test_contacts_at_once_keep_to_the_limit(crew: Crew, lines: list[Line]) -> None:
    """``registrar.max_contacts`` counts for the user, not for the worker, also in the same moment."""
    user = fresh("many")
    answers: list[str] = []

    def register(line: Line) -> None:
        answers.append(crew.register(user, line, call_id=f"c{line.sent_by}"))

    threads = [threading.Thread(target=register, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["200"] * 5 + sorted(answers)[5:]
    assert answers.count("200") == 5, answers
    for line in lines:
        assert len(contacts(crew, line, user)) == 5


def test_all_workers_list_the_same_order(crew: Crew, lines: list[Line]) -> None:
    """RFC 3261 10.2.1.2: q decides the order of phones, whichever worker was told."""
    user = fresh("q")
    for index, (q, line) in enumerate(zip(("0.3", "1.0", "0.1", "0.7"), lines, strict=False)):
        contact = f"Contact: <sip:p{index}@192.0.2.1>;q={q}"
        line.send(registration(crew, line, user, contact, call_id=f"q{index}-{user}", cseq=1))
        assert heard(line).what == "200"
    lists = {tuple(contacts(crew, line, user)) for line in lines}
    assert len(lists) == 1, lists
    [one] = lists
    assert [text.partition("@")[0].rpartition(":")[2] for text in one] == ["p1", "p3", "p0", "p2"]


def test_who_unregisters_is_gone_at_all_workers_at_once(crew: Crew, lines: list[Line]) -> None:
    """The 200 says that no call comes any more: no worker may know the phone still."""
    user = fresh("gone")
    for index, line in enumerate(lines):
        assert (
            crew.register(user, line, call_id=user, cseq=2 * index + 1, contact="<sip:g@127.0.0.1:9>")
            == "200"
        )
        other = lines[index - 1]
        assert crew.register(user, other, call_id=user, cseq=2 * index + 2, contact="*", expires=0) == "200"
        for asked in lines[::4]:
            assert contacts(crew, asked, user) == []


def test_an_old_removal_removes_nothing(crew: Crew, lines: list[Line]) -> None:
    """RFC 3261 10.3 step 6: ``Contact: *`` with an old CSeq of the same Call-ID fails at any worker."""
    user = fresh("star")
    assert crew.register(user, lines[0], call_id=user, cseq=50, contact="<sip:s@127.0.0.1:9>") == "200"
    for index, line in enumerate(lines):
        status = crew.register(user, line, call_id=user, cseq=50 - index, contact="*", expires=0)
        assert status in ("400", "500"), (index, status)
        assert len(contacts(crew, lines[-1 - index], user)) == 1


def test_a_register_that_is_repeated_from_another_port_is_one(crew: Crew, lines: list[Line]) -> None:
    """RFC 3261 17.2.2: the copies get the same 200; they are no later REGISTER with an old CSeq."""
    user, branch = fresh("copy"), f"z9hG4bKr{fresh()}"
    for line in lines:
        data = registration(crew, line, user, "Contact: <sip:c@192.0.2.1>", call_id=user, cseq=5)
        own = next(part for part in data.split(b";") if part.startswith(b"branch="))
        data = data.replace(own, f"branch={branch}".encode())
        line.send(data.replace(line.sent_by.encode(), b"192.0.2.9:5060"))
    # RFC 3261 18.2.2: the answer goes where the first of them came from.
    statuses = [Message(data.decode()).what for line in lines for data in line.received(0.3)]
    assert set(statuses) == {"200"}
    assert len(contacts(crew, lines[-1], user)) == 1


def test_racing_cseqs_leave_the_highest(crew: Crew, lines: list[Line]) -> None:
    """RFC 3261 10.3 step 7: the highest CSeq stands, in whatever order they came."""
    for _ in range(3):
        user = fresh("race")
        taken: dict[int, str] = {}

        def register(index: int, user: str = user, taken: dict[int, str] = taken) -> None:
            contact = f"Contact: <sip:race@192.0.2.1>;+x={index}"
            lines[index].send(registration(crew, lines[index], user, contact, call_id=user, cseq=index + 1))
            taken[index] = heard(lines[index]).what

        threads = [threading.Thread(target=register, args=(index,)) for index in range(len(lines))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # The last one is newer than all others, so it is never refused.
        assert taken[len(lines) - 1] == "200", taken
        [binding] = [one for one in crew.bindings() if one["aor"] == f"sip:{user}@{crew.domain}"]
        assert binding["cseq"] == len(lines)


def test_a_gruu_is_good_at_each_worker(crew: Crew) -> None:
    """RFC 5627: a GRUU that one worker made, public or temporary, names the phone at all of them."""
    user = fresh("gruu")
    with phone(crew, user) as bob:
        line = bob._line
        urn = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
        contact = f'Contact: {bob.contact};+sip.instance="<{urn}>"'
        line.send(registration(crew, line, user, contact, "Supported: gruu", call_id=user, cseq=1))
        answer = heard(line)
        given = answer.get("contact")
        gruus = [piece.partition('"')[0] for piece in given.split('gruu="')[1:]]
        assert gruus, given
        for index in range(SENDERS):
            with phone(crew, fresh("c")) as caller:
                caller.invite(gruus[index % len(gruus)])
                bob.answer(bob.expect("INVITE"), "486 Busy Here")
                caller.acknowledge(caller.expect("486"))
                assert bob.expect("ACK").what == "ACK"


def test_a_path_is_followed_by_each_worker(crew: Crew, lines: list[Line]) -> None:
    """RFC 3327 5.3: calls leave for the proxy that the phone registered through."""
    user = fresh("path")
    edge = lines[0]
    data = registration(
        crew, edge, user, "Contact: <sip:far@192.0.2.1>", f"Path: <sip:edge@{edge.sent_by};lr>",
        "Supported: path", call_id=user, cseq=1,
    )  # fmt: skip
    edge.send(data)
    assert heard(edge).what == "200"
    for line in lines[1:]:
        line.send(request("OPTIONS", f"sip:{user}@{crew.domain}", line))
        asked = heard(edge)
        assert asked.what == "OPTIONS"
        assert asked.get("route").startswith("<sip:edge@")
        kept = [f"{name}: {value}" for name, value in asked.fields
                if name in ("via", "from", "to", "call-id", "cseq")]  # fmt: skip
        edge.send("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode())
        assert heard(line).what == "200"


@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_a_long_message_crosses_workers(crew: Crew, transport: str) -> None:
    """A body near the limit comes whole to a phone on a connection of any worker, and so does its answer."""
    with phone(crew, fresh("bob"), transport) as bob:
        bob.register()
        for _ in range(6):
            with phone(crew, fresh("c"), "tcp") as caller:
                caller.invite(bob.aor, body="v" * 50_000)
                invite = bob.expect("INVITE")
                assert len(invite.body) == 50_000
                bob.answer(invite, "488 Not Acceptable Here", body="w" * 50_000)
                assert len(caller.expect("488").body) == 50_000
                assert bob.expect("ACK").what == "ACK"
