"""A registrar, its location service and a virtual clock, spoken to in SIP."""

from __future__ import annotations

import pytest

from sansip.limits import DEFAULT
from sansip.location import MemoryLocation, Source
from sansip.registrar import Registrar, RegistrarConfig
from sansip.wire import parse_message

ALICE = "sip:alice@example.com"
PHONE = "<sip:alice@192.0.2.1>"
DESK = "<sip:alice@192.0.2.2>"
SOURCE = Source("udp", "198.51.100.1", 1024)


def make_register(
    *contacts, cseq=1, call_id="a84b4c76e66710", to=f"<{ALICE}>", uri="sip:example.com", headers=()
):
    """Return a parsed REGISTER with one Contact line for each of ``contacts``."""
    lines = [
        f"REGISTER {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnashds7",
        "Max-Forwards: 70",
        f"From: {to};tag=456248",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *(f"Contact: {contact}" for contact in contacts),
        *headers,
        "Content-Length: 0",
        "",
        "",
    ]
    return parse_message("\r\n".join(lines).encode("utf-8", "surrogateescape"))


class Site:
    """One registrar at ``now``; ``send`` is a whole REGISTER and its answer."""

    def __init__(self, config=None, limits=DEFAULT):
        self.registrar = Registrar(config, limits)
        self.location = MemoryLocation(limits)
        self.now = 1000.0
        self.cseq = 0

    def send(self, *contacts, cseq=None, expires=None, headers=(), flow=None, received=None, **fields):
        """Register ``contacts`` and return the Reply; CSeq counts up unless given."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        if expires is not None:
            headers = (*headers, f"Expires: {expires}")
        request = make_register(*contacts, cseq=cseq, headers=headers, **fields)
        return self.answer(request, flow=flow, received=received)

    def answer(self, request, **kwargs):
        return self.registrar.register(request, self.location, self.now, domains={"example.com"}, **kwargs)

    def contacts(self, aor=ALICE):
        """Return the contact URIs a proxy would find now, best first."""
        return [b.contact for b in self.location.lookup(aor, self.now)]

    def bindings(self, aor=ALICE):
        return self.location.lookup(aor, self.now)


@pytest.fixture
def site():
    return Site()


@pytest.fixture
def make_site():
    """A site with a policy of its own: ``make_site(limits=…, min_expires=…, …)``."""

    def make(limits=DEFAULT, **config):
        return Site(RegistrarConfig(**config), limits)

    return make


@pytest.fixture(name="make_register")
def _make_register():
    return make_register


def values(reply, name):
    """Return the values of every header ``name`` of ``reply``, in order."""
    return [value for header, value in reply.headers if header == name]


@pytest.fixture(name="values")
def _values():
    return values
