"""Attacks on XCAP, live: strangers and users with bombs, floods of selectors, guesses, while SIP goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_presence import ctl
from tests.interop.test_module_xcap import BOB, DOMAIN, ELEMENT, LISTS, LISTS_TYPE, PASSWORD, USERS, config
from tests.interop.xcap_client import Raw, talk
from tools.peers import free_port

pytestmark = pytest.mark.interop

PATH = f"/xcap-root/resource-lists/users/{BOB}/index"


class Site:
    """A server with XCAP, and bob's client."""

    def __init__(self, directory: Path) -> None:
        self.http = (LOCAL, free_port())
        text = config(self.http[1]) + "[limits]\nlimit_loopback = false\n"
        self.siege = Siege(directory, domain=DOMAIN, config=text, users=USERS, transports=("udp",))
        self.bob = Raw(self.http, "bob", PASSWORD)
        assert self.bob("PUT", PATH, LISTS, LISTS_TYPE).status == 201


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(tmp_path_factory.mktemp("xcap"))
    with one.siege:
        yield one
    one.bob.close()


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    """The server, which is there after each attack and has what it had."""
    yield served
    assert served.bob("GET", PATH).body == LISTS


LAUGHS = (
    b'<!DOCTYPE a [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(9))
    + b"]><a>&a8;</a>"
)
FILE = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
NAMESPACES = b" ".join(b'xmlns:n%d="urn:%d"' % (n, n) for n in range(1_500))
ROOT = b'<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">%s</resource-lists>'
BOMBS = {
    "laughs": (LAUGHS, 409),
    "a file": (FILE, 409),
    "in UTF-16": (FILE.decode().encode("utf-16"), 409),
    "in UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?>' + FILE, 409),
    "deep": (ROOT % (b"<list>" * 5_000 + b"</list>" * 5_000), 409),
    "unbalanced": (b"<list>" * 10_000, 409),
    "attributes": (ROOT % (b"<list " + b" ".join(b'a%d="1"' % n for n in range(5_000)) + b"/>"), 409),
    "one value": (ROOT % (b'<list name="' + b"x" * 60_000 + b'"/>'), 200),
    "namespaces": (ROOT % (b"<list " + NAMESPACES + b"/>" + b"<list/>" * 1_500), 200),
    "comments": (ROOT % (b"<!---->" * 9_000), 200),
    "comments without end": (b"<!-" * 20_000, 409),
    "references": (ROOT % (b'<list name="' + b"&amp;" * 12_000 + b'"/>'), 200),
    "surrogates": (ROOT % b"<list>&#xD800;</list>", 409),
    "too large": (b" " * 70_000, 413),
    "same names": (ROOT % (b'<list name="a"/>' * 1_900), 409),
}


def test_bombs(site: Site) -> None:
    """Five of each: the RFC's status, and less than 50 ms of processor time for one."""
    with site.siege.watched() as watch:
        for name, (body, status) in BOMBS.items():
            for _ in range(5):
                answer = site.bob("PUT", PATH, body, LISTS_TYPE)
                assert answer.status == status, (name, answer)
                assert b"root:" not in answer.body
        site.bob("PUT", PATH, LISTS, LISTS_TYPE)
    assert watch.spent < 1.0 + len(BOMBS) * 5 * 0.05
    assert watch.grown < 20_000_000


SELECTORS = {
    "namespace::*": 404,
    "resource-lists/namespace::*": 200,
    "//" * 3_000: 404,
    "*/" * 3_000 + "*": 404,
    "resource-lists/" + "*[1]/" * 30 + "*": 404,
    "resource-lists[" * 400: 404,
    "resource-lists%5B@a=%22" + "%26" * 2_000 + "%22%5D": 404,
    "a:" * 3_000: 400,
    "resource-lists/list%5B" + "9" * 6_000 + "%5D": 404,
    "resource-lists/list%5Bcount(//*)=1%5D": 404,
    "document('file:///etc/passwd')": 404,
    "%FF%FE": 400,
    "%00": 400,
    "resource-lists?" + "(" * 6_000: 400,
    "resource-lists?" + "xmlns(a=b)" * 500: 200,
    "resource-lists?" + "".join(f"xmlns(p{n}=u)" for n in range(600)): 400,
}


def test_selectors(site: Site) -> None:
    """Ten of each, as long as a request line can be; Kamailio dies of the first."""
    with site.siege.watched() as watch:
        for selector, status in SELECTORS.items():
            for _ in range(10):
                answer = site.bob("GET", f"{PATH}/~~/{selector}")
                assert answer.status == status, (selector[:80], answer)
                assert b"root:" not in answer.body
    assert watch.spent < 1.0 + len(SELECTORS) * 10 * 0.02


