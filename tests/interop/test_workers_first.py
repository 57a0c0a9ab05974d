"""Modules that the first worker alone has: messages, events, documents over HTTP, MSRP.

A request comes to any worker, and every user sees what one process would have shown.
"""

from __future__ import annotations

import os
import re
import signal
import ssl
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.conftest import TARGET
from tests.interop.line import Line, Silence
from tests.interop.msrp_client import MsrpClient
from tests.interop.phone import Message, Phone
from tests.interop.siege import LOCAL, request
from tests.interop.workers import Crew, heard, soon
from tests.interop.xcap_client import Raw
from tools import peers

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
# So many senders of which each worker of three has some.
SENDERS = 12


def answered(line: Line, message: Message) -> None:
    """Answer a request with 200."""
    kept = [
        f"{name}: {value}"
        for name, value in message.fields
        if name in ("via", "from", "to", "call-id", "cseq")
    ]
    line.send("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode())


def taken(line: Line, wanted: int) -> list[str]:
    """Answer the MESSAGEs that come; return the bodies of ``wanted``, each once, in order."""
    found: dict[str, str] = {}
    while len(found) < wanted:
        message = Message(line.receive(15.0).decode())
        if message.what == "MESSAGE":
            answered(line, message)
            found.setdefault(message.get("call-id"), message.body)
    return list(found.values())


def text(crew: Crew, line: Line, number: int) -> str:
    """Send bob a message; return the status."""
    kind = ["Content-Type: text/plain"]
    line.send(request("MESSAGE", f"sip:bob@{crew.domain}", line, lines=kind, body=f"m{number}"))
    return heard(line).what


def test_messages_of_all_workers_are_kept_and_delivered(tmp_path: Path) -> None:
    """Each 202 is a promise: whichever worker got the MESSAGE, whichever the REGISTER, and over kill -9."""
    config = f'store = "{tmp_path / "m.db"}"\n[messages]\nretry = 1.0\nper_sender = 40\n'
    with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
        lines = crew.lines(SENDERS)
        assert {text(crew, line, index) for index, line in enumerate(lines)} == {"202"}
        os.kill(crew.pids[0], signal.SIGKILL)
        # They wait in the socket between the workers until the next process is there.
        for index, line in enumerate(lines):
            line.send(
                request(
                    "MESSAGE", f"sip:bob@{crew.domain}", line, lines=["Content-Type: text/plain"],
                    body=f"m{SENDERS + index}",
                )
            )  # fmt: skip
        assert [Message(line.receive(20.0).decode()).what for line in lines] == ["202"] * SENDERS
        for phone in lines[:3]:
            # RFC 3428 5: of each worker's phones each gets all of them, in the order in which they were kept.
            contact = f"<sip:bob@{phone.sent_by}>"
            said = crew.register("bob", phone, call_id=f"r{phone.sent_by}", contact=contact)
            # The first MESSAGE, which is repeated until it is answered, may overtake the 200.
            assert said in ("200", "MESSAGE")
            got = taken(phone, 2 * SENDERS)
            assert sorted(got) == sorted(f"m{index}" for index in range(2 * SENDERS))
            assert got[:SENDERS] == [f"m{index}" for index in range(SENDERS)]


def test_a_sender_has_the_whole_rate_where_requests_are_passed_on(tmp_path: Path) -> None:
    """A request that another worker serves counts once for its sender, like any other."""
    config = "[limits]\nsource_rate = 1\nsource_burst = 40\n[messages]\nper_user = 100\nper_strangers = 100\n"
    with Crew(tmp_path, workers=2, transports=("udp",), config=config) as crew:
        # Six addresses, of which some reach the worker that does not serve them.
        for host in range(2, 8):
            with crew.line("udp", source=(f"127.0.0.{host}", 0)) as line:
                for index in range(32):
                    # What is over the rate gets no answer.
                    assert text(crew, line, index)


def subscribe(crew: Crew, line: Line, user: str, event: str = "presence") -> str:
    lines = [f"Event: {event}", f"Contact: <sip:watcher@{line.sent_by}>", "Expires: 600"]
    line.send(request("SUBSCRIBE", f"sip:{user}@{crew.domain}", line, lines=lines))
    while (message := Message(line.receive().decode())).what == "NOTIFY":
        answered(line, message)
    return message.what


def notified(line: Line, pattern: str) -> None:
    """Answer NOTIFYs until the body of one has ``pattern``."""
    while True:
        message = Message(line.receive(15.0).decode())
        if message.what == "NOTIFY":
            answered(line, message)
            if re.search(pattern, message.body):
                return


PIDF = """<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@siege.test">
<tuple id="t"><status><basic>{}</basic></status></tuple></presence>"""


def publish(crew: Crew, line: Line, state: str, tag: str = "") -> Message:
    lines = ["Event: presence", "Expires: 600", "Content-Type: application/pidf+xml"]
    if tag:
        lines.append(f"SIP-If-Match: {tag}")
    uri = f"sip:bob@{crew.domain}"
    line.send(request("PUBLISH", uri, line, from_=f"<{uri}>;tag=p", lines=lines, body=PIDF.format(state)))
    return heard(line)


def test_watchers_of_all_workers_see_each_publication(tmp_path: Path) -> None:
    """RFC 3903, RFC 6665: a PUBLISH at any worker is told to the watchers that subscribed at any other."""
    pytest.importorskip("lxml")
    config = (
        f'store = "{tmp_path / "e.db"}"\n[documents]\n[events]\nopen = true\n[publications]\nopen = true\n'
        "[presence]\ninterval = 0\n"
    )
    with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
        watchers, phones = crew.lines(6), crew.lines(6)
        assert [subscribe(crew, line, "bob") for line in watchers] == ["200"] * 6
        tag = ""
        for index, phone in enumerate(phones):
            state = "open" if index % 2 == 0 else "closed"
            answer = publish(crew, phone, state, tag)
            assert answer.what == "200", answer.start
            tag = answer.get("sip-etag")
            for watcher in watchers:
                notified(watcher, f"<basic>{state}</basic>")
        # The first worker dies: the next process in its place takes both from the rows.
        assert crew.kill(0) < 30
        answer = publish(crew, phones[1], "open", tag)
        assert answer.what == "200", answer.start
        for watcher in watchers:
            notified(watcher, "<basic>open</basic>")
        [counts] = crew.ctl("events.count", "--json")
        assert counts["presence"] == 6


def test_registrations_of_all_workers_are_told(tmp_path: Path) -> None:
    """RFC 3856: a REGISTER at any worker opens its user for the watchers, which the first worker has."""
    pytest.importorskip("lxml")
    config = "[documents]\n[events]\nopen = true\n[publications]\n[presence]\ninterval = 0\n"
    with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
        watcher, *phones = crew.lines(7)
        assert subscribe(crew, watcher, "bob") == "200"
        notified(watcher, "<basic>closed</basic>")
        for index, phone in enumerate(phones):
            assert crew.register("bob", phone, cseq=2 * index + 1, contact="<sip:bob@127.0.0.1:9>") == "200"
            notified(watcher, "<basic>open</basic>")
            # RFC 3261 10.2.2
            assert crew.register("bob", phone, cseq=2 * index + 2, contact="*", expires=0) == "200"
            notified(watcher, "<basic>closed</basic>")


def test_a_package_that_nobody_serves_is_refused_at_all_workers(tmp_path: Path) -> None:
    """RFC 6665 8.3.2: 489 names the packages, whichever worker the SUBSCRIBE comes to."""
    with Crew(
        tmp_path, workers=3, transports=("udp",), config="[events]\nopen = true\n[registrations]\n"
    ) as crew:
        for line in crew.lines(SENDERS):
            lines = ["Event: weather", f"Contact: <sip:w@{line.sent_by}>"]
            line.send(request("SUBSCRIBE", f"sip:bob@{crew.domain}", line, lines=lines))
            answer = heard(line)
            assert (answer.what, answer.get("allow-events")) == ("489", "reg")


XCAP = '[http]\nlisten = ["http:127.0.0.1:{}"]\n[documents]\n[xcap]\nrate = 1000\noctets = 1_000_000_000\n'
LISTS = (
    b'<?xml version="1.0"?><resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list/>'
    b"</resource-lists>"
)


def test_documents_over_http(tmp_path: Path) -> None:
    """The parent has the HTTP listeners, the first worker the documents: over kill -9 and a reload."""
    pytest.importorskip("lxml")
    http = peers.free_port()
    users = {"bob@siege.test": "wonderland"}
    with Crew(
        tmp_path,
        workers=2,
        transports=("udp",),
        users=users,
        config=XCAP.format(http) + "[lists]\n[events]\n",
    ) as crew:
        xcap = Raw((LOCAL, http), "bob", "wonderland")
        path = "/xcap-root/resource-lists/users/sip:bob@siege.test/index"
        put = xcap("PUT", path, LISTS, "application/resource-lists+xml")
        assert put.status == 201
        assert crew.kill(0) < 30
        got = xcap("GET", path)
        assert (got.status, got.body, got.etag) == (200, LISTS, put.etag)
        assert "failed" not in crew.ctl("reload")
        assert xcap("GET", path).status == 200
        # A path that no module claims is HTTP's own to refuse.
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{LOCAL}:{http}/other", timeout=10)


def test_http_while_the_first_worker_is_started_again(tmp_path: Path) -> None:
    """RFC 9110 15.6.4: a client gets 503 while no worker can serve its request; its connection is not cut."""
    pytest.importorskip("lxml")
    http = peers.free_port()
    with Crew(tmp_path, workers=2, transports=("udp",), config=XCAP.format(http)) as crew:
        os.kill(crew.pids[0], signal.SIGSTOP)
        statuses: list[int] = []

        def ask() -> None:
            try:
                urllib.request.urlopen(f"http://{LOCAL}:{http}/xcap-root/xcap-caps/global/index", timeout=30)
            except urllib.error.HTTPError as error:
                statuses.append(error.code)

        waiting = threading.Thread(target=ask)
        waiting.start()
        soon(lambda: bool(waiting.is_alive()), "it waits")
        pid = int(re.findall(r"workers 2: (\d+)", crew.log)[0])
        os.kill(pid, signal.SIGKILL)
        waiting.join(30)
        assert statuses in ([503], [401])
        soon(lambda: "worker 0 serves again" in crew.log, "it serves again")


def test_msrp_has_one_listener(tmp_path: Path) -> None:
    """RFC 4976: both ends of a session come to one relay, and its listener outlives the process."""
    authority = Authority(tmp_path)
    certificate = authority.issue("relay", "relay.test")
    plain, secure = peers.free_port(), peers.free_port()
    config = (
        f'[tls]\ncertificate = "{certificate}"\n[msrp]\nhost = "relay.test"\nplain_auth = true\n'
        f'listen = ["msrp:{LOCAL}:{plain}", "msrps:{LOCAL}:{secure}"]\n'
    )
    passwords = {"alice": "open sesame", "bob": "swordfish"}
    users = {f"{user}@relay.test": password for user, password in passwords.items()}
    trusted = ssl.create_default_context(cafile=str(authority.authority))
    with Crew(tmp_path, workers=2, users=users, domain="relay.test", config=config) as crew:
        for round_ in range(2):
            with (
                MsrpClient("alice", (LOCAL, plain), "relay.test") as alice,
                MsrpClient("bob", (LOCAL, secure), "relay.test", tls=trusted) as bob,
            ):
                for client, name in ((alice, "alice"), (bob, "bob")):
                    assert client.authenticate(passwords[name]).word == "200"
                alice.send(f"{alice.path} {bob.path} {bob.uri}", b"hello", "1-5/5")
                assert bob.receive().body == b"hello"
                assert len(crew.ctl("msrp.list", "--json")[0]) >= 2
            if not round_:
                assert crew.kill(0) < 30


def test_a_route_that_wants_such_a_module_is_told_why(tmp_path: Path) -> None:
    """The route runs in each worker, and the module in one: the text must name the way out."""
    route = tmp_path / "route.py"
    route.write_text(
        "from sansip.modules.messages import Messages\n\n\nasync def route(request, messages: Messages):\n"
        "    request.reply(404)\n"
    )
    with pytest.raises(Exception, match="first worker"):
        Crew(tmp_path, transports=("udp",), options=["--route", str(route)], config="[messages]\n")


def test_silence_is_no_answer(tmp_path: Path) -> None:
    """A stranger's SUBSCRIBE to a name in the tag's form of ours gets one 481, wherever it comes in."""
    with Crew(
        tmp_path, workers=3, transports=("udp",), config="[events]\nopen = true\n[registrations]\n"
    ) as crew:
        for line in crew.lines(SENDERS):
            to = f"<sip:bob@{crew.domain}>;tag=e-00000000000000000000"
            lines = ["Event: reg", f"Contact: <sip:w@{line.sent_by}>"]
            line.send(request("SUBSCRIBE", f"sip:bob@{crew.domain}", line, to=to, lines=lines))
            assert heard(line).what == "481"
            with pytest.raises(Silence):
                line.receive(0.05)


def test_a_user_in_a_call_of_any_worker_is_shown_on_the_phone(tmp_path: Path) -> None:
    """RFC 4480 3.2: the call is at one worker, the watcher at the first; a dead worker's calls are over."""
    pytest.importorskip("lxml")
    config = "[calls]\n[documents]\n[events]\nopen = true\n[publications]\n[presence]\ninterval = 0\n"
    with Crew(tmp_path, workers=2, transports=("udp",), config=config) as crew:
        [watcher] = crew.lines(1)
        with Phone("bob", crew.domain, "udp", crew.address("udp")) as bob:
            bob.register()
            assert subscribe(crew, watcher, "bob") == "200"
            notified(watcher, "<basic>open</basic>")
            places = set()
            # Until each worker had a call.
            for index in range(40):
                with Phone(f"c{index}", crew.domain, "udp", crew.address("udp")) as caller:
                    caller.invite(bob.aor)
                    bob.answer(bob.expect("INVITE"), "200 OK")
                    caller.established(caller.expect("200"))
                    assert bob.expect("ACK").what == "ACK"
                    notified(watcher, "on-the-phone")
                    [[call]] = crew.ctl("calls.list", "--json")
                    places.add(str(call["id"])[:1])
                    caller.within("BYE")
                    bob.answer(bob.expect("BYE"), "200 OK")
                    assert caller.expect("200").what == "200"
                    notified(watcher, r"^(?!.*on-the-phone)(?s:.)*$")
                if len(places) == 2 and index > 5:
                    break
