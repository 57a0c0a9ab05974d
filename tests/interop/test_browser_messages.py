"""Texts of browsers: MESSAGE by JsSIP, kept while its page is closed, and MSRP over WebSocket (RFC 7977)."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.msrp_client import MsrpClient
from tests.interop.siege import LOCAL, Siege
from tests.interop.test_browser import Page, chromium, script
from tests.interop.test_module_messages import Socket
from tools.peers import free_port

__all__ = ["script"]

DOMAIN = "biloxi.test"
USERS = {f"web@{DOMAIN}": "wonderland", f"bob@{DOMAIN}": "swordfish"}

pytestmark = [
    pytest.mark.interop,
    pytest.mark.needs("chromium", "npm"),
    pytest.mark.timeout(180),
]


def test_jssip(tmp_path: Path, script: bytes) -> None:
    """It gets what was kept for it, at its REGISTER, and its own text is kept for who is away (202)."""
    config = f'store = "{tmp_path / "messages.db"}"\n[messages]\n'
    with ExitStack() as stack:
        server = stack.enter_context(
            Siege(tmp_path, domain=DOMAIN, config=config, options=["--runtime", "asyncio"])
        )
        sender = Socket(server.address("udp"), stack)
        bob = f"sip:bob@{DOMAIN}"
        kept = sender.request(
            "MESSAGE", "kept", "Content-Type: text/plain\r\n", "lunch?", f"sip:web@{DOMAIN}"
        )
        assert kept == "SIP/2.0 202 Accepted"
        page = stack.enter_context(Page(script))
        host, port = server.address("ws")
        url = page.url(library="texts", server=f"ws://{host}:{port}/", aor=f"sip:web@{DOMAIN}")
        stack.enter_context(closing_program(url, tmp_path))
        # It may come before the 200 to the REGISTER.
        assert page.expect("message") == "sip:xkept@elsewhere.test lunch?"
        page.calls.put(f"{bob} at one")
        assert page.expect("sent") == "202"
        # Bob comes, and has it.
        sender.register("reg")
        assert sender.messages(1) == ["at one"]


def test_msrp(tmp_path: Path, script: bytes) -> None:
    """A browser has a URI of the relay, and talks with a client over TCP, both ways."""
    plain = free_port()
    config = f'[msrp]\nhost = "relay.test"\nplain_auth = true\nlisten = ["msrp:{LOCAL}:{plain}"]\n'
    with ExitStack() as stack:
        server = stack.enter_context(
            Siege(tmp_path, domain=DOMAIN, config=config, users=USERS, options=["--runtime", "asyncio"])
        )
        client = stack.enter_context(MsrpClient("bob", (LOCAL, plain), "relay.test"))
        assert client.authenticate("swordfish").word == "200"
        page = stack.enter_context(Page(script))
        host, port = server.address("ws")
        asked = {"name": "web", "password": "wonderland", "relay": "relay.test"}
        url = page.url(library="msrp", server=f"ws://{host}:{port}/", aor="", **asked)
        stack.enter_context(closing_program(url, tmp_path))
        path = page.expect("ready")
        text = "grüße -------web1000$ from a page"
        page.calls.put(f"{client.path} {client.uri}|{text}")
        got = client.receive()
        assert got.body.decode() == text
        client.answer(got)
        page.expect("sent")
        client.send(f"{client.path} {path}", b"and back", "1-8/8")
        assert client.receive().word == "200"
        assert page.expect("message") == "and back"


def closing_program(url: str, directory: Path) -> ExitStack:
    """Return a browser at ``url`` that ends with its block."""
    stack = ExitStack()
    stack.callback(chromium(url, directory).stop)
    return stack
