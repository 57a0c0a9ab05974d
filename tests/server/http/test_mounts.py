"""Mounts over HTTP: proof first, then the module; nothing that it answers breaks the framing."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from sansip import Stack, StackConfig
from sansip.actions import Action
from sansip.auth import AuthConfig, Lookup, compute_response, ha1
from sansip.module import Module, Use, WebRequest, WebResponse, mount
from sansip.routing import sleep
from sansip.wire.headers.auth import parse_challenge
from sansip_server.bearer import Bearer
from sansip_server.config.bearer import BearerSettings
from sansip_server.config.http import HttpSettings
from sansip_server.http.access import Access, Keys
from sansip_server.http.mounts import Mounts
from sansip_server.http.users import Users
from sansip_sockets.http import HttpFault, HttpRequest, HttpResponse
from sansip_sockets.pending import Late, Pending
from tests.rig import LISTENERS
from tests.server.http.test_access import keys_made, made
from tests.server.test_bearer import signed as phone_token


class Pages(Module):
    name = "pages"
    ended = 0

    @mount("/open", access="open")
    async def serve(self, request: WebRequest) -> WebResponse:
        if request.path == "/open/wait":
            try:
                await sleep(3.0)
            finally:
                Pages.ended += 1
        header = request.header("x-field")
        if header is not None:
            name, _, value = header.partition("=")
            return WebResponse(200, b"", headers=[(name, value.encode().decode("unicode_escape"))])
        return WebResponse(
            200, f"{request.method} {request.path} {request.query}".encode(), headers=[("ETag", '"1"')]
        )

    @mount("/mine", access="user")
    def mine(self, request: WebRequest) -> WebResponse:
        return WebResponse(200, (request.user or "").encode())

    @mount("/ops", access="operate")
    def ops(self, request: WebRequest) -> WebResponse:
        return WebResponse(200, request.role.encode())


class Hub:
    """The parts of a hub that mounts use; the test decides when a look-up is answered."""

    def __init__(self) -> None:
        self.now = 50.0
        self.performed: list[Action] = []
        self.asked: list[Any] = []
        self.answered: Any = None
        self.answering = self

    def clock(self) -> float:
        return self.now

    def perform(self, actions: list[Action], now: float) -> None:
        self.performed += actions

    def worker(self, function: Any, answered: Any) -> Hub:
        self.answered = answered
        return self

    def ask(self, action: Any) -> None:
        self.asked.append(action)


class Site:
    def __init__(self, keys: Any = None) -> None:
        config = StackConfig(LISTENERS, ["biloxi.test"], modules=[Use(Pages)])
        self.stack = Stack(config, b"s" * 32)
        self.hub: Any = Hub()
        users = Users(
            self.hub,
            AuthConfig(("SHA-256",)),
            None,
            lambda: ["biloxi.test"],
            lambda domain: domain,
        )
        access = Access(HttpSettings(), ["biloxi.test"], keys)
        self.mounts = Mounts(self.stack, self.hub, access, users)

    def begin(self, path: str, method: str = "GET", **headers: str) -> Any:
        fields = [
            ("host", "biloxi.test"),
            *((name.replace("_", "-"), text) for name, text in headers.items()),
        ]
        request = HttpRequest(method, path, fields, b"", "192.0.2.1", secure=self.secure)
        found = self.mounts.find(request.path)
        assert found is not None
        return self.mounts.answer(found, request)

    # Whether clients come over TLS.
    secure = True

    def get(self, path: str, method: str = "GET", **headers: str) -> HttpResponse:
        with pytest.raises(StopIteration) as end:
            next(self.begin(path, method, **headers))
        response: HttpResponse = end.value.value
        return response


def test_everything_goes_to_the_module() -> None:
    """Any method, the path and query as they came, the absolute form too; fields come back (ETag)."""
    site = Site()
    assert site.mounts.find("/other") is None
    response = site.get("http://biloxi.test/open/a%2Fb?x=1", "PROPFIND")
    assert (response.status, response.body) == (200, b"PROPFIND /open/a%2Fb x=1")
    assert response.headers == [("ETag", '"1"')]


@pytest.mark.parametrize(
    "field",
    [
        "Content-Length=5",
        "transfer-encoding=chunked",
        "Connection=close",
        "X=a\\r\\nY: b",
        "X Y=1",
        "=1",
        "X=\\0",
    ],
)
def test_fields_that_would_break_the_framing(field: str) -> None:
    """RFC 9112 11.1: a module that copies what a stranger wrote splits no response."""
    with pytest.raises(ValueError, match="a module answered"):
        next(Site().begin("/open", x_field=field))


def test_a_client_that_goes_and_one_that_waits_too_long() -> None:
    """The module's work ends with its client, and with the deadline."""
    site = Site()
    before = Pages.ended
    work = site.begin("/open/wait")
    assert isinstance(next(work), Pending)
    work.close()
    assert Pages.ended == before + 1
    work = site.begin("/open/wait")
    next(work)
    with pytest.raises(Late):
        work.throw(Late("no answer"))
    assert (Pages.ended, len(site.stack.visits)) == (before + 2, 0)