@pytest.mark.parametrize(
    "path",
    [
        "/xcap-root/../rpc",
        "/xcap-root/resource-lists/users/sip:bob@siege.test/../sip:alice@siege.test/index",
        "/xcap-root/resource-lists/users/sip:bob@siege.test%2F..%2Falice/index",
        "/xcap-root/resource-lists/users/sip:alice@siege.test/index",
        "/xcap-root/resource-lists/users/sip:bob%40siege.test%00/index",
        "/xcap-root/resource-lists/users/sip:bob@siege.test;x=y@elsewhere/index",
        "/xcap-root/resource-lists/users/sip:bob@siege.test@elsewhere/index",
        "/xcap-root/resource-lists/users/global/index", "/xcap-root/rls-services/global/index",
        "/xcap-root/org.openmobilealliance.xcap-directory/users/sip:alice@siege.test/directory.xml",
    ],
)  # fmt: skip
def test_documents_of_others(site: Site, path: str) -> None:
    """Alice's documents are not bob's, however the path is written."""
    alice = Raw(site.http, "alice", PASSWORD)
    secret = ROOT % b'<list name="secret"/>'
    assert alice("PUT", PATH.replace("bob", "alice"), secret, LISTS_TYPE).status in (200, 201)
    for method in ("GET", "PUT", "DELETE"):
        answer = site.bob(method, path, LISTS if method == "PUT" else b"", LISTS_TYPE)
        assert answer.status in (400, 403, 404, 405, 409), answer
        assert b"secret" not in answer.body
    assert b"secret" in alice("GET", PATH.replace("bob", "alice")).body


def test_a_flood_of_one_user(site: Site) -> None:
    """A user who asks without an end is bounded by the source's rate; SIP goes on."""
    with site.siege.watched() as watch:
        statuses = []
        until = time.monotonic() + 3
        while time.monotonic() < until:
            statuses.append(site.bob("GET", f"{PATH}/~~/resource-lists/list").status)
    assert set(statuses) <= {200, 429}
    assert watch.spent < 4


def test_half_a_request(site: Site) -> None:
    """Clients that announce a body and do not send it hold nobody up."""
    held = []
    for _ in range(20):
        sock = socket.create_connection(site.http, timeout=10)
        sock.sendall(f"PUT {PATH} HTTP/1.1\r\nHost: {LOCAL}\r\nContent-Length: 60000\r\n\r\n".encode())
        held.append(sock)
    with site.siege.watched():
        place = f"{PATH}/~~/resource-lists/list/entry%5B1%5D"
        assert site.bob("PUT", place, b'<entry uri="sip:a@example.com"/>', ELEMENT).status == 200
    for sock in held:
        sock.close()


def test_replayed_proof(site: Site) -> None:
    """A proof that somebody saw on the way is good for nothing else, and not for its request again."""
    bob = Raw(site.http, "bob", PASSWORD)
    assert bob("GET", PATH).status == 200
    proof = bob._proof("GET", PATH)
    head = f"GET {PATH} HTTP/1.1\r\nHost: {LOCAL}\r\nAuthorization: {proof}\r\n\r\n".encode()
    with socket.create_connection(site.http, timeout=10) as sock:
        assert talk(sock, head).status == 200
        assert talk(sock, head).status == 401
    proof = bob._proof("GET", PATH)
    for other in (f"{PATH}x", f"{PATH}/~~/resource-lists"):
        head = f"GET {other} HTTP/1.1\r\nHost: {LOCAL}\r\nAuthorization: {proof}\r\n\r\n".encode()
        with socket.create_connection(site.http, timeout=10) as sock:
            assert talk(sock, head).status == 401
    head = f"DELETE {PATH} HTTP/1.1\r\nHost: {LOCAL}\r\nAuthorization: {proof}\r\n\r\n".encode()
    with socket.create_connection(site.http, timeout=10) as sock:
        assert talk(sock, head).status == 401


def test_guesses_bar_the_source_for_sip_as_well(site: Site) -> None:
    """A source that guesses at XCAP is barred by the list of bans that SIP has; an operator lifts the ban."""
    wrong = [Raw(site.http, "bob", f"guess {number}")("GET", PATH).status for number in range(40)]
    assert wrong[0] == 401
    assert wrong[-1] == 403
    # The right password does not help from there.
    assert Raw(site.http, "bob", PASSWORD)("GET", PATH).status == 403
    assert LOCAL in str(ctl(site.siege.directory, "bans"))
    ctl(site.siege.directory, "bans", LOCAL, "--lift")
    assert Raw(site.http, "bob", PASSWORD)("GET", PATH).status == 200
