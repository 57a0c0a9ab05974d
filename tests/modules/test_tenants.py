"""Domains come and go while the server runs, each with its realm, settings and route."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.module import Use
from sansip.modules.tenants import Domain, Tenants, TenantsSettings
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from sansip.rows import MemoryRows
from sansip.testing import check_module
from tests.answered import Answered
from tests.rig import ALICE, BOB, BOB_URI, Out, Rig, only, request, what


class Host(Answered):
    """A rig with a store, and with the module."""

    def __init__(self, *domains: Domain, store: MemoryRows | None = None, **options: Any) -> None:
        refresh = options.pop("refresh", 0.0)
        uses = [Use(Tenants, TenantsSettings(list(domains), refresh=refresh))]
        super().__init__(options.pop("route", None), store=store, modules=uses, **options)
        self.wait(0.01)

    def registers(self, domain: str) -> str:
        """Have bob register there; return the status."""
        aor = f"<sip:bob@{domain}>"
        number = len(self.log)
        data = request(
            "REGISTER",
            f"sip:{domain}",
            to=aor,
            sender=aor,
            source=BOB,
            branch=f"z9hG4bKr{number}",
            call_id=f"r{number}",
            headers=[("Contact", f"<{BOB_URI}>")],
        )
        return what(self.udp(data, BOB))[-1]


def call(rig: Rig, domain: str, number: int = 0, sender: str = "<sip:a@elsewhere.test>") -> list[Out]:
    uri = f"sip:bob@{domain}"
    names = {"branch": f"z9hG4bKc{number}", "call_id": f"c{number}"}
    return rig.udp(request(uri=uri, to=f"<{uri}>", sender=sender, **names))


def test_contract() -> None:
    """What every module promises."""
    check_module(Tenants)
    check_module(Tenants, TenantsSettings([Domain("one.test", realm="r")]))


def test_live() -> None:
    """A domain is ours from the command on, with users of its own, and stays so over a restart."""
    rig = Host()
    assert what(call(rig, "new.test"))[-1] == "403"
    assert rig.command("tenants.add", name="New.Test.")["name"] == "new.test"
    assert rig.registers("new.test") == "200"
    assert only(call(rig, "new.test", 1), "INVITE").to == BOB
    # Users of one name in two domains are two.
    assert "INVITE" not in what(call(rig, "biloxi.test", 2))
    again = Host(store=rig.store)
    assert again.registers("new.test") == "200"
    assert again.command("tenants.remove", name="new.test") is True
    assert again.command("tenants.remove", name="new.test") is False
    assert what(call(again, "new.test", 3))[-1] == "403"
    assert again.registers("biloxi.test") == "200"


def test_realms() -> None:
    """Each has its own realm; a domain without one has its name (RFC 3261 22.1)."""
    rig = Host(Domain("one.test", realm="The One"), Domain("two.test"), auth=AuthConfig())
    seen = {}
    for domain in ("one.test", "two.test", "biloxi.test"):
        rig.registers(domain)
        challenge = rig.log[-1].message.get("www-authenticate")
        seen[domain] = challenge.partition('realm="')[2].partition('"')[0]
    assert seen == {"one.test": "The One", "two.test": "two.test", "biloxi.test": "biloxi.test"}
    rig.command("tenants.add", name="one.test", realm="Another")
    rig.registers("one.test")
    assert 'realm="Another"' in rig.log[-1].message.get("www-authenticate")


def test_not_served() -> None:
    """A domain that is not enabled is nobody's; where phones may not register, they are refused."""
    rig = Host(Domain("off.test", enabled=False), Domain("trunk.test", registers=False))
    assert what(call(rig, "off.test"))[-1] == "403"
    assert rig.registers("trunk.test") == "403"
    assert what(call(rig, "trunk.test", 1))[-1] in ("404", "480")
    assert rig.stack.modules.get(Tenants).figures() == {"domains": 1}