def test_roles(tmp_path: Any) -> None:
    """A token with too small a role, or none, does not reach the module."""
    path = keys_made(tmp_path / "keys.json")
    site = Site(Keys(path))
    for given, status in (({}, 401), ({"authorization": f"Bearer {made(path)}"}, 403)):
        with pytest.raises(HttpFault) as caught:
            next(site.begin("/ops", **given))
        assert caught.value.status == status
    assert site.get("/ops", authorization=f"Bearer {made(path, '--role', 'operate')}").body == b"operate"
    assert json.loads(path.read_text())["keys"]
    assert jwt.get_unverified_header(made(path))["kid"]


def signed(nonce: str, user: str = "alice", password: str = "secret") -> str:
    key = ha1(user, "biloxi.test", password, "SHA-256")
    response = compute_response(
        *(key, "GET", "/mine", nonce), algorithm="SHA-256", qop="auth", nc="00000001", cnonce="c"
    )
    return (
        f'Digest username="{user}", realm="biloxi.test", nonce="{nonce}", uri="/mine", algorithm=SHA-256, '
        f'qop=auth, nc=00000001, cnonce="c", response="{response}"'
    )


def challenge(site: Site) -> str:
    with pytest.raises(HttpFault) as caught:
        next(site.begin("/mine"))
    ((_, value),) = caught.value.headers
    return parse_challenge(value, "", "").nonce or ""


@pytest.mark.parametrize(
    ("user", "stored", "status"),
    [
        ("alice", {"SHA-256": ha1("alice", "biloxi.test", "secret", "SHA-256")}, 200),
        ("alice@biloxi.test", {"SHA-256": ha1("alice@biloxi.test", "biloxi.test", "secret", "SHA-256")}, 200),
        ("alice@other.test", {"SHA-256": ha1("alice@other.test", "biloxi.test", "secret", "SHA-256")}, 403),
        ("alice", {"SHA-256": ha1("alice", "biloxi.test", "other", "SHA-256")}, 401),
        ("alice", None, 401),
        ("alice", OSError("locked"), 503),
    ],
)
def test_users(user: str, stored: Any, status: int) -> None:
    """The password of a phone, from the same store; a store that fails calls no user wrong."""
    site = Site()
    work = site.begin("/mine", authorization=signed(challenge(site), user))
    next(work)
    (asked,) = site.hub.asked
    assert asked.question == Lookup(user, "biloxi.test")
    site.hub.answered(asked.id, stored)
    if status == 200:
        with pytest.raises(StopIteration) as end:
            next(work)
        assert end.value.value.body == b"sip:alice@biloxi.test"
    else:
        with pytest.raises(HttpFault) as caught:
            next(work)
        assert caught.value.status == status
    # A late answer to a client that has gone harms no one.
    site.hub.answered(asked.id, stored)


def test_a_token_in_the_clear(tmp_path: Any) -> None:
    """RFC 6750 5.3: a token in the clear has other readers, so it is not even looked at."""
    site = Site()
    site.secure = False
    users: Any = site.mounts._users
    keys = tmp_path / "keys.json"
    made(keys)
    users._bearer = Bearer(BearerSettings(authz_server="https://as.test/", keys=str(keys), scope="calls"))
    token = phone_token(keys, sub="alice@biloxi.test", scope="calls")
    with pytest.raises(HttpFault) as caught:
        next(site.begin("/mine", authorization=f"Bearer {token}"))
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("name", "scope", "status"),
    [
        ("alice@biloxi.test", "calls", 200),
        ("alice@other.test", "calls", 403),
        ("alice@biloxi.test", "other", 401),
        ("alice", "calls", 401),
    ],
)
def test_users_with_the_token_of_their_phone(tmp_path: Any, name: str, scope: str, status: int) -> None:
    """RFC 8898's token proves the same user over HTTP; one of another domain proves no user here."""
    keys = tmp_path / "keys.json"
    made(keys)
    site = Site()
    settings = BearerSettings(authz_server="https://as.test/", keys=str(keys), scope="calls")
    users: Any = site.mounts._users
    users._bearer = Bearer(settings)
    token = phone_token(keys, sub=name, scope=scope)
    if status == 200:
        assert site.get("/mine", authorization=f"Bearer {token}").body == b"sip:alice@biloxi.test"
        return
    with pytest.raises(HttpFault) as caught:
        next(site.begin("/mine", authorization=f"Bearer {token}"))
    assert caught.value.status == status
