"""A binding makes this server send: so it must not lead back here, nor to a host that is no phone."""

from __future__ import annotations

import pytest

from sansip.location import Source
from sansip.registrar import Terms
from tests.registrar.conftest import ALICE

OURS = {("example.com", None), ("192.0.2.10", 5060), ("192.0.2.10", None), ("2001:db8::10", None)}


def leads_back(host: str, port: int | None, transport: str | None) -> bool:
    return (host, port) in OURS


def plan(site, *contacts, received=None, headers=(), make_register, **terms):
    site.cseq += 1
    request = make_register(*contacts, cseq=site.cseq, headers=headers)
    terms.setdefault("leads_back", leads_back)
    current = site.location.lookup(ALICE, site.now)
    plan = site.registrar.plan(request, ALICE, current, site.now, received=received, terms=Terms(**terms))
    if plan.update is not None:
        site.location.apply(plan.update, site.now)
    return plan.reply


@pytest.fixture
def send(site, make_register):
    """Register at a site that knows what leads back to it."""

    def sending(*contacts, **options):
        return plan(site, *contacts, make_register=make_register, **options)

    return sending


@pytest.mark.parametrize(
    "contact",
    [
        "sip:bob@example.com",
        "sip:bob@example.com.",
        "sip:alice@EXAMPLE.com;x=1",
        "sip:192.0.2.10",
        "sip:alice@192.0.2.10:5060;transport=tcp",
        "sip:alice@[::ffff:192.0.2.10]",
        "sip:alice@203.0.113.1;maddr=192.0.2.10",
        "sip:alice@203.0.113.1;maddr=[2001:db8::10]",
    ],
)
def test_what_leads_back_is_refused(send, site, contact):
    """RFC 3261 10.3 leaves it to policy. Two users who point at each other name ours, too."""
    reply = send("<sip:alice@192.0.2.1>", f"<{contact}>")

    assert (reply.status, reply.reason) == (403, "Address Leads Back Here")
    assert site.contacts() == []


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "0.1.2.3", "224.0.1.75", "239.255.255.255", "240.0.0.1", "255.255.255.255",
     "[::]", "[ff02::1]", "[::ffff:224.0.0.1]"],
)  # fmt: skip
@pytest.mark.parametrize("local", [False, True])
def test_no_phone_has_that_address(send, host, local):
    """RFC 6890: one octet of ours must not reach a whole network; not even the machine's own programs may."""
    assert send(f"<sip:alice@{host}>", local=local).reason == "Not The Address Of A Phone"
    assert send(f"<sip:alice@203.0.113.1;maddr={host}>", local=local).status == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "a.localhost.", "[::1]", "[0::0:1]", "[::ffff:127.0.0.1]"]
)
def test_loopback_is_this_machine(send, host):
    """From elsewhere it would reach programs that only this machine can reach; from here it is a phone."""
    assert send(f"<sip:alice@{host}:8080>").reason == "Loopback Address From Elsewhere"
    assert send(f"<sip:alice@{host}:8080>", local=True).status == 200


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "10.0.0.5", "127.example.net", "notlocalhost", "223.255.255.255", "[fe80::1]"]
)
def test_others_are_bound(send, host):
    """A URI that only looks like one of ours belongs to a phone."""
    assert send(f"<sip:alice@{host}>").status == 200


def test_behind_a_nat(send):
    """It may have our private address in its own network, and is reached at its source."""
    assert send("<sip:alice@192.0.2.10>", received=Source("udp", "203.0.113.7", 1024)).status == 200
    assert send("<sip:alice@127.0.0.1>", received=Source("udp", "203.0.113.7", 1024)).status == 403


@pytest.mark.parametrize(
    "scheme", ["http://example.net/", "https://example.net/", "urn:service:sos", "im:a@b"]
)
def test_other_schemes(send, scheme):
    """RFC 3261 10.2.1 allows any; nothing here could call them, and a caller is no browser."""
    assert send(f"<{scheme}>").reason == "Scheme Not Served Here"


def test_a_removal_is_admitted(send, site):
    """A binding under an older rule has to go away again."""
    assert send("<sip:alice@127.0.0.1>", local=True).status == 200
    assert send("<sip:alice@127.0.0.1>;expires=0", "<http://example.net>;expires=0").status == 200
    assert site.contacts() == []


def test_path_of_a_stranger(send, site, make_site, make_register, values):
    """RFC 3327 6: the writer of a Path gets every call to the phone, or has it sent to a third party."""
    headers = ["Path: <sip:victim.example.net;lr>", "Supported: path"]
    reply = send("<sip:alice@192.0.2.1>", headers=headers, trusted=False)

    assert (reply.status, reply.reason, reply.decided_by) == (
        403,
        "Edge Proxy Not Trusted",
        "registrar.path_from",
    )
    # It may ask, and remove.
    assert send(headers=headers, trusted=False).status == 200
    assert send("<sip:alice@192.0.2.1>;expires=0", headers=headers, trusted=False).status == 200
    assert send("<sip:alice@192.0.2.1>", headers=headers, trusted=True).status == 200
    assert site.bindings()[0].path == ("<sip:victim.example.net;lr>",)
    open_site = make_site(path_from="all")
    assert (
        plan(
            open_site, "<sip:a@192.0.2.1>", headers=headers, trusted=False, make_register=make_register
        ).status
        == 200
    )