def test_routes_and_settings() -> None:
    """The route of the caller's domain, else of the called one; others have the default."""

    async def sales(request: IncomingRequest) -> None:
        request.reply(486, "Sales Sleeps")

    async def route(request: IncomingRequest, tenants: Tenants) -> None:
        if tenants.value(request, "limit", "5") == "0":
            request.reply(503, "No Calls")
            return
        await tenants.follow(request, {"": default_route, "sales": sales})

    rig = Host(
        Domain("sales.test", route="sales"),
        Domain("none.test", settings="limit=0 plan=x"),
        Domain("lost.test", route="gone"),
        route=route,
    )
    assert [out.message.reason for out in call(rig, "sales.test") if out.to == ALICE] == ["Sales Sleeps"]
    assert what(call(rig, "biloxi.test", 1, "<sip:a@sales.test>"))[-1] == "486"
    assert what(call(rig, "none.test", 2))[-1] == "503"
    assert what(call(rig, "biloxi.test", 3))[-1] in ("404", "480")
    # A name that the route file does not have is its mistake: 500, and the log says which there are.
    assert what(call(rig, "lost.test", 4))[-1] == "500"


def test_rows_beat_the_file_and_come_from_other_nodes() -> None:
    """A second node sees the change after ``refresh`` seconds; a store that is gone changes nothing."""
    first = Host(Domain("one.test", realm="file"))
    second = Host(Domain("one.test", realm="file"), store=first.store, refresh=5.0)
    first.command("tenants.add", name="one.test", realm="row")
    first.command("tenants.add", name="two.test")
    assert [one["name"] for one in second.command("tenants.list")] == ["one.test"]
    second.wait(5.1)
    assert [(one["name"], one["realm"]) for one in second.command("tenants.list")] == [
        ("one.test", "row"),
        ("two.test", ""),
    ]
    second.broken = True
    second.wait(12.0)
    assert second.registers("two.test") == "200"
    assert second.command("tenants.show", name="TWO.test")["name"] == "two.test"
    assert "no domain 'x.test'" in str(second.command("tenants.show", name="x.test"))


def test_many() -> None:
    """Ten thousand domains are served like one, and listed a page at a time."""
    rig = Host(*(Domain(f"d{number}.test") for number in range(10_000)))
    assert rig.registers("d9999.test") == "200"
    assert only(call(rig, "d9999.test"), "INVITE").to == BOB
    page = rig.command("tenants.list", limit=10)
    assert len(page) == 10
    assert rig.command("tenants.list", after=page[-1]["name"], limit=10)[0]["name"] > page[-1]["name"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "name is ''"),
        ({"name": "a..b"}, "expected a domain like example.com"),
        ({"name": "192.0.2.1"}, "name is '192.0.2.1'"),
        ({"name": "x y"}, "name is"),
        ({"name": "a\r\nb.test"}, "name is"),
        ({"name": "a" * 64 + ".test"}, "name is"),
        ({"name": "a.test", "realm": 'x"'}, "realm is"),
        ({"name": "a.test", "realm": "x\r\ny"}, "realm is"),
        ({"name": "a.test", "settings": "limit"}, "settings: 'limit'; expected KEY=VALUE"),
        ({"name": "a.test", "settings": "a=" + "b" * 5_000}, "at most 4,000"),
    ],
)
def test_wrong_domains(given: dict[str, Any], said: str) -> None:
    """Each is refused with its field and what was expected, and nothing is served."""
    with pytest.raises(ValueError, match=said):
        Domain(**given)
    rig = Host()
    assert "tenants.add: " in str(rig.command("tenants.add", **given))
    assert rig.command("tenants.list") == []


def test_wrong_settings() -> None:
    """A domain that stands twice, and a refresh that would never rest."""
    with pytest.raises(ValueError, match=r"a\.test stands twice"):
        TenantsSettings([Domain("a.test"), Domain("A.test")])
    with pytest.raises(ValueError, match="refresh"):
        TenantsSettings(refresh=0.001)
