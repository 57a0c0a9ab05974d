"""The module ``tenants`` in the installed server: a domain that comes while it runs, with passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import Siege
from tests.interop.siege import request as octets
from tests.interop.test_module_calls import ctl
from tests.interop.test_module_numbers import DOMAIN, recipe
from tests.server.test_docs import blocks

PAGE = Path(__file__).parents[2] / "docs" / "modules" / "tenants.md"
NEW = "support.example.com"


def asked(server: Siege, domain: str, user: str = "00441234", sender: str = "x@elsewhere.test") -> bytes:
    with server.line("udp") as line:
        sent = octets("INVITE", f"sip:{user}@{domain}", line, from_=f"<sip:{sender}>;tag=1")
        line.send(sent)
        return b"".join(line.received())


def test_the_recipe(tmp_path: Path) -> None:
    """What the page shows: the domain's own route, a domain without registrations, and one that comes."""
    (tmp_path / "route.py").write_text(blocks(PAGE, "python")[0])
    config = 'route = "route.py"\n' + recipe("tenants.md")
    with Siege(tmp_path, domain=DOMAIN, config=config) as server:
        assert b"403 No Calls Abroad" in asked(server, "sales.example.com")
        assert b" 404 " in asked(server, DOMAIN)
        assert b"403 Relaying Denied" in asked(server, NEW)
        ctl(tmp_path, "tenants.add", NEW, "realm=Support")
        assert b" 404 " in asked(server, NEW)
        assert [one["name"] for one in ctl(tmp_path, "tenants.list")][-1] == "trunk.example.com"
        ctl(tmp_path, "tenants.remove", NEW)
        assert b"403 Relaying Denied" in asked(server, NEW)


@pytest.mark.needs("baresip")
def test_a_phone_in_a_new_domain(tmp_path: Path) -> None:
    """It registers with its password in the domain's realm, and is called there, and not in another one."""
    users = {f"bob@{NEW}": "bobpw", f"alice@{DOMAIN}": "alicepw"}
    config = 'control = "ctl.sock"\n[tenants]\n'
    with Siege(tmp_path, domain=DOMAIN, config=config, users=users) as server:
        ctl(tmp_path, "tenants.add", NEW)
        place = server.address("udp")
        with (
            Baresip(tmp_path / "bob", "bob", NEW, place, "udp", password="bobpw") as bob,
            Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp", password="alicepw") as alice,
        ):
            bob.wait_until_registered()
            alice.wait_until_registered()
            alice.command("dial", f"sip:bob@{NEW}")
            bob.wait_for("CALL_INCOMING")
            bob.command("accept")
            alice.wait_for("CALL_ESTABLISHED")
            bob.command("hangup")
            alice.wait_for("CALL_CLOSED")
            assert b" 404 " in asked(server, DOMAIN, "bob")
